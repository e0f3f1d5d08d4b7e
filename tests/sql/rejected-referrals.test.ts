/** Rejected referrals, and decisions that are withdrawn. */
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { createdDiscount, promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'

const sql = await testDatabase()
const now = () => Math.floor(Date.now() / 1000)

const about = ({ org, program }: Scene) => ({ org_id: org, program_id: program })

/** The friend's redemption of the mentor's code, as staff see it. */
async function redeemed(tx: Sql) {
  const people = await scene(tx)
  const { code } = await codeOf(people.mentor, people.org)
  const [row] = await people.friend.rpc('redeem_code', { code })
  const shown = async () =>
    (await people.coordinator.run('select * from referral.redemptions'))[0] as object
  return { ...people, code, id: String(row?.redemption_id), shown }
}

const written = (tx: Sql) =>
  tx`select payer_id, livemode from referral_private.decision_payers order by 1, 2`

describe('reject_referral', () => {
  test('rejects a person’s redemption in the program, with actor, time and reason', () =>
    undone(sql, async (tx) => {
      const people = await redeemed(tx)
      const [decision] = await people.coordinator.rpc('reject_referral', {
        ...about(people),
        person_id: people.friend.id,
        reason: 'fraud',
      })
      expect(decision).toMatchObject({
        kind: 'reject',
        person_id: people.friend.id,
        redemption_id: null,
        decided_by: people.coordinator.id,
      })
      expect(await people.shown()).toMatchObject({
        status: 'rejected',
        decision: 'rejected',
        decided_by: people.coordinator.id,
        decided_at: decision?.decided_at,
        decision_reason: 'fraud',
      })
    }))

  test('leaves their redemption in another program as it is', () =>
    undone(sql, async (tx) => {
      const people = await redeemed(tx)
      const other = { org_id: people.org, key: 'other', name: 'Other' }
      const [program] = await people.admin.rpc('create_program', other)
      await people.coordinator.rpc('reject_referral', {
        org_id: people.org,
        program_id: program?.id,
        person_id: people.friend.id,
      })
      expect(await people.shown()).toMatchObject({ status: 'pending', decision: null })
    }))

  test('of a person without a redemption rejects the one that they make later', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const { code } = await codeOf(people.mentor, people.org)
      const of = { ...about(people), person_id: people.friend.id, reason: 'known' }
      await people.coordinator.rpc('reject_referral', of)
      expect(await people.friend.rpc('redeem_code', { code })).toMatchObject([
        { status: 'rejected' },
      ])
      expect(await people.coordinator.run('select * from referral.redemptions')).toMatchObject([
        { decision: 'rejected', decided_by: people.coordinator.id, decision_reason: 'known' },
      ])
    }))

  test('of a payer names the payer’s person and writes down all their payers, in both modes', () =>
    undone(sql, async (tx) => {
      const people = await redeemed(tx)
      const userId = people.friend.id
      await ingest(tx, paidInvoice({ customer: 'cus_a', userId, at: now() + 9, livemode: true }))
      await ingest(tx, paidInvoice({ customer: 'cus_b', userId, at: now() + 9, livemode: true }))
      await ingest(tx, paidInvoice({ customer: 'cus_t', userId, at: now() + 9 }))
      const of = { ...about(people), payer_id: 'cus_a' }
      expect(await people.coordinator.rpc('reject_referral', of)).toMatchObject([
        { person_id: people.friend.id },
      ])
      const rows = await written(tx)
      for (const row of [
        { payer_id: 'cus_a', livemode: true },
        { payer_id: 'cus_b', livemode: true },
        { payer_id: 'cus_t', livemode: false },
      ])
        expect(rows).toContainEqual(row)
      expect(await people.shown()).toMatchObject({ status: 'rejected' })
    }))

  test('of a guest names nobody, and writes down the guest’s payment', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const { code } = await codeOf(people.mentor, people.org)
      const session = { mode: 'payment', customer: null, intent: 'pi_1', reference: code } as const
      await ingest(tx, completedSession(session))
      const of = { ...about(people), payer_id: 'pi_1' }
      expect(await people.coordinator.rpc('reject_referral', of)).toMatchObject([
        { person_id: null },
      ])
      expect(new Set((await written(tx)).map((row) => row.payer_id))).toEqual(new Set(['pi_1']))
    }))

  test('is for staff, of exactly one person or payer, in a program of the organisation', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const elsewhere = await scene(tx)
      const { coordinator, friend, mentor } = people
      const of = { ...about(people), person_id: friend.id }
      const call = (args: object) => refusal(coordinator.rpc('reject_referral', { ...of, ...args }))
      expect(await call({ payer_id: 'cus_1' })).toBe('invalid_argument')
      expect(await call({ person_id: null })).toBe('invalid_argument')
      expect(await call({ person_id: null, payer_id: '' })).toBe('invalid_argument')
      expect(await call({ program_id: elsewhere.program })).toBe('program_not_found')
      expect(await call({ program_id: null })).toBe('program_not_found')
      expect(await call({ org_id: elsewhere.org })).toBe('not_a_member')
      expect(await refusal(mentor.rpc('reject_referral', of))).toBe('not_allowed')
      expect(await operator(tx).rpc('reject_referral', of)).toMatchObject([{ decided_by: null }])
    }))
})

