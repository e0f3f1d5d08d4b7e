import { errorResponse, type FunctionErrorCode } from '../_shared/errors.ts'

const onEvery = { 'referrer-policy': 'no-referrer', 'x-robots-tag': 'noindex' }

/** Nothing in these answers is meant for one site alone. */
const anyOrigin = { 'access-control-allow-origin': '*' }

/** Nobody keeps a redirect: each tap is one click, and where it leads depends on the device. */
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

/** Content that may be kept for so many seconds; by link host, where a proxy names one. */
export function content(body: BodyInit, type: string, seconds: number): Response {
  const headers = {
    'content-type': type,
    'cache-control': `public, max-age=${seconds}`,
    'x-content-type-options': 'nosniff',
    vary: 'x-referral-host, x-referral-proxy',
  }
  return new Response(body, { headers: { ...headers, ...anyOrigin, ...onEvery } })
}

/** An error that pages of any site can read, and nobody keeps; `seconds` says when to ask again. */
export function refuse(code: FunctionErrorCode, seconds?: number): Response {
  const again: Record<string, string> = seconds ? { 'retry-after': String(seconds) } : {}
  return errorResponse(code, { 'cache-control': 'no-store', ...again, ...anyOrigin, ...onEvery })
}

/** Says to a browser what pages of other sites may ask. */
export function preflight(): Response {
  const headers = {
    'access-control-allow-methods': 'GET, HEAD',
    'access-control-allow-headers': 'apikey, authorization, content-type, x-client-info',
    'access-control-max-age': '86400',
  }
  return new Response(null, { status: 204, headers: { ...headers, ...anyOrigin } })
}
