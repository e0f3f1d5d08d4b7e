import { describe, expect, test } from 'vitest'
import { operator, person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

describe('set_member_role', () => {
  test('lets an admin change a role', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor } = await scene(tx)
      const [row] = await admin.rpc('set_member_role', {
        org_id: org,
        user_id: mentor.id,
        role: 'coordinator',
      })
      expect(row).toMatchObject({ user_id: mentor.id, role: 'coordinator' })
    }))

  test('keeps the last admin', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator } = await scene(tx)
      const step = { org_id: org, user_id: admin.id, role: 'member' }
      expect(await refusal(admin.rpc('set_member_role', step))).toBe('last_admin')
      await admin.rpc('set_member_role', { org_id: org, user_id: coordinator.id, role: 'admin' })
      expect(await admin.rpc('set_member_role', step)).toMatchObject([{ role: 'member' }])
    }))

  test('is for admins, and for members that there are', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor, friend } = await scene(tx)
      const args = { org_id: org, user_id: mentor.id, role: 'member' }
      expect(await refusal(coordinator.rpc('set_member_role', args))).toBe('not_allowed')
      expect(await refusal(admin.rpc('set_member_role', { ...args, user_id: friend.id }))).toBe(
        'member_not_found',
      )
      expect(await refusal(admin.rpc('set_member_role', { ...args, role: 'owner' }))).toBe(
        'invalid_argument',
      )
    }))
})

describe('deactivate_member', () => {
  test('ends the member’s codes and rights, and is undone without reviving the codes', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await coordinator.rpc('deactivate_member', {
        org_id: org,
        user_id: mentor.id,
        reason: 'left',
      })
      expect(await mentor.rpc('find_code', { code })).toMatchObject([
        { status: 'invalidated', reason: 'left', ended_by: coordinator.id },
      ])
      expect(await refusal(mentor.rpc('create_code', { org_id: org }))).toBe('member_deactivated')
      expect(await refusal(mentor.rpc('get_or_create_code', { org_id: org }))).toBe(
        'member_deactivated',
      )
      await coordinator.rpc('reactivate_member', { org_id: org, user_id: mentor.id })
      expect((await codeOf(mentor, org)).code).not.toBe(code)
    }))

  test('that blocks keeps codes away also after reactivation', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const who = { org_id: org, user_id: mentor.id }
      await coordinator.rpc('deactivate_member', { ...who, block: true })
      await coordinator.rpc('reactivate_member', who)
      expect(await refusal(mentor.rpc('create_code', { org_id: org }))).toBe('member_blocked')
    }))

  test('leaves staff to admins, and the last admin to nobody', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator } = await scene(tx)
      const of = (user_id: string) => ({ org_id: org, user_id })
      expect(await refusal(coordinator.rpc('deactivate_member', of(coordinator.id)))).toBe(
        'not_allowed',
      )
      expect(await refusal(operator(tx).rpc('deactivate_member', of(admin.id)))).toBe('last_admin')
      expect(await admin.rpc('deactivate_member', of(coordinator.id))).toHaveLength(1)
      expect(await refusal(coordinator.rpc('add_member', of(crypto.randomUUID())))).toBe(
        'not_a_member',
      )
    }))
})

describe('set_my_name', () => {
  test('is what a link shows, once the member agrees', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      const [code] = await mentor.rpc('create_code', { org_id: org })
      const shown = async () =>
        (await friend.rpc('resolve_code', { code: code?.code }))[0]?.referrer_name
      await mentor.rpc('set_my_name', { org_id: org, display_name: 'Olivia' })
      expect(await shown()).toBeNull()
      await mentor.rpc('set_my_name', { org_id: org, display_name: 'Olivia', public_name: true })
      expect(await shown()).toBe('Olivia')
      const nameless = { org_id: org, display_name: null, public_name: true }
      expect(await refusal(mentor.rpc('set_my_name', nameless))).toBe('invalid_argument')
    }))
})

describe('an anonymous sign-in with a role', () => {
  test('sees and does nothing of it', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor } = await scene(tx)
      const [code] = await mentor.rpc('create_code', { org_id: org })
      const guest = person(tx, admin.id, { is_anonymous: true })
      expect(await refusal(guest.rpc('suspend_code', { code_id: code?.id }))).toBe('code_not_found')
      expect(await guest.run('select from referral.codes')).toEqual([])
    }))
})

