/** What each object says was paid: invoices, payment intents, their sessions, and records of other providers. */
import { most } from './arithmetic.ts'
import { type Book, recordedId, recordedPayer } from './books.ts'
import { customersIn } from './stripe-objects.ts'
import { second, type Time } from './world.ts'

/** Who knows best what was paid comes first. */
export const sources = ['invoice', 'intent', 'session', 'record'] as const

export type Statement = {
  id: string
  source: (typeof sources)[number]
  paid: bigint
  total: bigint
  withoutTax: bigint | null
  currency: string
  customer: string | null
  subscription: string | null
  /** Only records say it. */
  org: string | null
  program: string | null
  /** Only what names a referral can be a sale of its own. */
  names: boolean
  soldAt: Time
  /** Where the object itself says when it was paid. */
  paidAt: Time | null
  at: Time
  by: string
}

type CustomerOf = ReturnType<typeof customersIn>

const unrestricted = { subscription: null, org: null, program: null, paidAt: null }

const invoices = ({ shown }: Book, customerOf: CustomerOf): Statement[] =>
  shown.invoice.map(({ object, at, by }) => ({
    id: object.id,
    source: 'invoice',
    paid: most(0n, BigInt(object.amount_paid)),
    total: BigInt(object.total),
    withoutTax: without(object.total_excluding_tax, 0),
    currency: object.currency,
    ...unrestricted,
    customer: customerOf(object),
    subscription: object.parent?.subscription_details?.subscription ?? null,
    names: true,
    soldAt: object.created * second,
    paidAt: inMicros(object.status_transitions?.paid_at),
    at,
    by,
  }))

const intents = ({ shown }: Book, customerOf: CustomerOf): Statement[] =>
  shown.intent.map(({ object, at, by }) => ({
    id: object.id,
    source: 'intent',
    paid: BigInt(object.amount_received),
    total: BigInt(object.amount_received),
    withoutTax: without(object.amount_received, object.amount_details?.tax?.total_tax_amount),
    currency: object.currency,
    ...unrestricted,
    customer: customerOf(object),
    names: Object.values(object.metadata).some((value) => value !== undefined),
    soldAt: at,
    at,
    by,
  }))

/** Of mode `payment` only: what a subscription's session says comes with its invoices. */
const sessions = ({ shown }: Book, customerOf: CustomerOf): Statement[] =>
  shown.session.flatMap(({ object, at, by }) => {
    if (object.payment_intent === null || object.mode !== 'payment') return []
    const total = BigInt(object.amount_total ?? 0)
    return {
      id: object.payment_intent,
      source: 'session',
      paid: object.payment_status === 'paid' ? total : 0n,
      total,
      withoutTax: without(object.amount_total, object.total_details?.amount_tax),
      currency: object.currency ?? '',
      ...unrestricted,
      customer: customerOf(object),
      names: true,
      soldAt: at,
      at,
      by,
    }
  })

const recorded = ({ records }: Book): Statement[] =>
  records.flatMap((record) => {
    if (record.kind !== 'payment') return []
    const { amount, currency, tax, paid_at, program_id, referee_id } = record.content
    const [id, at] = [recordedId(record, record.ref), Math.round(paid_at * second)]
    return {
      id,
      source: 'record',
      paid: BigInt(amount),
      total: BigInt(amount),
      withoutTax: without(amount, tax),
      currency,
      customer: recordedPayer(record, referee_id),
      subscription: null,
      org: record.org,
      program: program_id,
      names: true,
      soldAt: at,
      paidAt: at,
      at,
      by: id,
    }
  })

/** Null where the tax is not known. */
const without = (total: number | null | undefined, tax: number | null | undefined) =>
  total == null || tax == null ? null : BigInt(total) - BigInt(tax)

/** Of Stripe's seconds. */
const inMicros = (seconds: number | null | undefined) => (seconds == null ? null : seconds * second)

export function statementsOf(book: Book): Statement[] {
  const customerOf = customersIn(book)
  return [invoices, intents, sessions, recorded].flatMap((statements) =>
    statements(book, customerOf),
  )
}
