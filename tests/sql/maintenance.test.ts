/** run_maintenance does what every job does, in bounded batches, and says what is left. */
import { describe, expect, test } from 'vitest'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { codeOf, scene } from '../support/scene.ts'
import { earning } from '../support/verified.ts'

const sql = await testDatabase()

const jobs = [
  'maintain_clicks',
  'maintain_events',
  'expire_codes',
  'expire_redemptions',
  'purge_rate_limits',
  'purge_sign_up_claims',
  'recognise_users',
  'settle_stripe_events',
  'release_due_commissions',
]

const run = async (tx: Sql, args = {}) =>
  new Map(
    (await operator(tx).rpc('run_maintenance', args)).map(({ job, done, more }) => [
      String(job),
      { done: Number(done), more },
    ]),
  )
/** The errors of the jobs that failed. */
const failed = async (tx: Sql) =>
  (await operator(tx).rpc('run_maintenance'))
    .filter(({ error }) => error !== null)
    .map(({ job, done, more, error }) => ({ job, done, more, error }))
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
    await tx`insert into referral_private.visitors (org_id, visitor, day, clicks)
      values (${org}, '', now() - interval '1 day', 1)`
    const one = { done: 1, more: false }
    const { recognise_users: _, ...done } = Object.fromEntries(await run(tx))
    expect(done).toEqual({
      maintain_clicks: one,
      maintain_events: { done: 0, more: false },
      expire_codes: one,
      expire_redemptions: one,
      purge_rate_limits: one,
      purge_sign_up_claims: one,
      settle_stripe_events: { done: 0, more: false },
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
      await tx`select partition from referral_private.months_of('referral_private.clicks') order by 1 desc limit 1`
    await tx.unsafe(`drop table referral_private.${month?.partition}`)
    const left = new Map(jobs.map((job) => [job, { done: 0, more: true }]))
    left.set('maintain_events', { done: 0, more: false })
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

test('begins 14 batches of each cheap job at most, and says that something is left', () =>
  undone(sql, async (tx) => {
    await quiet(tx)
    await tx`insert into referral_private.sign_up_claims (user_id, code, claimed_at)
      select gen_random_uuid(), 'ABC', now() - interval '1 year' from generate_series(1, 15000)`
    const rows = await run(tx, { max_seconds: 30 })
    expect(rows.get('purge_sign_up_claims')).toEqual({ done: 14_000, more: true })
  }))

describe('a job that fails', () => {
  const make = (tx: Sql, job: string, raise: string) =>
    tx.unsafe(`
      create or replace function referral_private.${job}(p_max_rows int default 1000) returns int
      language plpgsql as $$
      begin
        delete from referral_private.sign_up_claims;
        ${raise}
      end $$`)
  const claims = (tx: Sql) => tx`select from referral_private.sign_up_claims`
  const claim = (tx: Sql, at: string) =>
    tx.unsafe(`insert into referral_private.sign_up_claims (user_id, code, claimed_at)
      values (gen_random_uuid(), 'ABC', ${at})`)

  test.for(['expire_codes', 'purge_rate_limits', 'recognise_users', 'release_due_commissions'])(
    'undoes its own work and nobody else’s: %s',
    (job) =>
      undone(sql, async (tx) => {
        await quiet(tx)
        await claim(tx, 'now()')
        await claim(tx, `now() - interval '1 year'`)
        await make(tx, job, 'return 1 / 0;')
        expect(await failed(tx)).toEqual([{ job, done: 0, more: true, error: '22012' }])
        expect(await claims(tx)).toHaveLength(1)
      }),
  )

  test('keeps what its earlier batches did, and is not tried again in this call', () =>
    undone(sql, async (tx) => {
      await quiet(tx)
      await tx`create temp sequence batches`
      await make(
        tx,
        'expire_codes',
        `if nextval('pg_temp.batches') > 1 then return 1 / 0; end if; return 1000;`,
      )
      const job = { job: 'expire_codes', done: 1000, more: true, error: '22012' }
      expect(await failed(tx)).toEqual([job])
      expect(await tx`select last_value::int from batches`).toEqual([{ last_value: 2 }])
    }))

  test.for([
    [`perform referral_private.raise_error('invalid_terms');`, 'invalid_terms'],
    [`raise exception 'deadlock' using errcode = '40P01';`, '40P01'],
  ])('has the code of its error: %s', ([raise, error]) =>
    undone(sql, async (tx) => {
      await quiet(tx)
      await make(tx, 'expire_codes', `${raise} return 0;`)
      expect(await failed(tx)).toEqual([{ job: 'expire_codes', done: 0, more: true, error }])
    }),
  )

  test.for([
    `perform referral_private.raise_error('busy');`,
    `raise exception 'locked' using errcode = '55P03';`,
  ])('has no error where it met a lock, and says that something is left: %s', (raise) =>
    undone(sql, async (tx) => {
      await quiet(tx)
      await make(tx, 'expire_codes', `${raise} return 0;`)
      expect(await failed(tx)).toEqual([])
      expect((await run(tx)).get('expire_codes')).toEqual({ done: 0, more: true })
    }),
  )

  test('is on record, with the time since when it has left something', () =>
    undone(sql, async (tx) => {
      await quiet(tx)
      const record = async () =>
        (
          await tx`
            select error, behind_since from referral_private.maintenance_runs where job = 'expire_codes'`
        )[0]
      expect(await record()).toEqual({ error: null, behind_since: null })
      await make(tx, 'expire_codes', 'return 1 / 0;')
      await run(tx)
      const first = await record()
      expect(first).toEqual({ error: '22012', behind_since: expect.any(Date) })
      await run(tx)
      expect(await record()).toEqual(first)
      await make(tx, 'expire_codes', 'return 0;')
      await run(tx)
      expect(await record()).toEqual({ error: null, behind_since: null })
    }))
})

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
