/** Payments: what was stated of each, put together. */
import type { Book } from './books.ts'
import { greatest } from './order.ts'
import { type Statement, sources, statementsOf } from './statements.ts'
import type { Time } from './world.ts'

export type Payment = Omit<Statement, 'at' | 'by' | 'customer' | 'paidAt'> & {
  /** The customer, or the payment itself where a guest paid. */
  payer: string
  guest: boolean
  paidAt: Time
}

/** By id, every payment that was heard of, also where nothing is paid. */
export function paymentsOf(book: Book): Map<string, Payment> {
  const groups = Map.groupBy(statementsOf(book), ({ id }) => id)
  return new Map([...groups].map(([id, statements]) => [id, together(statements)]))
}

/** Of one source the greatest statement holds; times are the first of those that say paid. */
function together(statements: Statement[]): Payment {
  const holding = sources.flatMap(
    (source) =>
      greatest(
        statements.filter((statement) => statement.source === source),
        ({ paid, at, by }) => [paid, at, by],
      ) ?? [],
  )
  const best = holding.find(({ paid }) => paid > 0n) ?? (holding[0] as Statement)
  const session = holding.find(({ source }) => source === 'session')
  // Only the session knows the tax of its intent.
  const { total, withoutTax } = best.source === 'intent' ? (session ?? best) : best
  const [customer = null] = statements.flatMap(({ customer }) => customer ?? []).toSorted()
  const said = statements.filter(({ paid }) => paid > 0n)
  const saying = said.length ? said : statements
  const stated = saying.flatMap(({ paidAt }) => paidAt ?? [])
  return {
    ...best,
    total,
    withoutTax,
    payer: customer ?? best.id,
    guest: customer === null,
    names: statements.some(({ names }) => names),
    soldAt: Math.min(...saying.map(({ soldAt }) => soldAt)),
    paidAt: Math.min(...(stated.length ? stated : saying.map(({ at }) => at))),
  }
}
