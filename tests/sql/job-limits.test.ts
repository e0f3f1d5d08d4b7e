/** A job removes or changes no more rows than it is told, however the planner joins them. */
import { expect, test } from 'vitest'
import { operator, person } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

/** Plans in which a subquery on the inner side would run once per row. */
const nestedLoops = (tx: Sql) =>
  tx.unsafe(`
    set local enable_hashjoin = off; set local enable_mergejoin = off; set local enable_material = off;
    set local enable_memoize = off; set local enable_indexscan = off; set local enable_bitmapscan = off`)

const jobs: Record<string, (tx: Sql) => Promise<unknown>> = {
  expire_codes: async (tx) => {
    const { org, mentor, coordinator } = await scene(tx)
    await codeOf(mentor, org)
    await coordinator.rpc('generate_codes', { org_id: org, count: 2 })
    await tx`set constraints all immediate`
    await tx`update referral.codes set expires_at = clock_timestamp()`
  },
  expire_redemptions: async (tx) => {
    const { org, mentor } = await scene(tx)
    const { code } = await codeOf(mentor, org)
    for (let n = 0; n < 3; n++) await person(tx).rpc('redeem_code', { code })
    await tx`update referral.redemptions set redeemed_at = now() - interval '1 year'`
  },
  purge_rate_limits: async (tx) => {
    const past = (count: number) =>
      tx`insert into referral_private.rate_limit_buckets (org_id, bucket, hour, redemptions)
        select gen_random_uuid(), 'user:1', now() - interval '1 day', 1 from generate_series(1, ${count})`
    // The statistics are older than most rows: the planner takes the table for the smaller side.
    await past(1)
    await tx`analyze referral_private.rate_limit_buckets`
    await past(2)
  },
  purge_sign_up_claims: (tx) =>
    tx`insert into referral_private.sign_up_claims (user_id, code, claimed_at)
      select gen_random_uuid(), 'ABC', now() - interval '1 year' from generate_series(1, 3)`,
}

test.for(Object.entries(jobs))('%s stops at max_rows', ([job, stage]) =>
  undone(sql, async (tx) => {
    await stage(tx)
    await nestedLoops(tx)
    const run = async () =>
      Object.values((await operator(tx).rpc(job, { max_rows: 2 }))[0] ?? {})[0]
    expect([await run(), await run(), await run()]).toEqual([2, 1, 0])
  }),
)

test('maintain_clicks stops at max_rows of clicks and of visitors', () =>
  undone(sql, async (tx) => {
    await tx`insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, counted, platform)
      select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now() - interval '1 year', true, 'web'
      from generate_series(1, 3)`
    await tx`insert into referral_private.visitors (org_id, visitor, day, clicks)
      select gen_random_uuid(), '', now() - interval '1 day', 1 from generate_series(1, 3)`
    await nestedLoops(tx)
    const run = () => operator(tx).rpc('maintain_clicks', { max_rows: 2 })
    expect(await run()).toMatchObject([{ clicks_removed: 2, visitors_removed: 2 }])
    expect(await run()).toMatchObject([{ clicks_removed: 1, visitors_removed: 1 }])
  }))
