import { describe, expect, test } from 'vitest'
import { type Actor, anonymous, operator, person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const campaign = async (by: Actor, org: string, args: object = {}) => {
  const [row] = await by.rpc('create_campaign_code', { org_id: org, ...args })
  return { id: String(row?.id), code: String(row?.code), row }
}

describe('suspend_code and reactivate_code', () => {
  test('take a code out of use and bring it back, and say why', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor, friend } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      const [suspended] = await coordinator.rpc('suspend_code', {
        code_id: id,
        reason: 'posted as spam',
      })
      expect(suspended).toMatchObject({ status: 'suspended', reason: 'posted as spam' })
      expect(await coordinator.rpc('suspend_code', { code_id: id })).toEqual([suspended])
      expect(await refusal(friend.rpc('redeem_code', { code }))).toBe('code_suspended')
      expect(await refusal(mentor.rpc('create_code', { org_id: org }))).toBe('code_suspended')
      await coordinator.rpc('reactivate_code', { code_id: id })
      expect(await friend.rpc('redeem_code', { code })).toHaveLength(1)
    }))

  test('leave no earlier code of the referrer redeemable', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      const [next] = await mentor.rpc('rotate_code', { org_id: org, grace: '7 days' })
      await coordinator.rpc('suspend_code', { code_id: next?.id, reason: 'spam' })
      expect(await anonymous(tx).rpc('resolve_code', { code })).toEqual([])
      const changes = await coordinator.run(
        `select to_status, reason from referral.code_changes where code_id = '${id}' order by id`,
      )
      expect(changes.at(-1)).toEqual({ to_status: 'rotated', reason: 'spam' })
    }))

  test('refuse a code that has ended with code_ended, and one past its time too', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      await tx`update referral.codes set expires_at = clock_timestamp() - interval '1 second' where id = ${id}`
      expect(await refusal(coordinator.rpc('suspend_code', { code_id: id }))).toBe('code_ended')
      expect(await refusal(coordinator.rpc('reactivate_code', { code_id: id }))).toBe('code_ended')
    }))

  test.for(['suspend_code', 'reactivate_code', 'end_code', 'update_code', 'usage_for_code'])(
    '%s: to callers who are not staff of its organisation there is no such code',
    (rpc) =>
      undone(sql, async (tx) => {
        const { org, mentor } = await scene(tx)
        const elsewhere = await scene(tx)
        const { id } = await codeOf(mentor, org)
        const args = { code_id: id, ...(rpc === 'update_code' && { changes: {} }) }
        for (const actor of [mentor, elsewhere.admin, person(tx)]) {
          expect(await refusal(actor.rpc(rpc, args))).toBe('code_not_found')
        }
        const nothing = { ...args, code_id: crypto.randomUUID() }
        expect(await refusal(operator(tx).rpc(rpc, nothing))).toBe('code_not_found')
      }),
  )
})

describe('end_code', () => {
  test('ends a campaign code', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, friend } = await scene(tx)
      const { id, code } = await campaign(coordinator, org)
      const [ended] = await coordinator.rpc('end_code', { code_id: id, reason: 'over' })
      expect(ended).toMatchObject({ status: 'invalidated', reason: 'over' })
      expect(await coordinator.rpc('end_code', { code_id: id })).toEqual([ended])
      expect(await refusal(friend.rpc('redeem_code', { code }))).toBe('code_inactive')
    }))

  test('ends the grace of the codes before, too', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      const [next] = await mentor.rpc('rotate_code', { org_id: org, grace: '7 days' })
      await coordinator.rpc('end_code', { code_id: next?.id })
      expect(await anonymous(tx).rpc('resolve_code', { code })).toEqual([])
    }))

  test('that blocks keeps new codes from the referrer until an admin lifts that', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      await coordinator.rpc('end_code', { code_id: id, reason: 'abuse', block: true })
      expect(await refusal(mentor.rpc('create_code', { org_id: org }))).toBe('member_blocked')
      const unblock = { org_id: org, user_id: mentor.id, unblock: true }
      expect(await refusal(coordinator.rpc('reactivate_member', unblock))).toBe('not_allowed')
      await admin.rpc('reactivate_member', { ...unblock, reason: 'sorry' })
      expect(await mentor.rpc('create_code', { org_id: org })).toHaveLength(1)
      const of = { org_id: org, subject_id: mentor.id, page_size: 2 }
      expect(await admin.rpc('list_changes', of)).toMatchObject([
        { actor_id: admin.id, after: { blocked_at: null, reason: 'sorry' } },
        { actor_id: coordinator.id, after: { reason: 'abuse' }, before: { blocked_at: null } },
      ])
    }))

  test('ends the grace of a rotated code', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      await mentor.rpc('rotate_code', { org_id: org, grace: '7 days' })
      await coordinator.rpc('end_code', { code_id: id })
      expect(await anonymous(tx).rpc('resolve_code', { code })).toEqual([])
    }))
})

