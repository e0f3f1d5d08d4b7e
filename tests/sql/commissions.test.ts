/** What sales earn by a program's terms, beyond the stories: ranks, holds, evidence without a redemption. */
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../fixtures/stripe/invoice-payment-paid.ts'
import { promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { refund } from '../fixtures/stripe/refund.ts'
import { type Actor, operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { ingest } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { release } from '../support/money.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const now = () => Math.floor(Date.now() / 1000)
const tenPercent = { commission: { kind: 'percent', bps: 1000 }, enrolment: 'open', hold_days: 0 }
const day = 86_400

const earned = async (owner: Actor, org: string) => {
  const rows = await owner.rpc('my_earnings', { org_id: org })
  return rows.map(({ available, pending }) => [Number(available), Number(pending)])
}

/** New people who redeem the mentor's code, each with a paid invoice; sale times rise by a second. */
async function referees(tx: Sql, code: string, count: number, at = now() + 10) {
  const people = Array.from({ length: count }, (_, n) => ({ ...person(tx), at: at + n }))
  for (const who of people) await who.rpc('redeem_code', { code })
  return people
}

describe('rank', () => {
  const tiers = [
    { from: 1, bps: 1000 },
    { from: 3, bps: 2000 },
  ]

  test('decides the tier, by the time of the first sale, however late it is heard of', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx, { enrolment: 'open', hold_days: 0, tiers })
      const { code } = await codeOf(mentor, org)
      const people = await referees(tx, code, 4)
      for (const { id, at } of people.toReversed())
        await ingest(tx, paidInvoice({ userId: id, at }))
      await release(tx)
      expect(await total(mentor, org)).toBe(100 + 100 + 200 + 200)
      await checkLedger(tx)
    }))

  test('is kept when the first sale is refunded, and given up when staff reject', () =>
    undone(sql, async (tx) => {
      const terms = { ...tenPercent, max_commissions_per_referrer: 2 }
      const { org, mentor, coordinator } = await scene(tx, terms)
      const { code } = await codeOf(mentor, org)
      const [first, ...others] = await referees(tx, code, 3)
      const invoice = paidInvoice({ id: 'in_first', userId: first?.id, at: first?.at ?? 0 })
      await ingest(tx, invoice)
      await ingest(tx, paidInvoicePayment({ invoice: 'in_first', intent: 'pi_first' }))
      for (const { id, at } of others) await ingest(tx, paidInvoice({ userId: id, at }))
      await release(tx)
      expect(await total(mentor, org)).toBe(200)
      await ingest(tx, refund({ intent: 'pi_first', amount: 1000 }))
      expect(await total(mentor, org)).toBe(100)
      const [redemption] =
        await tx`select id from referral.redemptions where referee_id = ${first?.id ?? ''}`
      await coordinator.rpc('reject_redemption', { redemption_id: redemption?.id })
      await release(tx)
      expect(await total(mentor, org)).toBe(200)
      await checkLedger(tx)
    }))
})

const total = async (owner: Actor, org: string) => {
  const [row] = await owner.rpc('my_earnings', { org_id: org })
  return Number(row?.available ?? 0) + Number(row?.pending ?? 0)
}

describe('rank, when terms change', () => {
  test('holds for sales ahead of the change, as a test clock makes them', () =>
    undone(sql, async (tx) => {
      const { org, program, mentor, admin } = await scene(tx, tenPercent)
      const { code } = await codeOf(mentor, org)
      for (let n = 0; n < 3; n++) {
        const customer = `cus_${crypto.randomUUID().slice(0, 8)}`
        const at = now() + 10 * day + n
        await ingest(tx, completedSession({ customer, reference: code, at }))
        await ingest(tx, paidInvoice({ customer, at: at + 1 }))
      }
      expect(await total(mentor, org)).toBe(300)
      const terms = { ...tenPercent, max_commissions_per_referrer: 1 }
      await admin.rpc('update_program', { program_id: program, changes: { terms } })
      expect(await total(mentor, org)).toBe(100)
      await checkLedger(tx)
    }))

  test('and so does the organisation’s switch', () =>
    undone(sql, async (tx) => {
      const { org, mentor, admin } = await scene(tx, tenPercent)
      const { code } = await codeOf(mentor, org)
      await ingest(tx, completedSession({ customer: 'cus_1', reference: code, at: now() + day }))
      await ingest(tx, paidInvoice({ customer: 'cus_1', at: now() + day + 1 }))
      expect(await total(mentor, org)).toBe(100)
      await admin.rpc('update_organisation', { org_id: org, changes: { active: false } })
      expect(await total(mentor, org)).toBe(0)
      await checkLedger(tx)
    }))
})

