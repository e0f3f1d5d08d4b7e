/**
 * A small stand-in of Stripe's API that keeps what it is told, over HTTP, for the real SDK. Errors have Stripe's form. Each
 * resource is a file beside this one: stripe-endpoints.ts, stripe-events.ts.
 */
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { afterAll } from 'vitest'
import { type Env, stripeError } from './stripe-answers.ts'
import { endpointResource } from './stripe-endpoints.ts'
import { eventResource } from './stripe-events.ts'

/** What goes wrong with a request, as often as `times` says. */
type Fault = {
  times: number
  /** An HTTP status, or a connection that ends before or after the work is done. */
  with: 401 | 403 | 429 | 500 | 'reset' | 'reset after'
  method?: string
}

const faults = {
  401: { message: 'Invalid API Key provided: sk_test_*********' },
  403: {
    message:
      "The provided key 'rk_test_*********' does not have the required permissions for this endpoint on account 'acct_1'. Having the 'rak_webhook_write' permission would allow this request to continue.",
  },
  429: { code: 'rate_limit', message: 'Request rate limit exceeded.' },
  500: { message: 'An unknown error occurred' },
}

/** Starts the stand-in, until the file's last test. */
export async function startStripeStandIn() {
  const endpoints = endpointResource()
  const events = eventResource()
  const requests: { method: string; path: string; account: string; version: string }[] = []
  const planned: Fault[] = []
  /** By idempotency key: what was answered. */
  const answered = new Map<string, Response>()

  const app = new Hono<Env>()
  app.use(async (c, next) => {
    const [, mode] =
      /^Bearer [sr]k_(live|test)_\w+$/.exec(c.req.header('authorization') ?? '') ?? []
    const account = c.req.header('stripe-account') ?? ''
    const version = c.req.header('stripe-version') ?? ''
    requests.push({ method: c.req.method, path: c.req.path, account, version })
    c.set('livemode', mode === 'live')
    c.set('account', account)
    const fault = planned.find(
      ({ times, method }) => times > 0 && (method ?? c.req.method) === c.req.method,
    )
    if (fault) fault.times -= 1
    if (fault?.with === 'reset') {
      c.env.incoming.socket.destroy()
      return c.body(null)
    }
    if (typeof fault?.with === 'number') return stripeError(fault.with, faults[fault.with])
    if (!mode) return stripeError(401, faults[401])
    const key = c.req.header('idempotency-key')
    const before = key && answered.get(key)
    if (before) return before.clone()
    await next()
    if (key) answered.set(key, c.res.clone())
    if (fault?.with === 'reset after') c.env.incoming.socket.destroy()
    return undefined
  })
  app.route('/v1/webhook_endpoints', endpoints.routes)
  app.route('/v1/events', events.routes)

  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  await new Promise((resolve) => server.once('listening', resolve))
  afterAll(() => new Promise((resolve) => server.close(resolve)))
  const { port } = server.address() as AddressInfo
  return {
    endpoints,
    events,
    requests,
    fail: (fault: Fault) => {
      planned.push(fault)
    },
    /** The environment of a command that uses it. */
    environment: {
      STRIPE_SECRET_KEY: 'sk_test_0123456789',
      STRIPE_API_BASE: `http://127.0.0.1:${port}`,
    },
  }
}
