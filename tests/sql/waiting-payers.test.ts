/** Payers whose settlement is too much for one transaction wait, are settled in pieces, and everybody is told so. */
import { expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { createdDiscount, promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { type Actor, operator, person } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { ingest, settleAccount } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, scene } from '../support/scene.ts'
import { verified } from '../support/verified.ts'

const sql = await testDatabase()
const now = () => Math.floor(Date.now() / 1000)
const percent = { kind: 'percent', bps: 1000 }
const terms = { enrolment: 'open', recurrence: 'forever', commission: percent, hold_days: 7 }

/** A test in which three payers, or three differences, are the most that is settled in one transaction. */
const threeAtOnce = (work: (tx: Sql) => Promise<void>) =>
  undone(sql, async (tx) => {
    await tx.unsafe(`
      create or replace function referral_private.settled_at_once() returns int language plpgsql immutable
      as 'begin return 3; end'`)
    await work(tx)
  })

const waiting = async (tx: Sql) => {
  const rows = await tx`select payer_id from referral_private.to_settle order by 1`
  return rows.map(({ payer_id }) => String(payer_id))
}

/** One call, which settles one piece. */
const piece = async (tx: Sql) => {
  const [row] = await operator(tx).rpc('settle_stripe_events', { stripe_account: '' })
  return { done: Number(row?.done), more: row?.more }
}

/** What somebody has, and whether they are told that it can change. */
async function earnings(owner: Actor, org: string) {
  const [row] = await owner.rpc('my_earnings', { org_id: org })
  return {
    sum: Number(row?.pending ?? 0) + Number(row?.available ?? 0),
    told: row?.settlement_pending,
  }
}

/** Sales of one person. */
async function bought(tx: Sql, userId: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++)
    await ingest(tx, paidInvoice({ customer: 'cus_1', userId, at: now() + 10 + n }))
}

test('a promotion code of many is mapped: they wait, and are settled three at a time', () =>
  threeAtOnce(async (tx) => {
    const { org, mentor, coordinator } = await scene(tx, terms)
    const { code } = await codeOf(mentor, org)
    const other = await codeOf(coordinator, org)
    const customers = [1, 2, 3, 4, 5, 6, 7].map((n) => `cus_${n}`)
    for (const [n, customer] of customers.entries()) {
      await ingest(tx, createdDiscount({ customer, promotionCode: 'promo_1', at: now() + 10 }))
      await ingest(tx, paidInvoice({ id: `in_${n}`, customer, at: now() + 20 }))
    }
    expect(await ingest(tx, promotionCode({ id: 'promo_1', code, at: now() + 5 }))).toBe('applied')
    expect(await waiting(tx)).toEqual(customers)
    expect(await earnings(mentor, org)).toEqual({ sum: 0, told: undefined })
    expect(await verified(tx)).toMatchObject({ faults: [] })
    expect(await piece(tx)).toEqual({ done: 3, more: true })
    expect(await earnings(mentor, org)).toEqual({ sum: 300, told: true })
    const [line] = await operator(tx).rpc('explain_commission', { org_id: org, sale_id: 'in_6' })
    expect(line).toMatchObject({ amount: 100n, settlement_pending: true })
    expect(await verified(tx)).toMatchObject({ faults: [] })
    expect(await piece(tx)).toEqual({ done: 3, more: true })
    expect(await piece(tx)).toEqual({ done: 1, more: false })
    expect(await piece(tx)).toEqual({ done: 0, more: false })
    expect(await earnings(mentor, org)).toEqual({ sum: 700, told: false })
    await checkLedger(tx)

    // Mapped anew from before the purchases, so that all are the other's.
    await ingest(
      tx,
      promotionCode({ id: 'promo_1', code: other.code, previous: code, at: now() + 6 }),
    )
    expect(await waiting(tx)).toEqual(customers)
    await settleAccount(tx, '')
    expect((await earnings(mentor, org)).sum).toBe(0)
    expect((await earnings(coordinator, org)).sum).toBe(700)
    await checkLedger(tx)
  }))