describe('test mode and live mode', () => {
  test('have balances of their own, and one redemption between them', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, { ...tenPercent, recurrence: 'forever' })
      const { code } = await codeOf(mentor, org)
      await friend.rpc('redeem_code', { code })
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() + 10, paid: 500_000 }))
      expect(await total(mentor, org)).toBe(50_000)
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() + 20, livemode: true }))
      expect(await mentor.rpc('my_earnings', { org_id: org })).toMatchObject([
        { livemode: false, pending: 50_000n },
        { livemode: true, pending: 100n },
      ])
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() - 20, customer: 'cus_early' }))
      const [row] =
        await tx`select status from referral.redemptions where referee_id = ${friend.id}`
      expect(row?.status).toBe('confirmed')
      await checkLedger(tx)
    }))

  test('do not unconfirm in one what the other has confirmed', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, tenPercent)
      const { code } = await codeOf(mentor, org)
      await friend.rpc('redeem_code', { code })
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() + 10, livemode: true }))
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() - 20 }))
      const [row] =
        await tx`select status from referral.redemptions where referee_id = ${friend.id}`
      expect(row?.status).toBe('confirmed')
      await checkLedger(tx)
    }))
})

describe('an organisation that has earned or owes', () => {
  test('keeps its Stripe account', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx, tenPercent)
      const { code } = await codeOf(mentor, org)
      await ingest(tx, completedSession({ customer: 'cus_1', reference: code, at: now() + 5 }))
      const changes = { stripe_account_id: 'acct_1' }
      expect(await refusal(operator(tx).rpc('update_organisation', { org_id: org, changes }))).toBe(
        'stripe_account_fixed',
      )
    }))
})

describe('an organisation of which an account has heard by a promotion code', () => {
  test('does not join that account', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx, tenPercent)
      const { code } = await codeOf(mentor, org)
      await ingest(tx, promotionCode({ account: 'acct_1', id: 'promo_1', code }))
      const changes = { stripe_account_id: 'acct_1' }
      expect(await refusal(operator(tx).rpc('update_organisation', { org_id: org, changes }))).toBe(
        'stripe_account_fixed',
      )
    }))
})

describe('a mutual referral', () => {
  test('earns nothing, whether the purchase or the redemption is heard of first', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, tenPercent)
      const { code } = await codeOf(mentor, org)
      const [theirs] = await friend.rpc('get_or_create_code', { org_id: org })
      const at = now() + 10
      await ingest(tx, completedSession({ customer: 'cus_1', reference: code, at }))
      await ingest(tx, paidInvoice({ customer: 'cus_1', at: at + 1, userId: friend.id }))
      expect(await total(mentor, org)).toBe(100)
      await mentor.rpc('redeem_code', { code: theirs?.code })
      expect(await total(mentor, org)).toBe(0)
      await checkLedger(tx)
    }))
})

describe('a hold', () => {
  test('keeps a commission pending until its days are over, and no longer', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, { ...tenPercent, hold_days: 7 })
      const { code } = await codeOf(mentor, org)
      await friend.rpc('redeem_code', { code })
      await tx`update referral.redemptions set redeemed_at = redeemed_at - interval '20 days'`
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() - 6 * day }))
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() - 8 * day }))
      expect(await earned(mentor, org)).toEqual([[100, 0]])
      await rewriteTerms(tx, `set terms = terms || '{"recurrence": "forever"}'`)
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() - 5 * day }))
      expect(await earned(mentor, org)).toEqual([[100, 200]])
      expect(await operator(tx).rpc('release_due_commissions')).toEqual([
        { release_due_commissions: 0 },
      ])
      await rewriteTerms(tx, `set terms = terms || '{"hold_days": 4}'`)
      await tx`update referral_private.postings set due_at = due_at - interval '3 days'`
      expect(await operator(tx).rpc('release_due_commissions', { max_rows: 1 })).toEqual([
        { release_due_commissions: 1 },
      ])
      await release(tx)
      expect(await earned(mentor, org)).toEqual([[300, 0]])
      await checkLedger(tx)
    }))
})

