/** What decisions do to money, and that nobody gains by one. Every sale is 1,000 at 10 percent. */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { type Actor, operator } from '../support/actors.ts'
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

/** The friend redeemed the mentor's code on day −20; the coordinator has a code too. */
async function redeemed(tx: Sql) {
  const people = await scene(tx, terms)
  const { org, mentor, coordinator, friend } = people
  const { id: codeId, code } = await codeOf(mentor, org)
  const rival = await codeOf(coordinator, org)
  const [row] = await friend.rpc('redeem_code', { code })
  await tx`update referral.redemptions set redeemed_at = ${iso(day(-20))}`
  const earned = async (who: Actor) => {
    const rows = await who.rpc('my_earnings', { org_id: org })
    return rows.reduce((sum, row) => sum + Number(row.pending) + Number(row.available), 0)
  }
  const buys = (at: number) =>
    ingest(tx, paidInvoice({ customer: 'cus_1', userId: friend.id, orgId: org, at }))
  return {
    ...people,
    codeId,
    code,
    rival: rival.code,
    redemption: String(row?.redemption_id),
    buys,
    /** What the mentor has earned, and the coordinator. */
    ends: async () => [await earned(mentor), await earned(coordinator)],
  }
}

/** A guest's one-off purchase of the code by its link. */
async function guestBuys(tx: Sql, intent: string, code: string, at: number, paymentLink?: string) {
  const guest = { mode: 'payment', customer: null, reference: code, at } as const
  await ingest(tx, completedSession({ ...guest, intent, paymentLink: paymentLink ?? null }))
}

test('a rejected referral earns nothing, before or after, until that is withdrawn', () =>
  undone(sql, async (tx) => {
    const { org, program, admin, friend, buys, ends } = await redeemed(tx)
    await buys(day(-10))
    expect(await ends()).toEqual([100, 0])
    const of = { org_id: org, program_id: program, person_id: friend.id }
    const [decision] = await admin.rpc('reject_referral', of)
    await buys(day(1))
    expect(await ends()).toEqual([0, 0])
    await admin.rpc('withdraw_decision', { decision_id: decision?.id })
    expect(await ends()).toEqual([200, 0])
  }))

test('a rejection stands while another one does', () =>
  undone(sql, async (tx) => {
    const { org, program, admin, friend, redemption, buys, ends } = await redeemed(tx)
    await buys(day(-10))
    await admin.rpc('reject_redemption', { redemption_id: redemption })
    const of = { org_id: org, program_id: program, person_id: friend.id }
    await admin.rpc('reject_referral', of)
    for (const [n, { id }] of (await admin.run('select id from referral.decisions')).entries()) {
      expect(await ends()).toEqual([0, 0])
      await admin.rpc('withdraw_decision', { decision_id: id })
      expect(await ends()).toEqual(n ? [100, 0] : [0, 0])
    }
  }))

test('nobody inherits a rejected referral', () =>
  undone(sql, async (tx) => {
    const { admin, friend, redemption, rival, buys, ends } = await redeemed(tx)
    await ingest(
      tx,
      completedSession({ customer: 'cus_1', userId: friend.id, code: rival, at: day(1) }),
    )
    await buys(day(2))
    expect(await ends()).toEqual([100, 0])
    await admin.rpc('reject_redemption', { redemption_id: redemption })
    expect(await ends()).toEqual([0, 0])
  }))

test('each guest purchase can be rejected by its payer, and the others stay', () =>
  undone(sql, async (tx) => {
    const { org, program, admin, code, ends } = await redeemed(tx)
    for (const n of [1, 2, 3]) await guestBuys(tx, `pi_${n}`, code, now + 100 + n)
    expect(await ends()).toEqual([300, 0])
    const reject = async (payer_id: string) =>
      (await admin.rpc('reject_referral', { org_id: org, program_id: program, payer_id }))[0]?.id
    const second = await reject('pi_2')
    expect(await ends()).toEqual([200, 0])
    await reject('pi_3')
    expect(await ends()).toEqual([100, 0])
    await admin.rpc('withdraw_decision', { decision_id: second })
    expect(await ends()).toEqual([200, 0])
  }))

test('a rejected customer without a person stays rejected when they get one', () =>
  undone(sql, async (tx) => {
    const { org, program, admin, friend, code, ends } = await redeemed(tx)
    await ingest(tx, completedSession({ customer: 'cus_2', reference: code, at: day(1) }))
    await ingest(tx, paidInvoice({ customer: 'cus_2', at: day(1) }))
    expect(await ends()).toEqual([100, 0])
    await admin.rpc('reject_referral', { org_id: org, program_id: program, payer_id: 'cus_2' })
    expect(await ends()).toEqual([0, 0])
    await ingest(tx, paidInvoice({ customer: 'cus_2', userId: friend.id, at: day(2) }))
    expect(await ends()).toEqual([0, 0])
  }))

/** Sales of the days −1, 10, 20 and 30. */
async function renewed(tx: Sql) {
  const staged = await redeemed(tx)
  for (const n of [-1, 10, 20, 30]) await staged.buys(day(n))
  expect(await staged.ends()).toEqual([400, 0])
  return staged
}

