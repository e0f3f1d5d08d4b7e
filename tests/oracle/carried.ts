/** What objects say: which users their payers are, what was carried for them, and whose purchase it is. */
import type { Book } from './books.ts'
import { isUuid, normalForm } from './code-forms.ts'
import { promotionsOf } from './promotions.ts'
import { customersIn, metadataOf } from './stripe-objects.ts'
import { second, type Time } from './world.ts'

/** What can be carried; of equal times the first counts. A redemption by the payer's person comes before them all. */
export const priorities = {
  redeemed: 1,
  redemption: 2,
  code: 3,
  promotion: 4,
  reference: 5,
  paymentLink: 6,
}

/** A redemption by its id, or a code by its normal form. */
type Named = { priority: number; named: string }

export type Saying = {
  kind: 'invoice' | 'session' | 'intent' | 'discount'
  id: string
  at: Time
  /** Whom it speaks for: the customer; of a guest, the invoice and the intent. */
  carriers: string[]
  /** What it is about: an invoice, a subscription, an intent. */
  about: string[]
  users: string[]
  names: Named[]
  org: string | null
}

type Metadata = {
  referral_user_id?: string | undefined
  referral_redemption_id?: string | undefined
  referral_code?: string | undefined
  referral_org_id?: string | undefined
}

export function sayingsOf(book: Book): Saying[] {
  const customerOf = customersIn(book)
  const promotions = promotionsOf(book)
  const promoted = (ids: (string | null)[], at: Time): Named[] =>
    present(ids.map((id) => id && promotions(id, at))).map((named) => ({
      priority: priorities.promotion,
      named,
    }))
  const sessions = book.shown.session.map(({ object }): Saying => {
    const { invoice, payment_intent, subscription, created } = object
    const metadata = saidBy(object.metadata)
    const discounts = (object.discounts ?? []).map((discount) => discount.promotion_code)
    return {
      kind: 'session',
      id: object.id,
      at: created * second,
      carriers: present([customerOf(object) ?? [invoice, payment_intent]].flat()),
      about: present([invoice, subscription, payment_intent]),
      org: metadata.org,
      users: [...metadata.users, ...userReferred(object)],
      names: [...metadata.names, ...promoted(discounts, created * second), ...codeReferred(object)],
    }
  })
  const intents = book.shown.intent.map(({ object }): Saying => {
    const at = object.created * second
    const carriers = [customerOf(object) ?? object.id]
    return { kind: 'intent', ...of(object), at, carriers, ...saidBy(object.metadata) }
  })
  const invoices = book.shown.invoice.map(({ object }): Saying => {
    const at = object.created * second
    const carriers = [customerOf(object) ?? object.id]
    return { kind: 'invoice', ...of(object), at, carriers, ...saidBy(metadataOf(object)) }
  })
  const discounts = book.shown.discount.map(({ object }): Saying => {
    const at = object.start * second
    const names = promoted([object.promotion_code], at)
    const carriers = present([customerOf(object)])
    return { kind: 'discount', id: object.id, at, carriers, about: [], ...saidBy({}), names }
  })
  return [...sessions, ...intents, ...invoices, ...discounts]
}

const of = ({ id }: { id: string }) => ({ id, about: [id] })

type Session = Book['shown']['session'][0]['object']

/** A buyer can edit the address behind a payment link: it names no user. */
const userReferred = ({ client_reference_id: reference, payment_link }: Session): string[] =>
  reference !== null && isUuid(reference) && !payment_link ? [reference.toLowerCase()] : []

function codeReferred({ client_reference_id: reference, payment_link }: Session): Named[] {
  if (reference === null || isUuid(reference)) return []
  const priority = payment_link ? priorities.paymentLink : priorities.reference
  return [{ priority, named: normalForm(reference) }]
}

function saidBy(metadata: Metadata): Pick<Saying, 'users' | 'names' | 'org'> {
  const { referral_user_id, referral_redemption_id, referral_code, referral_org_id } = metadata
  const redemption = present([referral_redemption_id]).map((id) => ({
    priority: priorities.redemption,
    named: id.toLowerCase(),
  }))
  const code = present([referral_code]).map((text) => ({
    priority: priorities.code,
    named: normalForm(text),
  }))
  return {
    users: present([referral_user_id]).map((id) => id.toLowerCase()),
    names: [...redemption, ...code],
    org: referral_org_id?.toLowerCase() ?? null,
  }
}

const present = <Value>(of: (Value | null | undefined)[]): Value[] =>
  of.filter((value): value is Value => value !== null && value !== undefined)
