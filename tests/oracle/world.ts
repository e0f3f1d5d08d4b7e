/** What happened, as the oracle is told it: deliveries, records, and what the people of organisations did. */

/** Microseconds since 1970: as exact as Postgres keeps a time, and exact in a number. */
export type Time = number
export const second = 1_000_000
export const minute = 60 * second
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
  data: { object: unknown; previous_attributes?: { metadata: { referral_code: string | null } } }
}

/** A payment, a refund or the end of a refund of another provider, as the app's server recorded it. */
export type RecordedFact = {
  org: string
  provider: string
  ref: string
  livemode: boolean
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
  /** Whether a code brings those who have paid before. */
  customers: 'new' | 'any'
  guests?: boolean
  guests_per_day?: number
  flat_above_sale?: boolean
}

export type Code = {
  id: string
  org: string
  program: string
  code: string
  /** The first code of its chain of rotations. */
  chain: string
  referrer: string | null
  beneficiary: string | null
  creator: string | null
  createdAt: Time
}

/** How a code was from some time on. */
export type CodeState = {
  code: string
  status: string
  expiresAt: Time | null
  redeemableUntil: Time | null
  since: Time
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
  status: string
}

/** What staff decided, and has not withdrawn. A forfeit has `since`; without `until` it is for ever. */
export type Decision = {
  id: string
  org: string
  kind: 'confirm' | 'reject' | 'forfeit'
  program: string | null
  person: string | null
  redemption: string | null
  member: string | null
  chain: string | null
  since: Time | null
  until: Time | null
  payers: { stripeAccount: string; livemode: boolean; payer: string }[]
}

export type World = {
  now: Time
  events: StripeEvent[]
  records: RecordedFact[]
  organisations: { id: string; stripeAccount: string; accountSince: Time }[]
  terms: { program: string; version: number; terms: Terms; from: Time }[]
  /** In the order in which they were switched; without a program, the organisation. */
  switches: { org: string; program: string | null; active: boolean; since: Time }[]
  codes: Code[]
  /** Of each code in their order. */
  codeStates: CodeState[]
  redemptions: Redemption[]
  decisions: Decision[]
  /** Everybody who ever was one, of any organisation. */
  members: string[]
  knownUsers: { id: string; signedUpAt: Time | null }[]
}