describe('reject_referral by an interested person', () => {
  test('is refused: the person themself', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const of = { ...about(people), person_id: people.coordinator.id }
      expect(await refusal(people.coordinator.rpc('reject_referral', of))).toBe('not_allowed')
    }))

  test('is refused: whose code the person has redeemed', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const { code } = await codeOf(people.coordinator, people.org)
      await people.friend.rpc('redeem_code', { code })
      const of = { ...about(people), person_id: people.friend.id }
      expect(await refusal(people.coordinator.rpc('reject_referral', of))).toBe('not_allowed')
      expect(await people.admin.rpc('reject_referral', of)).toHaveLength(1)
    }))

  test.for(['metadata', 'reference', 'promotion', 'redemption'])(
    'is refused: whose code a payer carries by %s',
    (kind) =>
      undone(sql, async (tx) => {
        const people = await scene(tx)
        const { code } = await codeOf(people.coordinator, people.org)
        const [redeemed] = await people.friend.rpc('redeem_code', { code })
        const customer = 'cus_1'
        const redemptionId = String(redeemed?.redemption_id)
        const events = {
          metadata: [completedSession({ customer, code })],
          reference: [completedSession({ customer, reference: code })],
          promotion: [
            promotionCode({ id: 'promo_1', code }),
            createdDiscount({ customer, promotionCode: 'promo_1' }),
          ],
          redemption: [completedSession({ customer, redemptionId })],
        }[kind]
        for (const event of events ?? []) await ingest(tx, event)
        await ingest(tx, paidInvoice({ customer }))
        const of = { ...about(people), payer_id: customer }
        expect(await refusal(people.coordinator.rpc('reject_referral', of))).toBe('not_allowed')
        expect(await people.admin.rpc('reject_referral', of)).toHaveLength(1)
      }),
  )
})

