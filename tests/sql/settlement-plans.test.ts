/** What settling reads: the rows of the payers in question, however many sales an account has, with statistics and without. */
import postgres from 'postgres'
import { afterAll, expect, inject, test } from 'vitest'
import { unique } from '../fixtures/stripe/about.ts'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { creditNote } from '../fixtures/stripe/credit-note.ts'
import { dispute, fraudWarning } from '../fixtures/stripe/dispute.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../fixtures/stripe/invoice-payment-paid.ts'
import { succeededIntent } from '../fixtures/stripe/payment-intent-succeeded.ts'
import { createdDiscount, promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { refund } from '../fixtures/stripe/refund.ts'
import { operator, person } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'

const sql = await testDatabase()
const [named] = await sql<{ database: string }[]>`select current_database() as database`
const plans: string[] = []
// One session, as PostgREST keeps them: its plans are those of the first calls.
const admin = postgres(inject('servers').admin.replace('DATABASE', named?.database ?? ''), {
  max: 1,
  onnotice: ({ message }) => plans.push(message ?? ''),
  types: { bigint: postgres.BigInt },
})
afterAll(() => admin.end())

const terms = {
  enrolment: 'open',
  commission: { kind: 'percent', bps: 1000 },
  referee_reward: { kind: 'flat', amount: { usd: 1 } },
  guests_per_day: 3,
}

/** A month of a subscription. */
async function renew(code: string) {
  const [invoice, intent] = [`in_${unique()}`, `pi_${unique()}`]
  const of = { customer: `cus_${unique()}`, subscription: `sub_${unique()}` }
  const events = [
    paidInvoice({ ...of, id: invoice, code }),
    succeededIntent({ ...of, id: intent }),
    paidInvoicePayment({ invoice, intent }),
  ]
  for (const event of events) expect(await ingest(admin, event)).toBe('applied')
}

/** One customer's life: a subscription by a code, a promotion code, a redemption, reversals, staff, and what is read of it. */
async function live({ org, program, admin: staff, mentor }: Scene, code: string) {
  const [customer, friend] = [`cus_${unique()}`, person(admin)]
  const [subscription, invoice, intent] = [`sub_${customer}`, `in_${customer}`, `pi_${customer}`]
  const [charge, promo] = [`ch_${customer}`, `promo_${customer}`]
  const of = { customer, subscription }
  await friend.rpc('redeem_code', { code })
  const events = [
    completedSession({ ...of, code, userId: friend.id }),
    paidInvoice({ ...of, id: invoice, code }),
    succeededIntent({ customer, id: intent }),
    paidInvoicePayment({ id: `inpay_${customer}`, invoice, intent }),
    promotionCode({ id: promo, code }),
    createdDiscount({ customer, promotionCode: promo }),
    paidInvoice({ customer: null, code }),
    refund({ id: `re_${customer}`, intent, amount: 100 }),
    dispute({
      id: `du_${customer}`,
      intent,
      charge,
      amount: 100,
      moved: [[`txn_${customer}`, -100]],
    }),
    fraudWarning({ id: `issfr_${customer}`, intent, charge }),
    creditNote({ id: `cn_${customer}`, invoice }),
  ]
  for (const event of events) expect(await ingest(admin, event)).toBe('applied')
  await mentor.rpc('my_earnings', { org_id: org })
  await staff.rpc('explain_commission', { org_id: org, sale_id: invoice })
  const referral = { org_id: org, program_id: program, payer_id: customer }
  const [decision] = await operator(admin).rpc('reject_referral', referral)
  await operator(admin).rpc('withdraw_decision', { decision_id: decision?.id })
}

/** The tables of which something reads more than 20 rows in one scan, and how many. */
async function readsMany(of: () => Promise<void>): Promise<Record<string, number>> {
  await admin.unsafe(`
    load 'auto_explain';
    set auto_explain.log_min_duration = 0;
    set auto_explain.log_nested_statements = on;
    set auto_explain.log_analyze = on;
    set auto_explain.log_timing = off;
    set client_min_messages = log`)
  plans.length = 0
  await of()
  await admin.unsafe('reset client_min_messages; set auto_explain.log_min_duration = -1')
  const most: Record<string, number> = {}
  for (const plan of plans)
    for (const [, table = '', rows, loops, rest = ''] of plan.matchAll(
      /Scan (?:using \w+ )?on (\w+).*?\(actual rows=([\d.]+) loops=(\d+)\)((?:\n(?!.*->).*)*)/g,
    )) {
      const removed = Number(/Rows Removed by \w+: (\d+)/.exec(rest)?.[1] ?? 0)
      most[table] = Math.max(most[table] ?? 0, (Number(rows) + removed) * Number(loops))
    }
  expect(Object.keys(most)).toEqual(expect.arrayContaining(['payments', 'sales', 'postings']))
  return Object.fromEntries(Object.entries(most).filter(([, rows]) => rows > 20))
}

/** As many other customers, each with a subscription that a code of another program's brought and that has earned. */
const others = (n: number) => `
  insert into auth.users (id) select md5('user' || n)::uuid from generate_series(1, ${n}) as n;
  insert into referral_private.known_users (stripe_account, user_id)
  select '', md5('user' || n)::uuid from generate_series(1, ${n}) as n;
  insert into referral_private.payer_users (stripe_account, livemode, carrier, user_id, linked_at)
  select '', false, 'cus_' || n, md5('user' || n)::uuid, now() from generate_series(1, ${n}) as n;
  insert into referral_private.payments (
    stripe_account, livemode, payment_id, source, customer_id, org_id, program_id, subscription_id,
    subscription_org_id, names_referral, currency, paid, total, total_excluding_tax, sale_at, paid_at,
    paid_at_is_stated, made_at, stated_at, stated_by
  )
  select '', false, kind || n, source::referral_private.payment_source, 'cus_' || n, null, null, 'sub_' || n, null, true,
    'usd', 1000, 1000, null, now(), now(), false, now(), now(), 'evt_' || n
  from generate_series(1, ${n}) as n, (values ('in_', 'invoice'), ('pi_', 'intent')) as of (kind, source);
  insert into referral_private.invoice_payments (
    stripe_account, livemode, object_id, invoice_id, payment_key, amount_paid
  )
  select '', false, 'inpay_' || n, 'in_' || n, 'pi_' || n, 1000 from generate_series(1, ${n}) as n;
  insert into referral_private.sessions (
    stripe_account, livemode, session_id, made_at, org_id, subscription_id, invoice_id, intent_id
  )
  select '', false, 'cs_' || n, now(), null, 'sub_' || n, null, null from generate_series(1, ${n}) as n;
  insert into referral_private.charges (stripe_account, livemode, charge_id, intent_id)
  select '', false, 'ch_' || n, 'pi_' || n from generate_series(1, ${n}) as n;
  insert into referral_private.payer_evidence (stripe_account, livemode, carrier, kind, named, object_id, carried_at)
  select '', false, 'cus_' || n, 'promotion_code', 'promo_' || n, 'in_' || n, now() from generate_series(1, ${n}) as n;
  insert into referral_private.promotion_code_statements (
    stripe_account, livemode, promotion_code_id, stated_at, stated_by, code_key, states_previous, previous_key
  )
  select '', false, 'promo_' || n, now(), 'evt_' || n, 'CODE' || n, false, null from generate_series(1, ${n}) as n;
  insert into referral_private.sales (
    stripe_account, livemode, sale_id, payer_id, is_guest, org_id, program_id, subscription_id, object_ids,
    currency, paid, reversed, total, total_excluding_tax, sale_at, paid_at, warned_at
  )
  select '', false, 'in_' || n, 'cus_' || n, false, null, null, 'sub_' || n, array['in_' || n, 'pi_' || n, 'cs_' || n],
    'usd', 1000, 0, 1000, null, now(), now(), null
  from generate_series(1, ${n}) as n;`

test('without statistics, renewals read no more than their customer’s rows', async () => {
  const people = await scene(admin, terms)
  const { code } = await codeOf(people.mentor, people.org)
  for (let n = 0; n < 60; n++) await renew(code)
  expect(await readsMany(() => renew(code))).toEqual({})
})

test('with 20,000 customers and statistics, nothing of a customer’s life reads more than their rows', async () => {
  const people = await scene(admin, terms)
  const { code } = await codeOf(people.mentor, people.org)
  await live(people, code)
  await admin.unsafe(others(20_000))
  await admin.unsafe('analyze')
  expect(await readsMany(() => live(people, code))).toEqual({})
}, 120_000)
