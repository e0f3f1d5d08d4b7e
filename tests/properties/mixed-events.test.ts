/**
 * Mixed worlds in many orders, with duplicates: whatever customers, users and codes share, there is one ending, the
 * oracle's, and settling everything once more changes nothing. `MIXED_WORLDS` says how many worlds, `STORY_SEED` which.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { terms } from '../fixtures/mixed-terms.ts'
import { world } from '../fixtures/mixed-world.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { checkLedger } from '../support/ledger.ts'
import { isTimed, type Step, stepsOf } from '../support/mixed.ts'
import { stageCompany, useTerms } from '../support/mixed-stage.ts'
import { release } from '../support/money.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const worlds = often('MIXED_WORLDS', 24)
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)

/** Everything that is derived. */
async function standing(tx: Sql) {
  await checkLedger(tx)
  const [row] = await tx`select jsonb_build_object(
    'sales', (select jsonb_agg(s order by s.livemode, s.sale_id) from referral_private.sales as s),
    'posted', (select jsonb_agg(to_jsonb(p) - 'entries' order by p.livemode, p.sale_id, p.earner_id, p.kind, p.currency) from referral_private.postings as p where p.amount > 0),
    'referrals', (select jsonb_agg(r order by r.livemode, r.org_id, r.earner_id, r.person) from referral_private.referrals as r),
    'redemptions', (select jsonb_agg(jsonb_build_array(r.id, r.status, case when not exists (
        select from referral.decisions as d where d.redemption_id = r.id and d.withdrawn_at is null
      ) then r.confirmed_at end) order by r.id) from referral.redemptions as r)
  ) as all`
  return row?.all
}

const settleAll = (tx: Sql) => tx`
  select referral_private.settle('', s.livemode, array_agg(distinct s.payer_id), '{}', 'once more')
  from referral_private.sales as s group by s.livemode`

/** The steps, sorted by random places; every fifth comes twice. */
const sorted = (steps: Step[], places: number[]) =>
  steps
    .flatMap((step, n) => ((places[n] ?? 0) % 5 ? [step] : [step, step]))
    .map((step, n) => [step, places[n % places.length] ?? 0] as const)
    .toSorted(([, a], [, b]) => a - b)
    .map(([step]) => step)

/** What stands after an order of steps, and after settling once more. */
async function endingsOf(tx: Sql, order: Step[]): Promise<unknown[]> {
  await tx`savepoint an_order`
  try {
    for (const step of order) await step()
    await release(tx)
    const first = await standing(tx)
    await settleAll(tx)
    return [first, await standing(tx)]
  } finally {
    await tx`rollback to savepoint an_order`
  }
}

test(`mixed worlds have one ending in every order (seed ${seed})`, { timeout: 7_200_000 }, () =>
  undone(sql, async (tx) => {
    const staged = await stageCompany(tx)
    const places = fc.array(fc.nat(999), { minLength: 40, maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(world, terms, fc.tuple(places, places), async (of, agreed, orders) => {
        await tx`savepoint world`
        try {
          await useTerms(staged, agreed)
          const steps = await stepsOf(staged, of)
          const endings: unknown[][] = []
          for (const order of [steps, ...orders.map((places) => sorted(steps, places))])
            endings.push(await endingsOf(tx, order))
          for (const [first, again] of endings) {
            expect(again).toEqual(first)
            if (!isTimed(of)) expect(first).toEqual(endings[0]?.[0])
          }
        } finally {
          await tx`rollback to savepoint world`
        }
      }),
      { numRuns: worlds, seed },
    )
    proved('mixed worlds, one ending in every order, the oracle’s', worlds)
  }),
)