describe('withdraw_decision', () => {
  test('makes a rejection as if never made: the redemption stands as it is paid', () =>
    undone(sql, async (tx) => {
      const { admin, coordinator, friend, id, shown } = await redeemed(tx)
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() + 9 }))
      const before = await shown()
      expect(before).toMatchObject({ status: 'confirmed', decision: null })
      await coordinator.rpc('reject_redemption', { redemption_id: id })
      const [decision] = await coordinator.run('select id from referral.decisions')
      const call = { decision_id: decision?.id, reason: 'mistaken' }
      const [withdrawn] = await admin.rpc('withdraw_decision', call)
      expect(withdrawn).toMatchObject({ withdrawn_by: admin.id, withdrawal_reason: 'mistaken' })
      expect(withdrawn?.withdrawn_at).toBeInstanceOf(Date)
      expect(await shown()).toEqual(before)
      expect(await admin.rpc('withdraw_decision', { ...call, reason: 'again' })).toEqual([
        withdrawn,
      ])
      expect(
        await admin.run(
          'select from_status, to_status, actor_id, reason from referral.redemption_changes order by id desc limit 2',
        ),
      ).toEqual([
        { from_status: 'pending', to_status: 'confirmed', actor_id: null, reason: null },
        { from_status: 'rejected', to_status: 'pending', actor_id: admin.id, reason: null },
      ])
    }))

  test('leaves others on the same subject: the next rejection, then the confirmation before it', () =>
    undone(sql, async (tx) => {
      const people = await redeemed(tx)
      const { admin, coordinator, friend, id, shown } = people
      await coordinator.rpc('confirm_redemption', { redemption_id: id, reason: 'seen' })
      await coordinator.rpc('reject_redemption', { redemption_id: id, reason: 'fraud' })
      const of = { ...about(people), person_id: friend.id, reason: 'ring' }
      await admin.rpc('reject_referral', of)
      const withdraw = async (reason: string) => {
        const [row] = await admin.run(
          `select id from referral.decisions where reason = '${reason}'`,
        )
        await admin.rpc('withdraw_decision', { decision_id: row?.id })
      }
      expect(await shown()).toMatchObject({ status: 'rejected', decision_reason: 'fraud' })
      await withdraw('fraud')
      expect(await shown()).toMatchObject({ status: 'rejected', decision_reason: 'ring' })
      await withdraw('ring')
      expect(await shown()).toMatchObject({
        status: 'confirmed',
        decision_reason: 'seen',
        decided_by: coordinator.id,
      })
      const [last] = await admin.run(
        'select * from referral.redemption_changes order by id desc limit 1',
      )
      expect(last).toMatchObject({ actor_id: admin.id, reason: null, to_status: 'confirmed' })
      await withdraw('seen')
      expect(await shown()).toMatchObject({ status: 'pending', decision: null, confirmed_at: null })
    }))

  test('lets a rejected redemption be confirmed', () =>
    undone(sql, async (tx) => {
      const { admin, coordinator, id } = await redeemed(tx)
      const about = { redemption_id: id }
      await coordinator.rpc('reject_redemption', about)
      expect(await refusal(coordinator.rpc('confirm_redemption', about))).toBe(
        'redemption_rejected',
      )
      const [decision] = await coordinator.run('select id from referral.decisions')
      await admin.rpc('withdraw_decision', { decision_id: decision?.id })
      expect(await coordinator.rpc('confirm_redemption', about)).toMatchObject([
        { status: 'confirmed' },
      ])
      expect(await coordinator.rpc('reject_redemption', about)).toMatchObject([
        { status: 'rejected' },
      ])
    }))

  test('is for admins and the operator; to others there is no such decision', () =>
    undone(sql, async (tx) => {
      const { coordinator, mentor, friend, id } = await redeemed(tx)
      const elsewhere = await scene(tx)
      await coordinator.rpc('reject_redemption', { redemption_id: id })
      const [decision] = await coordinator.run('select id from referral.decisions')
      const call = { decision_id: decision?.id }
      for (const stranger of [mentor, friend, elsewhere.admin, person(tx)])
        expect(await refusal(stranger.rpc('withdraw_decision', call))).toBe('decision_not_found')
      expect(await refusal(coordinator.rpc('withdraw_decision', call))).toBe('not_allowed')
      const none = { decision_id: crypto.randomUUID() }
      expect(await refusal(operator(tx).rpc('withdraw_decision', none))).toBe('decision_not_found')
      expect(await operator(tx).rpc('withdraw_decision', call)).toMatchObject([
        { withdrawn_by: null },
      ])
    }))

  test('is refused to an admin whose code it is about, or who is its person', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const { code } = await codeOf(people.admin, people.org)
      await people.friend.rpc('redeem_code', { code })
      for (const { id } of [people.friend, people.admin]) {
        const of = { ...about(people), person_id: id }
        const [decision] = await people.coordinator.rpc('reject_referral', of)
        const call = { decision_id: decision?.id }
        expect(await refusal(people.admin.rpc('withdraw_decision', call))).toBe('not_allowed')
      }
    }))
})
