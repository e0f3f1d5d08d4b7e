import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

async function redeemed(tx: Sql) {
  const people = await scene(tx)
  const { code } = await codeOf(people.mentor, people.org)
  const [row] = await people.friend.rpc('redeem_code', { code })
  return { ...people, code, id: String(row?.redemption_id) }
}

describe('confirm_redemption', () => {
  test('confirms where nothing is paid through Stripe, with actor, time and reason', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor, id } = await redeemed(tx)
      const [row] = await coordinator.rpc('confirm_redemption', {
        redemption_id: id,
        reason: 'met twice',
      })
      expect(row).toMatchObject({
        status: 'confirmed',
        decision: 'confirmed',
        decided_by: coordinator.id,
        decision_reason: 'met twice',
      })
      expect(await mentor.rpc('my_referrals', { org_id: org })).toMatchObject([
        { status: 'confirmed' },
      ])
      expect(await coordinator.rpc('confirm_redemption', { redemption_id: id })).toEqual([row])
      expect(await coordinator.run('select * from referral.decisions')).toMatchObject([
        {
          kind: 'confirm',
          redemption_id: id,
          reason: 'met twice',
          decided_by: coordinator.id,
          decided_at: row?.decided_at,
          withdrawn_at: null,
        },
      ])
    }))
})

describe('a decision', () => {
  test('is not made by the referee or the referrer, whatever their role', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor } = await scene(tx)
      await admin.rpc('set_member_role', { org_id: org, user_id: mentor.id, role: 'coordinator' })
      const { code } = await codeOf(mentor, org)
      const [redeemed] = await coordinator.rpc('redeem_code', { code })
      for (const interested of [coordinator, mentor])
        for (const rpc of ['confirm_redemption', 'reject_redemption'])
          expect(
            await refusal(interested.rpc(rpc, { redemption_id: redeemed?.redemption_id })),
          ).toBe('not_allowed')
    }))

  test.for(['beneficiary_id', 'created_by'])('is not made by the %s of the code', (column) =>
    undone(sql, async (tx) => {
      const { coordinator, admin, id, code } = await redeemed(tx)
      await tx.unsafe(`
        set constraints all immediate;
        alter table referral.codes disable trigger user;
        update referral.codes set ${column} = '${coordinator.id}' where code = '${code}';
        alter table referral.codes enable trigger user, enable always trigger codes_keep_what_they_are`)
      for (const rpc of ['confirm_redemption', 'reject_redemption'])
        expect(await refusal(coordinator.rpc(rpc, { redemption_id: id })), rpc).toBe('not_allowed')
      expect(await tx`select from referral.decisions`).toEqual([])
      expect(await admin.rpc('confirm_redemption', { redemption_id: id })).toHaveLength(1)
    }),
  )

  test.for([
    'update referral.decisions set reason = null',
    'update referral.decisions set until = now()',
    "update referral.decisions set withdrawn_at = withdrawn_at + interval '1 second'",
    'delete from referral.decisions',
    'truncate referral.decisions cascade',
    "update referral_private.decision_payers set payer_id = 'cus_2'",
    'delete from referral_private.decision_payers',
    'truncate referral_private.decision_payers',
  ])('stays on record, for the owner too: %s', (statement) =>
    undone(sql, async (tx) => {
      const { org, program, admin, coordinator } = await redeemed(tx)
      const of = { org_id: org, program_id: program, payer_id: 'cus_1' }
      const [row] = await coordinator.rpc('reject_referral', { ...of, reason: 'fraud' })
      await admin.rpc('withdraw_decision', { decision_id: row?.id })
      expect(await refusal(tx.savepoint((point) => point.unsafe(statement)))).toBe('23001')
    }),
  )

  test('stays in the audit when another one follows', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor, friend } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      const [redeemed] = await friend.rpc('redeem_code', { code })
      const about = { redemption_id: redeemed?.redemption_id }
      await coordinator.rpc('confirm_redemption', { ...about, reason: 'seen' })
      await admin.rpc('reject_redemption', { ...about, reason: 'fraud' })
      expect(
        await admin.run(
          'select from_status, to_status, actor_id, reason from referral.redemption_changes order by id',
        ),
      ).toEqual([
        {
          from_status: 'pending',
          to_status: 'confirmed',
          actor_id: coordinator.id,
          reason: 'seen',
        },
        { from_status: 'confirmed', to_status: 'rejected', actor_id: admin.id, reason: 'fraud' },
      ])
    }))
})

