/** What the sales of one referral (what a person bought in a program) earn, by the terms each was won under. */
import { least } from './arithmetic.ts'
import { worth } from './rewards.ts'
import type { Sale } from './sales.ts'
import type { Won } from './winners.ts'
import { type Reward, second, type Terms, type Time } from './world.ts'

/** The sales in their order; what each earns its earner. */
export function commissionsOf(referral: Won[], rank: (of: Won) => number): bigint[] {
  const first = referral[0]?.sale.soldAt ?? 0
  const before = new Map<string, bigint>()
  return referral.map((won, place) => {
    const { sale, evidence } = won
    const { terms } = evidence.agreed
    const amount = earns(won, place, first, rank(won)) ?? 0n
    const soFar = before.get(sale.currency) ?? 0n
    before.set(sale.currency, soFar + amount)
    return capped(terms, sale.currency, soFar, amount)
  })
}

/** A sale's commission before caps; null where it has none. */
function earns(won: Won, place: number, first: Time, rank: number): bigint | null {
  const { terms } = won.evidence.agreed
  const reward = commissionAt(terms, rank)
  const counts =
    won.refusal === null &&
    recurs(terms, place, first, won.sale) &&
    isLarge(terms, won.sale) &&
    rank <= (terms.max_commissions_per_referrer ?? Number.POSITIVE_INFINITY) &&
    hasCap(terms, won.sale)
  return counts && reward ? worth(reward, won.sale) : null
}

/** Only the first sale, or those within so many months of it (half a day less: months differ by the hour), or all. */
function recurs({ recurrence }: Terms, place: number, first: Time, { soldAt }: Sale): boolean {
  if (recurrence === 'forever') return true
  if (recurrence === 'once') return place === 0
  return soldAt < monthsLater(first, recurrence.months) - 12 * 3600 * second
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

/** By what was paid. Where a currency is not listed, no sale is large enough. */
function isLarge({ minimum_sale }: Terms, { paid, currency }: Sale): boolean {
  if (!minimum_sale) return true
  const minimum = minimum_sale[currency]
  return minimum !== undefined && paid >= BigInt(minimum)
}

/** Where there are caps, a currency without one earns nothing. */
const hasCap = ({ max_commission_per_referral: caps }: Terms, { currency }: Sale) =>
  !caps || currency in caps

/** What there is room for below the cap, after the referral's earlier sales in the currency. */
function capped(terms: Terms, currency: string, before: bigint, amount: bigint): bigint {
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

/** The referee's reward for the referral's first sale, whatever that earns the earner. */
export function rewardOf({ sale, evidence, refusal }: Won): bigint {
  const reward = evidence.agreed.terms.referee_reward
  return (reward && refusal === null && worth(reward, sale)) || 0n
}
