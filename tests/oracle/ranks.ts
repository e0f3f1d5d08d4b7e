/** The rank of a referral among its earner's in the program, by the first sale of it that counts. */
import { sorted } from './order.ts'
import { qualifies } from './qualifying.ts'
import type { Won } from './winners.ts'

/** The rank of a sale's referral, from 1. */
export function ranksOf(won: Won[]): (of: Won) => number {
  const key = ({ evidence }: Won) => `${evidence.program} ${evidence.earner}`
  const ranks = new Map<string, number>()
  const counting = sorted(won.filter(qualifies), ({ sale, person }) => [
    sale.paidAt,
    sale.id,
    person,
  ])
  for (const [earner, sales] of Map.groupBy(counting, key)) {
    const people = new Set(sales.map((of) => of.person))
    for (const [place, person] of [...people].entries()) ranks.set(`${earner} ${person}`, place + 1)
  }
  return (of) => ranks.get(`${key(of)} ${of.person}`) ?? 1
}
