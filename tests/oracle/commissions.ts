/** What the sales of one referral (what a person bought in a program) earn, by the terms each was won under. */
import { least, most } from './arithmetic.ts'
import { qualifies } from './qualifying.ts'
import { netOf, worth } from './rewards.ts'
import type { Sale } from './sales.ts'
import type { Won } from './winners.ts'
import { type Reward, second, type Terms, type Time } from './world.ts'

export type Earned = { of: Won; commission: bigint; reward: bigint }
export type Limits = { rank: (of: Won) => number; isBeyondLimit: (of: Won) => boolean }

/** The sales in their order; what each earns its earner, and its referee. */
export function earnedBy(referral: Won[], limits: Limits): Earned[] {
  const first = referral.find(qualifies)
  const before = new Map<string, bigint>()
  return referral.map((of) => {
    const { currency } = of.sale
    const { terms } = of.evidence
    const amount = first ? commissionOf(of, first, limits) : 0n
    const soFar = before.get(currency) ?? 0n
    before.set(currency, soFar + amount)
    const commission = capped(terms, currency, soFar, amount)
    const isFirst = of === first && !of.forfeited && !limits.isBeyondLimit(of)
    return { of, commission, reward: isFirst ? rewardOf(of, commission) : 0n }
  })
}

/** A sale's commission before caps. */
function commissionOf(of: Won, first: Won, { rank, isBeyondLimit }: Limits): bigint {
  const { terms } = of.evidence
  const place = rank(of)
  const reward = commissionAt(terms, place)
  const counts =
    qualifies(of) &&
    recurs(terms, of, first) &&
    !isBeyondLimit(of) &&
    !of.forfeited &&
    place <= (terms.max_commissions_per_referrer ?? Number.POSITIVE_INFINITY)
  return (counts && reward && worth(reward, of.sale, terms.flat_above_sale)) || 0n
}

/** Only the first sale, or those within so many months of it (half a day less: months differ by the hour), or all. */
function recurs({ recurrence }: Terms, of: Won, first: Won): boolean {
  if (recurrence === 'forever') return true
  if (recurrence === 'once') return of === first
  return of.sale.soldAt < monthsLater(first.sale.soldAt, recurrence.months) - 12 * 3600 * second
}

/** The same day and hour so many months later, UTC; the month's last day where it has no such day. */
function monthsLater(time: Time, months: number): Time {
  const date = new Date(Math.floor(time / 1000))
  const day = date.getUTCDate()
  date.setUTCDate(1)
  date.setUTCMonth(date.getUTCMonth() + months)
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()
  date.setUTCDate(Math.min(day, last))
  return date.getTime() * 1000 + (time % 1000)
}

/** What there is room for below the cap, after the referral's earlier sales in the currency. */
function capped(terms: Terms, currency: Sale['currency'], before: bigint, amount: bigint): bigint {
  const limit = terms.max_commission_per_referral?.[currency]
  if (limit === undefined) return amount
  const cap = BigInt(limit)
  return least(cap, before + amount) - least(cap, before)
}

/** Tiers, where there are some, set the percentage by rank. */
function commissionAt({ commission, tiers }: Terms, rank: number): Reward | undefined {
  if (!tiers) return commission
  const tier = tiers.findLast(({ from }) => from <= rank)
  return tier && { kind: 'percent', bps: tier.bps }
}

/** The referee's reward gives way where it and the commission are more than the sale without tax. */
function rewardOf({ sale, evidence: { terms } }: Won, commission: bigint): bigint {
  const reward = terms.referee_reward && worth(terms.referee_reward, sale, terms.flat_above_sale)
  if (!reward) return 0n
  return terms.flat_above_sale ? reward : least(reward, most(0n, netOf(sale) - commission))
}
