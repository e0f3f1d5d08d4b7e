import type { ReferralDatabase } from '../_shared/database.ts'
import { errorResponse } from '../_shared/errors.ts'

type Dependencies = { database: ReferralDatabase; fallback: string }

/**
 * `GET /link/<code>` redirects to the destination of the code's organisation, with the code as `ref`. Everything
 * else that a person can tap (an unknown, dead or malformed link, or a database that does not answer) redirects to
 * the fallback, so that nobody is left on an error page.
 */
export function createLinkHandler({
  database,
  fallback,
}: Dependencies): (request: Request) => Promise<Response> {
  return async (request) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return errorResponse('method_not_allowed', { allow: 'GET, HEAD' })
    }
    const code = codeOf(new URL(request.url).pathname)
    if (!code) return redirect(fallback)

    // By POST: a code is arbitrary text, which must arrive as it is.
    const { data, error } = await database.rpc('resolve_code', { code }).maybeSingle()
    if (error) console.error(`resolve_code failed: ${error.code || 'no answer'}`)
    const destination = data?.web_destination && destinationOf(data.web_destination)
    if (!data?.code || !destination) return redirect(fallback)
    return redirect(withReferral(destination, data.code))
  }
}

function codeOf(pathname: string): string | null {
  const [, segment] = /^\/link\/([^/]{1,384})\/?$/.exec(pathname) ?? []
  try {
    const code = decodeURIComponent(segment ?? '')
    return code.includes('\0') ? null : code
  } catch {
    return null
  }
}

/** A stored destination, checked once more on the way out. */
function destinationOf(stored: string): URL | null {
  const url = URL.parse(stored)
  return url?.protocol === 'https:' && !url.username && !url.password ? url : null
}

/** The destination with `ref` after what it has; not `code`, which auth clients take for a login. */
function withReferral(destination: URL, code: string): string {
  const { origin, pathname, search, hash } = destination
  return `${origin}${pathname}${search ? `${search}&` : '?'}ref=${encodeURIComponent(code)}${hash}`
}

function redirect(location: string): Response {
  return new Response(null, {
    status: 302,
    headers: {
      location,
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-robots-tag': 'noindex',
    },
  })
}
