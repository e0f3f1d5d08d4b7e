/**
 * Mixed worlds end the same whether their events are applied one by one, wait and are applied together in chunks, or so
 * little is settled at once that everything goes in pieces. `QUEUED_WORLDS` says how many worlds, `STORY_SEED` which.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { eventsOf } from '../fixtures/mixed-events.ts'
import { terms } from '../fixtures/mixed-terms.ts'
import { type World, world } from '../fixtures/mixed-world.ts'
import { operator } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { deliver, queued, reduced, settleAccount } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { isTimed, type Step, stepsOf } from '../support/mixed.ts'
import { type Staged, stageCompany, useTerms } from '../support/mixed-stage.ts'
import { release } from '../support/money.ts'
import { often, proved } from '../support/soak.ts'
import { verified } from '../support/verified.ts'

const sql = await testDatabase()
const worlds = often('QUEUED_WORLDS', 6)
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)

async function standing(tx: Sql) {
  await settleAccount(tx)
  await release(tx)
  await settleAccount(tx)
  await checkLedger(tx)
  // The stage has dated the states of codes.
  expect((await verified(tx)).faults.filter(({ kind }) => kind !== 'trigger')).toEqual([])
  expect(await tx`select from referral_private.unapplied_events`).toEqual([])
  expect(await tx`select from referral_private.to_settle`).toEqual([])
  const [row] = await tx`select jsonb_build_object(
    'sales', (select jsonb_agg(s order by s.livemode, s.sale_id) from referral_private.sales as s),
    'posted', (select jsonb_agg(to_jsonb(p) - 'entries' order by p.livemode, p.sale_id, p.earner_id, p.kind, p.currency) from referral_private.postings as p where p.amount > 0),
    'guests', (select jsonb_agg(g order by g.livemode, g.sale_id) from referral_private.guest_sales as g),
    'referrals', (select jsonb_agg(to_jsonb(r) order by r.livemode, r.org_id, r.earner_id, r.person) from referral_private.referrals as r),
    'redemptions', (select jsonb_agg(jsonb_build_array(r.id, r.status, case when not exists (
        select from referral.decisions as d where d.redemption_id = r.id and d.withdrawn_at is null
      ) then r.confirmed_at end) order by r.id) from referral.redemptions as r)
  ) as all`
  return row?.all
}

const none = {
  ...{ sessions: [], intents: [], invoices: [], links: [], refunds: [], disputes: [] },
  ...{ warnings: [], notes: [], discounts: [], promotions: [] },
}

/** Events, and everything else that happens, in an order of random places. */
async function happenings(staged: Staged, of: World, places: number[]) {
  const redeems = await stepsOf(staged, {
    ...of,
    ...none,
    verdicts: [],
    rejections: null,
    forfeits: [],
    withdrawn: [],
    records: [],
    recordedRefunds: [],
    changesTerms: false,
  } as World)
  const named = (text: string) =>
    of.redeems.flatMap((n, place) =>
      text.includes(staged.company.redemptions[n] ?? '?') ? [redeems[place] as Step] : [],
    )
  const events = await Promise.all(eventsOf(of, staged.company).map(reduced))
  const steps = await stepsOf(staged, { ...of, ...none } as World)
  return [
    ...events.map((event) => ({ event, first: named(JSON.stringify(event)) })),
    ...steps.map((step) => ({ event: null, first: [step] })),
  ]
    .map((one, n) => [one, places[n % places.length] ?? 0] as const)
    .toSorted(([, a], [, b]) => a - b)
    .map(([one]) => one)
}

type Happening = Awaited<ReturnType<typeof happenings>>[number]

const one = (tx: Sql) => operator(tx).rpc('settle_stripe_events', { stripe_account: '' })

const most = (tx: Sql, count: number) =>
  tx.unsafe(`create or replace function referral_private.settled_at_once() returns int language plpgsql immutable
    as 'begin return ${count}; end'`)

async function play(tx: Sql, order: Happening[], timed: boolean, gaps: number[] | null) {
  let n = 0
  for (const { event, first } of order) {
    if (gaps && timed && !event) await settleAccount(tx)
    for (const step of first) await step()
    if (!event) continue
    if (!gaps) await deliver(tx, event)
    else {
      await queued(tx, [event])
      if ((gaps[n++ % gaps.length] ?? 0) === 0) await one(tx)
    }
  }
}

test(
  `worlds end the same one by one, together and in pieces (seed ${seed})`,
  { timeout: 7_200_000 },
  () =>
    undone(sql, async (tx) => {
      const staged = await stageCompany(tx)
      const places = fc.array(fc.nat(999), { minLength: 40, maxLength: 40 })
      const gaps = fc.array(fc.nat(6), { minLength: 20, maxLength: 20 })
      await fc.assert(
        fc.asyncProperty(
          world,
          terms,
          places,
          gaps,
          fc.integer({ min: 1, max: 4 }),
          async (of, agreed, places, gaps, count) => {
            await tx`savepoint world`
            try {
              await useTerms(staged, agreed)
              const order = await happenings(staged, of, places)
              const endings: unknown[] = []
              for (const [most_, at] of [
                [0, null],
                [0, gaps],
                [count, gaps],
                [count, null],
              ] as const) {
                await tx`savepoint way`
                if (most_) await most(tx, most_)
                await play(tx, order, isTimed(of), at as number[] | null)
                endings.push(await standing(tx))
                await tx`rollback to savepoint way`
              }
              for (const ending of endings.slice(1)) expect(ending).toEqual(endings[0])
            } finally {
              await tx`rollback to savepoint world`
            }
          },
        ),
        { numRuns: worlds, seed, endOnFailure: true },
      )
      proved('mixed worlds, one by one, together and in pieces, one ending each', worlds)
    }),
)