test.for([
  ['from now on', {}, 100],
  ['from a day of the past', { since: iso(day(-30)) }, 0],
  ['from a day of the future', { since: iso(day(20)) }, 200],
  ['from a second after a sale', { since: iso(day(20) + 1) }, 300],
  ['until a day of the future', { since: iso(day(10)), until: iso(day(30)) }, 200],
  ['until a second after a sale', { since: iso(day(10)), until: iso(day(30) + 1) }, 100],
] as const)('a member’s forfeit %s', ([, times, kept]) =>
  undone(sql, async (tx) => {
    const { org, admin, mentor, ends } = await renewed(tx)
    const of = { org_id: org, member_id: mentor.id }
    const [decision] = await admin.rpc('forfeit_from', { ...of, ...times })
    expect(await ends()).toEqual([kept, 0])
    await admin.rpc('withdraw_decision', { decision_id: decision?.id })
    expect(await ends()).toEqual([400, 0])
  }),
)

test('a forfeit counts for sales that come after it was stated, and was stated for', () =>
  undone(sql, async (tx) => {
    const { org, admin, mentor, buys, ends } = await redeemed(tx)
    await buys(day(-1))
    await admin.rpc('forfeit_from', { org_id: org, member_id: mentor.id, since: iso(day(10)) })
    for (const n of [9, 10, 20]) await buys(day(n))
    expect(await ends()).toEqual([200, 0])
  }))

test('nobody inherits what is forfeited after a first sale', () =>
  undone(sql, async (tx) => {
    const { org, admin, mentor, friend, rival, buys, ends } = await redeemed(tx)
    await ingest(
      tx,
      completedSession({ customer: 'cus_1', userId: friend.id, code: rival, at: day(1) }),
    )
    for (const n of [2, 30]) await buys(day(n))
    await admin.rpc('forfeit_from', { org_id: org, member_id: mentor.id, since: iso(day(10)) })
    expect(await ends()).toEqual([100, 0])
  }))

test('a forfeit of a code takes what all codes of its rotations earn, and of no other code', () =>
  undone(sql, async (tx) => {
    const { org, admin, mentor, code, codeId, rival, ends } = await redeemed(tx)
    const [next] = await mentor.rpc('rotate_code', { org_id: org, grace: '7 days' })
    await guestBuys(tx, 'pi_1', code, now + 100)
    await guestBuys(tx, 'pi_2', String(next?.code), now + 100)
    await guestBuys(tx, 'pi_3', rival, now + 100)
    expect(await ends()).toEqual([200, 100])
    const [decision] = await admin.rpc('forfeit_from', { org_id: org, code_id: next?.id })
    expect(decision?.chain_id).toBe(codeId)
    expect(await ends()).toEqual([0, 100])
  }))

test('a forfeit of a member takes what their code earns for its beneficiary', () =>
  undone(sql, async (tx) => {
    const { org, admin, mentor, coordinator, code, ends } = await redeemed(tx)
    await tx`update referral.codes set beneficiary_id = ${coordinator.id} where code = ${code}`
    await guestBuys(tx, 'pi_1', code, now + 100)
    expect(await ends()).toEqual([0, 100])
    await operator(tx).rpc('forfeit_from', { org_id: org, member_id: mentor.id })
    expect(await ends()).toEqual([0, 0])
    const [decision] = await admin.run('select id from referral.decisions')
    await admin.rpc('withdraw_decision', { decision_id: decision?.id })
    await operator(tx).rpc('forfeit_from', { org_id: org, member_id: coordinator.id })
    expect(await ends()).toEqual([0, 0])
  }))

test('a code that was ended with block earns nothing by a payment link, nor by a renewal', () =>
  undone(sql, async (tx) => {
    const { admin, code, codeId, ends } = await redeemed(tx)
    await ingest(tx, completedSession({ customer: 'cus_2', reference: code, at: now + 10 }))
    await admin.rpc('end_code', { code_id: codeId, block: true, reason: 'spam' })
    await guestBuys(tx, 'pi_1', code, day(1), 'plink_1')
    await ingest(tx, paidInvoice({ customer: 'cus_2', at: day(1) }))
    expect(await ends()).toEqual([0, 0])
  }))

test('what was earned before a block stays, later sales earn nothing, and again once it is lifted', () =>
  undone(sql, async (tx) => {
    const { org, admin, mentor, buys, ends } = await redeemed(tx)
    await buys(day(-10))
    await admin.rpc('deactivate_member', { org_id: org, user_id: mentor.id, block: true })
    await buys(day(20))
    expect(await ends()).toEqual([100, 0])
    await admin.rpc('reactivate_member', { org_id: org, user_id: mentor.id, unblock: true })
    expect(await ends()).toEqual([200, 0])
  }))

test('a forfeit from before the first sale is passed over: the next in line earns', () =>
  undone(sql, async (tx) => {
    const { org, admin, mentor, friend, rival, buys, ends } = await redeemed(tx)
    await admin.rpc('forfeit_from', { org_id: org, member_id: mentor.id, since: iso(day(-30)) })
    await ingest(
      tx,
      completedSession({ customer: 'cus_1', userId: friend.id, code: rival, at: day(1) }),
    )
    await buys(day(2))
    expect(await ends()).toEqual([0, 100])
  }))
