/**
 * The oracle: what everybody must have been credited with, how every redemption must stand, and why a sale credits nobody,
 * by the rules of docs/stripe.md and in exact whole numbers. It shares nothing with the SQL that it proves. `world.ts`
 * says what it is told; then come, each from those before, `payments`, `reversals` and `sales`; `carried`, `payers`,
 * `naming` and `evidence`; `judging` and `winners`; `qualifying`, `ranks` and `commissions`.
 */
import { type Book, booksOf } from './books.ts'
import { type Earned, earnedBy } from './commissions.ts'
import { sorted } from './order.ts'
import { peopleOf } from './people.ts'
import { beyondLimit } from './qualifying.ts'
import { ranksOf } from './ranks.ts'
import { statusesOf } from './statuses.ts'
import { type Won, winnersOf } from './winners.ts'
import { day, type Time, type World } from './world.ts'

/** What one sale earns one earner, or its referee. */
export type Owed = {
  stripeAccount: string
  livemode: boolean
  org: string
  sale: string
  earner: string
  kind: 'pending' | 'available' | 'reward_pending' | 'reward_available'
  currency: string
  amount: bigint
  /** When what is pending becomes available. */
  dueAt: Time | null
}

export type Verdict = {
  owed: Owed[]
  /** By redemption. */
  statuses: Map<string, string>
  /** By account, mode and sale, why it credits nobody. */
  unattributed: Map<string, string>
}

export function oracle(world: World): Verdict {
  const told = booksOf(world).map((book) => ({
    book,
    ...winnersOf(book, peopleOf(world, book)),
  }))
  return {
    owed: told.flatMap(({ book, won }) => owedOf(book, won, world.now)),
    statuses: statusesOf(
      world,
      told.flatMap(({ won }) => won),
    ),
    unattributed: new Map(
      told.flatMap(({ book: { stripeAccount, livemode }, unattributed }) =>
        unattributed.map(({ sale, reason }) => [`${stripeAccount} ${livemode} ${sale.id}`, reason]),
      ),
    ),
  }
}

function owedOf(book: Book, won: Won[], now: Time): Owed[] {
  const beyond = beyondLimit(won)
  const limits = { rank: ranksOf(won), isBeyondLimit: (of: Won) => beyond.has(of) }
  const referrals = Map.groupBy(won, ({ evidence, person }) => `${evidence.program} ${person}`)
  return [...referrals.values()].flatMap((sales) => {
    const referral = sorted(sales, ({ sale }) => [sale.paidAt, sale.id])
    return earnedBy(referral, limits).flatMap((earned) => owedFor(earned, book, now))
  })
}

/** A sale is on hold for so many days after it was paid; a warning begins them anew. */
const freeFrom = ({ sale, evidence }: Won) =>
  Math.max(sale.paidAt, sale.warnedAt ?? sale.paidAt) + evidence.terms.hold_days * day

/** The commission and the reward, where there is something, and somebody, to credit. */
function owedFor({ of, commission, reward }: Earned, book: Book, now: Time): Owed[] {
  const { stripeAccount, livemode } = book
  const { sale, evidence, referee } = of
  const freeAt = freeFrom(of)
  const isFree = freeAt <= now
  const common = {
    ...{ stripeAccount, livemode, org: evidence.org, sale: sale.id, currency: sale.currency },
    dueAt: isFree ? null : freeAt,
  }
  const credited = (earner: string | null, kind: Owed['kind'], amount: bigint) =>
    earner === null || amount === 0n ? [] : [{ ...common, earner, kind, amount }]
  return [
    ...credited(evidence.earner, isFree ? 'available' : 'pending', commission),
    ...credited(referee, isFree ? 'reward_available' : 'reward_pending', reward),
  ]
}
