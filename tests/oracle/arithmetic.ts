/** Whole minor units, exactly. */
import { sorted } from './order.ts'

export const sum = (amounts: bigint[]) => amounts.reduce((total, amount) => total + amount, 0n)
export const least = (one: bigint, other: bigint) => (one < other ? one : other)
export const most = (one: bigint, other: bigint) => (one > other ? one : other)

/** The amount times a fraction, rounded half up once. Neither is negative. */
export const fraction = (amount: bigint, numerator: bigint, denominator: bigint) =>
  (2n * amount * numerator + denominator) / (2n * denominator)

/**
 * Splits an amount by weights: to each the whole part of its quota, and one unit of what is left to each in the order of
 * their remainders, the largest first, ties by id. Without any weight nobody gets anything.
 */
export function splitByWeight(amount: bigint, weights: Map<string, bigint>): Map<string, bigint> {
  const total = sum([...weights.values()])
  if (total === 0n) return new Map()
  const quotas = [...weights].map(([id, weight]) => ({
    id,
    whole: (amount * weight) / total,
    remainder: (amount * weight) % total,
  }))
  const left = amount - sum(quotas.map(({ whole }) => whole))
  const inOrder = sorted(quotas, ({ remainder, id }) => [-remainder, id])
  return new Map(inOrder.map(({ id, whole }, place) => [id, whole + (place < left ? 1n : 0n)]))
}
