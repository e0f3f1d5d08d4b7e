import { errorResponse, type FunctionErrorCode } from '../_shared/errors.ts'
import { memoize } from './memoize.ts'

const commonHeaders = { 'referrer-policy': 'no-referrer', 'x-robots-tag': 'noindex' }

/** These responses are public, so pages of every origin may read them. */
const anyOrigin = { 'access-control-allow-origin': '*' }

/** A redirect that no cache stores: each tap is one click, and the location depends on the device. */
export function redirect(location: string): Response {
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

/**
 * The same for a location that many visitors get, because it carries no click. The response has no body, so it can be sent any
 * number of times.
 */
export const redirectAgain = memoize(1_000, redirect)

/** Content that caches may store for `seconds`. It varies by link host, which a proxy names. */
export function content(body: BodyInit, type: string, seconds: number): Response {
  const headers = {
    'content-type': type,
    'cache-control': `public, max-age=${seconds}`,
    'x-content-type-options': 'nosniff',
    vary: 'x-referral-host, x-referral-proxy',
  }
  return new Response(body, { headers: { ...headers, ...anyOrigin, ...commonHeaders } })
}

/** An error that pages of every origin may read and that no cache stores. `seconds` becomes `Retry-After`. */
export function refuse(code: FunctionErrorCode, seconds?: number): Response {
  const retry: Record<string, string> = seconds ? { 'retry-after': String(seconds) } : {}
  return errorResponse(code, {
    'cache-control': 'no-store',
    ...retry,
    ...anyOrigin,
    ...commonHeaders,
  })
}

/** The response to a CORS preflight request. */
export function preflight(): Response {
  const headers = {
    'access-control-allow-methods': 'GET, HEAD',
    'access-control-allow-headers': 'apikey, authorization, content-type, x-client-info',
    'access-control-max-age': '86400',
  }
  return new Response(null, { status: 204, headers: { ...headers, ...anyOrigin } })
}
