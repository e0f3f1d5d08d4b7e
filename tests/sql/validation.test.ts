import { describe, expect, test } from 'vitest'
import { anonymous, operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

async function limited(tx: Sql) {
  const people = await scene(tx)
  const given = { org_id: people.org, referrer_id: people.mentor.id, max_uses: 1 }
  const [row] = await people.coordinator.rpc('create_code', given)
  return { ...people, id: String(row?.id), code: String(row?.code) }
}

describe('validate_code', () => {
  test('shows a signed-in person what a link shows, and writes nothing', () =>
    undone(sql, async (tx) => {
      const { friend, code } = await limited(tx)
      await tx`set constraints all immediate`
      await tx`set transaction read only`
      expect(await friend.rpc('validate_code', { code })).toMatchObject([
        { code, organisation_name: 'Org' },
      ])
    }))

  test.for([
    ['self_referral', async (s, _) => s.mentor],
    ['self_referral', async (s, _) => s.coordinator],
    [
      'already_redeemed',
      async (s, _) => (await s.friend.rpc('redeem_code', { code: s.code })) && s.friend,
    ],
    [
      'code_limit_reached',
      async (s, tx) => (await person(tx).rpc('redeem_code', { code: s.code })) && s.friend,
    ],
    [
      'code_suspended',
      async (s, _) => (await s.coordinator.rpc('suspend_code', { code_id: s.id })) && s.friend,
    ],
    [
      'code_inactive',
      async (s, _) => (await s.coordinator.rpc('end_code', { code_id: s.id })) && s.friend,
    ],
    [
      'program_inactive',
      async (s, _) =>
        (await s.admin.rpc('update_program', {
          program_id: s.program,
          changes: { active: false },
        })) && s.friend,
    ],
  ] as [
    string,
    (s: Awaited<ReturnType<typeof limited>>, tx: Sql) => Promise<ReturnType<typeof person>>,
  ][])(
    'says %s as redeem_code would, and to a caller who is not signed in nothing at all',
    ([expected, who]) =>
      undone(sql, async (tx) => {
        const staged = await limited(tx)
        const actor = await who(staged, tx)
        expect(await refusal(actor.rpc('validate_code', { code: staged.code }))).toBe(expected)
        if (expected === 'self_referral' || expected === 'already_redeemed') return
        expect(await anonymous(tx).rpc('validate_code', { code: staged.code })).toEqual([])
        const guest = person(tx, crypto.randomUUID(), { is_anonymous: true })
        expect(await guest.rpc('validate_code', { code: staged.code })).toEqual([])
      }),
  )

  test('tells nobody who redeemed their code: that is said by redeem_code', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx)
      const [one, two] = [await codeOf(mentor, org), await codeOf(coordinator, org)]
      const before = await coordinator.rpc('validate_code', { code: one.code })
      await mentor.rpc('redeem_code', { code: two.code })
      expect(before).toHaveLength(1)
      expect(await coordinator.rpc('validate_code', { code: one.code })).toEqual(before)
      expect(await refusal(coordinator.rpc('redeem_code', { code: one.code }))).toBe(
        'mutual_referral',
      )
    }))

  test('says code_not_found and invalid_code', () =>
    undone(sql, async (tx) => {
      const { mentor } = await scene(tx)
      expect(await refusal(mentor.rpc('validate_code', { code: 'NOBODY' }))).toBe('code_not_found')
      expect(await refusal(mentor.rpc('validate_code', { code: '🎉' }))).toBe('invalid_code')
    }))
})

describe('the rate limit', () => {
  const from = (tx: Sql, address: string) =>
    tx`select set_config('request.headers', ${JSON.stringify({ 'cf-connecting-ip': address })}, true)`

  test('counts what one account redeems in an hour, and only what is redeemed', () =>
    undone(sql, async (tx) => {
      const { org, admin, friend } = await scene(tx)
      await admin.rpc('update_organisation', {
        org_id: org,
        changes: { redemptions_per_user: 2 },
      })
      const codes = []
      for (const key of ['one', 'two', 'three']) {
        const [program] = await admin.rpc('create_program', { org_id: org, key, name: key })
        const [code] = await admin.rpc('create_campaign_code', {
          org_id: org,
          program_id: program?.id,
        })
        codes.push(code?.code)
      }
      await friend.rpc('redeem_code', { code: codes[0] })
      await friend.rpc('redeem_code', { code: codes[0] })
      expect(await refusal(friend.rpc('redeem_code', { code: 'NOBODY' }))).toBe('code_not_found')
      await friend.rpc('redeem_code', { code: codes[1] })
      expect(await refusal(friend.rpc('redeem_code', { code: codes[2] }))).toBe('rate_limited')
      expect(
        await tx`select count(*)::int from referral.redemptions where org_id = ${org}`,
      ).toEqual([{ count: 2 }])
      await tx`update referral_private.rate_limit_buckets set hour = hour - interval '1 hour'`
      expect(await friend.rpc('redeem_code', { code: codes[2] })).toHaveLength(1)
    }))

  test('counts what one address redeems, stores no address, and lets those without one pass', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor } = await scene(tx)
      await admin.rpc('update_organisation', {
        org_id: org,
        changes: { redemptions_per_address: 1 },
      })
      const { code } = await codeOf(mentor, org)
      await from(tx, '203.0.113.7')
      await person(tx).rpc('redeem_code', { code })
      expect(await refusal(person(tx).rpc('redeem_code', { code }))).toBe('rate_limited')
      await from(tx, '203.0.113.8')
      await person(tx).rpc('redeem_code', { code })
      await from(tx, '')
      for (let i = 0; i < 3; i++) await person(tx).rpc('redeem_code', { code })
      const stored = await tx`select bucket from referral_private.rate_limit_buckets`
      expect(JSON.stringify(stored)).not.toContain('203.0.113')
    }))

  test('takes the /64 network of an IPv6 address for one, and text that is no address for none', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      const changes = { redemptions_per_address: 1 }
      await admin.rpc('update_organisation', { org_id: org, changes })
      await from(tx, '2001:db8::1')
      await person(tx).rpc('redeem_code', { code })
      await from(tx, '2001:db8::2')
      expect(await refusal(person(tx).rpc('redeem_code', { code }))).toBe('rate_limited')
      for (const other of ['2001:db8:0:1::1', '::ffff:192.0.2.1', '::ffff:192.0.2.2', 'x', 'x']) {
        await from(tx, other)
        expect(await person(tx).rpc('redeem_code', { code })).toHaveLength(1)
      }
    }))

  test('forgets the hours that are over', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      await person(tx).rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
      await tx`update referral_private.rate_limit_buckets set hour = hour - interval '2 hours'`
      expect(await operator(tx).rpc('purge_rate_limits')).toEqual([{ purge_rate_limits: 1 }])
      expect(await tx`select from referral_private.rate_limit_buckets`).toHaveLength(0)
    }))
})
