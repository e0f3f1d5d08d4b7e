/** `middleware.ts` of a Vercel project on the link host, in front of the function referbase-link: docs/hosts.md. */
import { forward } from './forward.ts'

export const config = { matcher: ['/link/:path*'] }

// biome-ignore lint/style/noDefaultExport: Vercel reads the default export
export default function middleware(request: Request): Promise<Response> {
  const { LINK_FUNCTION_URL = '', LINK_PROXY_SECRET = '', LINK_FALLBACK_URL = '' } = process.env
  return forward(request, {
    functionUrl: LINK_FUNCTION_URL,
    secret: LINK_PROXY_SECRET,
    fallbackUrl: LINK_FALLBACK_URL,
    // Vercel sets it on every request, whatever the visitor sent.
    visitor: request.headers.get('x-real-ip'),
  })
}
