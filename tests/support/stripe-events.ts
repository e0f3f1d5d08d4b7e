/** Stripe events as functions/stripe-webhook hands them to the database. Only what the test is about is given. */
import { type Actor, operator } from './actors.ts'
import type { Sql } from './database.ts'

type About = {
  account?: string
  id?: string
  customer?: string | null
  userId?: string
  redemptionId?: string
  orgId?: string
  /** Seconds since 1970; now unless given. */
  at?: number
  paid?: number
}

export type Event = Record<string, unknown>

const now = () => Math.floor(Date.now() / 1000)
const unique = () => crypto.randomUUID().replaceAll('-', '')

/** An invoice that was paid; the user or redemption it names stands in the subscription's metadata. */
export function paidInvoice({
  id = `in_${unique()}`,
  customer = `cus_${unique()}`,
  at = now(),
  paid = 1000,
  ...about
}: About = {}): Event {
  return event('invoice.paid', about.account, {
    id,
    created: at,
    customer,
    customer_account: null,
    currency: 'usd',
    amount_paid: paid,
    total: paid,
    total_excluding_tax: paid,
    parent: { subscription_details: { subscription: 'sub_1', metadata: metadataOf(about) } },
    metadata: {},
  })
}

/** A checkout session that was completed: a subscription's unless `mode` says otherwise. */
export function completedSession({
  mode = 'subscription',
  customer = `cus_${unique()}`,
  at = now(),
  paid = 1000,
  paymentLink = null,
  invoice = null,
  status = 'paid',
  ...about
}: About & {
  mode?: string
  paymentLink?: string | null
  invoice?: string | null
  status?: string
} = {}): Event {
  return event(
    'checkout.session.completed',
    about.account,
    {
      id: about.id ?? `cs_${unique()}`,
      created: at,
      mode,
      payment_status: status,
      currency: 'usd',
      amount_total: paid,
      total_details: { amount_tax: 0 },
      customer,
      customer_account: null,
      payment_intent: mode === 'payment' ? `pi_${unique()}` : null,
      payment_link: paymentLink,
      subscription: null,
      invoice,
      client_reference_id: about.userId ?? null,
      metadata: { ...metadataOf(about), referral_user_id: undefined },
    },
    at,
  )
}

function metadataOf({ userId, redemptionId, orgId }: About) {
  return {
    ...(userId && { referral_user_id: userId }),
    ...(redemptionId && { referral_redemption_id: redemptionId }),
    ...(orgId && { referral_org_id: orgId }),
  }
}

function event(type: string, account: string | undefined, object: object, created = now()): Event {
  return {
    id: `evt_${unique()}`,
    type,
    api_version: '2026-10-28.endive',
    created,
    livemode: false,
    ...(account && { account }),
    body_sha256: '0'.repeat(64),
    data: { object },
  }
}

/** Delivers an event; gives the answer's status. */
export async function ingest(
  sql: Sql,
  delivered: Event,
  by: Actor = operator(sql),
): Promise<string> {
  const [row] = await by.rpc('ingest_stripe_event', { event: delivered })
  return String(row?.status)
}
