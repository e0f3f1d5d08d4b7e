/** Which evidence wins a sale: the first that is not later. */
import type { Book } from './books.ts'
import { carriedIn } from './carried.ts'
import { type Evidence, evidenceOf, type People } from './evidence.ts'
import { sorted } from './order.ts'
import type { Sale } from './sales.ts'
import { day } from './world.ts'

export type Won = {
  sale: Sale
  evidence: Evidence
  /** Whom the referral is of: the referee, or a payer without one. */
  person: string
  refusal: string | null
}

/** Who wins each sale of a book. */
export function winnersOf(book: Book, sales: Sale[], people: People): Won[] {
  const carried = carriedIn(book)
  const won = [...Map.groupBy(sales, ({ payer }) => payer)].flatMap(([payer, bought]) => {
    const names = new Set(bought.flatMap((sale) => sale.names))
    const evidence = sorted(evidenceOf(names, carried, people), ({ at, priority, id }) => [
      at,
      priority,
      id,
    ])
    return bought.flatMap((sale) => {
      const winner = evidence.find((candidate) => wins(candidate, sale))
      return winner ? [{ sale, evidence: winner, person: winner.referee ?? payer }] : []
    })
  })
  const byClaim = Map.groupBy(won, ({ evidence, person }) => `${evidence.id} ${person}`)
  return [...byClaim.values()].flatMap((claim) => {
    const first = Math.min(...claim.map(({ sale }) => sale.soldAt))
    return claim.map((of) => ({ ...of, refusal: refusalOf(of.evidence, of.sale, first) }))
  })
}

/** The sale can be restricted to an organisation, and to a program. */
const wins = ({ at, org, program }: Evidence, sale: Sale) =>
  at <= sale.soldAt && [null, org].includes(sale.org) && [null, program].includes(sale.program)

/** Why a sale earns nothing by its winner, given when the winner's first sale was. */
function refusalOf(evidence: Evidence, sale: Sale, first: number): string | null {
  const { terms } = evidence.agreed
  if (evidence.refusal) return evidence.refusal
  if (evidence.earner === null) return 'no_earner'
  if (sale.guest && terms.guests === false) return 'guest'
  const ends = evidence.since + terms.conversion_window_days * day
  const isWaived = evidence.redemption?.decision === 'confirmed'
  return first > ends && !isWaived ? 'conversion_window' : null
}
