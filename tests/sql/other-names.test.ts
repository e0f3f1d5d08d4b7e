/** Facts that reach a sale by another name of its payer, or by a statement of the same second. Every sale is 1,000 at 10 percent. */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../fixtures/stripe/invoice-payment-paid.ts'
import { succeededIntent } from '../fixtures/stripe/payment-intent-succeeded.ts'
import { createdDiscount, promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { type Actor, operator } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { ingest } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const at = Math.floor(Date.now() / 1000) + 1000
const commission = { kind: 'percent', bps: 1000 }
const terms = { commission, enrolment: 'open', recurrence: 'forever', hold_days: 0 }

/** A mentor and a coordinator with codes, and what each has earned. */
async function staged(tx: Sql) {
  const people = await scene(tx, terms)
  const { org, program, mentor, coordinator } = people
  const [{ code }, { code: rival }] = [await codeOf(mentor, org), await codeOf(coordinator, org)]
  const has = async (who: Actor) => {
    const [row] = await who.rpc('my_earnings', { org_id: org })
    return Number(row?.available ?? 0) + Number(row?.pending ?? 0)
  }
  const earned = async () => {
    await checkLedger(tx)
    return [await has(mentor), await has(coordinator)]
  }
  return { ...people, code, rival, earned, referral: { org_id: org, program_id: program } }
}

const account = 'cuacct_1'

test('a late payment by an account shows that its customer was one already', () =>
  undone(sql, async (tx) => {
    const { code, earned } = await staged(tx)
    const customer = { customer: 'cus_1', subscription: 'sub_1', at }
    await ingest(tx, completedSession({ ...customer, customerAccount: account, code }))
    await ingest(tx, paidInvoice(customer))
    expect(await earned()).toEqual([100, 0])
    await ingest(tx, succeededIntent({ customer: null, customerAccount: account, at: at - 900 }))
    expect(await earned()).toEqual([0, 0])
  }))

test.for(['first', 'second'])(
  'a late payment shows it to payers of one person, the %s linked by the id of a redemption',
  (linked) =>
    undone(sql, async (tx) => {
      const { code, rival, friend, earned } = await staged(tx)
      const [redeemed] = await friend.rpc('redeem_code', { code: rival })
      await tx`update referral.redemptions set redeemed_at = to_timestamp(${at - 9e7})`
      const redemptionId = String(redeemed?.redemption_id)
      const by = (one: string) =>
        one === linked ? { redemptionId } : { userId: friend.id, reference: friend.id }
      const first = { customer: 'cus_1', subscription: 'sub_1', at: at - 500 }
      await ingest(tx, completedSession({ ...first, ...by('first') }))
      await ingest(tx, completedSession({ customer: 'cus_2', at: at - 400, ...by('second') }))
      await ingest(tx, paidInvoice({ customer: 'cus_2', at, code }))
      expect(await earned()).toEqual([100, 0])
      await ingest(tx, succeededIntent({ customer: 'cus_1', at: at - 300 }))
      expect(await earned()).toEqual([0, 0])
    }),
)

test('a promotion code’s statement of the same second says what was before', () =>
  undone(sql, async (tx) => {
    const { code, rival, earned } = await staged(tx)
    const of = { id: 'promo_1', code: rival, at }
    await ingest(tx, createdDiscount({ customer: 'cus_1', promotionCode: 'promo_1', at: at - 9 }))
    await ingest(tx, paidInvoice({ customer: 'cus_1', at: at - 8 }))
    await ingest(tx, { ...promotionCode({ ...of, previous: code }), id: 'evt_9' })
    expect(await earned()).toEqual([100, 0])
    await ingest(tx, { ...promotionCode(of), id: 'evt_1' })
    expect(await earned()).toEqual([0, 100])
  }))

test('a referral is rejected by the account of its customer, and that is withdrawn', () =>
  undone(sql, async (tx) => {
    const { code, friend, admin, referral, earned } = await staged(tx)
    await friend.rpc('redeem_code', { code })
    const bought = { customer: 'cus_1', customerAccount: account, userId: friend.id, at }
    await ingest(tx, paidInvoice(bought))
    expect(await earned()).toEqual([100, 0])
    const of = { ...referral, payer_id: account }
    const [decision] = await admin.rpc('reject_referral', of)
    expect(decision?.person_id).toBe(friend.id)
    expect(await earned()).toEqual([0, 0])
    await admin.rpc('withdraw_decision', { decision_id: decision?.id })
    expect(await earned()).toEqual([100, 0])
  }))

test('a rejected account turns out to be a customer before the rejection is withdrawn', () =>
  undone(sql, async (tx) => {
    const { code, admin, referral, earned } = await staged(tx)
    const bought = { customer: null, customerAccount: account, code, at }
    await ingest(tx, paidInvoice(bought))
    const [decision] = await admin.rpc('reject_referral', { ...referral, payer_id: account })
    expect(await earned()).toEqual([0, 0])
    await ingest(tx, paidInvoice({ ...bought, customer: 'cus_1', at: at + 1 }))
    expect(await earned()).toEqual([0, 0])
    await admin.rpc('withdraw_decision', { decision_id: decision?.id })
    expect(await earned()).toEqual([200, 0])
  }))

test('a user whom purchases named before they were known links their payers as soon as they are a member', () =>
  undone(sql, async (tx) => {
    const { org, admin, code, earned } = await staged(tx)
    const userId = crypto.randomUUID()
    await ingest(tx, completedSession({ customer: 'cus_1', userId, code, at: at - 9 }))
    await ingest(tx, paidInvoice({ customer: 'cus_2', userId, at }))
    expect(await earned()).toEqual([0, 0])
    await admin.rpc('add_member', { org_id: org, user_id: userId })
    expect(await earned()).toEqual([100, 0])
  }))

test('a user whom purchases named before they signed up is recognised by the job', () =>
  undone(sql, async (tx) => {
    const { code, earned } = await staged(tx)
    const userId = crypto.randomUUID()
    await ingest(tx, completedSession({ customer: 'cus_1', userId, code, at: at - 9 }))
    await ingest(tx, paidInvoice({ customer: 'cus_2', userId, at }))
    expect(await operator(tx).rpc('recognise_users')).toEqual([{ recognise_users: 0 }])
    await tx`insert into auth.users (id) values (${userId})`
    expect(await earned()).toEqual([0, 0])
    expect(await operator(tx).rpc('recognise_users')).toEqual([{ recognise_users: 1 }])
    expect(await earned()).toEqual([100, 0])
  }))

test('a rejection of a guest’s payment holds when it turns out to be a customer’s', () =>
  undone(sql, async (tx) => {
    const { code, earned, referral } = await staged(tx)
    const guest = { intent: 'pi_1', mode: 'payment', code, at } as const
    await ingest(tx, completedSession({ ...guest, id: 'cs_1', customer: null }))
    expect(await earned()).toEqual([100, 0])
    const [{ id } = {}] = await operator(tx).rpc('reject_referral', {
      ...referral,
      payer_id: 'pi_1',
    })
    expect(await earned()).toEqual([0, 0])
    await ingest(tx, succeededIntent({ id: 'pi_1', customer: 'cus_1', at }))
    expect(await earned()).toEqual([0, 0])
    await operator(tx).rpc('withdraw_decision', { decision_id: id })
    expect(await earned()).toEqual([100, 0])
  }))

test('a rejection by payer does not say who pays another organisation', () =>
  undone(sql, async (tx) => {
    const { code, friend } = await staged(tx)
    await friend.rpc('redeem_code', { code })
    await ingest(tx, paidInvoice({ customer: 'cus_1', userId: friend.id, at }))
    const stranger = await staged(tx)
    const [decision] = await stranger.coordinator.rpc('reject_referral', {
      ...stranger.referral,
      payer_id: 'cus_1',
    })
    expect(decision?.person_id).toBeNull()
  }))

test('a payment link’s code counts once its account is of one organisation alone', () =>
  undone(sql, async (tx) => {
    const { code, earned } = await staged(tx)
    const other = await staged(tx)
    const link = { paymentLink: 'plink_1', reference: code, mode: 'payment' } as const
    await ingest(tx, completedSession({ ...link, customer: null, at }))
    expect(await earned()).toEqual([0, 0])
    await operator(tx).rpc('update_organisation', {
      org_id: other.org,
      changes: { stripe_account_id: 'acct_2' },
    })
    expect(await earned()).toEqual([100, 0])
  }))

test('an organisation that joins an account takes what payment links carry from then on, and nothing earlier', () =>
  undone(sql, async (tx) => {
    const { code, earned } = await staged(tx)
    await rewriteTerms(tx, "set valid_from = valid_from - interval '1 hour'")
    const bought = (customer: string, at: number) =>
      completedSession({ paymentLink: 'plink_1', reference: code, mode: 'payment', customer, at })
    await ingest(tx, bought('cus_1', at - 1030))
    await ingest(tx, bought('cus_2', at))
    expect(await earned()).toEqual([200, 0])
    const { org: org_id } = await staged(tx)
    expect(await earned()).toEqual([100, 0])
    const move = (stripe_account_id: string | null) =>
      operator(tx).rpc('update_organisation', { org_id, changes: { stripe_account_id } })
    await move('acct_2')
    expect(await earned()).toEqual([200, 0])
    await tx`update referral.organisations set created_at = to_timestamp(${at - 2000}) where id = ${org_id}`
    await move(null)
    expect(await earned()).toEqual([100, 0])
  }))

test('a payment is rejected before it is linked to a customer’s invoice', () =>
  undone(sql, async (tx) => {
    const { code, earned, admin, referral } = await staged(tx)
    await ingest(tx, paidInvoice({ id: 'in_1', customer: 'cus_1', code, at }))
    await admin.rpc('reject_referral', { ...referral, payer_id: 'pi_9' })
    expect(await earned()).toEqual([100, 0])
    await ingest(tx, paidInvoicePayment({ invoice: 'in_1', intent: 'pi_9', at }))
    expect(await earned()).toEqual([0, 0])
  }))

const orders = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
]

