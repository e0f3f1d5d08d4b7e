/** Nobody decides where they have an interest, also one that came after the decision, and nobody gains by deciding. */
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { createdDiscount, promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { type Actor, details, operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const terms = {
  commission: { kind: 'percent', bps: 1000 },
  enrolment: 'open',
  recurrence: 'forever',
  hold_days: 0,
}
const now = Math.floor(Date.now() / 1000)
const day = (n: number) => now + n * 86_400
const iso = (at: number) => new Date(at * 1000).toISOString()

const own = 'you decide on yourself: ask somebody else, or the operator'
const theirs =
  'you decide on a code that is yours, benefits you or was made by you: ask somebody else, or the operator'
const gain = 'you would earn more by what you decide: ask somebody else, or the operator'

const earned = async (who: Actor, org: string) => {
  const rows = await who.rpc('my_earnings', { org_id: org })
  return rows.reduce((sum, row) => sum + Number(row.pending) + Number(row.available), 0)
}

describe('a rejection', () => {
  /** Another admin, and a code of the first one's. The friend is known to the project. */
  async function staged(tx: Sql) {
    const people = await scene(tx, terms)
    const { org, program, admin, coordinator } = people
    const second = person(tx)
    await admin.rpc('add_member', { org_id: org, user_id: second.id, role: 'admin' })
    await tx`insert into auth.users (id) values (${people.friend.id})`
    const { code } = await codeOf(admin, org)
    const reject = async (of: object) => {
      const call = { org_id: org, program_id: program, ...of }
      const [decision] = await coordinator.rpc('reject_referral', call)
      return { decision_id: decision?.id }
    }
    /** The first admin may not withdraw it; the second may, and then the first earns. */
    const onlySecondWithdraws = async (call: { decision_id: unknown }) => {
      expect(await details(admin.rpc('withdraw_decision', call))).toBe(theirs)
      expect(await earned(admin, org)).toBe(0)
      expect(await second.rpc('withdraw_decision', call)).toHaveLength(1)
      expect(await earned(admin, org)).toBe(100)
    }
    return { ...people, second, code, reject, onlySecondWithdraws }
  }

  test.for(['metadata', 'reference', 'promotion'])(
    'of a person is not withdrawn by whose code they bought with later, by %s',
    (kind) =>
      undone(sql, async (tx) => {
        const { friend, code, reject, onlySecondWithdraws } = await staged(tx)
        const call = await reject({ person_id: friend.id })
        const customer = 'cus_2'
        const at = day(1)
        const events = {
          metadata: [completedSession({ customer, code, at })],
          reference: [completedSession({ customer, reference: code, at })],
          promotion: [
            promotionCode({ id: 'promo_1', code, at }),
            createdDiscount({ customer, promotionCode: 'promo_1', at }),
          ],
        }[kind]
        for (const event of events ?? []) await ingest(tx, event)
        await ingest(tx, paidInvoice({ customer, userId: friend.id, at }))
        await onlySecondWithdraws(call)
      }),
  )

  test.for([true, false])(
    'of a payer is not withdrawn by whose code the person redeemed who became known later, live: %s',
    (livemode) =>
      undone(sql, async (tx) => {
        const { friend, code, reject, onlySecondWithdraws } = await staged(tx)
        const call = await reject({ payer_id: 'cus_2' })
        await friend.rpc('redeem_code', { code })
        const userId = friend.id
        await ingest(tx, paidInvoice({ customer: 'cus_2', userId, at: day(1), livemode }))
        await onlySecondWithdraws(call)
      }),
  )

  test('of a payer is not withdrawn by whose code their person’s other payer carries', () =>
    undone(sql, async (tx) => {
      const { friend, code, reject, admin } = await staged(tx)
      const call = await reject({ payer_id: 'cus_2' })
      const userId = friend.id
      await ingest(tx, paidInvoice({ customer: 'cus_2', userId, at: day(1) }))
      await ingest(tx, paidInvoice({ customer: 'cus_3', userId, code, at: day(2) }))
      expect(await details(admin.rpc('withdraw_decision', call))).toBe(theirs)
    }))

  test('of a payer is not withdrawn by the person whom it turned out to be', () =>
    undone(sql, async (tx) => {
      const { admin, second, reject } = await staged(tx)
      const call = await reject({ payer_id: 'cus_2' })
      await ingest(tx, paidInvoice({ customer: 'cus_2', userId: admin.id, at: day(1) }))
      expect(await details(admin.rpc('withdraw_decision', call))).toBe(own)
      expect(await second.rpc('withdraw_decision', call)).toHaveLength(1)
    }))

  test('is withdrawn by whose code only somebody has to whom a payer was linked later', () =>
    undone(sql, async (tx) => {
      const { admin, friend, code, reject } = await staged(tx)
      const support = person(tx)
      await support.rpc('redeem_code', { code })
      await ingest(tx, paidInvoice({ customer: 'cus_2', userId: friend.id, at: day(1) }))
      await ingest(tx, paidInvoice({ customer: 'cus_2', userId: support.id, at: day(2) }))
      await ingest(tx, paidInvoice({ customer: 'cus_3', userId: support.id, code, at: day(2) }))
      for (const of of [{ payer_id: 'cus_2' }, { person_id: friend.id }])
        expect(await admin.rpc('withdraw_decision', await reject(of))).toHaveLength(1)
    }))
})

describe('end_code with block', () => {
  const refused = async (who: Actor, code_id: unknown) =>
    expect(await refusal(who.rpc('end_code', { code_id, block: true }))).toBe('not_allowed')

  test('is for admins where the code benefits staff, of a campaign or a member', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor } = await scene(tx)
      const benefits = { org_id: org, beneficiary_id: admin.id }
      const [campaign] = await admin.rpc('create_campaign_code', benefits)
      const { id } = await codeOf(mentor, org)
      await tx`update referral.codes set beneficiary_id = ${admin.id} where id = ${id}`
      for (const code_id of [campaign?.id, id]) {
        await refused(coordinator, code_id)
        await refused(admin, code_id)
        expect(await tx`select from referral.decisions`).toEqual([])
      }
      expect(await tx`select from referral.members where blocked_at is not null`).toEqual([])
      const second = person(tx)
      await admin.rpc('add_member', { org_id: org, user_id: second.id, role: 'admin' })
      for (const code_id of [campaign?.id, id])
        expect(await second.rpc('end_code', { code_id, block: true })).toHaveLength(1)
      expect(await tx`select from referral.decisions`).toHaveLength(2)
    }))

  test.for(['beneficiary_id', 'created_by'])('is not for the %s of a code of the chain', (column) =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      const [next] = await mentor.rpc('rotate_code', { org_id: org })
      await tx.unsafe(`
        set constraints all immediate;
        alter table referral.codes disable trigger user;
        update referral.codes set ${column} = '${coordinator.id}' where id = '${id}';
        alter table referral.codes enable trigger user, enable always trigger codes_keep_what_they_are`)
      for (const code_id of [id, next?.id]) await refused(coordinator, code_id)
      expect(await coordinator.rpc('end_code', { code_id: next?.id })).toHaveLength(1)
      expect(await admin.rpc('end_code', { code_id: next?.id, block: true })).toHaveLength(1)
    }),
  )

  test('is not for who made a campaign code; they can end it without', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator } = await scene(tx)
      const [campaign] = await coordinator.rpc('create_campaign_code', { org_id: org })
      await refused(coordinator, campaign?.id)
      expect(await coordinator.rpc('end_code', { code_id: campaign?.id })).toHaveLength(1)
      expect(await admin.rpc('end_code', { code_id: campaign?.id, block: true })).toHaveLength(1)
    }))
})

