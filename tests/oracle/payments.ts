/** Payments: what was stated of each, put together. */
import type { Book } from './books.ts'
import { greatest } from './order.ts'
import { type Statement, sources, statementsOf } from './statements.ts'
import type { Time } from './world.ts'

export type Payment = Omit<Statement, 'at' | 'by'> & {
  paidAt: Time
  /** The organisation to which a session restricts it. */
  sessionOrg: string | null
}

/** By id, every payment that was heard of, also where nothing is paid. */
export function paymentsOf(book: Book): Map<string, Payment> {
  const groups = Map.groupBy(statementsOf(book), ({ id }) => id)
  return new Map([...groups].map(([id, statements]) => [id, together(statements)]))
}

/** Of one source the greatest statement holds; times are those of the first that says paid. */
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
  const paid = statements.filter((statement) => statement.paid > 0n)
  // Only the session knows the tax of its intent.
  const { total, withoutTax } = best.source === 'intent' ? (session ?? best) : best
  return {
    ...best,
    total,
    withoutTax,
    customer: statements.flatMap(({ customer }) => customer ?? []).toSorted()[0] ?? null,
    org: holding.find(({ org }) => org !== null)?.org ?? null,
    sessionOrg: session?.org ?? null,
    names: statements.some(({ names }) => names),
    soldAt: Math.min(...paid.map(({ soldAt }) => soldAt)),
    paidAt: Math.min(...paid.map(({ at }) => at)),
  }
}
