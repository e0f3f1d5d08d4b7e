/** A Cloudflare Worker on the link host, in front of the function referbase-link: docs/hosts.md. */
import { forward } from './forward.ts'

type Environment = {
  LINK_FUNCTION_URL: string
  LINK_PROXY_SECRET: string
  LINK_FALLBACK_URL: string
}

// biome-ignore lint/style/noDefaultExport: Workers read the default export
export default {
  fetch: (request: Request, environment: Environment): Promise<Response> =>
    forward(request, {
      functionUrl: environment.LINK_FUNCTION_URL,
      secret: environment.LINK_PROXY_SECRET,
      fallbackUrl: environment.LINK_FALLBACK_URL,
      // Cloudflare sets it on every request, whatever the visitor sent.
      visitor: request.headers.get('cf-connecting-ip'),
    }),
}
