import { describe, expect, test } from 'vitest'
import { anonymous, person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

describe('redeem_code', () => {
  test('records who used which code under which terms, and tells the referee nothing of the referrer', () =>
    undone(sql, async (tx) => {
      const { org, program, mentor, friend, coordinator } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      const [answer] = await friend.rpc('redeem_code', { code: code.toLowerCase(), channel: 'qr' })
      expect(Object.keys(answer ?? {})).toEqual([
        'redemption_id',
        'org_id',
        'program_id',
        'code',
        'status',
        'redeemed_at',
      ])
      expect(answer).toMatchObject({ org_id: org, program_id: program, code, status: 'pending' })
      expect(await coordinator.run('select * from referral.redemptions')).toMatchObject([
        {
          code_id: id,
          referrer_id: mentor.id,
          referee_id: friend.id,
          terms_version: 1,
          provenance: 'typed',
          channel: 'qr',
        },
      ])
    }))

  test('answers the same code again with the same redemption, also after the code has ended', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      const [first] = await friend.rpc('redeem_code', { code })
      await mentor.rpc('deactivate_code', { org_id: org })
      expect(await friend.rpc('redeem_code', { code })).toEqual([first])
    }))

  test('refuses another code of the program with already_redeemed', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator, friend } = await scene(tx)
      await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
      const other = await codeOf(coordinator, org)
      expect(await refusal(friend.rpc('redeem_code', { code: other.code }))).toBe(
        'already_redeemed',
      )
    }))

  test('refuses the owner, the beneficiary and the creator with self_referral', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator, friend } = await scene(tx)
      const [row] = await coordinator.rpc('create_code', { org_id: org, referrer_id: mentor.id })
      await tx`update referral.codes set beneficiary_id = ${friend.id} where id = ${String(row?.id)}`
      for (const actor of [mentor, coordinator, friend]) {
        expect(await refusal(actor.rpc('redeem_code', { code: row?.code }))).toBe('self_referral')
      }
    }))

  test('refuses two people who refer each other, with mutual_referral', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx)
      const [one, two] = [await codeOf(mentor, org), await codeOf(coordinator, org)]
      await mentor.rpc('redeem_code', { code: two.code })
      expect(await refusal(coordinator.rpc('redeem_code', { code: one.code }))).toBe(
        'mutual_referral',
      )
    }))

  test('counts a limited code to its limit, with code_limit_reached after it', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const [row] = await coordinator.rpc('create_code', {
        org_id: org,
        referrer_id: mentor.id,
        max_uses: 2,
      })
      const code = row?.code
      await person(tx).rpc('redeem_code', { code })
      expect(await coordinator.run('select used, max_uses from referral.code_quotas')).toEqual([
        { used: 1, max_uses: 2 },
      ])
      await person(tx).rpc('redeem_code', { code })
      expect(await refusal(person(tx).rpc('redeem_code', { code }))).toBe('code_limit_reached')
      expect(await anonymous(tx).rpc('resolve_code', { code })).toEqual([])
    }))

  test('shares what is left between a code and the one it was rotated into', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const [old] = await coordinator.rpc('create_code', {
        org_id: org,
        referrer_id: mentor.id,
        max_uses: 2,
      })
      await person(tx).rpc('redeem_code', { code: old?.code })
      const [next] = await mentor.rpc('rotate_code', { org_id: org, grace: '1 day' })
      await person(tx).rpc('redeem_code', { code: next?.code })
      expect(await refusal(person(tx).rpc('redeem_code', { code: old?.code }))).toBe(
        'code_limit_reached',
      )
    }))

  test.for([
    ["status = 'invalidated', ended_at = now()", 'code_inactive'],
    ["status = 'suspended'", 'code_suspended'],
    ["expires_at = clock_timestamp() - interval '1 second'", 'code_expired'],
    ["status = 'expired', ended_at = now()", 'code_expired'],
  ] as const)('refuses a code with %s as %s, and shows nothing of it', ([change, expected]) =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await tx.unsafe(`update referral.codes set ${change}`)
      expect(await refusal(friend.rpc('redeem_code', { code }))).toBe(expected)
      expect(await anonymous(tx).rpc('resolve_code', { code })).toEqual([])
    }),
  )

  test.for(['programs', 'organisations'])(
    'refuses with program_inactive while the %s are switched off',
    (table) =>
      undone(sql, async (tx) => {
        const { org, mentor, friend } = await scene(tx)
        const { code } = await codeOf(mentor, org)
        await tx`update referral.${tx(table)} set active = false`
        expect(await refusal(friend.rpc('redeem_code', { code }))).toBe('program_inactive')
        expect(await anonymous(tx).rpc('resolve_code', { code })).toEqual([])
      }),
  )

  test.for([
    ['7KQ2-M9XT', 'code_not_found'],
    ['🎉', 'invalid_code'],
    ['A'.repeat(10_000), 'invalid_code'],
    ["x'); drop table referral.codes; --", 'invalid_code'],
    [null, 'invalid_code'],
  ])('refuses %.20s with %s', ([code, expected]) =>
    undone(sql, async (tx) => {
      expect(await refusal(person(tx).rpc('redeem_code', { code }))).toBe(expected)
    }),
  )

  test('refuses an anonymous sign-in, and does not exist for the anonymous role', () =>
    undone(sql, async (tx) => {
      const guest = person(tx, crypto.randomUUID(), { is_anonymous: true })
      expect(await refusal(guest.rpc('redeem_code', { code: 'ABC' }))).toBe('anonymous_user')
      expect(await refusal(anonymous(tx).rpc('redeem_code', { code: 'ABC' }))).toBe('42501')
    }))

  test.for([
    [{ provenance: 'link' }, 'invalid_click'],
    [{ click_id: crypto.randomUUID() }, 'invalid_click'],
    [{ provenance: 'promotion_code' }, 'invalid_argument'],
    [{ provenance: null }, 'invalid_argument'],
    [{ channel: 'Not A Label' }, 'invalid_argument'],
  ] as const)('refuses the claim %o with %s', ([claim, expected]) =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      expect(await refusal(friend.rpc('redeem_code', { code, ...claim }))).toBe(expected)
    }),
  )

  test('takes only new users where the terms say so, and nobody without an account', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, { new_users_only_days: 7 })
      const { code } = await codeOf(mentor, org)
      expect(await refusal(friend.rpc('redeem_code', { code }))).toBe('new_users_only')
      const [old, young] = [person(tx), person(tx)]
      await tx`
        insert into auth.users (id, created_at)
        values (${old.id}, now() - interval '8 days'), (${young.id}, now() - interval '6 days')`
      expect(await refusal(old.rpc('redeem_code', { code }))).toBe('new_users_only')
      expect(await young.rpc('redeem_code', { code })).toHaveLength(1)
    }))
})

