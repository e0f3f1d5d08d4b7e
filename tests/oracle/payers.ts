/** Payers, and which person each is: the first user whom an object names for it. */
import { type Book, recordedPayer } from './books.ts'
import { priorities, type Saying } from './carried.ts'
import { sorted } from './order.ts'
import type { Payment } from './payments.ts'
import type { People } from './people.ts'
import type { References } from './references.ts'
import type { Sale } from './sales.ts'
import type { Time } from './world.ts'

export type Payer = {
  id: string
  /** What can carry something for it: itself, its sales, the payments behind them. */
  carriers: Set<string>
  person: string | null
  linkedAt: Time
}

type Link = { user: string; at: Time }

/** By id, all who pay, and all for whom something is carried. */
export function payersOf(
  book: Book,
  sayings: Saying[],
  { payments, sales, references }: { payments: Payment[]; sales: Sale[]; references: References },
  people: People,
): Map<string, Payer> {
  const carriers = new Map<string, Set<string>>()
  const add = (payer: string, ...names: string[]) =>
    carriers.set(payer, new Set([payer, ...(carriers.get(payer) ?? []), ...names]))
  for (const { id, payer } of sales) add(payer, id, ...(references.paying.get(id) ?? []))
  for (const { id, payer } of payments) if (!references.invoices.has(id)) add(payer)
  const taken = new Set([...carriers.values()].flatMap((names) => [...names]))
  for (const carrier of sayings.flatMap((saying) => saying.carriers))
    if (!taken.has(carrier)) add(carrier)
  const links = linksOf(book, sayings, people)
  return new Map(
    [...carriers].map(([id, names]) => {
      const stated = [...names].flatMap((name) => links.get(name) ?? [])
      const [first] = sorted(stated, ({ at, user }) => [at, user])
      const payer = { person: first?.user ?? null, linkedAt: first?.at ?? Infinity }
      return [id, { id, carriers: names, ...payer }]
    }),
  )
}

/** By carrier, the users whom objects say it is, as far as they are known. */
function linksOf({ records }: Book, sayings: Saying[], people: People): Map<string, Link[]> {
  const said = sayings.flatMap(({ carriers, users, names, at }) => {
    const referees = names.flatMap(({ priority, named }) =>
      priority === priorities.redemption ? (people.redemption(named)?.referee ?? []) : [],
    )
    const known = [...users, ...referees].filter(people.isKnown)
    return carriers.flatMap((carrier) => known.map((user) => ({ carrier, user, at })))
  })
  const recorded = records.flatMap((record) => {
    if (record.kind !== 'payment') return []
    const user = record.content.referee_id
    return [{ carrier: recordedPayer(record, user), user, at: -Infinity }]
  })
  return Map.groupBy(
    [...said, ...recorded.filter(({ user }) => people.isKnown(user))],
    ({ carrier }) => carrier,
  )
}

/** The payers of each person; of nobody's, each for itself. */
export const groupsOf = (payers: Map<string, Payer>): Payer[][] => [
  ...Map.groupBy(payers.values(), ({ id, person }) => person ?? `payer ${id}`).values(),
]
