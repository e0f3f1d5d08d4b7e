/** Sales: what was paid, by whom, and how much of it was taken back. */
import type { Book } from './books.ts'
import { warningsOf } from './disputes.ts'
import type { Payment } from './payments.ts'
import type { References } from './references.ts'
import { reversalsOf, reversedOf } from './reversals.ts'
import type { Time } from './world.ts'

export type Sale = Payment & {
  reversed: bigint
  /** The last warning that holds it. */
  warnedAt: Time | null
}

/** A payment that counts as one: an intent that pays an invoice is that invoice's. */
export const isOwn = ({ id, paid }: Payment, { invoices }: References) =>
  paid > 0n && !invoices.has(id)

/** An intent is a sale only if something names a referral for it. */
export function salesOf(
  book: Book,
  payments: Map<string, Payment>,
  references: References,
): Sale[] {
  const reversals = reversalsOf(book, references)
  const warnings = warningsOf(book, references)
  const sales = [...payments.values()].filter(
    (payment) => payment.names && isOwn(payment, references),
  )
  return sales.map((payment) => {
    const behind = [...(references.paying.get(payment.id) ?? [])]
    const warned = [payment.id, ...behind].flatMap((id) => warnings.get(id) ?? [])
    return {
      ...payment,
      reversed: reversedOf(payment, payments, references, reversals),
      warnedAt: warned.length ? Math.max(...warned) : null,
    }
  })
}
