import { describe, expect, test } from 'vitest'
import { operator, person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const hourAgo = "clock_timestamp() - interval '1 hour'"

describe('create_code', () => {
  test('draws a code of eight characters in an open program', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const [code] = await mentor.rpc('create_code', { org_id: org })
      expect(code).toMatchObject({
        referrer_id: mentor.id,
        created_by: mentor.id,
        status: 'active',
      })
      expect(code?.code).toMatch(/^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/)
    }))

  test('draws twelve characters where the program is invited', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx, {})
      const { code } = await codeOf(mentor, org)
      expect(code).toMatch(/^(.{4}-){2}.{4}$/)
    }))

  test('draws twelve characters for a limited code', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const [code] = await coordinator.rpc('create_code', {
        org_id: org,
        referrer_id: mentor.id,
        max_uses: 3,
      })
      expect(code?.code).toHaveLength(14)
    }))

  test('refuses a second code while one is active, with active_code_exists', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      await codeOf(mentor, org)
      expect(await refusal(mentor.rpc('create_code', { org_id: org }))).toBe('active_code_exists')
    }))

  test('gives one person a code in each of two organisations', () =>
    undone(sql, async (tx) => {
      const [one, two] = [await scene(tx), await scene(tx)]
      await two.admin.rpc('add_member', { org_id: two.org, user_id: one.mentor.id })
      await codeOf(one.mentor, one.org)
      expect((await codeOf(one.mentor, two.org)).code).toBeTruthy()
    }))

  test('draws codes of the length that the organisation wants', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor } = await scene(tx)
      await admin.rpc('update_organisation', { org_id: org, changes: { code_length: 16 } })
      expect((await codeOf(mentor, org)).code).toHaveLength(19)
    }))

  test('is not blocked by an expired code', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const old = await codeOf(mentor, org)
      await tx`update referral.codes set expires_at = ${tx.unsafe(hourAgo)} where id = ${old.id}`
      await codeOf(mentor, org)
      const [row] = await tx`select status from referral.codes where id = ${old.id}`
      expect(row?.status).toBe('expired')
    }))

  test('refuses a suspended referrer with code_suspended', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      await tx`update referral.codes set status = 'suspended' where id = ${id}`
      expect(await refusal(mentor.rpc('create_code', { org_id: org }))).toBe('code_suspended')
      expect(await refusal(mentor.rpc('rotate_code', { org_id: org }))).toBe('code_suspended')
    }))

  test('shows a chosen code in capitals, and takes it as equal however it is spelt', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const [code] = await coordinator.rpc('create_code', {
        org_id: org,
        referrer_id: mentor.id,
        code: ' olivia 1',
      })
      expect(code?.code).toBe('OLIVIA-1')
      const other = { org_id: org, referrer_id: coordinator.id, code: '0LIVIAl' }
      expect(await refusal(coordinator.rpc('create_code', other))).toBe('code_taken')
    }))

  test.for([
    ['x', 'invalid_code'],
    ['héllo', 'invalid_code'],
    ['🎉🎉🎉', 'invalid_code'],
    ["x'; drop table codes; --", 'invalid_code'],
    ['A'.repeat(10_000), 'invalid_code'],
  ])('refuses the chosen code %.20s with %s', ([code, expected]) =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      expect(
        await refusal(
          coordinator.rpc('create_code', { org_id: org, referrer_id: mentor.id, code }),
        ),
      ).toBe(expected)
    }),
  )

  test.for([{ code: 'CHOSEN' }, { max_uses: 1 }, { expires_at: '2099-01-01' }])(
    'leaves %o to staff',
    (choice) =>
      undone(sql, async (tx) => {
        const { org, mentor } = await scene(tx)
        expect(await refusal(mentor.rpc('create_code', { org_id: org, ...choice }))).toBe(
          'not_allowed',
        )
      }),
  )

  test.for([
    { max_uses: 0 },
    { max_uses: -1 },
    { max_uses: 100_001 },
    { expires_at: '2001-01-01' },
    { description: 'x'.repeat(501) },
  ])('refuses %o with invalid_argument', (wrong) =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const call = coordinator.rpc('create_code', { org_id: org, referrer_id: mentor.id, ...wrong })
      expect(await refusal(call)).toBe('invalid_argument')
    }),
  )

  test('lets a member act only for themself', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx)
      expect(
        await refusal(mentor.rpc('create_code', { org_id: org, referrer_id: coordinator.id })),
      ).toBe('not_allowed')
    }))

  test('refuses callers without the right, each with its code', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend, coordinator } = await scene(tx)
      const elsewhere = await scene(tx)
      expect(await refusal(friend.rpc('create_code', { org_id: org }))).toBe('not_a_member')
      expect(
        await refusal(elsewhere.admin.rpc('create_code', { org_id: org, referrer_id: mentor.id })),
      ).toBe('not_a_member')
      expect(
        await refusal(coordinator.rpc('create_code', { org_id: org, referrer_id: friend.id })),
      ).toBe('member_not_found')
      const guest = person(tx, mentor.id, { is_anonymous: true })
      expect(await refusal(guest.rpc('create_code', { org_id: org }))).toBe('anonymous_user')
      expect(await refusal(operator(tx).rpc('create_code', { org_id: org }))).toBe(
        'invalid_argument',
      )
      const nowhere = { org_id: crypto.randomUUID(), referrer_id: mentor.id }
      expect(await refusal(operator(tx).rpc('create_code', nowhere))).toBe('organisation_not_found')
      await tx`update referral.members set deactivated_at = now() where user_id = ${mentor.id}`
      expect(await refusal(mentor.rpc('create_code', { org_id: org }))).toBe('member_deactivated')
    }))

  test('refuses a program that is switched off or of another organisation', () =>
    undone(sql, async (tx) => {
      const { org, program, mentor } = await scene(tx)
      const elsewhere = await scene(tx)
      expect(
        await refusal(mentor.rpc('create_code', { org_id: org, program_id: elsewhere.program })),
      ).toBe('program_not_found')
      await tx`update referral.programs set active = false where id = ${program}`
      expect(await refusal(mentor.rpc('create_code', { org_id: org }))).toBe('program_inactive')
    }))
})

