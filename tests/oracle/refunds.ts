/** Refunds, and what credit notes say of them. */
import { most, sum } from './arithmetic.ts'
import { type Book, recordedId } from './books.ts'
import { greatest } from './order.ts'
import type { References } from './references.ts'

export type Refund = { id: string; payment: string; amount: bigint; failed: boolean }

/** Failed or canceled is the last word, succeeded the word before. */
const ranks: Record<string, number> = { failed: 2, canceled: 2, succeeded: 1 }
const rank = (status: string | null) => ranks[status ?? ''] ?? 0

export function refundsOf(book: Book, references: References): Refund[] {
  const byId = Map.groupBy(book.shown.refund, ({ object }) => object.id)
  const ofStripe = [...byId].flatMap(([id, shown]): Refund[] => {
    const held = greatest(shown, ({ object, at, by }) => [rank(object.status), at, by])
    const payment = paymentOf(shown, references)
    if (!held || payment === null) return []
    const { amount, status } = held.object
    return [{ id, payment, amount: BigInt(amount), failed: rank(status) === 2 }]
  })
  const ended = new Set(
    book.records.flatMap((record) =>
      record.kind === 'refund_reversed' ? recordedId(record, record.ref) : [],
    ),
  )
  const recorded = book.records.flatMap((record): Refund[] => {
    if (record.kind !== 'refund') return []
    const { payment_ref, amount } = record.content
    const [id, payment] = [recordedId(record, record.ref), recordedId(record, payment_ref)]
    return [{ id, payment, amount: BigInt(amount), failed: ended.has(id) }]
  })
  return [...ofStripe, ...recorded]
}

type Reference = { payment_intent: string | null; charge: string | null }

/** The payment that an object names, over all events that showed it: by the intent, if any of them does. */
export function paymentOf(shown: { object: Reference }[], { payment }: References): string | null {
  const named = shown.map(({ object }) => object)
  return payment({
    payment_intent: named.find((of) => of.payment_intent)?.payment_intent ?? null,
    charge: named.find((of) => of.charge)?.charge ?? null,
  })
}

export type CreditNote = {
  invoice: string
  void: boolean
  /** What it gave back outside of refunds. */
  outside: bigint
  /** What it assigns of refunds to its invoice. */
  refunds: Map<string, bigint>
}

export function notesOf({ shown }: Book): CreditNote[] {
  return [...Map.groupBy(shown.creditNote, ({ object }) => object.id).values()].flatMap(
    (events) => {
      const last = greatest(events, ({ at, by }) => [at, by])
      if (!last) return []
      const { invoice, out_of_band_amount, refunds } = last.object
      const beside = refunds.filter(({ type }) => type === 'payment_record_refund')
      return {
        invoice,
        void: events.some(({ object }) => object.status === 'void'),
        outside: sum(
          [out_of_band_amount ?? 0, ...beside.map((of) => of.amount_refunded)].map(BigInt),
        ),
        refunds: assignedBy(events.flatMap(({ object }) => object.refunds)),
      }
    },
  )
}

function assignedBy(refunds: { refund: string | null; amount_refunded: number }[]) {
  const amounts = new Map<string, bigint>()
  for (const { refund, amount_refunded } of refunds)
    if (refund !== null)
      amounts.set(refund, most(amounts.get(refund) ?? 0n, BigInt(amount_refunded)))
  return amounts
}