describe('update_code', () => {
  test('edits description, expiry and limit', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      const changes = { description: 'fair', expires_at: '2099-01-01T00:00:00Z', max_uses: 3 }
      const [row] = await coordinator.rpc('update_code', { code_id: id, changes })
      expect(row).toMatchObject({ description: 'fair', expires_at: new Date('2099-01-01') })
      expect(await coordinator.run('select used, max_uses from referral.code_quotas')).toEqual([
        { used: 0, max_uses: 3 },
      ])
    }))

  test('counts what was redeemed before there was a limit, and refuses one below that', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      for (let i = 0; i < 2; i++) await person(tx).rpc('redeem_code', { code })
      const limit = (max_uses: number | null) =>
        coordinator.rpc('update_code', { code_id: id, changes: { max_uses } })
      expect(await refusal(limit(1))).toBe('invalid_argument')
      await limit(2)
      expect(await refusal(person(tx).rpc('redeem_code', { code }))).toBe('code_limit_reached')
      await limit(3)
      expect(await person(tx).rpc('redeem_code', { code })).toHaveLength(1)
      expect(await refusal(limit(2))).toBe('invalid_argument')
      await limit(null)
      expect(await person(tx).rpc('redeem_code', { code })).toHaveLength(1)
    }))

  test('counts for a new limit what was redeemed with the codes before, whose grace shares it', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      await person(tx).rpc('redeem_code', { code })
      const [next] = await mentor.rpc('rotate_code', { org_id: org, grace: '7 days' })
      const limit = (max_uses: number | null) =>
        coordinator.rpc('update_code', { code_id: next?.id, changes: { max_uses } })
      await limit(2)
      await person(tx).rpc('redeem_code', { code })
      for (const full of [code, next?.code])
        expect(await refusal(person(tx).rpc('redeem_code', { code: full }))).toBe(
          'code_limit_reached',
        )
      await limit(null)
      expect(await person(tx).rpc('redeem_code', { code })).toHaveLength(1)
      expect(await refusal(limit(2))).toBe('invalid_argument')
      await limit(3)
      expect(await refusal(person(tx).rpc('redeem_code', { code }))).toBe('code_limit_reached')
      expect(await coordinator.rpc('code_uses', { code_ids: `{${next?.id}}` })).toEqual([
        { code_id: next?.id, uses_count: 0n, max_uses: 3 },
      ])
    }))

  test('lets an ended code be described, and nothing else', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      await mentor.rpc('deactivate_code', { org_id: org })
      const edit = (changes: object) => coordinator.rpc('update_code', { code_id: id, changes })
      expect(await edit({ description: 'old card' })).toMatchObject([{ description: 'old card' }])
      expect(await refusal(edit({ expires_at: null }))).toBe('code_ended')
      expect(await refusal(edit({ max_uses: 5 }))).toBe('code_ended')
    }))

  test.for([
    { expires_at: '2001-01-01' },
    { expires_at: 'soon' },
    { max_uses: 0 },
    { max_uses: 'many' },
    { max_uses: 100_001 },
    { status: 'active' },
    { description: 'x'.repeat(501) },
  ])('refuses %o with invalid_argument', (changes) =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      expect(await refusal(coordinator.rpc('update_code', { code_id: id, changes }))).toBe(
        'invalid_argument',
      )
    }),
  )
})

