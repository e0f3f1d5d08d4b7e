/** Disputes with what they moved, and the warnings that only hold. */
import type { Book } from './books.ts'
import { greatest } from './order.ts'
import type { References } from './references.ts'
import { paymentOf } from './refunds.ts'
import { second, type Time } from './world.ts'

export type Dispute = {
  payment: string
  amount: bigint
  currency: string
  /** Its balance transactions, what it took below zero, in the settlement currency. */
  moved: bigint[]
}

/** The last event says of how much; balance transactions are the union of all events', by id. */
export function disputesOf({ shown }: Book, references: References): Dispute[] {
  return [...Map.groupBy(shown.dispute, ({ object }) => object.id).values()].flatMap((events) => {
    const last = greatest(events, ({ at, by }) => [at, by])
    const payment = paymentOf(events, references)
    if (!last || payment === null) return []
    const moved = new Map(
      events
        .flatMap(({ object }) => object.balance_transactions)
        .map(({ id, amount }) => [id, BigInt(amount)]),
    )
    const { amount, currency } = last.object
    return { payment, amount: BigInt(amount), currency, moved: [...moved.values()] }
  })
}

/** By payment, the last fraud warning or inquiry. */
export function warningsOf({ shown }: Book, references: References): Map<string, Time> {
  const inquiries = shown.dispute.filter(({ object }) => object.status.startsWith('warning_'))
  const last = new Map<string, Time>()
  const byId = Map.groupBy([...shown.warning, ...inquiries], ({ object }) => object.id)
  for (const warnings of byId.values()) {
    const payment = paymentOf(warnings, references)
    if (payment === null) continue
    const times = warnings.map(({ object }) => object.created * second)
    last.set(payment, Math.max(last.get(payment) ?? -Infinity, ...times))
  }
  return last
}
