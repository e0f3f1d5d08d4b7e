/** Decisions that wait for the Stripe account lock: the caller's rights then, the order of locks, what meets them. */
import { describe, expect, test } from 'vitest'
import { operator, person, refusal } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'
import { type Session, sessions } from '../support/sessions.ts'

const sql = await testDatabase()

const holdAccount = ({ tx }: Session) => tx`select referral_private.lock_stripe_account('')`

/** A redemption of the mentor's code, and a decision on the referral of somebody else. */
async function decidable() {
  const people = await scene(sql)
  const { org, program, admin, coordinator, mentor, friend } = people
  const { id, code } = await codeOf(mentor, org)
  const [redeemed] = await friend.rpc('redeem_code', { code })
  const other = { org_id: org, program_id: program, person_id: crypto.randomUUID() }
  const [decision] = await admin.rpc('reject_referral', other)
  const member = { org_id: org, user_id: mentor.id }
  const args: Record<string, Record<string, unknown>> = {
    confirm_redemption: { redemption_id: redeemed?.redemption_id },
    reject_redemption: { redemption_id: redeemed?.redemption_id },
    reject_referral: { ...other, person_id: friend.id },
    forfeit_from: { org_id: org, member_id: mentor.id },
    withdraw_decision: { decision_id: decision?.id },
    deactivate_member: { ...member, block: true },
    reactivate_member: { ...member, unblock: true },
    end_code: { code_id: id, block: true },
  }
  const staff = ['withdraw_decision', 'reactivate_member']
  return { ...people, args, callerOf: (rpc: string) => (staff.includes(rpc) ? admin : coordinator) }
}

const commands: [rpc: string, late: string][] = [
  ['confirm_redemption', 'not_a_member'],
  ['reject_redemption', 'not_a_member'],
  ['reject_referral', 'not_a_member'],
  ['forfeit_from', 'not_a_member'],
  ['withdraw_decision', 'not_a_member'],
  ['deactivate_member', 'not_a_member'],
  ['reactivate_member', 'not_a_member'],
  ['end_code', 'code_not_found'],
]

describe('a caller who lost their role while they waited for the Stripe account', () => {
  test.for(commands)('%s: %s, and nothing is decided', ([rpc, expected]) =>
    sessions(sql, async (other, staff) => {
      const { org, args, callerOf } = await decidable()
      const caller = callerOf(rpc)
      await holdAccount(other)
      const late = refusal(person(staff.tx, caller.id).rpc(rpc, args[rpc]))
      await staff.blocked()
      await sql`
        update referral.members set deactivated_at = now()
        where org_id = ${org} and user_id = ${caller.id}`
      await other.commit()
      expect(await late).toBe(expected)
      expect(
        await sql`select kind, withdrawn_at from referral.decisions where org_id = ${org}`,
      ).toEqual([{ kind: 'reject', withdrawn_at: null }])
    }),
  )
})

describe('the Stripe account lock', () => {
  test.for(['deactivate_member', 'reactivate_member', 'end_code'])(
    'is taken before the rows of the organisation, the member and the code: %s',
    (rpc) =>
      sessions(sql, async (holder, staff) => {
        const { org, mentor, args, callerOf } = await decidable()
        await holdAccount(holder)
        const call = person(staff.tx, callerOf(rpc).id).rpc(rpc, args[rpc])
        await staff.blocked()
        for (const row of [
          sql`select from referral.organisations where id = ${org} for update nowait`,
          sql`select from referral.members where user_id = ${mentor.id} for update nowait`,
          sql`select from referral.codes where org_id = ${org} for update nowait`,
        ])
          expect(await row).toHaveLength(1)
        await holder.commit()
        expect(await call).toHaveLength(1)
      }),
  )

  test('is not taken by what neither unblocks nor ends codes', () =>
    sessions(sql, async (holder) => {
      const { args, callerOf } = await decidable()
      await holdAccount(holder)
      const call = { ...args.reactivate_member, unblock: false }
      expect(await callerOf('reactivate_member').rpc('reactivate_member', call)).toHaveLength(1)
    }))

  test('holds a redemption back until a rejection of its person is done, which it then has', () =>
    sessions(sql, async (staff, guest) => {
      const { org, program, coordinator, mentor, friend } = await scene(sql)
      const { code } = await codeOf(mentor, org)
      const of = { org_id: org, program_id: program, person_id: friend.id }
      await person(staff.tx, coordinator.id).rpc('reject_referral', of)
      const redemption = person(guest.tx, friend.id).rpc('redeem_code', { code })
      await guest.blocked()
      await staff.commit()
      expect(await redemption).toMatchObject([{ status: 'rejected' }])
    }))

  test('holds a rejection back until the redemption of its person is done, which it then rejects', () =>
    sessions(sql, async (guest, staff) => {
      const { org, program, coordinator, mentor, friend } = await scene(sql)
      const { code } = await codeOf(mentor, org)
      await person(guest.tx, friend.id).rpc('redeem_code', { code })
      const of = { org_id: org, program_id: program, person_id: friend.id }
      const rejection = person(staff.tx, coordinator.id).rpc('reject_referral', of)
      await staff.blocked()
      await guest.commit()
      await rejection
      await staff.commit()
      expect(await sql`select status from referral.redemptions where org_id = ${org}`).toEqual([
        { status: 'rejected' },
      ])
    }))

  test('lets two withdrawals of one decision meet: the second returns what the first wrote', () =>
    sessions(sql, async (first, second) => {
      const { args, admin } = await decidable()
      const [row] = await operator(first.tx).rpc('withdraw_decision', {
        ...args.withdraw_decision,
        reason: 'first',
      })
      const again = person(second.tx, admin.id).rpc('withdraw_decision', args.withdraw_decision)
      await second.blocked()
      await first.commit()
      expect(await again).toEqual([row])
    }))
})
