/** A stand-in of Stripe's HTTP API: records what a backend creates, and makes the events that Stripe would send for it. */
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { eventOf, now, unique } from '../fixtures/stripe/about.ts'

/** The parameters of a request, nested as their names say. */
type Params = { [name: string]: string | Params | undefined }
type Created = { kind: string; id: string; params: Params }

/** What every price costs that a request names by its id. */
const priceOfAll = 4900

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
function nested(form: string): Params {
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

const inside = (params: Params, ...path: string[]): Params =>
  path.reduce((at, part) => (at[part] ?? {}) as Params, params)

/** The events of a purchase that was paid. All that they say of the buyer was in the request. */
export function eventsOf({ kind, id, params }: Created): RawEvent[] {
  if (kind === 'payment_intents') return [intentSucceeded(id, params, params)]
  if (kind === 'subscriptions') return invoicePaid(id, params, inside(params, 'metadata'))
  if (kind === 'checkout/sessions') return sessionCompleted(id, params)
  return []
}

/** The next invoice of a subscription. */
export const renewalOf = ({ id, params }: Created) =>
  invoicePaid(id, params, inside(params, 'metadata'), 'subscription_cycle')

function intentSucceeded(id: string, { amount, currency, customer }: Params, metadata: Params) {
  const intent = {
    id,
    object: 'payment_intent',
    created: now(),
    currency,
    amount_received: Number(amount),
    customer: customer ?? null,
    latest_charge: `ch_${unique()}`,
    metadata: metadata.metadata ?? {},
  }
  return eventOf('payment_intent.succeeded', intent, {})
}

function invoicePaid(
  subscription: string,
  { customer }: Params,
  metadata: Params,
  billing_reason = 'subscription_create',
): RawEvent[] {
  const id = `in_${unique()}`
  const amount = { currency: 'usd', amount_paid: priceOfAll }
  const invoice = {
    id,
    object: 'invoice',
    created: now(),
    billing_reason,
    customer,
    ...amount,
    total: priceOfAll,
    total_excluding_tax: priceOfAll,
    status_transitions: { paid_at: now() },
    parent: { type: 'subscription_details', subscription_details: { subscription, metadata } },
    metadata: {},
  }
  const payment = { type: 'payment_intent', payment_intent: `pi_${unique()}` }
  return [
    eventOf('invoice.paid', invoice, {}),
    eventOf(
      'invoice_payment.paid',
      { id: `inpay_${unique()}`, invoice: id, ...amount, payment },
      {},
    ),
  ]
}

function sessionCompleted(id: string, params: Params): RawEvent[] {
  const { unit_amount, currency } = inside(params, 'line_items', '0', 'price_data')
  const intent = `pi_${unique()}`
  const session = {
    id,
    object: 'checkout.session',
    created: now(),
    mode: params.mode,
    payment_status: 'paid',
    currency,
    amount_total: Number(unit_amount),
    total_details: { amount_tax: 0 },
    customer: params.customer ?? null,
    payment_intent: intent,
    payment_link: null,
    subscription: null,
    invoice: null,
    client_reference_id: params.client_reference_id ?? null,
    metadata: params.metadata ?? {},
  }
  const ofIntent = inside(params, 'payment_intent_data')
  const paid = { amount: unit_amount, currency, customer: params.customer }
  return [
    intentSucceeded(intent, paid, ofIntent),
    eventOf('checkout.session.completed', session, {}),
  ]
}
