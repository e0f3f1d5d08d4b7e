import { describe, expect, test } from 'vitest'
import { person, refusal } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const times = (count: number) => Array.from({ length: count }, (_, i) => i)

describe('at once', () => {
  test('32 rotations of one mentor’s code: 32 answers, no error, one active code', async () => {
    const { org, mentor } = await scene(sql)
    await codeOf(mentor, org)
    const answers = await Promise.all(
      times(32).map(() => mentor.rpc('rotate_code', { org_id: org })),
    )
    expect(new Set(answers.map(([code]) => code?.code)).size).toBe(32)
    expect(
      await sql`select status, count(*)::int from referral.codes where org_id = ${org} group by 1 order by 1`,
    ).toEqual([
      { status: 'active', count: 1 },
      { status: 'rotated', count: 32 },
    ])
    const [last] =
      await sql`select rotation from referral.codes where org_id = ${org} and status = 'active'`
    expect(last?.rotation).toBe(32)
  })

  test('32 first codes of one mentor: one is created, 31 are refused with active_code_exists', async () => {
    const { org, mentor } = await scene(sql)
    const outcomes = await Promise.all(
      times(32).map(() =>
        mentor.rpc('create_code', { org_id: org }).then(
          () => 'created',
          (error) => refusal(Promise.reject(error)),
        ),
      ),
    )
    expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1)
    expect(outcomes.filter((outcome) => outcome === 'active_code_exists')).toHaveLength(31)
  })

  test('30 people on the last 10 uses: exactly 10 redeem', async () => {
    const { org, coordinator, mentor } = await scene(sql)
    const [row] = await coordinator.rpc('create_code', {
      org_id: org,
      referrer_id: mentor.id,
      max_uses: 10,
    })
    const outcomes = await Promise.all(
      times(30).map(() =>
        person(sql)
          .rpc('redeem_code', { code: row?.code })
          .then(
            () => 'redeemed',
            (error) => refusal(Promise.reject(error)),
          ),
      ),
    )
    expect(outcomes.filter((outcome) => outcome === 'redeemed')).toHaveLength(10)
    expect(outcomes.filter((outcome) => outcome === 'code_limit_reached')).toHaveLength(20)
    const [quota] =
      await sql`select used, (select count(*)::int from referral.redemptions where org_id = ${org}) as rows from referral.code_quotas where org_id = ${org}`
    expect(quota).toEqual({ used: 10, rows: 10 })
  })

  test('one person, one code, 32 times: one redemption, the same answer for all', async () => {
    const { org, coordinator, mentor, friend } = await scene(sql)
    const [row] = await coordinator.rpc('create_code', {
      org_id: org,
      referrer_id: mentor.id,
      max_uses: 5,
    })
    const answers = await Promise.all(
      times(32).map(() => friend.rpc('redeem_code', { code: row?.code })),
    )
    expect(new Set(answers.map(([answer]) => answer?.redemption_id)).size).toBe(1)
    expect(await sql`select used from referral.code_quotas where org_id = ${org}`).toEqual([
      { used: 1 },
    ])
  })

  test('a person tapping eight times, two hundred times over: never an error', async () => {
    const { org, mentor } = await scene(sql)
    const { code } = await codeOf(mentor, org)
    for (const _ of times(200)) {
      const friend = person(sql)
      const answers = await Promise.all(times(8).map(() => friend.rpc('redeem_code', { code })))
      expect(new Set(answers.map(([answer]) => answer?.redemption_id)).size).toBe(1)
    }
  })

  test('one person with two codes: one is redeemed, the other refused with already_redeemed', async () => {
    const { org, coordinator, mentor, friend } = await scene(sql)
    const codes = [await codeOf(mentor, org), await codeOf(coordinator, org)]
    const outcomes = await Promise.all(
      codes.map(({ code }) =>
        friend.rpc('redeem_code', { code }).then(
          () => 'redeemed',
          (error) => refusal(Promise.reject(error)),
        ),
      ),
    )
    expect(outcomes.sort()).toEqual(['already_redeemed', 'redeemed'])
  })

  test('two people redeeming each other’s codes: one succeeds, the other is refused with mutual_referral', async () => {
    for (const _ of times(20)) {
      const { org, coordinator, mentor } = await scene(sql)
      const [one, two] = [await codeOf(mentor, org), await codeOf(coordinator, org)]
      const outcomes = await Promise.all(
        [
          mentor.rpc('redeem_code', { code: two.code }),
          coordinator.rpc('redeem_code', { code: one.code }),
        ].map((call) =>
          call.then(
            () => 'redeemed',
            (error) => refusal(Promise.reject(error)),
          ),
        ),
      )
      expect(outcomes.sort()).toEqual(['mutual_referral', 'redeemed'])
    }
  })

  test('rotations against redemptions: nobody sees an error but code_inactive, and nothing deadlocks', async () => {
    const { org, mentor } = await scene(sql)
    const { code } = await codeOf(mentor, org)
    const rotations = times(20).map(() =>
      mentor.rpc('rotate_code', { org_id: org }).then(() => 'rotated'),
    )
    const redemptions = times(20).map(() =>
      person(sql)
        .rpc('redeem_code', { code })
        .then(
          () => 'redeemed',
          (error) => refusal(Promise.reject(error)),
        ),
    )
    const outcomes = await Promise.all([...rotations, ...redemptions])
    expect(outcomes.filter((outcome) => outcome === 'rotated')).toHaveLength(20)
    expect(
      outcomes.filter((outcome) => !['rotated', 'redeemed', 'code_inactive'].includes(outcome)),
    ).toEqual([])
  })
})