describe('the audit of a code', () => {
  test('has every change with actor, from, to, reason and time, for staff to read', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      await coordinator.rpc('suspend_code', { code_id: id, reason: 'spam' })
      await coordinator.rpc('reactivate_code', { code_id: id })
      await mentor.rpc('rotate_code', { org_id: org, reason: 'new card' })
      const rows = await coordinator.run(
        `select from_status, to_status, actor_id, reason from referral.code_changes where code_id = '${id}' order by id`,
      )
      expect(rows).toEqual([
        { from_status: null, to_status: 'active', actor_id: mentor.id, reason: null },
        { from_status: 'active', to_status: 'suspended', actor_id: coordinator.id, reason: 'spam' },
        { from_status: 'suspended', to_status: 'active', actor_id: coordinator.id, reason: null },
        { from_status: 'active', to_status: 'rotated', actor_id: mentor.id, reason: 'new card' },
      ])
      expect(await mentor.run('select from referral.code_changes')).toEqual([])
    }))
})

describe('campaign codes', () => {
  test('belong to the organisation, may have a beneficiary, and are redeemed like others', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor, friend } = await scene(tx)
      const { code, row } = await campaign(coordinator, org, {
        code: 'Spring Fair',
        beneficiary_id: mentor.id,
        max_uses: 1,
      })
      expect(row).toMatchObject({
        code: 'SPRING-FAIR',
        referrer_id: null,
        beneficiary_id: mentor.id,
      })
      expect(await refusal(mentor.rpc('redeem_code', { code }))).toBe('self_referral')
      expect(await friend.rpc('redeem_code', { code })).toHaveLength(1)
      expect(await refusal(person(tx).rpc('redeem_code', { code }))).toBe('code_limit_reached')
    }))

  test('count against their maker’s allowance while they are in use', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator } = await scene(tx)
      await admin.rpc('update_organisation', { org_id: org, changes: { codes_per_member: 2 } })
      const first = await campaign(coordinator, org)
      await campaign(coordinator, org)
      expect(await refusal(coordinator.rpc('create_campaign_code', { org_id: org }))).toBe(
        'too_many_codes',
      )
      expect(await refusal(coordinator.rpc('create_code', { org_id: org }))).toBe('too_many_codes')
      await coordinator.rpc('end_code', { code_id: first.id })
      expect((await campaign(coordinator, org)).code).toBeTruthy()
    }))

  test.for(['admin', 'adm1n', 'Null', 'what the fuck', 'F-U-C-K'])(
    'refuses the word %s with code_reserved',
    (code) =>
      undone(sql, async (tx) => {
        const { org, coordinator } = await scene(tx)
        expect(await refusal(coordinator.rpc('create_campaign_code', { org_id: org, code }))).toBe(
          'code_reserved',
        )
      }),
  )

  test('are for staff', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      expect(await refusal(mentor.rpc('create_campaign_code', { org_id: org }))).toBe('not_allowed')
      expect(await refusal(friend.rpc('generate_codes', { org_id: org, count: 1 }))).toBe(
        'not_a_member',
      )
    }))
})

describe('generate_codes', () => {
  test('draws 10,000 different codes in one call, each with its own limit', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      const [made] = await coordinator.rpc('generate_codes', {
        org_id: org,
        count: 10_000,
        max_uses: 1,
      })
      expect(made?.made).toBe(10_000)
      const [counted] = await tx`
        select count(distinct code_key)::int as codes, count(distinct quota_id)::int as quotas, min(length(code))::int as length
        from referral.codes where batch_id = ${String(made?.batch_id)}`
      expect(counted).toEqual({ codes: 10_000, quotas: 10_000, length: 14 })
    }))

  test.for([
    { count: 0 },
    { count: 10_001 },
    { count: null },
    { count: 1, max_uses: 0 },
    { count: 1, expires_at: '2001-01-01' },
  ])('refuses %o with invalid_argument', (args) =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      expect(await refusal(coordinator.rpc('generate_codes', { org_id: org, ...args }))).toBe(
        'invalid_argument',
      )
    }),
  )
})

describe('expire_codes', () => {
  test('ends what is past its time, as many as asked for, and says how many', () =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      const { id } = await campaign(coordinator, org)
      await campaign(coordinator, org)
      await coordinator.rpc('suspend_code', { code_id: id })
      await tx`update referral.codes set expires_at = clock_timestamp() - interval '1 minute'`
      const expire = async () =>
        (await operator(tx).rpc('expire_codes', { max_rows: 1 }))[0]?.expire_codes
      expect([await expire(), await expire(), await expire()]).toEqual([1, 1, 0])
      expect(
        await tx`select distinct status, ended_at = expires_at as at_its_time from referral.codes`,
      ).toEqual([{ status: 'expired', at_its_time: true }])
    }))
})
