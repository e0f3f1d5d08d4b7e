import Stripe from 'stripe'
import type { StackEnvironment } from '../stack/spawn.ts'

/** The JSON of Stripe's event after a one-off checkout of 49.00. */
export function paidCheckout({ userId }: { userId: string }): string {
  const id = crypto.randomUUID().replaceAll('-', '')
  const created = Math.floor(Date.now() / 1000)
  return JSON.stringify({
    id: `evt_${id}`,
    object: 'event',
    type: 'checkout.session.completed',
    api_version: Stripe.API_VERSION,
    created,
    livemode: false,
    data: {
      object: {
        id: `cs_test_${id}`,
        object: 'checkout.session',
        created,
        mode: 'payment',
        payment_status: 'paid',
        currency: 'usd',
        amount_total: 4900,
        total_details: { amount_tax: 0 },
        customer: `cus_${id}`,
        customer_details: { email: 'friend@example.com' },
        payment_intent: `pi_${id}`,
        payment_link: null,
        subscription: null,
        invoice: null,
        client_reference_id: userId,
        metadata: {},
      },
    },
  })
}

/** Delivers an event to the webhook, with Stripe's signature. */
export async function deliver(
  { FUNCTIONS_URL, STRIPE_WEBHOOK_SECRET }: StackEnvironment,
  payload: string,
): Promise<{ http: number; status: string }> {
  const signature = await Stripe.webhooks.generateTestHeaderStringAsync({
    payload,
    secret: STRIPE_WEBHOOK_SECRET,
  })
  const response = await fetch(`${FUNCTIONS_URL}/referbase-stripe-webhook`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'stripe-signature': signature },
    body: payload,
  })
  const { status, code } = (await response.json()) as { status?: string; code?: string }
  return { http: response.status, status: status ?? code ?? '' }
}