test.for(orders)(
  'an account that objects name beside two customers is the first one’s, in the order %s',
  (order) =>
    undone(sql, async (tx) => {
      const { code, earned, program, admin } = await staged(tx)
      const changes = { terms: { recurrence: 'once' } }
      await admin.rpc('update_program', { program_id: program, changes })
      const of = { customerAccount: account, code }
      const events = [
        paidInvoice({ ...of, customer: 'cus_2', paid: 500, at: at + 5 }),
        paidInvoice({ ...of, customer: null, at: at + 10 }),
        paidInvoice({ ...of, customer: 'cus_1', paid: 3000, at: at + 20 }),
      ]
      for (const n of order) await ingest(tx, events[n] as (typeof events)[0])
      expect(await earned()).toEqual([150, 0])
    }),
)

test.for(orders)(
  'a payment that objects give two customers is the first one’s, in the order %s',
  (order) =>
    undone(sql, async (tx) => {
      const { code, earned } = await staged(tx)
      const events = [
        completedSession({ mode: 'payment', customer: 'cus_0', intent: 'pi_1', code, at }),
        succeededIntent({ id: 'pi_1', customer: null, customerAccount: account, paid: 0, at }),
        paidInvoice({ customer: 'cus_1', customerAccount: account, paid: 0, at }),
      ]
      for (const n of order) await ingest(tx, events[n] as (typeof events)[0])
      expect(await earned()).toEqual([100, 0])
      expect(await tx`select payer_id from referral_private.sales`).toEqual([{ payer_id: 'cus_0' }])
    }),
)
