/** A server that stands where the function stands, and tells what reached it. */
import {
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type RequestListener,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

type Seen = { method: string; url: string; headers: IncomingHttpHeaders; body: string }

/** `'none'` keeps the visitor waiting. `on` says for which path alone; others are not found then. */
type Answer = { status: number; headers?: OutgoingHttpHeaders; body?: string; on?: string } | 'none'

const redirect: Answer = {
  status: 302,
  headers: {
    location: 'https://example.org/welcome?ref=7KQ2-M9XT&x=%2F',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'set-cookie': '__cf_bm=1; path=/',
  },
}

/** Answers everything by a redirect like the function's, with a platform's cookie, unless told otherwise. */
export async function startUpstream(tls?: { cert: Buffer; key: Buffer }) {
  const seen: Seen[] = []
  let answer: Answer = redirect
  const listener: RequestListener = async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const { method = '', url = '', headers } = request
    seen.push({ method, url, headers, body })
    if (answer === 'none') return
    if (answer.on && !url.endsWith(answer.on)) response.writeHead(404).end()
    else response.writeHead(answer.status, answer.headers).end(answer.body)
  }
  const server = tls ? createTlsServer(tls, listener) : createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    functionUrl: `${tls ? 'https' : 'http'}://127.0.0.1:${port}/functions/v1/referbase-link`,
    last: () => seen.at(-1),
    count: () => seen.length,
    answerWith: (next: Answer = redirect) => {
      answer = next
    },
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
