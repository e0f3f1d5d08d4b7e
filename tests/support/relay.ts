/** A relay before the stack’s API that can be cut, or left hanging, as a database that is down or paused. */
import { createServer } from 'node:http'
import { afterAll, inject } from 'vitest'

export async function startRelay() {
  const target = inject('stack').SUPABASE_URL
  /** From the request after `hangAfter` of them on, none is answered. */
  const relay = {
    url: '',
    requests: [] as string[],
    mode: 'pass' as 'pass' | 'cut' | 'hang',
    hangAfter: Number.POSITIVE_INFINITY,
  }
  const server = createServer(async (request, response) => {
    relay.requests.push(request.url?.split('/').at(-1) ?? '')
    if (relay.mode === 'hang' || relay.requests.length > relay.hangAfter) return
    if (relay.mode === 'cut') return void request.socket.destroy()
    let body = ''
    for await (const chunk of request) body += chunk
    const answer = await fetch(target + request.url, {
      method: request.method ?? 'GET',
      headers: headersOf(request.headers),
      ...(body && { body }),
    })
    response.writeHead(answer.status, { 'content-type': 'application/json' })
    response.end(await answer.text())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  relay.url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  afterAll(() => {
    server.close()
    server.closeAllConnections()
  })
  return relay
}

function headersOf(headers: Record<string, string | string[] | undefined>) {
  const kept = [
    'apikey',
    'authorization',
    'content-type',
    'content-profile',
    'accept-profile',
    'accept',
  ]
  return Object.fromEntries(
    kept.flatMap((name) => (headers[name] ? [[name, String(headers[name])]] : [])),
  )
}
