/** What a reward is worth of a sale. */
import { fraction, most } from './arithmetic.ts'
import type { Sale } from './sales.ts'
import type { Reward } from './world.ts'

export type Amounts = Pick<Sale, 'paid' | 'reversed' | 'total' | 'withoutTax' | 'currency'>

/** Null where the reward lists no amount in the sale's currency. */
export const worth = (reward: Reward, sale: Amounts, aboveSale = false): bigint | null =>
  reward.kind === 'percent' ? percentage(reward.bps, sale) : flat(reward.amount, sale, aboveSale)

/** What is left of a payment without tax, rounded down. */
export function netOf(sale: Amounts): bigint {
  const { part, whole } = taxRatio(sale)
  return ((sale.paid - sale.reversed) * part) / whole
}

/** The part of the whole that is no tax, as on the invoice. */
function taxRatio({ total, withoutTax }: Amounts): { part: bigint; whole: bigint } {
  if (total <= 0n || withoutTax === null) return { part: 1n, whole: 1n }
  return { part: most(0n, withoutTax), whole: total }
}

/** Of what is left of the payment, without tax. */
function percentage(bps: number, sale: Amounts): bigint {
  const { part, whole } = taxRatio(sale)
  return fraction((sale.paid - sale.reversed) * part, BigInt(bps), whole * 10_000n)
}

/** At most the payment without tax, unless terms allow more; it shrinks with what is left of the payment. */
function flat(amounts: Record<string, number>, sale: Amounts, aboveSale: boolean): bigint | null {
  const listed = amounts[sale.currency]
  if (listed === undefined) return null
  const { paid, reversed } = sale
  const { part, whole } = taxRatio(sale)
  const amount = BigInt(listed)
  const isLess = aboveSale || amount * whole <= paid * part
  return isLess ? fraction(amount, paid - reversed, paid) : fraction(paid - reversed, part, whole)
}
