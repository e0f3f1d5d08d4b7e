/** The events that Stripe would send for what a backend has created. */
import { eventOf, now, type RawEvent, unique } from '../fixtures/stripe/about.ts'
import { type Created, inside, type Params } from './stripe-api.ts'

/** What every price costs that a request names by its id. */
const priceOfAll = 4900

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
