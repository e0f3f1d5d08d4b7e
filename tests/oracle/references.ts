/** Which references mean one payment, and which payments paid which invoices. */
import { most } from './arithmetic.ts'
import type { Book } from './books.ts'

export type References = {
  /** A payment by the one reference that stands for it: its intent, where any object names it beside the charge. */
  payment: (reference: { payment_intent: string | null; charge: string | null }) => string | null
  /** By invoice, the payments that paid it. */
  paying: Map<string, Set<string>>
  /** By payment, its invoices, each with what was paid of it, where that was said. */
  invoices: Map<string, Map<string, bigint | null>>
}

export function referencesOf(book: Book): References {
  const intents = intentsOfCharges(book)
  const ofCharge = (charge: string | null) => (charge && intents.get(charge)) ?? charge
  const paying: References['paying'] = new Map()
  const invoices: References['invoices'] = new Map()
  for (const { invoice, reference, paid } of linksOf(book)) {
    const payment = ofCharge(reference) as string
    paying.set(invoice, (paying.get(invoice) ?? new Set()).add(payment))
    const parts = invoices.get(payment) ?? new Map<string, bigint | null>()
    const known = parts.get(invoice) ?? null
    parts.set(invoice, known === null ? paid : known + (paid ?? 0n))
    invoices.set(payment, parts)
  }
  return {
    payment: ({ payment_intent, charge }) => payment_intent ?? ofCharge(charge),
    paying,
    invoices,
  }
}

/** Any object that names both says which intent a charge belongs to. */
function intentsOfCharges({ shown }: Book): Map<string, string> {
  const pairs = [
    ...shown.charge.map(({ object }) => [object.id, object.payment_intent]),
    ...shown.intent.map(({ object }) => [object.latest_charge, object.id]),
    ...shown.invoicePayment.map(({ object: { payment } }) => [
      payment.charge,
      payment.payment_intent,
    ]),
    ...[...shown.refund, ...shown.dispute, ...shown.warning].map(({ object }) => [
      object.charge,
      object.payment_intent,
    ]),
  ]
  return new Map(pairs.filter((pair): pair is [string, string] => pair.every(Boolean)))
}

type Link = { invoice: string; reference: string; paid: bigint | null }

/** One for each invoice payment, with the most that it was said to have paid, and for each session with both. */
function linksOf({ shown }: Book): Link[] {
  const links = new Map<string, Link>()
  for (const { object } of shown.session)
    if (object.payment_intent && object.invoice)
      links.set(object.id, {
        invoice: object.invoice,
        reference: object.payment_intent,
        paid: null,
      })
  for (const { object } of shown.invoicePayment) {
    const reference = object.payment.payment_intent ?? object.payment.charge
    if (!reference) continue
    const before = links.get(object.id)?.paid ?? null
    const now = object.amount_paid === null ? null : BigInt(object.amount_paid)
    const paid = before === null || now === null ? (before ?? now) : most(before, now)
    links.set(object.id, { invoice: object.invoice, reference, paid })
  }
  return [...links.values()]
}
