/** A project in front of the local stack's in which something is wrong: each request and answer can be altered. */
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { afterAll } from 'vitest'

type Pass = (request?: Request) => Promise<Response>
/** Answers a request itself, or alters what the stack answers. */
export type Alter = (request: Request, pass: Pass) => Promise<Response> | Response

/** Starts it on an address of this machine; `url` takes the place of SUPABASE_URL. `target` can differ by path. */
export async function startAltered(
  target: string | ((path: string) => string),
  hostname = '127.0.0.1',
) {
  const targetOf = typeof target === 'string' ? () => target : target
  const altered = { url: '', alter: ((_, pass) => pass()) as Alter }
  const server = serve({
    port: 0,
    hostname,
    fetch: (raw) => altered.alter(raw, (request = raw) => passOn(targetOf, request)),
  })
  await new Promise((resolve) => server.once('listening', resolve))
  afterAll(() => new Promise((resolve) => server.close(resolve)))
  altered.url = `http://${hostname}:${(server.address() as AddressInfo).port}`
  return altered
}

async function passOn(targetOf: (path: string) => string, request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url)
  const headers = new Headers(request.headers)
  for (const name of ['host', 'connection', 'content-length']) headers.delete(name)
  const hasBody = !['GET', 'HEAD'].includes(request.method)
  const answer = await fetch(targetOf(pathname) + pathname + search, {
    method: request.method,
    headers,
    redirect: 'manual',
    ...(hasBody && { body: await request.text() }),
  })
  const kept = new Headers(answer.headers)
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding', 'connection'])
    kept.delete(name)
  return new Response(answer.body, { status: answer.status, headers: kept })
}

/** The request with another path. */
export const withPath = (request: Request, from: string, to: string): Request =>
  new Request(request.url.replace(from, to), request)

/** The request for another schema. */
export function withSchema(request: Request, from: string, to: string): Request {
  const headers = new Headers(request.headers)
  for (const name of ['accept-profile', 'content-profile'])
    if (headers.get(name) === from) headers.set(name, to)
  return new Request(request, { headers })
}

/** An answer of the platform in the place of a function's. */
export const platformSays = (status: number, code: string): Response =>
  Response.json({ code, message: code }, { status })