describe('get_or_create_code', () => {
  test('makes a stranger a member of a program with open enrolment, and answers the same again', () =>
    undone(sql, async (tx) => {
      const { org, friend } = await scene(tx)
      const [first] = await friend.rpc('get_or_create_code', { org_id: org })
      expect(first).toMatchObject({ referrer_id: friend.id, status: 'active' })
      expect(await friend.rpc('get_or_create_code', { org_id: org })).toEqual([first])
      expect(await friend.rpc('my_memberships')).toMatchObject([
        { role: 'member', admitted_by: friend.id },
      ])
    }))

  test('refuses a stranger where enrolment is by invitation, and a member who enrolled themself elsewhere', () =>
    undone(sql, async (tx) => {
      const { org, admin, friend, mentor } = await scene(tx)
      const [closed] = await admin.rpc('create_program', {
        org_id: org,
        key: 'closed',
        name: 'Closed',
      })
      const args = { org_id: org, program_id: closed?.id }
      expect(await refusal(friend.rpc('get_or_create_code', args))).toBe('not_invited')
      await friend.rpc('get_or_create_code', { org_id: org })
      await friend.rpc('deactivate_code', { org_id: org })
      expect(await refusal(friend.rpc('get_or_create_code', args))).toBe('not_invited')
      expect(await refusal(friend.rpc('create_code', args))).toBe('not_invited')
      expect(await mentor.rpc('get_or_create_code', args)).toHaveLength(1)
    }))

  test('is no longer needed by a person whom staff invite later', () =>
    undone(sql, async (tx) => {
      const { org, admin, friend } = await scene(tx)
      const [closed] = await admin.rpc('create_program', {
        org_id: org,
        key: 'closed',
        name: 'Closed',
      })
      await friend.rpc('get_or_create_code', { org_id: org })
      await friend.rpc('deactivate_code', { org_id: org })
      const wanted = { org_id: org, program_id: closed?.id }
      expect(await refusal(friend.rpc('create_code', wanted))).toBe('not_invited')
      await admin.rpc('add_member', { org_id: org, user_id: friend.id })
      expect(await friend.rpc('create_code', wanted)).toHaveLength(1)
    }))

  test('refuses a rotation, once enrolment was closed, to a member who enrolled themself', () =>
    undone(sql, async (tx) => {
      const { org, program, admin, friend } = await scene(tx)
      await friend.rpc('get_or_create_code', { org_id: org })
      await admin.rpc('update_program', {
        program_id: program,
        changes: { terms: { enrolment: 'invited' } },
      })
      expect(await refusal(friend.rpc('rotate_code', { org_id: org }))).toBe('not_invited')
    }))

  test('says active_in_other_program instead of giving a code of another program', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor } = await scene(tx)
      const [other] = await admin.rpc('create_program', {
        org_id: org,
        key: 'other',
        name: 'Other',
        terms: { enrolment: 'open' },
      })
      await codeOf(mentor, org)
      const call = mentor.rpc('get_or_create_code', { org_id: org, program_id: other?.id })
      expect(await refusal(call)).toBe('active_in_other_program')
    }))
})

describe('update_program', () => {
  test('keeps what was redeemed under the terms it was made under', () =>
    undone(sql, async (tx) => {
      const { org, program, admin, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await person(tx).rpc('redeem_code', { code })
      await admin.rpc('update_program', {
        program_id: program,
        changes: { terms: { enrolment: 'open', hold_days: 30 } },
      })
      await person(tx).rpc('redeem_code', { code })
      const versions = await tx`
        select r.terms_version as version, t.terms -> 'hold_days' as hold, t.valid_to is null as in_force
        from referral.redemptions as r join referral.program_terms as t on t.program_id = r.program_id and t.version = r.terms_version
        where r.org_id = ${org} order by 1`
      expect(versions).toEqual([
        { version: 1, hold: 14, in_force: false },
        { version: 2, hold: 30, in_force: true },
      ])
    }))

  test('moves the default, and never takes it away', () =>
    undone(sql, async (tx) => {
      const { org, program, admin } = await scene(tx)
      const [other] = await admin.rpc('create_program', {
        org_id: org,
        key: 'other',
        name: 'Other',
      })
      await admin.rpc('update_program', { program_id: other?.id, changes: { is_default: true } })
      expect(
        await tx`select id from referral.programs where org_id = ${org} and is_default`,
      ).toEqual([{ id: other?.id }])
      const take = admin.rpc('update_program', {
        program_id: program,
        changes: { is_default: false },
      })
      expect(await refusal(take)).toBe('invalid_argument')
    }))

  test.for([
    [{ nam: 'X' }, 'invalid_argument'],
    [{ active: 'perhaps' }, 'invalid_argument'],
    [{ active: null }, 'invalid_argument'],
    [{ name: '' }, 'invalid_argument'],
    [{ is_default: null }, 'invalid_argument'],
    [{ is_default: 'false' }, 'invalid_argument'],
    [{ terms: { hold_days: -1 } }, 'invalid_terms'],
  ] as const)('refuses %o with %s', ([changes, expected]) =>
    undone(sql, async (tx) => {
      const { program, admin } = await scene(tx)
      expect(await refusal(admin.rpc('update_program', { program_id: program, changes }))).toBe(
        expected,
      )
    }),
  )

  test('is for admins; to others the program does not exist', () =>
    undone(sql, async (tx) => {
      const { program, coordinator, friend } = await scene(tx)
      const call = { program_id: program, changes: { active: false } }
      expect(await refusal(coordinator.rpc('update_program', call))).toBe('not_allowed')
      expect(await refusal(friend.rpc('update_program', call))).toBe('program_not_found')
    }))
})
