/** Where the function is, what proves that it is us who ask, where failures lead, and who visits. */
export type Front = {
  functionUrl: string
  secret: string
  fallbackUrl: string
  /** The visitor's address, as the platform that runs this says; never what a visitor's header says. */
  visitor: string | null
}

/** The headers of a visitor that the function reads. No other goes on: no cookies, nothing they say of their address. */
const passedOn = [
  'user-agent',
  'sec-ch-ua-platform',
  'sec-purpose',
  'purpose',
  'x-purpose',
  'x-moz',
]

/** What belongs to the connection to the function, and cookies that their platform sets. */
const keptBack = [
  'set-cookie',
  'content-encoding',
  'content-length',
  'transfer-encoding',
  'connection',
]

/**
 * Answers a request to the link host by asking the function referbase-link, which takes the visitor's address and the host from here
 * because of the secret. What is no link leads to the fallback URL; so does a link when the function does not answer.
 */
export async function forward(request: Request, front: Front): Promise<Response> {
  const { host, pathname, search } = new URL(request.url)
  const isAssociation = pathname.startsWith('/.well-known/')
  if (!isAssociation && !pathname.startsWith('/link/')) return leadTo(front.fallbackUrl)
  const path = isAssociation ? pathname : `${pathname.slice('/link'.length)}${search}`

  const answer = await fetch(`${front.functionUrl}${path}`, {
    method: request.method,
    headers: headersFor(request, host, front),
    redirect: 'manual',
    signal: AbortSignal.timeout(5000),
  }).catch(() => null)
  if (isAssociation && !answer) return new Response(null, { status: 502 })
  if (!answer || (answer.status >= 500 && !isAssociation)) return leadTo(front.fallbackUrl)

  const headers = new Headers(answer.headers)
  for (const name of keptBack) headers.delete(name)
  return new Response(answer.body, { status: answer.status, headers })
}

function headersFor(request: Request, host: string, { secret, visitor }: Front): Headers {
  const headers = new Headers({ 'x-referral-proxy': secret, 'x-referral-host': host })
  if (visitor) headers.set('x-referral-visitor', visitor)
  for (const name of passedOn) {
    const value = request.headers.get(name)
    if (value !== null) headers.set(name, value)
  }
  return headers
}

function leadTo(location: string): Response {
  return new Response(null, { status: 302, headers: { location, 'cache-control': 'no-store' } })
}
