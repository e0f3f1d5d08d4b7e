/** What happened, as the oracle is told it: deliveries, records, and what the people of organisations did. */

/** Microseconds since 1970: as exact as Postgres keeps a time, and exact in a number. */
export type Time = number
export const second = 1_000_000
export const day = 86_400 * second

/** Times are compared in whole seconds, as Stripe's are. */
export const wholeSecond = (time: Time): Time => Math.floor(time / second) * second

/** An event as the webhook reduced it. */
export type StripeEvent = {
  id: string
  type: string
  created: number
  livemode: boolean
  account?: string
  data: { object: unknown }
}

/** A payment, a refund or the end of a refund of another provider, as the app's server recorded it. */
export type RecordedFact = {
  org: string
  provider: string
  ref: string
} & (
  | { kind: 'payment'; content: RecordedPayment }
  | { kind: 'refund'; content: { payment_ref: string; amount: number } }
  | { kind: 'refund_reversed'; content: object }
)
type RecordedPayment = {
  referee_id: string
  amount: number
  currency: string
  tax: number | null
  /** Seconds. */
  paid_at: number
  program_id: string | null
}

/** Minor units per currency. */
type Money = Record<string, number>
export type Reward = { kind: 'percent'; bps: number } | { kind: 'flat'; amount: Money }
export type Terms = {
  commission?: Reward
  tiers?: { from: number; bps: number }[]
  referee_reward?: Reward
  recurrence: 'once' | 'forever' | { months: number }
  hold_days: number
  conversion_window_days: number
  new_users_only_days?: number
  max_commissions_per_referrer?: number
  minimum_sale?: Money
  max_commission_per_referral?: Money
  guests?: boolean
}

export type Code = {
  id: string
  org: string
  program: string
  code: string
  referrer: string | null
  beneficiary: string | null
  creator: string | null
  createdAt: Time
}

export type Redemption = {
  id: string
  org: string
  program: string
  version: number
  code: string
  referrer: string | null
  referee: string
  redeemedAt: Time
  decision: 'confirmed' | 'rejected' | null
  status: string
}

export type World = {
  now: Time
  events: StripeEvent[]
  records: RecordedFact[]
  organisations: { id: string; stripeAccount: string }[]
  terms: { program: string; version: number; terms: Terms; from: Time }[]
  /** In the order in which they were switched; without a program, the organisation. */
  switches: { org: string; program: string | null; active: boolean; since: Time }[]
  codes: Code[]
  redemptions: Redemption[]
  users: { id: string; createdAt: Time }[]
}
