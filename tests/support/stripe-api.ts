/** A stand-in of Stripe's HTTP API, which records what a backend creates. */
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { unique } from '../fixtures/stripe/about.ts'

/** The parameters of a request, nested as their names say. */
export type Params = { [name: string]: string | Params | undefined }
export type Created = { kind: string; id: string; params: Params }

export async function startStripeApi() {
  const created: Created[] = []
  /** By idempotency key: the id that was returned. */
  const returned = new Map<string, string>()
  let indexed = 0
  const app = new Hono()
  const create = (kind: string, prefix: string, answer: (id: string) => object = () => ({})) => {
    app.post(`/v1/${kind}`, async (c) => {
      const key = c.req.header('idempotency-key') ?? unique()
      const known = returned.get(key)
      const id = known ?? `${prefix}_${unique()}`
      returned.set(key, id)
      if (!known) created.push({ kind, id, params: nested(await c.req.text()) })
      return c.json({ id, ...answer(id) })
    })
  }
  create('customers', 'cus')
  create('payment_intents', 'pi', (id) => ({ client_secret: `${id}_secret_1` }))
  create('checkout/sessions', 'cs_test', (id) => ({ url: `https://checkout.stripe.com/c/${id}` }))
  create('subscriptions', 'sub', (id) => ({
    latest_invoice: { confirmation_secret: { client_secret: `${id}_secret_1` } },
  }))
  app.get('/v1/customers/search', (c) => {
    const [, user] =
      /^metadata\['user_id'\]:'([0-9a-f-]{36})'$/.exec(c.req.query('query') ?? '') ?? []
    const found = created.slice(0, indexed).filter(({ kind, params }) => {
      return kind === 'customers' && inside(params, 'metadata').user_id === user
    })
    return c.json({ object: 'search_result', data: found.map(({ id }) => ({ id })) })
  })
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  return {
    created,
    port,
    /** From now on the search finds what was created before. */
    index: () => {
      indexed = created.length
    },
    stop: () => new Promise((resolve) => server.close(resolve)),
  }
}

/** `a[b][0][c]=d` as an object. */
export function nested(form: string): Params {
  const result: Params = {}
  for (const [name, value] of new URLSearchParams(form)) {
    const path = name.split(/\[|\]\[|\]/).filter((part) => part !== '')
    const last = String(path.pop())
    let at = result
    for (const part of path) {
      at[part] ??= {}
      at = at[part] as Params
    }
    at[last] = value
  }
  return result
}

/** The parameters below a name. */
export const inside = (params: Params, ...path: string[]): Params =>
  path.reduce((at, part) => (at[part] ?? {}) as Params, params)
