/** The rank of a referral among its earner's in the program, by the time of its first sale. */
import { sorted } from './order.ts'
import type { Won } from './winners.ts'

/** The rank of a sale's referral, from 1. What is refused has none of its own, and comes first. */
export function ranksOf(won: Won[]): (of: Won) => number {
  const key = ({ evidence }: Won) => `${evidence.program} ${evidence.earner}`
  const ranks = new Map<string, number>()
  const counting = won.filter(({ refusal }) => refusal === null)
  for (const [earner, sales] of Map.groupBy(counting, key)) {
    const referrals = [...Map.groupBy(sales, ({ person }) => person)].map(([person, theirs]) => ({
      person,
      first: Math.min(...theirs.map(({ sale }) => sale.soldAt)),
    }))
    for (const [place, { person }] of sorted(referrals, (of) => [of.first, of.person]).entries())
      ranks.set(`${earner} ${person}`, place + 1)
  }
  return (of) => ranks.get(`${key(of)} ${of.person}`) ?? 1
}
