/** What was reversed of a payment, and of an invoice that several payments, or a part of one, paid. */
import { least, most, splitByWeight, sum } from './arithmetic.ts'
import type { Book } from './books.ts'
import { type Dispute, disputesOf, keptBy } from './disputes.ts'
import type { Payment } from './payments.ts'
import type { References } from './references.ts'
import { type CreditNote, notesOf, type Refund, refundsOf } from './refunds.ts'

export type Reversals = {
  refunds: Map<string, Refund[]>
  disputes: Map<string, Dispute[]>
  notes: Map<string, CreditNote[]>
}

export function reversalsOf(book: Book, references: References): Reversals {
  return {
    refunds: Map.groupBy(refundsOf(book, references), ({ payment }) => payment),
    disputes: Map.groupBy(disputesOf(book, references), ({ payment }) => payment),
    notes: Map.groupBy(notesOf(book), ({ invoice }) => invoice),
  }
}

/** Every refund that has not failed, and what disputes keep. */
export function reversedOfPayment(
  of: { refunds: Pick<Refund, 'amount' | 'failed'>[]; disputes: Omit<Dispute, 'payment'>[] },
  sale: { currency: string; paid: bigint },
): bigint {
  const refunded = sum(of.refunds.filter(({ failed }) => !failed).map(({ amount }) => amount))
  return refunded + sum(of.disputes.map((dispute) => keptBy(dispute, sale)))
}

/** An invoice's part of a payment: what was paid of it, and what credit notes assign to it. */
type Part = { paid: bigint; assigned: bigint }

/**
 * What was reversed of a payment by the invoices it paid, once for all of it: first what credit notes assign, at most
 * what was paid of each, then the rest by what is left of each.
 */
export function splitOver(taken: bigint, parts: Map<string, Part>): Map<string, bigint> {
  const [only, ...others] = parts.keys()
  if (only !== undefined && others.length === 0) return new Map([[only, taken]])
  const direct = new Map([...parts].map(([id, of]) => [id, least(of.paid, of.assigned)]))
  const left = new Map([...parts].map(([id, { paid }]) => [id, paid - (direct.get(id) ?? 0n)]))
  const rest = splitByWeight(most(0n, taken - sum([...direct.values()])), left)
  return new Map([...direct].map(([id, amount]) => [id, amount + (rest.get(id) ?? 0n)]))
}

/** What was reversed of a sale, at most what was paid: of an invoice, its shares of its payments, and its credit notes. */
export function reversedOf(
  sale: Payment,
  payments: Map<string, Payment>,
  references: References,
  reversals: Reversals,
): bigint {
  const of = (payment: string) => ({
    refunds: reversals.refunds.get(payment) ?? [],
    disputes: reversals.disputes.get(payment) ?? [],
  })
  if (sale.source !== 'invoice') return least(sale.paid, reversedOfPayment(of(sale.id), sale))
  const shares = [...(references.paying.get(sale.id) ?? [])].map((payment) => {
    const invoices = references.invoices.get(payment) ?? new Map<string, bigint | null>()
    const parts = new Map(
      [...invoices].map(([invoice, paid]): [string, Part] => [
        invoice,
        {
          paid: paid ?? payments.get(invoice)?.paid ?? 0n,
          assigned: assigned(reversals.notes.get(invoice) ?? [], of(payment).refunds),
        },
      ]),
    )
    const paid = sum([...parts.values()].map((part) => part.paid)) || sale.paid
    const taken = reversedOfPayment(of(payment), { currency: sale.currency, paid })
    return splitOver(taken, parts).get(sale.id) ?? 0n
  })
  return least(sale.paid, sum(shares) + outside(reversals.notes.get(sale.id) ?? []))
}

/** How much of these refunds an invoice's credit notes assign to it. */
function assigned(notes: CreditNote[], refunds: Refund[]): bigint {
  const counting = new Set(refunds.filter(({ failed }) => !failed).map(({ id }) => id))
  return sum(
    notes
      .filter((note) => !note.void)
      .flatMap((note) => [...note.refunds])
      .map(([refund, amount]) => (counting.has(refund) ? amount : 0n)),
  )
}

const outside = (notes: CreditNote[]) => sum(notes.map((note) => (note.void ? 0n : note.outside)))