describe('reject_redemption', () => {
  test('rejects what was confirmed too, and gives nothing back', () =>
    undone(sql, async (tx) => {
      const { coordinator, mentor, org, friend, code, id } = await redeemed(tx)
      await ingest(tx, paidInvoice({ userId: friend.id }))
      await coordinator.rpc('reject_redemption', { redemption_id: id, reason: 'same household' })
      expect(await refusal(coordinator.rpc('confirm_redemption', { redemption_id: id }))).toBe(
        'redemption_rejected',
      )
      await ingest(tx, paidInvoice({ userId: friend.id }))
      expect(await mentor.rpc('my_referrals', { org_id: org })).toMatchObject([
        { status: 'rejected', confirmed_at: null },
      ])
      expect(await friend.rpc('redeem_code', { code })).toMatchObject([
        { redemption_id: id, status: 'rejected' },
      ])
    }))

  test('rejects the referral: the decision names the person, and their payers in both modes', () =>
    undone(sql, async (tx) => {
      const { coordinator, friend, program, id } = await redeemed(tx)
      for (const [customer, livemode] of [
        ['cus_test', false],
        ['cus_live', true],
      ] as const)
        await ingest(tx, paidInvoice({ customer, userId: friend.id, livemode }))
      for (let i = 0; i < 2; i++)
        await coordinator.rpc('reject_redemption', { redemption_id: id, reason: 'same household' })
      expect(await coordinator.run('select * from referral.decisions')).toMatchObject([
        {
          kind: 'reject',
          program_id: program,
          person_id: friend.id,
          redemption_id: id,
          reason: 'same household',
          decided_by: coordinator.id,
        },
      ])
      expect(
        await tx`select payer_id, livemode from referral_private.decision_payers order by 1`,
      ).toEqual([
        { payer_id: 'cus_live', livemode: true },
        { payer_id: 'cus_test', livemode: false },
      ])
    }))

  test('is for staff of the organisation; to others there is no such redemption', () =>
    undone(sql, async (tx) => {
      const { mentor, friend, id } = await redeemed(tx)
      const elsewhere = await scene(tx)
      for (const actor of [mentor, friend, elsewhere.admin]) {
        expect(await refusal(actor.rpc('reject_redemption', { redemption_id: id }))).toBe(
          'redemption_not_found',
        )
      }
    }))
})

describe('expire_redemptions', () => {
  test('marks what is past its window, which a late delivery of an early sale still confirms', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await redeemed(tx)
      const expire = async () =>
        (await operator(tx).rpc('expire_redemptions'))[0]?.expire_redemptions
      expect(await expire()).toBe(0)
      await tx`update referral.redemptions set redeemed_at = redeemed_at - interval '91 days'`
      expect([await expire(), await expire()]).toEqual([1, 0])
      expect(await mentor.rpc('my_referrals', { org_id: org })).toMatchObject([
        { status: 'expired' },
      ])
      await ingest(
        tx,
        paidInvoice({ userId: friend.id, at: Math.floor(Date.now() / 1000) - 2 * 86_400 }),
      )
      expect(await mentor.rpc('my_referrals', { org_id: org })).toMatchObject([
        { status: 'confirmed' },
      ])
    }))
})

describe('usage', () => {
  test('is listed by code and by user, newest first, page after page, for staff', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      for (let i = 0; i < 5; i++) await person(tx).rpc('redeem_code', { code })
      const all = await coordinator.rpc('usage_for_code', { code_id: id })
      const first = await coordinator.rpc('usage_for_code', { code_id: id, page_size: 3 })
      const second = await coordinator.rpc('usage_for_code', {
        code_id: id,
        page_size: 3,
        after: first[2]?.id,
      })
      expect([...first, ...second]).toEqual(all)
      expect(all).toHaveLength(5)
      const user_id = all[0]?.referee_id
      expect(await coordinator.rpc('usage_for_user', { org_id: org, user_id })).toEqual([all[0]])
      expect(await refusal(mentor.rpc('usage_for_user', { org_id: org, user_id }))).toBe(
        'not_allowed',
      )
    }))

  test('loses and repeats no row where several have one time', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx)
      const { code } = await codeOf(mentor, org)
      for (let i = 0; i < 5; i++) await person(tx).rpc('redeem_code', { code })
      await tx`update referral.redemptions set redeemed_at = '2026-01-01'`
      const seen = new Set<unknown>()
      for (let after: unknown = null; ; ) {
        const page = await mentor.rpc('my_referrals', { org_id: org, page_size: 2, after })
        if (page.length === 0) break
        for (const { redemption_id } of page) seen.add(redemption_id)
        after = page.at(-1)?.redemption_id
      }
      expect(seen.size).toBe(5)
    }))

  test('is counted for staff with who used it lately, for the owner without', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor, friend } = await scene(tx)
      const { id, code } = await codeOf(mentor, org)
      expect(await mentor.rpc('code_usage_stats', { code_id: id })).toEqual([
        { total_uses: 0n, unique_users: 0n, last_used: null, recent_users: null },
      ])
      const [row] = await friend.rpc('redeem_code', { code })
      const stats = { total_uses: 1n, unique_users: 1n, last_used: row?.redeemed_at }
      expect(await mentor.rpc('code_usage_stats', { code_id: id })).toEqual([
        { ...stats, recent_users: null },
      ])
      expect(await coordinator.rpc('code_usage_stats', { code_id: id })).toEqual([
        { ...stats, recent_users: [friend.id] },
      ])
      expect(await refusal(friend.rpc('code_usage_stats', { code_id: id }))).toBe('code_not_found')
    }))
})

describe('has_redeemed and my_redemption', () => {
  test('tell the referee what they have', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator, friend } = await scene(tx)
      const [mine, other] = [await codeOf(mentor, org), await codeOf(coordinator, org)]
      expect(await friend.rpc('my_redemption', { org_id: org })).toEqual([])
      const [row] = await friend.rpc('redeem_code', { code: mine.code })
      expect(await friend.rpc('my_redemption', { org_id: org })).toEqual([row])
      expect(await friend.rpc('has_redeemed', { code: mine.code.toLowerCase() })).toEqual([
        { has_redeemed: true },
      ])
      expect(await friend.rpc('has_redeemed', { code: other.code })).toEqual([
        { has_redeemed: false },
      ])
      expect(await friend.rpc('has_redeemed', { code: '🎉' })).toEqual([{ has_redeemed: false }])
    }))
})
