/**
 * Mixed worlds in many orders, with duplicates: whatever customers, users and codes share, there is one ending, the
 * oracle's, and settling everything once more changes nothing. `MIXED_WORLDS` says how many worlds, `STORY_SEED` which.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { world } from '../fixtures/mixed-world.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { checkLedger } from '../support/ledger.ts'
import { percent, type Step, stageCompany, stepsOf } from '../support/mixed.ts'
import { release } from '../support/money.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const worlds = often('MIXED_WORLDS', 15)
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)

const terms = fc.constantFrom<Record<string, unknown>>(
  { recurrence: 'forever' },
  { recurrence: 'once', referee_reward: { kind: 'percent', bps: 500 } },
  { recurrence: 'forever', max_commissions_per_referrer: 1 },
  {
    recurrence: 'forever',
    tiers: [
      { from: 1, bps: 500 },
      { from: 2, bps: 2000 },
    ],
  },
  { recurrence: 'forever', max_commission_per_referral: { usd: 150, eur: 120 }, guests: false },
  { recurrence: { months: 1 }, commission: { kind: 'flat', amount: { usd: 333 } }, hold_days: 9 },
  { recurrence: 'forever', conversion_window_days: 3, minimum_sale: { usd: 1000, eur: 1 } },
)

/** Everything that is derived. */
async function standing(tx: Sql) {
  await checkLedger(tx)
  const [row] = await tx`select jsonb_build_object(
    'sales', (select jsonb_agg(s order by s.livemode, s.sale_id) from referral_private.sales as s),
    'posted', (select jsonb_agg(to_jsonb(p) - 'entries' order by p.livemode, p.sale_id, p.earner_id, p.kind, p.currency) from referral_private.postings as p where p.amount > 0),
    'referrals', (select jsonb_agg(r order by r.livemode, r.org_id, r.earner_id, r.person) from referral_private.referrals as r),
    'redemptions', (select jsonb_agg(jsonb_build_array(r.id, r.status, case when r.decision is null then r.confirmed_at end) order by r.id) from referral.redemptions as r)
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

test(`mixed worlds have one ending in every order (seed ${seed})`, { timeout: 7_200_000 }, () =>
  undone(sql, async (tx) => {
    const staged = await stageCompany(tx)
    const places = fc.array(fc.nat(999), { minLength: 40, maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(world, terms, fc.tuple(places, places), async (of, agreed, orders) => {
        await tx`savepoint world`
        await tx`update referral.program_terms set terms = (terms - 'commission') || ${tx.json((agreed.tiers ? agreed : { ...percent, ...agreed }) as never)}`
        const steps = await stepsOf(staged, of)
        const endings: unknown[] = []
        try {
          for (const order of [steps, ...orders.map((places) => sorted(steps, places))]) {
            await tx`savepoint an_order`
            for (const step of order) await step()
            await release(tx)
            endings.push(await standing(tx))
            await settleAll(tx)
            endings.push(await standing(tx))
            await tx`rollback to savepoint an_order`
          }
        } finally {
          await tx`rollback to savepoint world`
        }
        for (const ending of endings) expect(ending).toEqual(endings[0])
      }),
      { numRuns: worlds, seed },
    )
    proved('mixed worlds, one ending in every order, the oracle’s', worlds)
  }),
)
