/** What objects say of their payers: which users they are, and what was carried for them. */
import { type Book, recordedPayer } from './books.ts'
import { isUuid, normalForm, promotionsOf } from './code-forms.ts'
import { customerOf, metadataOf } from './stripe-objects.ts'
import { second, type Time } from './world.ts'

/** What can be carried; of equal times the first counts. A redemption by a payer's user comes before them all. */
export const priorities = { redeemed: 1, redemption: 2, code: 3, promotion: 4, reference: 5 }

/** A user whom a carrier (a customer; of a guest, an invoice or an intent) is. */
type Identity = { carrier: string; user: string }
export type Carrying = {
  carrier: string
  priority: number
  /** A redemption's id, or a code in its normal form. */
  named: string
  at: Time
}
export type Carried = { users: Map<string, Identity[]>; carryings: Map<string, Carrying[]> }

/** By carrier. */
export function carriedIn(book: Book): Carried {
  const statements = [...statementsOf(book)]
  const promotions = promotionsOf(book)
  const ofRecords = book.records.flatMap((record): Identity[] => {
    if (record.kind !== 'payment') return []
    const { referee_id } = record.content
    return [{ carrier: recordedPayer(record, referee_id), user: referee_id }]
  })
  const identities = statements.flatMap(({ carriers, users }) =>
    carriers.flatMap((carrier) => users.map((user) => ({ carrier, user }))),
  )
  const carryings = statements.flatMap(({ carriers, names, at }) =>
    carriers.flatMap((carrier) =>
      names.flatMap(({ priority, named }) => {
        const known = priority === priorities.promotion ? promotions.get(named) : named
        return known === undefined ? [] : { carrier, priority, named: known, at }
      }),
    ),
  )
  return {
    users: Map.groupBy([...identities, ...ofRecords], ({ carrier }) => carrier),
    carryings: Map.groupBy(carryings, ({ carrier }) => carrier),
  }
}

type Named = { priority: number; named: string }
type Statement = { carriers: string[]; users: string[]; names: Named[]; at: Time }

type Metadata = {
  referral_user_id?: string | undefined
  referral_redemption_id?: string | undefined
  referral_code?: string | undefined
}

function* statementsOf({ shown }: Book): Iterable<Statement> {
  for (const { object } of shown.session) {
    const reference = object.client_reference_id
    const isUser = reference !== null && isUuid(reference)
    yield {
      // Of a guest, both that a session can make.
      carriers: present(customerOf(object) ?? [object.invoice, object.payment_intent]),
      // A buyer can edit the address behind a payment link: it names no user.
      users: [
        ...usersIn(object.metadata),
        ...(isUser && !object.payment_link ? [lower(reference)] : []),
      ],
      names: [
        ...namesIn(object.metadata),
        ...present((object.discounts ?? []).map((of) => of.promotion_code)).map(promotion),
        ...(reference !== null && !isUser
          ? [{ priority: priorities.reference, named: normalForm(reference) }]
          : []),
      ],
      at: object.created * second,
    }
  }
  for (const { object } of shown.intent)
    yield {
      carriers: [customerOf(object) ?? object.id],
      users: usersIn(object.metadata),
      names: namesIn(object.metadata),
      at: object.created * second,
    }
  for (const { object } of shown.invoice) {
    const metadata = metadataOf(object)
    yield {
      carriers: [customerOf(object) ?? object.id],
      users: usersIn(metadata),
      names: namesIn(metadata),
      at: object.created * second,
    }
  }
  for (const { object } of shown.discount)
    yield {
      carriers: present(object.customer),
      users: [],
      names: present(object.promotion_code).map(promotion),
      at: object.start * second,
    }
}

const usersIn = ({ referral_user_id }: Metadata) => present(referral_user_id).map(lower)

function namesIn({ referral_redemption_id, referral_code }: Metadata): Named[] {
  return [
    ...present(referral_redemption_id).map((id) => ({
      priority: priorities.redemption,
      named: lower(id),
    })),
    ...present(referral_code).map((code) => ({
      priority: priorities.code,
      named: normalForm(code),
    })),
  ]
}

const promotion = (id: string): Named => ({ priority: priorities.promotion, named: id })

const lower = (text: string) => text.toLowerCase()

const present = <Value>(of: Value | null | undefined | (Value | null | undefined)[]): Value[] =>
  [of].flat().filter((value): value is Value => value !== null && value !== undefined)
