/** What a reward is worth of a sale. */
import { fraction, most } from './arithmetic.ts'
import type { Sale } from './sales.ts'
import type { Reward } from './world.ts'

export type Amounts = Pick<Sale, 'paid' | 'reversed' | 'total' | 'withoutTax' | 'currency'>

/** Null where the reward lists no amount in the sale's currency. */
export const worth = (reward: Reward, sale: Amounts): bigint | null =>
  reward.kind === 'percent' ? percentage(reward.bps, sale) : flat(reward.amount, sale)

/** Of what is left of the payment, without tax in the proportion of the invoice. */
function percentage(bps: number, { paid, reversed, total, withoutTax }: Amounts): bigint {
  const left = paid - reversed
  if (total <= 0n || withoutTax === null) return fraction(left, BigInt(bps), 10_000n)
  return fraction(left * most(0n, withoutTax), BigInt(bps), total * 10_000n)
}

/** It shrinks with what is left of the payment. */
function flat(amounts: Record<string, number>, { paid, reversed, currency }: Amounts) {
  const amount = amounts[currency]
  return amount === undefined ? null : fraction(BigInt(amount), paid - reversed, paid)
}
