/** run_maintenance beside other calls: it never waits while it has locked something, and runs once at a time. */
import { expect, test } from 'vitest'
import { operator, person } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'
import { sessions } from '../support/sessions.ts'

const sql = await testDatabase()
const run = (tx: Parameters<typeof operator>[0]) => operator(tx).rpc('run_maintenance')

test('a second call at once does nothing', () =>
  sessions(sql, async (one, other) => {
    expect(await run(one.tx)).toHaveLength(9)
    expect(await run(other.tx)).toEqual([])
    await one.commit()
    expect(await run(other.tx)).toHaveLength(9)
  }))

test('does the other jobs while somebody keeps the table of clicks locked', async () => {
  await run(sql)
  await sql`insert into referral_private.sign_up_claims (user_id, code, claimed_at)
    values (gen_random_uuid(), 'ABC', now() - interval '1 year')`
  await sql`insert into referral_private.visitors (org_id, visitor, day, clicks)
    values (gen_random_uuid(), '', now() - interval '1 day', 1)`
  await sessions(sql, async (other) => {
    await other.tx`lock table referral_private.visitors in access exclusive mode`
    const rows = await run(sql)
    expect(rows.find(({ job }) => job === 'maintain_clicks')).toMatchObject({ more: true })
    expect(rows.find(({ job }) => job === 'purge_sign_up_claims')).toMatchObject({ done: 1 })
  })
})

test('waits for nothing that a redemption under way has locked', async () => {
  const { org, mentor, coordinator, friend } = await scene(sql)
  const { code, id } = await codeOf(mentor, org)
  await friend.rpc('redeem_code', { code })
  await sql`update referral.redemptions set redeemed_at = now() - interval '1 year' where org_id = ${org}`
  const soon = new Date(Date.now() + 60_000).toISOString()
  await coordinator.rpc('update_code', { code_id: id, changes: { expires_at: soon } })
  await sessions(sql, async (other) => {
    await person(other.tx).rpc('redeem_code', { code })
    await other.tx`select from referral.redemptions where org_id = ${org} for update`
    const rows = await run(sql)
    expect(rows.map(({ job }) => job)).toContain('release_due_commissions')
    const [left] =
      await sql`select status from referral.redemptions where referee_id = ${friend.id}`
    expect(left?.status).toBe('pending')
  })
  await run(sql)
  const [done] = await sql`select status from referral.redemptions where referee_id = ${friend.id}`
  expect(done?.status).toBe('expired')
})

test('locks no table where the default partition keeps this month', async () => {
  await run(sql)
  const [month] =
    await sql`select partition from referral_private.months_of('referral_private.clicks') order by 1 limit 1`
  await sql.unsafe(`drop table referral_private.${month?.partition}`)
  await sql`insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, counted, platform)
    values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now(), true, 'web')`
  await sessions(sql, async ({ tx }) => {
    expect(await run(tx)).toHaveLength(9)
    const locks = await tx`
      select from pg_locks where pid = pg_backend_pid() and mode = 'AccessExclusiveLock'
        and relation = 'referral_private.clicks'::regclass`
    expect(locks).toHaveLength(0)
  })
})
