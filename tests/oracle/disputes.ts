/** Disputes with what they moved, and the warnings that only hold. */
import { fraction, least, most, sum } from './arithmetic.ts'
import type { Book } from './books.ts'
import { greatest } from './order.ts'
import type { References } from './references.ts'
import { paymentOf } from './refunds.ts'
import { second, type Time } from './world.ts'

export type Dispute = {
  payment: string
  amount: bigint
  currency: string
  /** Its balance transactions, what it took below zero. */
  moved: { amount: bigint; currency: string }[]
}

/** The last event says of how much; balance transactions are the union of all events'. */
export function disputesOf({ shown }: Book, references: References): Dispute[] {
  return [...Map.groupBy(shown.dispute, ({ object }) => object.id).values()].flatMap((events) => {
    const last = greatest(events, ({ at, by }) => [at, by])
    const payment = paymentOf(events, references)
    if (!last || payment === null) return []
    const moved = new Map(
      events
        .flatMap(({ object }) => object.balance_transactions)
        .map(({ id, amount, currency }) => [
          `${id} ${amount} ${currency}`,
          { amount: BigInt(amount), currency },
        ]),
    )
    const { amount, currency } = last.object
    return { payment, amount: BigInt(amount), currency, moved: [...moved.values()] }
  })
}

/**
 * What a dispute keeps of a payment. In one currency that is what it has taken and not given back, at most its amount;
 * of other currencies, the same share of its amount as of its largest taking; of a sale in another one, of the sale.
 */
export function keptBy(
  { amount, currency, moved }: Omit<Dispute, 'payment'>,
  sale: { currency: string; paid: bigint },
): bigint {
  const isForeign = sale.currency !== currency
  const amounts = moved.map((change) => change.amount)
  const net = most(0n, -sum(amounts))
  if (!isForeign && moved.every((change) => change.currency === currency)) return least(amount, net)
  const largest = amounts.reduce((largest, change) => most(largest, -change), 0n)
  return largest ? fraction(isForeign ? sale.paid : amount, least(net, largest), largest) : 0n
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
