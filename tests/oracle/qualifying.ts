/** Which sales count for a referral: by the terms of what won each, whatever they then earn. */
import { sorted } from './order.ts'
import type { Won } from './winners.ts'
import { day, type Terms } from './world.ts'

export const qualifies = ({ sale, evidence: { terms }, ended }: Won): boolean => {
  const { commission, tiers, max_commission_per_referral: caps, minimum_sale } = terms
  const isListed = (amounts: Record<string, number> | undefined) =>
    !amounts || sale.currency in amounts
  return (
    ended === null &&
    isLarge(minimum_sale, sale) &&
    isListed(caps) &&
    (tiers !== undefined || commission?.kind !== 'flat' || isListed(commission.amount))
  )
}

/** By what was paid. Where a currency is not listed, no sale is large enough. */
function isLarge(minima: Terms['minimum_sale'], { paid, currency }: Won['sale']): boolean {
  if (!minima) return true
  const minimum = minima[currency]
  return minimum !== undefined && paid >= BigInt(minimum)
}

/** The sales by guests that are one too many of a code's on their day, UTC. */
export function beyondLimit(won: Won[]): Set<Won> {
  const limited = won.filter(
    (of) => of.sale.guest && of.evidence.terms.guests_per_day !== undefined && qualifies(of),
  )
  const days = Map.groupBy(
    limited,
    ({ sale, evidence }) => `${evidence.code.id} ${Math.floor(sale.paidAt / day)}`,
  )
  return new Set(
    [...days.values()].flatMap((sales) =>
      sorted(sales, ({ sale }) => [sale.paidAt, sale.id]).filter(
        ({ evidence }, place) => place >= (evidence.terms.guests_per_day ?? 0),
      ),
    ),
  )
}