describe('nobody gains by a decision of their own', () => {
  const withReward = { ...terms, referee_reward: { kind: 'flat', amount: { usd: 300, eur: 300 } } }

  /** The friend redeemed the mentor's code on day −20, carries the coordinator's since day 1, and buys on day 2. */
  async function second(tx: Sql, livemode = false) {
    const people = await scene(tx, withReward)
    const { org, mentor, coordinator, friend } = people
    const { id: codeId, code } = await codeOf(mentor, org)
    const rival = await codeOf(coordinator, org)
    await friend.rpc('redeem_code', { code })
    await tx`update referral.redemptions set redeemed_at = ${iso(day(-20))}`
    const buys = { customer: 'cus_1', userId: friend.id, orgId: org, livemode }
    await ingest(tx, paidInvoice({ ...buys, code: rival.code, at: day(1), paid: 0 }))
    await ingest(tx, paidInvoice({ ...buys, at: day(2) }))
    const ends = async () => [await earned(mentor, org), await earned(coordinator, org)]
    expect(await ends()).toEqual([100, 0])
    return { ...people, codeId, code, rival: rival.code, ends }
  }

  /** The call is refused to this person, with the reason, and changes nothing. */
  async function refusedAsGain(tx: Sql, who: Actor, rpc: string, args: object) {
    const before = await tx`select * from referral.decisions`
    expect(await refusal(who.rpc(rpc, { ...args }))).toBe('not_allowed')
    expect(await details(who.rpc(rpc, { ...args }))).toBe(gain)
    expect(await tx`select * from referral.decisions`).toEqual(before)
    expect(await tx`select from referral.members where blocked_at is not null`).toEqual([])
  }

  test.for([
    ['member', false],
    ['member', true],
    ['code', false],
  ] as const)('by a forfeit of a %s from before the first sale, live: %s', ([of, livemode]) =>
    undone(sql, async (tx) => {
      const { org, admin, mentor, coordinator, codeId, ends } = await second(tx, livemode)
      const subject = of === 'code' ? { code_id: codeId } : { member_id: mentor.id }
      const call = { org_id: org, ...subject, since: '2001-01-01T00:00:00Z' }
      await refusedAsGain(tx, coordinator, 'forfeit_from', call)
      expect(await ends()).toEqual([100, 0])
      await admin.rpc('forfeit_from', call)
      expect(await ends()).toEqual([0, 100])
    }),
  )

  test('by a block before the first sale, in either way; without block they can stop it', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor, coordinator, codeId, ends } = await second(tx)
      const member = { org_id: org, user_id: mentor.id }
      const code = { code_id: codeId }
      await refusedAsGain(tx, coordinator, 'deactivate_member', { ...member, block: true })
      await refusedAsGain(tx, coordinator, 'end_code', { ...code, block: true })
      await coordinator.rpc('end_code', code)
      await coordinator.rpc('deactivate_member', member)
      expect(await ends()).toEqual([100, 0])
      await admin.rpc('deactivate_member', { ...member, block: true })
      expect(await ends()).toEqual([0, 100])
    }))

  test('in one mode by what they lose in the other', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator, code } = await second(tx, true)
      await coordinator.rpc('redeem_code', { code })
      await ingest(tx, paidInvoice({ customer: 'cus_2', userId: coordinator.id, at: day(2) }))
      const call = { org_id: org, member_id: mentor.id, since: '2001-01-01T00:00:00Z' }
      await refusedAsGain(tx, coordinator, 'forfeit_from', call)
      await operator(tx).rpc('forfeit_from', call)
    }))

  test('in one currency by what they lose in another', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator, code } = await second(tx)
      await coordinator.rpc('redeem_code', { code })
      const bought = { customer: 'cus_2', userId: coordinator.id, at: day(2), currency: 'eur' }
      await ingest(tx, paidInvoice(bought))
      const [row] = await coordinator.rpc('my_earnings', { org_id: org })
      expect(row).toMatchObject({ currency: 'eur', reward_pending: 300n })
      const call = { org_id: org, member_id: mentor.id, since: '2001-01-01T00:00:00Z' }
      await refusedAsGain(tx, coordinator, 'forfeit_from', call)
    }))

  test('as a referee, by a forfeit that they withdraw or a member whom they unblock', () =>
    undone(sql, async (tx) => {
      const { org, admin, mentor, coordinator, code } = await second(tx)
      await admin.rpc('redeem_code', { code })
      await ingest(tx, paidInvoice({ customer: 'cus_2', userId: admin.id, at: day(2) }))
      const rewarded = async () => {
        const [row] = await admin.rpc('my_earnings', { org_id: org })
        return Number(row?.reward_pending) + Number(row?.reward_available)
      }
      expect(await rewarded()).toBe(300)
      const of = { org_id: org, member_id: mentor.id }
      const [forfeit] = await admin.rpc('forfeit_from', { ...of, since: iso(day(2)) })
      expect(await rewarded()).toBe(0)
      const call = { decision_id: forfeit?.id }
      await refusedAsGain(tx, admin, 'withdraw_decision', call)
      expect(await operator(tx).rpc('withdraw_decision', call)).toHaveLength(1)
      const who = { org_id: org, user_id: mentor.id }
      await operator(tx).rpc('deactivate_member', { ...who, block: true })
      expect(await rewarded()).toBe(0)
      const undo = { ...who, unblock: true }
      expect(await details(admin.rpc('reactivate_member', undo))).toBe(gain)
      await admin.rpc('set_member_role', { org_id: org, user_id: coordinator.id, role: 'admin' })
      expect(await coordinator.rpc('reactivate_member', undo)).toHaveLength(1)
      expect(await rewarded()).toBe(300)
    }))

  test('and what they earned before is in nobody’s way', () =>
    undone(sql, async (tx) => {
      const { org, program, admin, mentor, coordinator, friend, rival, ends } = await second(tx)
      await ingest(tx, paidInvoice({ customer: 'cus_2', code: rival, at: day(1) }))
      await ingest(tx, paidInvoice({ customer: 'cus_1', userId: friend.id, at: day(3) }))
      expect(await ends()).toEqual([200, 100])
      const forfeit = { org_id: org, member_id: mentor.id, since: iso(day(3)) }
      await coordinator.rpc('forfeit_from', forfeit)
      expect(await ends()).toEqual([100, 100])
      const rejection = { org_id: org, program_id: program, person_id: friend.id }
      await admin.rpc('reject_referral', rejection)
      expect(await ends()).toEqual([0, 100])
    }))
})

test('who is refused for an interest is told so', () =>
  undone(sql, async (tx) => {
    const { org, program, admin, coordinator, friend } = await scene(tx)
    const { id, code } = await codeOf(admin, org)
    const [redeemed] = await friend.rpc('redeem_code', { code })
    const about = { redemption_id: redeemed?.redemption_id }
    const person_id = admin.id
    for (const [who, rpc, args, expected] of [
      [admin, 'forfeit_from', { org_id: org, member_id: admin.id }, own],
      [admin, 'reject_referral', { org_id: org, program_id: program, person_id }, own],
      [admin, 'deactivate_member', { org_id: org, user_id: admin.id, block: true }, own],
      [admin, 'forfeit_from', { org_id: org, code_id: id }, theirs],
      [admin, 'end_code', { code_id: id, block: true }, theirs],
      [admin, 'reject_redemption', about, theirs],
      [coordinator, 'forfeit_from', { org_id: org, code_id: id }, null],
    ] as const)
      expect(await details(who.rpc(rpc, args))).toBe(expected)
  }))
