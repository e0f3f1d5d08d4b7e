/** Link hosts with TLS: any name leads to one server, by a proxy that the command is told of. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createProxy } from 'node:http'
import { createServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { afterAll } from 'vitest'
import { forward } from '../../docs/hosts/forward.ts'
import { makeCertificate } from './certificate.ts'

type Front = Parameters<typeof forward>[1]

/** Starts a host as docs/hosts/forward.ts makes it. `answer` can take its place for a request. */
export async function startLinkHost(name: string, front: Omit<Front, 'visitor'>) {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-host-'))
  const { file, key } = makeCertificate(folder, name)
  const host = {
    front,
    answer: (_: Request): Response | undefined => undefined,
    environment: {} as Record<string, string>,
  }
  const listener = getRequestListener(
    (request) => host.answer(request) ?? forward(request, { ...host.front, visitor: null }),
  )
  const server = createServer({ cert: readFileSync(file), key: readFileSync(key) }, listener)
  const proxy = createProxy()
  proxy.on('connect', (request, socket) => {
    if (!request.url?.startsWith(`${name}:`)) return socket.destroy()
    const upstream = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      upstream.pipe(socket).pipe(upstream)
    })
    upstream.on('error', () => socket.destroy())
    socket.on('error', () => upstream.destroy())
    return undefined
  })
  for (const one of [server, proxy])
    await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve))
  afterAll(() => {
    for (const one of [server, proxy]) {
      one.close()
      one.closeAllConnections()
    }
    rmSync(folder, { recursive: true })
  })
  host.environment = {
    NODE_EXTRA_CA_CERTS: file,
    NODE_USE_ENV_PROXY: '1',
    HTTPS_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    NO_PROXY: '127.0.0.1,127.0.0.2',
  }
  return host
}
