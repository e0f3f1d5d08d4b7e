/** One port for everything, as a Supabase project has it: `/rest/v1`, `/auth/v1` and `/functions/v1`. */
import { type HttpBindings, type ServerType, serve } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { cors } from 'hono/cors'
import { proxy } from 'hono/proxy'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Api } from './api.ts'
import { refuseStranger } from './function-callers.ts'
import type { Functions } from './functions.ts'
import type { Keys } from './keys.ts'
import { portInUse } from './ports.ts'

/** The services behind the gateway. */
export type Services = { api: Api; functions: Functions; keys: Keys }
type Bindings = { Bindings: HttpBindings }

const forwardingHeaders = [
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'forwarded',
  'cf-connecting-ip',
  'true-client-ip',
]

/** What a hosted project lets pages of any origin do: the headers asked for are echoed, and these can be read. */
const forPages = cors({
  allowMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
  exposeHeaders: [
    'Content-Range',
    'Content-Location',
    'Location',
    'Retry-After',
    'X-Supabase-Api-Version',
  ],
  maxAge: 3600,
})

/**
 * Listens on the host, and responds with 503 until `open` is called with the services. It replaces the address headers of
 * a request by the socket's address.
 */
export async function startGateway(port: number, host: string) {
  let services: Services | undefined
  const app = new Hono<Bindings>()
  // Functions answer preflights themselves.
  app.use('/rest/v1/*', forPages)
  app.use('/auth/v1/*', forPages)
  app.use(bodyLimit({ maxSize: 2 * 1024 * 1024, onError: refuseBody }))
  app.use((c, next) => (services ? next() : Promise.resolve(refuse(c, 'starting', 503))))
  app.use((c, next) =>
    c.req.method === 'TRACE' ? Promise.resolve(refuse(c, 'method_not_allowed', 405)) : next(),
  )
  const passOn = async (c: Context<Bindings>) =>
    services?.api.fetch(new Request(c.req.raw, { headers: trustworthyHeaders(c) })) ?? c.notFound()
  app.all('/rest/v1/*', passOn)
  app.all('/auth/v1/*', passOn)
  app.all('/functions/v1/:name{[^/]+}/*', forward)
  app.all('/functions/v1/:name', forward)
  app.notFound((c) => refuse(c, 'not_found', 404))
  app.onError((_, c) => refuse(c, 'bad_gateway', 502))

  async function forward(c: Context<Bindings>): Promise<Response> {
    const name = c.req.param('name') ?? ''
    const verifiesJwt = services?.functions.verifiesJwt(name)
    if (!services || verifiesJwt === undefined) return c.notFound()
    const refusal = verifiesJwt && (await refuseStranger(c.req.raw, services.keys))
    if (refusal) return refusal
    const target = await services.functions.ready(name).catch((error: Error) => {
      process.stderr.write(`${error.message}\n`)
    })
    if (!target) return refuse(c, 'BOOT_ERROR', 503)
    const { pathname, search } = new URL(c.req.url)
    const path = pathname.replace('/functions/v1', '')
    const response = await proxy(`http://127.0.0.1:${target}${path}${search}`, {
      raw: c.req.raw,
      headers: trustworthyHeaders(c),
      redirect: 'manual',
    })
    // The response precedes the end of the body, so the connection cannot carry another request.
    if (!c.env.incoming.complete) response.headers.set('connection', 'close')
    return response
  }

  const server = await listen(app, port, host)
  return {
    open: (opened: Services) => {
      services = opened
    },
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        if ('closeAllConnections' in server) server.closeAllConnections()
      }),
  }
}

function listen(app: Hono<Bindings>, port: number, hostname: string): Promise<ServerType> {
  return new Promise((resolve, reject) => {
    // A client that pauses for some seconds must not reuse a connection that the server is closing.
    const serverOptions = { maxHeaderSize: 64 * 1024, keepAliveTimeout: 60_000 }
    const server = serve({ fetch: app.fetch, port, hostname, serverOptions }, () => resolve(server))
    server.once('error', () => reject(portInUse(port)))
  })
}

const messages = {
  body_too_large: 'The body is larger than 2 MiB.',
  starting: 'The local stack is starting.',
  method_not_allowed: 'This method is not allowed here.',
  not_found: 'There is nothing at this path.',
  bad_gateway: 'The service did not answer.',
  BOOT_ERROR: 'Function failed to start (please check logs)',
}

function refuse(c: Context, code: keyof typeof messages, status: ContentfulStatusCode): Response {
  // Without a hint, which is how a client knows an error of the database.
  const body = { code, message: messages[code], details: null }
  return c.json(body, status, { 'access-control-allow-origin': '*' })
}

/** The rest of the body is not read, so the connection cannot carry another request. */
function refuseBody(c: Context): Response {
  const response = refuse(c, 'body_too_large', 413)
  response.headers.set('connection', 'close')
  return response
}

function trustworthyHeaders(c: Context<Bindings>): Headers {
  const headers = new Headers(c.req.raw.headers)
  for (const name of forwardingHeaders) headers.delete(name)
  const address = c.env.incoming.socket.remoteAddress
  if (address) {
    // In a hosted project Cloudflare sets both.
    headers.set('cf-connecting-ip', address)
    headers.set('x-forwarded-for', address)
  }
  return headers
}
