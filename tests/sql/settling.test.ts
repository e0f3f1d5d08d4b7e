/** What is settled with what: facts whose settlement must reach further, or not as far, as the sale that they change. */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { creditNote } from '../fixtures/stripe/credit-note.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../fixtures/stripe/invoice-payment-paid.ts'
import { succeededIntent } from '../fixtures/stripe/payment-intent-succeeded.ts'
import { createdDiscount, promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const at = Math.floor(Date.now() / 1000) + 10
const terms = { commission: { kind: 'percent', bps: 1000 }, enrolment: 'open', hold_days: 0 }

/** A friend who has redeemed the mentor's code, and what it has earned so far. */
async function redeemed(tx: Sql, more: object = {}) {
  const people = await scene(tx, { ...terms, recurrence: 'forever', ...more })
  const { code } = await codeOf(people.mentor, people.org)
  await people.friend.rpc('redeem_code', { code })
  const earned = async () => {
    await checkLedger(tx)
    const [row] = await people.mentor.rpc('my_earnings', { org_id: people.org })
    return Number(row?.available ?? 0) + Number(row?.pending ?? 0)
  }
  return { ...people, code, earned }
}

/** A session and an intent of pi_1, which only the session links to the friend, and only the intent to a customer. */
const linkedByItsPayment = async (tx: Sql, userId: string) => {
  await ingest(
    tx,
    completedSession({ mode: 'payment', customer: null, intent: 'pi_1', userId, at }),
  )
  await ingest(tx, succeededIntent({ id: 'pi_1', customer: 'cus_1', at }))
}

test('a recorded refund that was reversed before it is heard of takes nothing', () =>
  undone(sql, async (tx) => {
    const { org, friend, earned } = await redeemed(tx)
    const [of, op] = [{ org_id: org, provider: 'app_store' }, operator(tx)]
    const paid = { payment_ref: 'P1', amount: 1000, currency: 'usd' }
    const paid_at = new Date(at * 1000).toISOString()
    await op.rpc('record_refund_reversed', { ...of, refund_ref: 'R1' })
    await op.rpc('record_payment', { ...of, ...paid, referee_id: friend.id, paid_at })
    await op.rpc('record_refund', { ...of, refund_ref: 'R1', payment_ref: 'P1', amount: 500 })
    expect(await earned()).toBe(100)
  }))

test('an invoice keeps what it earned when another customer’s, of the same payment, changes', () =>
  undone(sql, async (tx) => {
    const { friend, earned } = await redeemed(tx)
    await ingest(tx, paidInvoice({ id: 'in_b', customer: 'cus_b', userId: friend.id, at }))
    for (const invoice of ['in_a', 'in_b'])
      await ingest(tx, paidInvoicePayment({ invoice, intent: 'pi_1', at }))
    await ingest(tx, paidInvoice({ id: 'in_a', customer: 'cus_a', at }))
    expect(await earned()).toBe(100)
    await ingest(tx, creditNote({ invoice: 'in_a', outOfBand: 10, at }))
    expect(await earned()).toBe(100)
  }))

test('a redemption is pending again when its payment turns out to be an unpaid invoice’s', () =>
  undone(sql, async (tx) => {
    const { friend, earned } = await redeemed(tx)
    await linkedByItsPayment(tx, friend.id)
    expect(await earned()).toBe(100)
    await ingest(tx, paidInvoicePayment({ invoice: 'in_9', intent: 'pi_1', at }))
    expect(await earned()).toBe(0)
    const [row] = await tx`select status from referral.redemptions where referee_id = ${friend.id}`
    expect(row?.status).toBe('pending')
  }))

test('and their next purchase is the first', () =>
  undone(sql, async (tx) => {
    const { friend, earned } = await redeemed(tx, { recurrence: 'once' })
    await linkedByItsPayment(tx, friend.id)
    await ingest(tx, paidInvoice({ customer: 'cus_x', userId: friend.id, at: at + 9, paid: 5000 }))
    expect(await earned()).toBe(100)
    await ingest(tx, paidInvoicePayment({ invoice: 'in_9', intent: 'pi_1', at }))
    expect(await earned()).toBe(500)
  }))

test('an account that has heard of an organisation’s promotion code cannot become its', () =>
  undone(sql, async (tx) => {
    const { org, code } = await redeemed(tx)
    const about = { account: 'acct_1', livemode: true, at }
    await ingest(tx, promotionCode({ ...about, id: 'promo_1', code }))
    await ingest(tx, createdDiscount({ ...about, promotionCode: 'promo_1', customer: 'cus_1' }))
    await ingest(tx, paidInvoice({ ...about, customer: 'cus_1' }))
    const changes = { stripe_account_id: 'acct_1' }
    expect(await refusal(operator(tx).rpc('update_organisation', { org_id: org, changes }))).toBe(
      'stripe_account_fixed',
    )
  }))

test('a redemption wins nothing on another Stripe account', () =>
  undone(sql, async (tx) => {
    const { org, friend, earned } = await redeemed(tx)
    const changes = { stripe_account_id: 'acct_1' }
    await operator(tx).rpc('update_organisation', { org_id: org, changes })
    await ingest(tx, paidInvoice({ userId: friend.id, at }))
    expect(await earned()).toBe(0)
    await ingest(tx, paidInvoice({ userId: friend.id, at, account: 'acct_1' }))
    expect(await earned()).toBe(100)
  }))

test('a promotion code that says the same again settles nothing', () =>
  undone(sql, async (tx) => {
    const { code, earned } = await redeemed(tx)
    await ingest(tx, createdDiscount({ promotionCode: 'promo_1', customer: 'cus_1', at }))
    await ingest(tx, paidInvoice({ customer: 'cus_1', at }))
    await ingest(tx, promotionCode({ id: 'promo_1', code, at }))
    expect(await earned()).toBe(100)
    // A settlement of this sale would post that.
    await tx`update referral_private.sales set paid = 9000 where payer_id = 'cus_1'`
    await ingest(tx, promotionCode({ id: 'promo_1', code, at: at + 1 }))
    const [row] = await tx`select sum(amount)::int as posted from referral_private.postings`
    expect(row?.posted).toBe(100)
  }))

test('a program that is switched off refuses what came in the second of the switch, and later', () =>
  undone(sql, async (tx) => {
    const { program, admin, code, earned } = await redeemed(tx)
    // A purchase in every second in which this test can be.
    const [began, seconds] = [Math.floor(Date.now() / 1000), 30]
    for (let second = 0; second < seconds; second++) {
      const customer = `cus_${second}`
      await ingest(tx, completedSession({ customer, reference: code, at: began + second }))
      await ingest(tx, paidInvoice({ customer, at: began + 100 }))
    }
    await admin.rpc('update_program', { program_id: program, changes: { active: false } })
    const [row] = await tx`
      select floor(extract(epoch from since))::int as off from referral_private.switches`
    expect(await earned()).toBe(100 * Math.min(row?.off - began, seconds))
  }))

test('a string that a purchase dated ahead names is taken', () =>
  undone(sql, async (tx) => {
    const { org, coordinator } = await scene(tx, terms)
    await ingest(tx, completedSession({ customer: 'cus_1', reference: 'FUTURE77', at }))
    const chosen = { org_id: org, code: 'Future-77' }
    expect(await refusal(coordinator.rpc('create_code', chosen))).toBe('code_taken')
    expect(await coordinator.rpc('create_code', { ...chosen, code: 'FUTURE78' })).toHaveLength(1)
  }))

test('a promotion code that another customer’s session carries is mapped late: it says whose sale it was', () =>
  undone(sql, async (tx) => {
    const [own, other] = [await scene(tx, terms), await scene(tx, terms)]
    const codes = [
      await codeOf(own.mentor, own.org),
      await codeOf(other.mentor, other.org),
    ] as const
    const session = { mode: 'payment', intent: 'pi_1' } as const
    await ingest(
      tx,
      completedSession({ ...session, customer: 'cus_1', reference: codes[0].code, at: at + 10 }),
    )
    await ingest(
      tx,
      completedSession({ ...session, customer: 'cus_2', promotionCode: 'promo_1', at: at + 20 }),
    )
    await ingest(tx, succeededIntent({ id: 'pi_1', customer: 'cus_1', at: at + 10 }))
    const earned = async () => {
      await checkLedger(tx)
      const [row] = await own.mentor.rpc('my_earnings', { org_id: own.org })
      return Number(row?.available ?? 0) + Number(row?.pending ?? 0)
    }
    expect(await earned()).toBe(100)
    await ingest(tx, promotionCode({ id: 'promo_1', code: codes[1].code, at }))
    expect(await earned()).toBe(0)
  }))
