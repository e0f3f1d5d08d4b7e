/**
 * The oracle: what everybody must have been credited with, and how every redemption must stand, by the rules of
 * docs/stripe.md and in exact whole numbers. It shares nothing with the SQL that it proves. `world.ts` says what it is
 * told; then come, each from those before, `payments`, `reversals` and `sales`, `carried`, `evidence` and `winners`,
 * `ranks` and `commissions`.
 */
import { type Book, booksOf } from './books.ts'
import { commissionsOf, rewardOf } from './commissions.ts'
import { type People, peopleOf } from './evidence.ts'
import { sorted } from './order.ts'
import { ranksOf } from './ranks.ts'
import { salesOf } from './sales.ts'
import { statusesOf } from './statuses.ts'
import { agreementsOf } from './terms.ts'
import { type Won, winnersOf } from './winners.ts'
import { day, type Time, type World } from './world.ts'

/** What one sale earns one earner. */
export type Owed = {
  stripeAccount: string
  livemode: boolean
  org: string
  sale: string
  earner: string
  kind: 'pending' | 'available' | 'reward'
  currency: string
  amount: bigint
  /** When what is pending becomes available. */
  dueAt: Time | null
}

export function oracle(world: World): { owed: Owed[]; statuses: Map<string, string> } {
  const agreements = agreementsOf(world)
  const told = booksOf(world).map((book) => {
    const people: People = peopleOf(world, book, agreements)
    return { book, won: winnersOf(book, salesOf(book), people) }
  })
  return {
    owed: told.flatMap(({ book, won }) => owedOf(book, won, world.now)),
    statuses: statusesOf(
      world,
      told.flatMap(({ won }) => won),
    ),
  }
}

function owedOf({ stripeAccount, livemode }: Book, won: Won[], now: Time): Owed[] {
  const rank = ranksOf(won)
  const referrals = Map.groupBy(won, ({ evidence, person }) => `${evidence.program} ${person}`)
  return [...referrals.values()].flatMap((sales) => {
    const referral = sorted(sales, ({ sale }) => [sale.soldAt, sale.id])
    const commissions = commissionsOf(referral, rank).flatMap((amount, place) => {
      const of = referral[place] as Won
      const freeAt = freeFrom(of)
      return freeAt <= now
        ? owed(of, of.evidence.earner, 'available', amount, null)
        : owed(of, of.evidence.earner, 'pending', amount, freeAt)
    })
    const first = referral[0] as Won
    const reward = owed(first, first.evidence.referee, 'reward', rewardOf(first), null)
    return [...commissions, ...reward].map((of) => ({ stripeAccount, livemode, ...of }))
  })
}

/** A sale is on hold for so many days after it was paid; a warning begins them anew. */
const freeFrom = ({ sale, evidence }: Won) =>
  Math.max(sale.paidAt, sale.warnedAt ?? sale.paidAt) + evidence.agreed.terms.hold_days * day

/** One amount, or none where there is nothing, or nobody, to credit. */
function owed(
  { sale, evidence }: Won,
  earner: string | null,
  kind: Owed['kind'],
  amount: bigint,
  dueAt: Time | null,
) {
  if (earner === null || amount === 0n) return []
  return [
    { org: evidence.org, sale: sale.id, earner, kind, currency: sale.currency, amount, dueAt },
  ]
}
