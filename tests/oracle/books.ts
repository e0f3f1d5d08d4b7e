/** The books: everything that was said of one Stripe account in one mode. Nothing in one book touches another. */
import type * as objects from '../../functions/stripe-webhook/objects.ts'
import type { Kept } from '../../functions/stripe-webhook/shape.ts'
import type { RecordedFact, StripeEvent, Time, World } from './world.ts'
import { second } from './world.ts'

type Objects = {
  session: typeof objects.checkoutSession
  intent: typeof objects.paymentIntent
  invoice: typeof objects.invoice
  invoicePayment: typeof objects.invoicePayment
  refund: typeof objects.refund
  charge: typeof objects.charge
  dispute: typeof objects.dispute
  warning: typeof objects.warning
  creditNote: typeof objects.creditNote
  discount: typeof objects.discount
  promotionCode: typeof objects.promotionCode
}
type Kind = keyof Objects

/** An object as an event showed it, when and by which event. */
type Shown<Name extends Kind> = {
  object: Kept<Objects[Name]>
  at: Time
  by: string
  /** What a promotion code's event says of before. */
  previous: StripeEvent['data']['previous_attributes']
}

export type Book = {
  stripeAccount: string
  livemode: boolean
  shown: { [Name in Kind]: Shown<Name>[] }
  records: RecordedFact[]
}

/** The table of docs/stripe.md; no other event says anything. */
const kinds: Record<string, Kind> = {
  'checkout.session.completed': 'session',
  'checkout.session.async_payment_succeeded': 'session',
  'payment_intent.succeeded': 'intent',
  'invoice.paid': 'invoice',
  'invoice_payment.paid': 'invoicePayment',
  'refund.created': 'refund',
  'refund.updated': 'refund',
  'refund.failed': 'refund',
  'charge.refunded': 'charge',
  'charge.dispute.created': 'dispute',
  'charge.dispute.updated': 'dispute',
  'charge.dispute.closed': 'dispute',
  'charge.dispute.funds_withdrawn': 'dispute',
  'charge.dispute.funds_reinstated': 'dispute',
  'radar.early_fraud_warning.created': 'warning',
  'radar.early_fraud_warning.updated': 'warning',
  'credit_note.created': 'creditNote',
  'credit_note.updated': 'creditNote',
  'credit_note.voided': 'creditNote',
  'customer.discount.created': 'discount',
  'promotion_code.created': 'promotionCode',
  'promotion_code.updated': 'promotionCode',
}

export function booksOf({ events, records, organisations }: World): Book[] {
  const books = new Map<string, Book>()
  const book = (stripeAccount: string, livemode: boolean) => {
    const key = `${stripeAccount} ${livemode}`
    const known = books.get(key) ?? emptyBook(stripeAccount, livemode)
    books.set(key, known)
    return known
  }
  for (const event of events) show(book(event.account ?? '', event.livemode), event)
  const stripeAccounts = new Map(organisations.map(({ id, stripeAccount }) => [id, stripeAccount]))
  for (const record of records)
    book(stripeAccounts.get(record.org) ?? '', record.livemode).records.push(record)
  return [...books.values()]
}

function show({ shown }: Book, { id, type, created, data }: StripeEvent): void {
  const kind = kinds[type]
  if (!kind) return
  const { object, previous_attributes: previous } = data
  ;(shown[kind] as object[]).push({ object, at: created * second, by: id, previous })
}

function emptyBook(stripeAccount: string, livemode: boolean): Book {
  const shown: Book['shown'] = {
    session: [],
    intent: [],
    invoice: [],
    invoicePayment: [],
    refund: [],
    charge: [],
    dispute: [],
    warning: [],
    creditNote: [],
    discount: [],
    promotionCode: [],
  }
  return { stripeAccount, livemode, shown, records: [] }
}

/** The id under which a provider's reference stands beside Stripe's. */
export const recordedId = ({ org, provider }: RecordedFact, ref: string) =>
  `${provider}:${org}:${ref}`

/** The payer of recorded payments: the user, as the organisation knows them. */
export const recordedPayer = ({ org }: RecordedFact, user: string) => `user:${org}:${user}`
