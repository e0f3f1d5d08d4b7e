/** Which organisation a purchase names, and which codes it carries: by its invoice, its sessions, its intents. */
import { priorities, type Saying } from './carried.ts'
import { sorted } from './order.ts'
import type { Payment } from './payments.ts'
import type { People } from './people.ts'
import type { References } from './references.ts'
import { type Code, minute, wholeSecond } from './world.ts'

export type Naming = {
  /** Whom it is named to be of, by itself or by an earlier sale of its subscription; null if nothing says. */
  org: (payment: Payment) => string | null
  carries: (payment: Payment, code: Code) => boolean
  /** The sales of its subscription up to it, the first first. */
  upTo: (payment: Payment) => Payment[]
}

const kinds = ['invoice', 'session', 'intent']

export function namingOf(
  sayings: Saying[],
  payments: Payment[],
  references: References,
  people: People,
): Naming {
  const about = new Map<string, Saying[]>()
  for (const saying of sayings)
    for (const id of saying.about) about.set(id, [...(about.get(id) ?? []), saying])
  const objectsOf = ({ id, subscription }: Payment) => {
    const ids = [id, subscription ?? '', ...(references.paying.get(id) ?? [])]
    return ids.flatMap((name) => about.get(name) ?? [])
  }
  const named = (payment: Payment) => {
    const objects = objectsOf(payment)
    return payment.org ?? restriction(objects) ?? carriedFor(objects, people)
  }
  const sold = payments.filter(({ paid }) => paid > 0n)
  const invoices = Map.groupBy(
    sorted(sold, ({ paidAt, id }) => [paidAt, id]),
    ({ subscription }) => subscription,
  )
  const before = ({ id, subscription }: Payment): Payment[] => {
    const all = subscription === null ? [] : (invoices.get(subscription) ?? [])
    const place = all.findIndex((invoice) => invoice.id === id)
    return all.slice(0, Math.max(0, place))
  }
  return {
    org: (payment) => {
      const own = named(payment)
      const earlier = () => before(payment).map(named)
      return own ?? earlier().find((org) => org !== null) ?? null
    },
    carries: (payment, code) =>
      objectsOf(payment).some(({ names }) =>
        names.some(({ priority, named }) =>
          priority === priorities.redemption
            ? people.redemption(named)?.code === code.id
            : people.named(named)?.id === code.id,
        ),
      ),
    upTo: (payment) => [...before(payment), payment],
  }
}

/** What `referral_org_id` says: on the invoice or its subscription, else on a session, else on an intent. */
function restriction(objects: Saying[]): string | null {
  const inOrder = sorted(objects, ({ kind, at, id, org }) => [
    kinds.indexOf(kind),
    at,
    id,
    org ?? '',
  ])
  return inOrder.find(({ org }) => org !== null)?.org ?? null
}

/** The organisation of what they carry, if that was made by then. A payment link names none. */
function carriedFor(objects: Saying[], people: People): string | null {
  const candidates = objects.flatMap((object) =>
    object.names.flatMap(({ priority, named }) => {
      if (priority === priorities.paymentLink) return []
      const made =
        priority === priorities.redemption ? people.redemption(named) : people.named(named)
      if (!made) return []
      const since = wholeSecond('redeemedAt' in made ? made.redeemedAt : made.createdAt) - minute
      return since <= object.at ? [{ priority, at: object.at, object: object.id, ...made }] : []
    }),
  )
  const [first] = sorted(candidates, (of) => [of.priority, of.at, of.object, of.id])
  return first?.org ?? null
}
