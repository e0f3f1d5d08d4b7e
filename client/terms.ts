/** Amounts in minor units by currency: `{ usd: 500 }` is 5.00 USD. A currency that is not listed earns nothing. */
export type Amounts = { [currency: string]: number }

/** A percentage in basis points (2000 are 20 percent) of the price without tax, or a flat amount. */
export type Reward = { kind: 'percent'; bps: number } | { kind: 'flat'; amount: Amounts }

/** The terms of a program, with the names that the database has for them. docs/terms.md explains each. */
export type ProgramTerms = {
  /** What the referrer gets. No commission unless given. */
  commission?: Reward
  /** Percentage by rank, from 1 on and rising, in place of `commission`: `[{ from: 1, bps: 1000 }, { from: 11, bps: 1500 }]`. */
  tiers?: { from: number; bps: number }[]
  /** What the friend gets for their first sale. No reward unless given. */
  referee_reward?: Reward
  /** Which sales of a friend earn. `'once'` unless given. */
  recurrence?: 'once' | 'forever' | { months: number }
  /** Days from the payment until a commission or a reward is available, 0 to 365. 14 unless given. */
  hold_days?: number
  /** Days from the use of the code to the friend's first sale, 1 to 3,650. 90 unless given. */
  conversion_window_days?: number
  /** `'new'`: a friend who paid before earns the referrer nothing. `'new'` unless given. */
  customers?: 'new' | 'any'
  /** The friend signed up at most so many days before, 0 to 3,650. Users of any age unless given. */
  new_users_only_days?: number
  /** `'open'`: anyone gets a code. `'invited'`: members whom staff have added. `'invited'` unless given. */
  enrolment?: 'open' | 'invited'
  /** False: purchases without a Stripe customer earn nothing. True unless given. */
  guests?: boolean
  /** So many guest sales of a code earn in one day (UTC). All unless given. */
  guests_per_day?: number
  /** Smaller sales, and other currencies, earn nothing. Every sale unless given. */
  minimum_sale?: Amounts
  /** At most so much commission by one friend, per currency. No cap unless given. */
  max_commission_per_referral?: Amounts
  /** Only so many friends of a referrer earn. All unless given. */
  max_commissions_per_referrer?: number
  /** True: a flat amount may be more than the price. False unless given. */
  flat_above_sale?: boolean
}
