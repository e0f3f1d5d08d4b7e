import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A relay before a Data API that measures its calls. */
export type ApiRelay = {
  url: string
  port: number
  /** How long the first call took since `forget`, in milliseconds; 0 without a call. */
  firstCall: () => number
  forget: () => void
  stop: () => void
}

export async function startApiRelay(target: string): Promise<ApiRelay> {
  let first: number | null = null
  const server = createServer(async (request, response) => {
    const began = performance.now()
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { host, connection, 'content-length': length, ...headers } = request.headers
    const answer = await fetch(target + request.url, {
      method: 'POST',
      headers: headers as Record<string, string>,
      body: Buffer.concat(chunks),
    })
    const body = await answer.text()
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(body)
    first ??= performance.now() - began
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    firstCall: () => first ?? 0,
    forget: () => {
      first = null
    },
    stop: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
