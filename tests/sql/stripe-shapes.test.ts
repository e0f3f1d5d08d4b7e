/** Objects in the shapes that API versions since basil give them: a part absent, null, or by another name. */
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { creditNote } from '../fixtures/stripe/credit-note.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../fixtures/stripe/invoice-payment-paid.ts'
import { createdDiscount, promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { refund } from '../fixtures/stripe/refund.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest, reduced } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const at = Math.floor(Date.now() / 1000) + 1000
const commission = { kind: 'percent', bps: 1000 }
const terms = { commission, enrolment: 'open', recurrence: 'forever', hold_days: 0 }

async function staged(tx: Sql) {
  const people = await scene(tx, terms)
  const { code } = await codeOf(people.mentor, people.org)
  const earned = async () => {
    await checkLedger(tx)
    const [row] = await people.mentor.rpc('my_earnings', { org_id: people.org })
    return Number(row?.available ?? 0) + Number(row?.pending ?? 0)
  }
  return { ...people, code, earned }
}

describe('a credit note’s refund', () => {
  /** An invoice of 1,000 that was paid by pi_1, 200 of it refunded, and a credit note with this part. */
  const credited = async (tx: Sql, part: object, type: 'created' | 'updated' = 'created') => {
    const { code, earned } = await staged(tx)
    await ingest(tx, paidInvoice({ id: 'in_1', customer: 'cus_1', code, at }))
    await ingest(tx, paidInvoicePayment({ invoice: 'in_1', intent: 'pi_1', at }))
    await ingest(tx, refund({ id: 're_1', intent: 'pi_1', amount: 200, at }))
    const note = creditNote({ type, invoice: 'in_1', at })
    note.data.object.refunds = [{ refund: 're_1', amount_refunded: 200, ...part }]
    return { status: await ingest(tx, note), earned: await earned(), note }
  }

  test.for([
    ['without a type', {}],
    ['of type null', { type: null }],
    ['of type null, beside a payment record of null', { type: null, payment_record_refund: null }],
    ['of type refund', { type: 'refund' }],
    ['expanded, without a type', { refund: { id: 're_1', object: 'refund', amount: 200 } }],
    ['expanded, of type null', { refund: { id: 're_1', status: 'succeeded' }, type: null }],
  ] as const)('%s is an ordinary one, which the refund’s own event takes back once', ([, part]) =>
    undone(sql, async (tx) => {
      expect(await credited(tx, part)).toMatchObject({ status: 'applied', earned: 80 })
    }),
  )

  test('without a type is an ordinary one in credit_note.updated too', () =>
    undone(sql, async (tx) => {
      expect(await credited(tx, {}, 'updated')).toMatchObject({ status: 'applied', earned: 80 })
    }))

  test('of a payment record is taken back by the credit note', () =>
    undone(sql, async (tx) => {
      const part = { refund: null, type: 'payment_record_refund' }
      expect(await credited(tx, part)).toMatchObject({ status: 'applied', earned: 60 })
    }))

  test.for([
    ['of an unknown type', { type: 'gift' }],
    ['of an empty type', { type: '' }],
    ['of type false', { type: false }],
    ['without a type and without an id', { refund: null }],
    ['without a type, of a payment record', { refund: null, payment_record_refund: { id: 'x' } }],
  ] as const)('%s is parked', ([, part]) =>
    undone(sql, async (tx) => {
      const { status, note } = await credited(tx, part)
      expect(status).toBe('parked')
      expect(await reduced(note)).toMatchObject({ parked: 'shape of refunds.0.type' })
    }),
  )
})

describe('customer.discount.created', () => {
  const account = 'acct_customer1'
  const nobody = { customer: null }

  test('of an account alone is evidence for what the account buys', () =>
    undone(sql, async (tx) => {
      const { code, earned } = await staged(tx)
      await ingest(tx, promotionCode({ id: 'promo_1', code, at: at - 9 }))
      const of = { ...nobody, customerAccount: account, at }
      await ingest(tx, createdDiscount({ ...of, promotionCode: 'promo_1' }))
      await ingest(tx, paidInvoice(of))
      expect(await earned()).toBe(100)
    }))

  test('of an account comes after the purchase, and settles it', () =>
    undone(sql, async (tx) => {
      const { code, earned } = await staged(tx)
      const of = { ...nobody, customerAccount: account, at }
      await ingest(tx, paidInvoice(of))
      await ingest(tx, createdDiscount({ ...of, promotionCode: 'promo_1' }))
      expect(await earned()).toBe(0)
      await ingest(tx, promotionCode({ id: 'promo_1', code, at: at - 9 }))
      expect(await earned()).toBe(100)
    }))

  test('that names a customer and an account makes the two one payer', () =>
    undone(sql, async (tx) => {
      const { code, earned } = await staged(tx)
      await ingest(tx, promotionCode({ id: 'promo_1', code, at: at - 9 }))
      await ingest(tx, paidInvoice({ ...nobody, customerAccount: account, at }))
      const both = { customer: 'cus_1', customerAccount: account }
      await ingest(tx, createdDiscount({ ...both, promotionCode: 'promo_1', at }))
      await ingest(tx, paidInvoice({ customer: 'cus_1', at: at + 1 }))
      expect(await earned()).toBe(200)
    }))

  test('that names both, and no promotion code, still makes the two one payer', () =>
    undone(sql, async (tx) => {
      const { code, earned } = await staged(tx)
      await ingest(tx, paidInvoice({ ...nobody, customerAccount: account, code, at }))
      const discount = createdDiscount({
        customer: 'cus_1',
        customerAccount: account,
        promotionCode: 'promo_1',
        at,
      })
      discount.data.object.promotion_code = null
      await ingest(tx, discount)
      await ingest(tx, paidInvoice({ customer: 'cus_1', at: at + 1 }))
      expect(await earned()).toBe(200)
    }))

  test.for([
    ['expanded', (id: string) => ({ id, object: 'account', contact_email: 'a@example.com' })],
    ['an id', (id: string) => id],
  ] as const)('of an account that is %s is read', ([, shape]) =>
    undone(sql, async (tx) => {
      const { code, earned } = await staged(tx)
      await ingest(tx, promotionCode({ id: 'promo_1', code, at: at - 9 }))
      const of = { ...nobody, customerAccount: account, at }
      const discount = createdDiscount({ ...of, promotionCode: 'promo_1' })
      discount.data.object.customer_account = shape(account)
      expect(await ingest(tx, discount)).toBe('applied')
      await ingest(tx, paidInvoice(of))
      expect(await earned()).toBe(100)
    }),
  )

  test.for([
    ['neither a customer nor an account', {}],
    ['no field for the account, as before it', { customer_account: undefined }],
  ] as const)('with %s is applied, and is nobody’s', ([, change]) =>
    undone(sql, async (tx) => {
      const discount = createdDiscount({ promotionCode: 'promo_1', at })
      Object.assign(discount.data.object, change)
      expect(await ingest(tx, discount)).toBe('applied')
      expect(await tx`select from referral_private.payer_evidence`).toHaveLength(0)
    }),
  )
})

describe('a session', () => {
  const shaped = (about: object, change: object) => {
    const session = completedSession({ at, ...about })
    Object.assign(session.data.object, change)
    return session
  }

  test.for([
    ['currency', { currency: null }, 'currency'],
    ['amount', { amount_total: null }, 'amount_total'],
    ['currency and amount', { currency: null, amount_total: null }, 'currency, amount_total'],
  ] as const)('of mode payment without %s is parked', ([, change, named]) =>
    undone(sql, async (tx) => {
      for (const status of ['paid', 'unpaid', 'no_payment_required'] as const) {
        const session = shaped({ mode: 'payment', status }, change)
        expect(await ingest(tx, session)).toBe('parked')
        expect(await reduced(session)).toMatchObject({ parked: `shape of ${named}` })
      }
      const late = shaped({ mode: 'payment', type: 'async_payment_succeeded' }, change)
      expect(await ingest(tx, late)).toBe('parked')
    }),
  )

  test.for([
    ['an absent currency', { currency: undefined }],
    ['an empty currency', { currency: '' }],
    ['an absent amount', { amount_total: undefined }],
    ['an amount that is text', { amount_total: '1000' }],
  ] as const)('of mode payment with %s is parked', ([, change]) =>
    undone(sql, async (tx) => {
      expect(await ingest(tx, shaped({ mode: 'payment' }, change))).toBe('parked')
    }),
  )

  test.for(['setup', 'subscription'] as const)(
    'of mode %s has no money of its own, so null is applied',
    (mode) =>
      undone(sql, async (tx) => {
        const change = { currency: null, amount_total: null }
        expect(await ingest(tx, shaped({ mode, status: 'no_payment_required' }, change))).toBe(
          'applied',
        )
      }),
  )

  test('of mode payment with an amount of 0 and a currency is applied', () =>
    undone(sql, async (tx) => {
      const about = { mode: 'payment', paid: 0, status: 'no_payment_required' }
      expect(await ingest(tx, shaped(about, { payment_intent: null }))).toBe('applied')
    }))
})