describe('get_active_code', () => {
  test('gives the code, also to staff, and no row where there is none', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx)
      expect(await mentor.rpc('get_active_code', { org_id: org })).toEqual([])
      const { id } = await codeOf(mentor, org)
      expect(await mentor.rpc('get_active_code', { org_id: org })).toMatchObject([{ id }])
      expect(
        await coordinator.rpc('get_active_code', { org_id: org, referrer_id: mentor.id }),
      ).toMatchObject([{ id }])
      await tx`update referral.codes set expires_at = ${tx.unsafe(hourAgo)} where id = ${id}`
      expect(await mentor.rpc('get_active_code', { org_id: org })).toEqual([])
    }))

  test('refuses a stranger with not_a_member', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      expect(
        await refusal(friend.rpc('get_active_code', { org_id: org, referrer_id: mentor.id })),
      ).toBe('not_a_member')
    }))
})

describe('find_code', () => {
  test('finds a code in any status for owner, staff and operator, and for nobody else', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator, friend } = await scene(tx)
      const elsewhere = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      await mentor.rpc('deactivate_code', { org_id: org })
      const spelt = { code: code.toLowerCase().replace('-', ' — ') }
      for (const actor of [mentor, coordinator, operator(tx)]) {
        expect(await actor.rpc('find_code', spelt)).toMatchObject([{ id, status: 'invalidated' }])
      }
      const colleague = person(tx)
      await coordinator.rpc('add_member', { org_id: org, user_id: colleague.id })
      for (const actor of [friend, colleague, elsewhere.admin])
        expect(await actor.rpc('find_code', spelt)).toEqual([])
    }))

  test('shows a code past its time as expired before anybody stored that', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      await tx`update referral.codes set expires_at = ${tx.unsafe(hourAgo)} where id = ${id}`
      expect(await mentor.rpc('find_code', { code })).toMatchObject([{ status: 'expired' }])
    }))
})