describe('a code without a redemption', () => {
  /** A session of a customer that carries a code, and its invoice. */
  async function bought(tx: Sql, code: string, about: { userId?: string; at?: number } = {}) {
    const at = about.at ?? now() + 10
    const customer = `cus_${crypto.randomUUID().slice(0, 8)}`
    await ingest(tx, completedSession({ customer, reference: code, at }))
    await ingest(tx, paidInvoice({ customer, at: at + 1, userId: about.userId }))
    await release(tx)
    await checkLedger(tx)
  }

  test('earns nothing by a purchase that is older than the code', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx, tenPercent)
      const { code } = await codeOf(mentor, org)
      await rewriteTerms(tx, "set valid_from = now() - interval '9 days'")
      await bought(tx, code, { at: now() - day })
      expect(await total(mentor, org)).toBe(0)
    }))

  test('counts whatever its status, and only while its program was on', () =>
    undone(sql, async (tx) => {
      const { org, program, mentor, coordinator } = await scene(tx, tenPercent)
      const { id, code } = await codeOf(mentor, org)
      await coordinator.rpc('suspend_code', { code_id: id })
      await bought(tx, code.toLowerCase())
      expect(await total(mentor, org)).toBe(100)
      await tx`insert into referral_private.switches (org_id, program_id, active, since) values (${org}, ${program}, false, now() + interval '15 seconds')`
      await bought(tx, code, { at: now() + 20 })
      expect(await total(mentor, org)).toBe(100)
    }))

  test('that comes before another, but is heard of after that one’s commission was released, takes it over', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx, tenPercent)
      const [later, before] = [await codeOf(mentor, org), await codeOf(coordinator, org)]
      const about = { customer: 'cus_late', at: now() }
      await ingest(tx, completedSession({ ...about, reference: later.code }))
      await ingest(tx, paidInvoice(about))
      await release(tx)
      expect(await earned(mentor, org)).toEqual([[100, 0]])
      // In the same second, metadata counts before what a link carries.
      await ingest(tx, completedSession({ ...about, code: before.code }))
      await release(tx)
      expect(await earned(mentor, org)).toEqual([[0, 0]])
      expect(await earned(coordinator, org)).toEqual([[100, 0]])
      await checkLedger(tx)
    }))

  test('earns nothing for its own referrer, nor for two who refer each other', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, tenPercent)
      const { code } = await codeOf(mentor, org)
      await bought(tx, code, { userId: mentor.id })
      expect(await total(mentor, org)).toBe(0)
      const [theirs] = await friend.rpc('get_or_create_code', { org_id: org })
      await mentor.rpc('redeem_code', { code: theirs?.code })
      await bought(tx, code, { userId: friend.id })
      expect(await total(mentor, org)).toBe(0)
    }))

  test('earns nothing where only new users count and nobody says who it is', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, { ...tenPercent, new_users_only_days: 7 })
      const { code } = await codeOf(mentor, org)
      await bought(tx, code)
      expect(await total(mentor, org)).toBe(0)
      await tx`insert into auth.users (id, created_at) values (${friend.id}, now())`
      await bought(tx, code, { userId: friend.id })
      expect(await total(mentor, org)).toBe(100)
    }))

  test('of a guest earns nothing where the terms refuse guests', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx, { ...tenPercent, guests: false })
      const { code } = await codeOf(mentor, org)
      await ingest(
        tx,
        completedSession({ mode: 'payment', customer: null, reference: code, at: now() + 9 }),
      )
      expect(await total(mentor, org)).toBe(0)
    }))
})

describe('a campaign code', () => {
  test('earns for its beneficiary, redeemed or carried, and without one for nobody', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator, friend } = await scene(tx, tenPercent)
      const made = { org_id: org, beneficiary_id: mentor.id }
      const [theirs] = await coordinator.rpc('create_campaign_code', { ...made, code: 'SPRING-1' })
      await friend.rpc('redeem_code', { code: theirs?.code })
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() + 10 }))
      await ingest(tx, completedSession({ customer: 'cus_1', reference: 'SPRING-1', at: now() }))
      await ingest(tx, paidInvoice({ customer: 'cus_1', at: now() + 10 }))
      expect(await total(mentor, org)).toBe(200)

      await coordinator.rpc('create_campaign_code', { org_id: org, code: 'SPRING-2' })
      const stranger = person(tx)
      await stranger.rpc('redeem_code', { code: 'SPRING-2' })
      await ingest(tx, paidInvoice({ userId: stranger.id, at: now() + 10 }))
      const [row] =
        await tx`select status from referral.redemptions where referee_id = ${stranger.id}`
      expect(row?.status).toBe('confirmed')
      await checkLedger(tx)
    }))
})

describe('staff', () => {
  test('who confirm a redemption waive its conversion window', () =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator, friend } = await scene(tx, {
        ...tenPercent,
        conversion_window_days: 1,
      })
      const { code } = await codeOf(mentor, org)
      const [redeemed] = await friend.rpc('redeem_code', { code })
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() + 5 * day }))
      expect(await total(mentor, org)).toBe(0)
      await coordinator.rpc('confirm_redemption', { redemption_id: redeemed?.redemption_id })
      expect(await total(mentor, org)).toBe(100)
      await coordinator.rpc('reject_redemption', { redemption_id: redeemed?.redemption_id })
      expect(await total(mentor, org)).toBe(0)
      await checkLedger(tx)
    }))
})
