import { describe, expect, test } from 'vitest'
import { type Actor, patiently, person, refusal } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'
import { sessions } from '../support/sessions.ts'

const sql = await testDatabase()
const times = (count: number) => Array.from({ length: count }, (_, i) => i)

/** How often each outcome came: `ok`, or the code of the refusal. */
async function tally(calls: Promise<unknown>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const call of calls.map((one) =>
    one.then(
      () => 'ok',
      (error) => refusal(Promise.reject(error)),
    ),
  )) {
    const outcome = await call
    counts[outcome] = (counts[outcome] ?? 0) + 1
  }
  return counts
}

describe('at once', () => {
  test('3,200 attempts on 1,000 uses: exactly 1,000 redeem', { timeout: 120_000 }, async () => {
    const { org, coordinator, mentor } = await scene(sql)
    const given = { org_id: org, referrer_id: mentor.id, max_uses: 1000 }
    const [row] = await coordinator.rpc('create_code', given)
    const outcomes = await tally(
      times(3200).map(() => person(sql).rpc('redeem_code', { code: row?.code })),
    )
    expect(outcomes).toEqual({ ok: 1000, code_limit_reached: 2200 })
    expect(await sql`select used from referral.code_quotas where org_id = ${org}`).toEqual([
      { used: 1000 },
    ])
    const [count] = await sql`select count(*)::int from referral.redemptions where org_id = ${org}`
    expect(count?.count).toBe(1000)
  })

  test('32 get_or_create_code of one stranger: one member, one code, 32 equal answers', async () => {
    const { org, friend } = await scene(sql)
    const answers = await Promise.all(
      times(32).map(() => friend.rpc('get_or_create_code', { org_id: org })),
    )
    expect(new Set(answers.map(([code]) => code?.id)).size).toBe(1)
    expect(await sql`select from referral.members where user_id = ${friend.id}`).toHaveLength(1)
  })

  test('40 campaign codes of one maker with an allowance of 5: exactly 5', async () => {
    const { org, admin, coordinator } = await scene(sql)
    await admin.rpc('update_organisation', { org_id: org, changes: { codes_per_member: 5 } })
    const calls = times(40).map(() => coordinator.rpc('create_campaign_code', { org_id: org }))
    expect(await tally(calls)).toEqual({ ok: 5, too_many_codes: 35 })
  })

  test('40 rotations of one member with an allowance of 5: exactly 5', async () => {
    const { org, admin, mentor } = await scene(sql)
    await admin.rpc('update_organisation', { org_id: org, changes: { rotations_per_day: 5 } })
    await codeOf(mentor, org)
    const rotate = () => mentor.rpc('rotate_code', { org_id: org, grace: '1 day' })
    const calls = times(40).map(() => patiently(rotate))
    expect(await tally(calls)).toEqual({ ok: 5, rate_limited: 35 })
  })

  test('suspensions against rotations: no error but what the rules say, and at most one code in use', async () => {
    const { org, admin, coordinator, mentor } = await scene(sql)
    await admin.rpc('update_organisation', { org_id: org, changes: { rotations_per_day: 16 } })
    const { id } = await codeOf(mentor, org)
    const outcomes = await tally([
      ...times(16).map(() => mentor.rpc('rotate_code', { org_id: org })),
      ...times(16).map(() => coordinator.rpc('suspend_code', { code_id: id })),
    ])
    expect(
      Object.keys(outcomes).filter(
        (outcome) => !['ok', 'code_suspended', 'code_ended'].includes(outcome),
      ),
    ).toEqual([])
    expect(
      await sql`select from referral.codes where org_id = ${org} and status in ('active', 'suspended')`,
    ).toHaveLength(1)
  })

  test('redemptions against edits of the limit: the count is always that of the rows', async () => {
    const { org, coordinator, mentor } = await scene(sql)
    const { id, code } = await codeOf(mentor, org)
    const limit = (max_uses: number | null) =>
      coordinator.rpc('update_code', { code_id: id, changes: { max_uses } })
    const outcomes = await tally([
      ...times(30).map(() => person(sql).rpc('redeem_code', { code })),
      ...times(5).map((i) => limit(100 + i)),
    ])
    expect(outcomes).toEqual({ ok: 35 })
    const [row] = await sql`
      select q.used, (select count(*)::int from referral.redemptions as r where r.code_id = c.id) as rows
      from referral.codes as c join referral.code_quotas as q on q.quota_id = c.quota_id where c.id = ${id}`
    expect(row?.used).toBe(row?.rows)
  })

  test('two imports of the same codes in opposite order: one is taken, nothing deadlocks', async () => {
    const { org, coordinator } = await scene(sql)
    const rows = times(300).map((i) => ({ code: `row ${i} ${org.slice(0, 8)}` }))
    const calls = [rows, [...rows].reverse()].map((given) =>
      coordinator.rpc('import_codes', { org_id: org, rows: given }),
    )
    const outcomes = await tally(calls)
    expect(outcomes.ok).toBe(1)
    expect(Object.keys(outcomes).every((outcome) => ['ok', 'busy'].includes(outcome))).toBe(true)
    expect(await sql`select from referral.codes where org_id = ${org}`).toHaveLength(300)
  })

  test('two admins demoting each other: one stays', async () => {
    for (const _ of times(10)) {
      const { org, admin, coordinator } = await scene(sql)
      await admin.rpc('set_member_role', { org_id: org, user_id: coordinator.id, role: 'admin' })
      const demote = (by: Actor, whom: Actor) =>
        by.rpc('set_member_role', { org_id: org, user_id: whom.id, role: 'member' })
      await tally([demote(admin, coordinator), demote(coordinator, admin)])
      expect(
        await sql`select from referral.members where org_id = ${org} and role = 'admin'`,
      ).not.toHaveLength(0)
    }
  })
})

describe('the member row', () => {
  test('holds a deactivation of the member back until the code under way is made, and then ends it', () =>
    sessions(sql, async (maker, staff) => {
      const { org, coordinator, mentor } = await scene(sql)
      await person(maker.tx, mentor.id).rpc('create_code', { org_id: org })
      const args = { org_id: org, user_id: mentor.id }
      const deactivation = person(staff.tx, coordinator.id).rpc('deactivate_member', args)
      await staff.blocked()
      await maker.commit()
      await deactivation
      await staff.commit()
      expect(await sql`select status from referral.codes where org_id = ${org}`).toEqual([
        { status: 'invalidated' },
      ])
    }))
})