describe('rotate_code', () => {
  test('retires the active code and issues another', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const old = await codeOf(mentor, org)
      const [next] = await mentor.rpc('rotate_code', { org_id: org, reason: 'printed anew' })
      expect(next).toMatchObject({
        status: 'active',
        rotation: 1,
        referrer_id: mentor.id,
        reason: null,
      })
      const [retired] = await tx`select * from referral.codes where id = ${old.id}`
      expect(retired).toMatchObject({
        status: 'rotated',
        replaced_by: next?.id,
        reason: 'printed anew',
        ended_by: mentor.id,
      })
    }))

  test('keeps the first code of the chain on each of the next ones, where it never changes', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      for (let n = 0; n < 3; n++) await mentor.rpc('rotate_code', { org_id: org })
      const rows = await tx`
        select rotation, chain_id from referral.codes where org_id = ${org} order by rotation`
      expect(rows.map(({ rotation, chain_id }) => [rotation, chain_id])).toEqual([
        [0, null],
        [1, id],
        [2, id],
        [3, id],
      ])
      const change = tx.savepoint(
        (point) => point`
          update referral.codes set chain_id = (select id from referral.codes where rotation = 1) where rotation = 3`,
      )
      expect(await refusal(change)).toBe('code_ended')
    }))

  test('inherits expiry, description and the quota', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx)
      const given = {
        org_id: org,
        referrer_id: mentor.id,
        max_uses: 5,
        expires_at: '2099-01-01T00:00:00Z',
        description: 'fair',
      }
      const [old] = await coordinator.rpc('create_code', given)
      const [next] = await mentor.rpc('rotate_code', { org_id: org })
      expect(next).toMatchObject({
        quota_id: old?.quota_id,
        expires_at: old?.expires_at,
        description: 'fair',
      })
    }))

  test('keeps beneficiary and creator, so that the maker of the first code cannot redeem the next', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor, friend } = await scene(tx)
      const [old] = await coordinator.rpc('create_code', { org_id: org, referrer_id: mentor.id })
      await tx`update referral.codes set beneficiary_id = ${friend.id} where id = ${String(old?.id)}`
      const [next] = await mentor.rpc('rotate_code', { org_id: org })
      expect(next).toMatchObject({ created_by: coordinator.id, beneficiary_id: friend.id })
      expect(await refusal(coordinator.rpc('redeem_code', { code: next?.code }))).toBe(
        'self_referral',
      )
    }))

  test.for(['programs', 'organisations'])('refuses while the %s are switched off', (table) =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      await codeOf(mentor, org)
      await tx`update referral.${tx(table)} set active = false`
      expect(await refusal(mentor.rpc('rotate_code', { org_id: org }))).toBe('program_inactive')
    }),
  )

  test('keeps the old code redeemable for the grace period, and no longer', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      await mentor.rpc('rotate_code', { org_id: org, grace: '2 days' })
      expect(await friend.rpc('resolve_code', { code })).toHaveLength(1)
      await tx`set constraints all immediate`
      await tx`alter table referral.codes disable trigger codes_keep_what_they_are`
      await tx`update referral.codes set redeemable_until = ${tx.unsafe(hourAgo)} where id = ${id}`
      expect(await friend.rpc('resolve_code', { code })).toEqual([])
      expect(await refusal(friend.rpc('redeem_code', { code }))).toBe('code_inactive')
    }))

  test.for([
    '-1 second',
    '7 days 1 second',
    '1000 years -359993 days',
    '300000 years -107999993 days',
  ])('refuses a grace of %s with invalid_argument', (grace) =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      await codeOf(mentor, org)
      expect(await refusal(mentor.rpc('rotate_code', { org_id: org, grace }))).toBe(
        'invalid_argument',
      )
    }),
  )

  test('leaves the choice of the string to staff, and changes nothing when it is taken', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      expect(await refusal(mentor.rpc('rotate_code', { org_id: org, code: 'MINE' }))).toBe(
        'not_allowed',
      )
      const taken = { org_id: org, referrer_id: mentor.id, code }
      expect(await refusal(coordinator.rpc('rotate_code', taken))).toBe('code_taken')
      expect(await mentor.rpc('get_active_code', { org_id: org })).toMatchObject([{ id }])
    }))

  test('refuses without an active code, with no_active_code', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      expect(await refusal(mentor.rpc('rotate_code', { org_id: org }))).toBe('no_active_code')
    }))
})

describe('deactivate_code', () => {
  test('ends the active code, says why and by whom, and is no error the second time', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx)
      await codeOf(mentor, org)
      const call = { org_id: org, referrer_id: mentor.id, reason: 'left' }
      const [ended] = await coordinator.rpc('deactivate_code', call)
      expect(ended).toMatchObject({
        status: 'invalidated',
        reason: 'left',
        ended_by: coordinator.id,
      })
      expect(await coordinator.rpc('deactivate_code', call)).toEqual([])
    }))

  test('refuses a stranger with not_a_member', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      expect(
        await refusal(friend.rpc('deactivate_code', { org_id: org, referrer_id: mentor.id })),
      ).toBe('not_a_member')
    }))
})

describe('deactivating', () => {
  test('also ends the grace of the code before', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await mentor.rpc('rotate_code', { org_id: org, grace: '7 days' })
      await mentor.rpc('deactivate_code', { org_id: org })
      expect(await refusal(friend.rpc('redeem_code', { code }))).toBe('code_inactive')
    }))

  test('leaves an expired code expired', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      await tx`update referral.codes set expires_at = ${tx.unsafe(hourAgo)} where id = ${id}`
      expect(await mentor.rpc('deactivate_code', { org_id: org })).toEqual([])
      expect(await tx`select status from referral.codes where id = ${id}`).toEqual([
        { status: 'expired' },
      ])
    }))
})

describe('a code', () => {
  test.for([
    "update referral.codes set status = 'active', ended_at = null",
    "update referral.codes set expires_at = now() + interval '1 day'",
    'delete from referral.codes',
    'truncate referral.codes cascade',
  ])('that has ended stays ended, also for the owner: %s', (change) =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      await codeOf(mentor, org)
      await mentor.rpc('deactivate_code', { org_id: org })
      await tx`set constraints all immediate`
      expect(await refusal(tx.savepoint((inner) => inner.unsafe(change)))).toBe('code_ended')
    }),
  )

  test('never changes its owner or its string', () =>
    undone(sql, async (tx) => {
      const { org, mentor, admin } = await scene(tx)
      await codeOf(mentor, org)
      const rename = tx.savepoint((inner) => inner`update referral.codes set code = 'OTHER'`)
      expect(await refusal(rename)).toBe('code_ended')
      const give = tx.savepoint(
        (inner) => inner`update referral.codes set referrer_id = ${admin.id}`,
      )
      expect(await refusal(give)).toBe('code_ended')
    }))

  test('that has ended can still be described', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      await mentor.rpc('deactivate_code', { org_id: org })
      const [row] =
        await tx`update referral.codes set description = 'spring fair' where id = ${id} returning description`
      expect(row?.description).toBe('spring fair')
    }))
})
