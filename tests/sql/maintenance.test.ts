/** run_maintenance does what every job does, in bounded batches, and says what is left. */
import { expect, test } from 'vitest'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { codeOf, scene } from '../support/scene.ts'
import { earning } from '../support/verified.ts'

const sql = await testDatabase()

const jobs = [
  'maintain_clicks',
  'expire_codes',
  'expire_redemptions',
  'purge_rate_limits',
  'purge_sign_up_claims',
  'recognise_users',
  'release_due_commissions',
]

const run = async (tx: Sql, args = {}) =>
  new Map(
    (await operator(tx).rpc('run_maintenance', args)).map(({ job, done, more }) => [
      String(job),
      { done: Number(done), more },
    ]),
  )
const nothing = new Map(jobs.map((job) => [job, { done: 0, more: false }]))

/** Runs until the partitions of clicks are there, and nothing is left of what other tests committed. */
async function quiet(tx: Sql) {
  for (let calls = 0; calls < 10; calls++)
    if (![...(await run(tx)).values()].some(({ more }) => more)) return
}

test('every job of the group is one of run_maintenance, or a check', async () => {
  const rows = await sql`
    select p.proname as name from pg_proc as p
    where p.pronamespace = 'referral_private'::regnamespace
      and obj_description(p.oid, 'pg_proc') ~ '\ngroup: Run jobs\n' and p.provolatile = 'v'
    order by 1`
  const named = rows.map(({ name }) => name)
  expect(named).toEqual([...jobs, 'run_maintenance'].toSorted())
})

test('does nothing where nothing is due, and says so', () =>
  undone(sql, async (tx) => {
    await quiet(tx)
    expect(await run(tx)).toEqual(nothing)
  }))

test('expires, purges, recognises and releases what is due, in one call', () =>
  undone(sql, async (tx) => {
    await quiet(tx)
    await earning(tx, [5])
    await rewriteTerms(tx, `set terms = terms || '{"hold_days": 4}'`)
    await tx`update referral_private.postings set due_at = due_at - interval '3 days'`
    const { org, mentor } = await scene(tx)
    const { code } = await codeOf(mentor, org)
    await person(tx).rpc('redeem_code', { code })
    await tx`update referral.redemptions set redeemed_at = now() - interval '1 year' where org_id = ${org}`
    await tx`set constraints all immediate`
    await tx`update referral.codes set expires_at = clock_timestamp() where org_id = ${org}`
    await tx`insert into referral_private.rate_limit_buckets (org_id, bucket, hour, redemptions)
      values (${org}, 'user:1', now() - interval '1 day', 1)`
    await tx`insert into referral_private.sign_up_claims (user_id, code, claimed_at)
      values (gen_random_uuid(), 'ABC', now() - interval '1 year')`
    await tx`insert into referral_private.visitors (org_id, code_id, visitor, day, clicks)
      values (${org}, gen_random_uuid(), '', now() - interval '1 day', 1)`
    const one = { done: 1, more: false }
    const { recognise_users: _, ...done } = Object.fromEntries(await run(tx))
    expect(done).toEqual({
      maintain_clicks: one,
      expire_codes: one,
      expire_redemptions: one,
      purge_rate_limits: one,
      purge_sign_up_claims: one,
      release_due_commissions: one,
    })
    expect(await run(tx)).toEqual(nothing)
  }))

test('runs batch after batch of what is cheap, until nothing is left', () =>
  undone(sql, async (tx) => {
    await quiet(tx)
    await tx`insert into referral_private.sign_up_claims (user_id, code, claimed_at)
      select gen_random_uuid(), 'ABC', now() - interval '1 year' from generate_series(1, 2500)`
    expect((await run(tx)).get('purge_sign_up_claims')).toEqual({ done: 2500, more: false })
  }))

test('keeps when each job ran, how much it did, and whether something was left', () =>
  undone(sql, async (tx) => {
    await quiet(tx)
    await tx`insert into referral_private.sign_up_claims (user_id, code, claimed_at)
      values (gen_random_uuid(), 'ABC', now() - interval '1 year')`
    const before = await tx`select clock_timestamp() as at`
    await run(tx)
    const runs = await tx`
      select job, done::int, more, ran_at >= ${before[0]?.at} as now from referral_private.maintenance_runs order by job`
    expect(runs).toEqual(
      jobs.toSorted().map((job) => ({
        ...{ job, more: false, now: true },
        done: job === 'purge_sign_up_claims' ? 1 : 0,
      })),
    )
  }))

test('leaves the other jobs for the next call when it changes partitions: clicks would wait', () =>
  undone(sql, async (tx) => {
    await quiet(tx)
    const [month] =
      await tx`select partition from referral_private.click_months() order by 1 desc limit 1`
    await tx.unsafe(`drop table referral_private.${month?.partition}`)
    const left = new Map(jobs.map((job) => [job, { done: 0, more: true }]))
    expect(await run(tx)).toEqual(left.set('maintain_clicks', { done: 1, more: false }))
    expect(await run(tx)).toEqual(nothing)
  }))

test('begins the jobs of money also where another has a backlog that takes all the time', () =>
  undone(sql, async (tx) => {
    await quiet(tx)
    await earning(tx, [5])
    await rewriteTerms(tx, `set terms = terms || '{"hold_days": 4}'`)
    await tx`update referral_private.postings set due_at = due_at - interval '3 days'`
    await tx.unsafe(`
      create or replace function referral_private.purge_rate_limits(p_max_rows int default 1000)
      returns int language plpgsql as 'begin perform pg_sleep(1.1); return 1000; end'`)
    const rows = await run(tx, { max_seconds: 1 })
    expect(rows.get('purge_rate_limits')).toEqual({ done: 1000, more: true })
    expect(rows.get('expire_codes')).toEqual({ done: 0, more: false })
    expect(rows.get('release_due_commissions')).toEqual({ done: 1, more: false })
  }))

test('keeps clicks for as long as it is told', () =>
  undone(sql, async (tx) => {
    await quiet(tx)
    await tx`insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, counted, platform)
      values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now() - interval '200 days', true, 'web')`
    const removed = async (args: object) => (await run(tx, args)).get('maintain_clicks')?.done
    expect(await removed({ click_retention: '1 year' })).toBe(0)
    expect(await removed({})).toBe(1)
    expect(await refusal(operator(tx).rpc('run_maintenance', { click_retention: '1 day' }))).toBe(
      'invalid_argument',
    )
  }))

test.for([0, 31, null])('refuses max_seconds of %s', (max_seconds) =>
  undone(sql, async (tx) => {
    expect(await refusal(operator(tx).rpc('run_maintenance', { max_seconds }))).toBe(
      'invalid_argument',
    )
  }),
)
