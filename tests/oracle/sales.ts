/** Sales: what was paid, by whom, and how much of it was taken back. */
import type { Book } from './books.ts'
import { warningsOf } from './disputes.ts'
import { type Payment, paymentsOf } from './payments.ts'
import { referencesOf } from './references.ts'
import { reversalsOf, reversedOf } from './reversals.ts'
import type { Time } from './world.ts'

export type Sale = Omit<Payment, 'customer' | 'names' | 'source' | 'sessionOrg'> & {
  /** The customer, or the sale itself where a guest paid. */
  payer: string
  guest: boolean
  reversed: bigint
  /** The last warning that holds it. */
  warnedAt: Time | null
  /** What carries something for its payer: the payer, the sale, the payments behind it. */
  names: string[]
}

/** An intent is a sale if something names a referral for it, and it pays no invoice. */
const isSale = ({ paid, names }: Payment, paysInvoices: boolean) =>
  paid > 0n && names && !paysInvoices

export function salesOf(book: Book): Sale[] {
  const references = referencesOf(book)
  const payments = paymentsOf(book)
  const reversals = reversalsOf(book, references)
  const warnings = warningsOf(book, references)
  const sales = [...payments.values()].filter((payment) =>
    isSale(payment, references.invoices.has(payment.id)),
  )
  return sales.map((payment) => {
    const { customer } = payment
    const behind = [...(references.paying.get(payment.id) ?? [])]
    const warned = [payment.id, ...behind].flatMap((id) => warnings.get(id) ?? [])
    return {
      ...payment,
      org: payment.org ?? restriction(behind, payments),
      payer: customer ?? payment.id,
      guest: customer === null,
      reversed: reversedOf(payment, payments, references, reversals),
      warnedAt: warned.length ? Math.max(...warned) : null,
      names: [customer ?? payment.id, payment.id, ...behind],
    }
  })
}

/** The organisation to which a session restricts its invoice. */
function restriction(behind: string[], payments: Map<string, Payment>): string | null {
  return behind.flatMap((id) => payments.get(id)?.sessionOrg ?? []).toSorted()[0] ?? null
}