describe('my_referrals', () => {
  test('lists the caller’s own, newest first, and never who', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      const [first] = await person(tx).rpc('redeem_code', { code })
      const [second] = await person(tx).rpc('redeem_code', { code, channel: 'share' })
      const mine = await mentor.rpc('my_referrals', { org_id: org })
      expect(mine.map(({ redemption_id }) => redemption_id)).toEqual([
        second?.redemption_id,
        first?.redemption_id,
      ])
      expect(Object.keys(mine[0] ?? {})).toEqual([
        'redemption_id',
        'status',
        'redeemed_at',
        'confirmed_at',
        'channel',
      ])
      expect(await coordinator.rpc('my_referrals', { org_id: org })).toEqual([])
    }))
})

describe('resolve_code', () => {
  test('shows names and destinations, and the referrer’s name only where they agreed', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await admin.rpc('update_organisation', {
        org_id: org,
        changes: { web_destination: 'https://example.org/' },
      })
      await tx`update referral.members set display_name = 'Kim' where user_id = ${mentor.id}`
      const shown = {
        code,
        organisation_name: 'Org',
        program_name: 'Friends',
        web_destination: 'https://example.org/',
      }
      expect(await anonymous(tx).rpc('resolve_code', { code })).toMatchObject([
        { ...shown, referrer_name: null },
      ])
      await tx`update referral.members set public_name = true where user_id = ${mentor.id}`
      expect(await anonymous(tx).rpc('resolve_code', { code })).toMatchObject([
        { ...shown, referrer_name: 'Kim' },
      ])
    }))

  test.for(['nothing', '🎉', '', 'A'.repeat(10_000)])('gives no row for %.20s', (code) =>
    undone(sql, async (tx) => {
      expect(await anonymous(tx).rpc('resolve_code', { code })).toEqual([])
    }),
  )
})
