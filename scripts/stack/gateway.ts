/** One port for everything, as a Supabase project has it: `/rest/v1`, `/auth/v1` and `/functions/v1`. */
import { type HttpBindings, type ServerType, serve } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { proxy } from 'hono/proxy'
import type { Api } from './api.ts'
import type { Functions } from './functions.ts'

type Settings = { port: number; api: Api; functions: Functions }
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

/** Listens on 127.0.0.1. What a visitor says of their own address is dropped; the socket's address takes its place. */
export async function startGateway({
  port,
  api,
  functions,
}: Settings): Promise<{ stop: () => Promise<void> }> {
  const app = new Hono<Bindings>()
  const passOn = (c: Context<Bindings>) =>
    api.fetch(new Request(c.req.raw, { headers: trustworthyHeaders(c) }))
  app.all('/rest/v1/*', passOn)
  app.all('/auth/v1/*', passOn)
  app.all('/functions/v1/:name{[^/]+}/*', forward)
  app.all('/functions/v1/:name', forward)
  app.notFound((c) =>
    c.json(
      { code: 'not_found', message: 'There is nothing at this path.', details: null, hint: null },
      404,
    ),
  )
  app.onError((_, c) =>
    c.json(
      { code: 'bad_gateway', message: 'The service did not answer.', details: null, hint: null },
      502,
    ),
  )

  async function forward(c: Context<Bindings>): Promise<Response> {
    const target = functions.port(c.req.param('name') ?? '')
    if (!target) return c.notFound()
    const { pathname, search } = new URL(c.req.url)
    const path = pathname.replace('/functions/v1', '')
    const response = await proxy(`http://127.0.0.1:${target}${path}${search}`, {
      raw: c.req.raw,
      headers: trustworthyHeaders(c),
      redirect: 'manual',
    })
    // Answered before the whole body was read: the connection cannot carry another request.
    if (!c.env.incoming.complete) response.headers.set('connection', 'close')
    return response
  }

  const server = await new Promise<ServerType>((resolve, reject) => {
    const listening = serve(
      {
        fetch: app.fetch,
        port,
        hostname: '127.0.0.1',
        serverOptions: { maxHeaderSize: 64 * 1024 },
      },
      () => resolve(listening),
    )
    listening.once('error', reject)
  })
  return {
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        if ('closeAllConnections' in server) server.closeAllConnections()
      }),
  }
}

function trustworthyHeaders(c: Context<Bindings>): Headers {
  const headers = new Headers(c.req.raw.headers)
  for (const name of forwardingHeaders) headers.delete(name)
  const address = c.env.incoming.socket.remoteAddress
  if (address) headers.set('x-forwarded-for', address)
  return headers
}