test('a person with many sales waits, and is posted three at a time', () =>
  threeAtOnce(async (tx) => {
    const { org, mentor, friend } = await scene(tx, terms)
    const { code } = await codeOf(mentor, org)
    await friend.rpc('redeem_code', { code })
    await bought(tx, friend.id, 11)
    expect(await waiting(tx)).toEqual([])
    expect((await earnings(mentor, org)).sum).toBe(1100)
    // One more is too many.
    await bought(tx, friend.id, 1)
    expect(await waiting(tx)).toEqual(['cus_1', expect.stringMatching(/^in_/)])
    expect(await earnings(mentor, org)).toEqual({ sum: 1100, told: true })
    expect(await piece(tx)).toEqual({ done: 1, more: false })
    expect(await earnings(mentor, org)).toEqual({ sum: 1200, told: false })
    // All of it changes, three differences at a time.
    const [member] =
      await tx`select user_id from referral.members where role = 'admin' and org_id = ${org}`
    const since = new Date((now() - 100) * 1000).toISOString()
    const forfeit = { org_id: org, member_id: mentor.id, since }
    await person(tx, member?.user_id).rpc('forfeit_from', forfeit)
    expect(await waiting(tx)).toEqual(['cus_1'])
    const sums = []
    do sums.push((await earnings(mentor, org)).sum)
    while ((await piece(tx)).more)
    expect(sums).toEqual([900, 600, 300])
    expect((await earnings(mentor, org)).sum).toBe(0)
    await checkLedger(tx)
  }))

test('what is settled meanwhile does not wait any more', () =>
  threeAtOnce(async (tx) => {
    const { org, mentor, friend } = await scene(tx, terms)
    await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
    await bought(tx, friend.id, 1)
    await tx`insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by)
      values ('', false, 'cus_1', 'evt_1'), ('', false, 'cus_2', 'evt_1')`
    await bought(tx, friend.id, 1)
    expect(await waiting(tx)).toEqual(['cus_2'])
    expect(await piece(tx)).toEqual({ done: 1, more: false })
  }))

test('a sale that is gone by then is taken back', () =>
  threeAtOnce(async (tx) => {
    const { org, mentor, friend } = await scene(tx, terms)
    await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
    await bought(tx, friend.id, 1)
    expect((await earnings(mentor, org)).sum).toBe(100)
    const [gone] = await tx`delete from referral_private.sales returning sale_id`
    await tx`delete from referral_private.payments`
    await tx`insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by)
      values ('', false, ${gone?.sale_id}, 'evt_1')`
    await piece(tx)
    expect((await earnings(mentor, org)).sum).toBe(0)
  }))

test('referrals that move in rank wait where they are too many', () =>
  threeAtOnce(async (tx) => {
    const tiers = [
      { from: 1, bps: 1000 },
      { from: 2, bps: 2000 },
      { from: 3, bps: 3000 },
      { from: 4, bps: 4000 },
    ]
    const { org, mentor } = await scene(tx, { enrolment: 'open', hold_days: 7, tiers })
    const { code } = await codeOf(mentor, org)
    const people = Array.from({ length: 5 }, () => person(tx))
    for (const who of people) await who.rpc('redeem_code', { code })
    const [late, ...others] = people as [Actor, ...Actor[]]
    for (const [n, { id }] of others.entries())
      await ingest(tx, paidInvoice({ customer: `cus_${n}`, userId: id, at: now() + 20 + n }))
    await settleAccount(tx, '')
    expect((await earnings(mentor, org)).sum).toBe(100 + 200 + 300 + 400)
    // The earliest sale arrives last: everybody moves.
    await ingest(tx, paidInvoice({ customer: 'cus_late', userId: late.id, at: now() + 10 }))
    expect(await waiting(tx)).toEqual(['cus_0', 'cus_1', 'cus_2'])
    expect(await verified(tx)).toMatchObject({ faults: [] })
    await settleAccount(tx, '')
    expect((await earnings(mentor, org)).sum).toBe(100 + 200 + 300 + 400 + 400)
    await checkLedger(tx)
  }))

test('a release leaves out whom waits, who is released with all else', () =>
  threeAtOnce(async (tx) => {
    const { org, mentor, friend } = await scene(tx, terms)
    await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
    await bought(tx, friend.id, 2)
    await rewriteTerms(tx, `set terms = terms || '{"hold_days": 0}'`)
    await tx`update referral_private.postings set due_at = now() - interval '1 hour'`
    await tx`update referral_private.sales set paid_at = now() - interval '1 hour'`
    await tx`update referral_private.payments set paid_at = now() - interval '1 hour'`
    await tx`update referral.redemptions set redeemed_at = now() - interval '2 hours'`
    await tx`insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by)
      values ('', false, 'cus_1', 'evt_1')`
    expect(await operator(tx).rpc('release_due_commissions')).toEqual([
      { release_due_commissions: 0 },
    ])
    await piece(tx)
    const [row] = await mentor.rpc('my_earnings', { org_id: org })
    expect(row).toMatchObject({ pending: 0n, available: 200n })
  }))

test('two hundred and fifty is the most that is settled at once', async () => {
  expect(await sql`select referral_private.settled_at_once() as most`).toEqual([{ most: 250 }])
})
