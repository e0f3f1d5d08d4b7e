/** Parked events, through the deployed function: what is stored of them, and the line that is logged. */
import { afterAll, describe, expect, test } from 'vitest'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { creditNote } from '../fixtures/stripe/credit-note.ts'
import { dispute } from '../fixtures/stripe/dispute.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { succeededIntent } from '../fixtures/stripe/payment-intent-succeeded.ts'
import { personalFields, personalIn } from '../fixtures/stripe/personal-fields.ts'
import { refund, refundedCharge } from '../fixtures/stripe/refund.ts'
import { stackDatabase } from '../support/http.ts'
import { taken } from '../support/taken.ts'
import { deliverBody, startWebhook } from '../support/webhook.ts'

const sql = stackDatabase()
const { url, logOf, stop } = await startWebhook()
afterAll(stop)

/** Delivers an event, and gives the answer with what was stored and logged of it. */
async function deliver(event: RawEvent, body = JSON.stringify(event)) {
  let answer = { http: 0, status: '' }
  const log = await logOf(async () => {
    answer = await deliverBody(url, body)
  })
  const [stored] = await sql`
    select e.status, e.event::text as inbox, p.reason, p.event::text as parked
    from referral_private.stripe_events as e
    left join referral_private.parked_events as p using (event_id)
    where e.event_id = ${event.id}`
  return { ...answer, stored, log }
}

const future = { api_version: '2031-01-01.future' }
const changed = (event: RawEvent, change: object, envelope: object = {}): RawEvent => ({
  ...event,
  ...envelope,
  data: { ...event.data, object: { ...event.data.object, ...change } },
})

describe('a parked event', () => {
  test.for([
    ['older than basil', '2024-06-20'],
    ['the day before basil', '2025-03-30.acacia'],
    ['years old', '2011-01-01'],
    ['newer than the SDK', '2031-01-01.future'],
    ['a preview', '2025-07-30.preview; checkout_beta=v1'],
  ] as const)('of a version that is %s keeps nothing personal', async ([, api_version]) => {
    for (const event of [
      paidInvoice(),
      completedSession({ mode: 'payment' }),
      succeededIntent(),
      refundedCharge({ intent: 'pi_1' }),
      dispute({ charge: 'ch_1', amount: 5 }),
      creditNote({ invoice: 'in_1' }),
    ]) {
      const personal = changed(event, personalFields, { api_version })
      const answer = await deliver(personal)
      expect(answer).toMatchObject({ http: 200, status: 'parked', stored: { status: 'parked' } })
      expect(answer.stored?.reason).toBe(`version ${api_version}`)
      expect(answer.stored?.parked).toContain(event.data.object.id)
      expect(personalIn(answer)).toEqual([])
    }
  })

  test.for([
    ['an old version', 'version 2020-08-27', {}, { api_version: '2020-08-27' }],
    ['no version', 'version null', {}, { api_version: null }],
    ['an absent version', 'version null', {}, { api_version: undefined }],
    ['a version that is text', 'version null', {}, { api_version: 'for Olivia' }],
    ['an unknown currency', 'shape of currency', { currency: 'for Olivia' }, {}],
    ['two unknown fields', 'shape of amount_paid, total', { amount_paid: '5', total: null }, {}],
    ['U+0000', 'shape of currency', { currency: '\u0000' }, {}],
    ['half a character', 'shape of currency', { currency: '\ud800' }, {}],
    ['a time out of range', 'shape of created', { created: 2 ** 52 }, {}],
  ] as const)('for %s is logged in one line, once', async ([, reason, change, envelope]) => {
    const event = changed(paidInvoice(), change, envelope)
    const first = await deliver(event)
    expect(first).toMatchObject({ http: 200, status: 'parked', stored: { reason } })
    const version = 'api_version' in envelope ? reason.slice('version '.length) : event.api_version
    expect(first.log).toBe(
      `parked ${event.id}: invoice.paid, API version ${version}, reason: ${reason}\n`,
    )
    expect(await deliver(event)).toMatchObject({ status: 'duplicate', log: '' })
  })

  const most = 2 ** 53 - 1
  const outside = { refund: 're_1', amount: most, type: 'payment_record_refund' } as const

  test.for([
    ['a refund of less than nothing', refund({ amount: -5, intent: 'pi_1' })],
    ['an intent of less than nothing', succeededIntent({ paid: -5 })],
    ['a session of less than nothing', completedSession({ mode: 'payment', paid: -5 })],
    ['a dispute of less than nothing', dispute({ charge: 'ch_1', amount: -5 })],
    ['a credit note of less than nothing', creditNote({ invoice: 'in_1', outOfBand: -5 })],
    [
      'a credit note’s sum out of range',
      creditNote({ invoice: 'in_1', outOfBand: most, refunds: [outside] }),
    ],
  ] as const)('is also %s, which the database does not take', async ([, event]) => {
    const answer = await deliver(event)
    expect(answer).toMatchObject({ http: 200, status: 'parked' })
    expect(answer.stored?.reason).toBe('refused by the database')
    expect(answer.log).toMatch(/^parked evt_\w+: [a-z_.]+, API version .*, reason: refused by.*\n$/)
    expect(await deliver(event)).toMatchObject({ http: 200, status: 'duplicate', log: '' })
  })

  test.for([
    ['an amount up to 2^53', succeededIntent({ paid: most })],
    ['an invoice with more tax than total', paidInvoice({ total: 5, withoutTax: most })],
    ['a dispute’s transaction', dispute({ charge: 'ch_1', amount: 5, moved: [['txn_1', most]] })],
  ] as const)('is not %s, which is applied', async ([, event]) => {
    expect(await deliver(event)).toMatchObject({ http: 200, status: taken, log: '' })
  })

  test('of a megabyte of brackets is parked', async () => {
    const event = { ...paidInvoice(), ...future }
    const body = JSON.stringify(changed(event, { parent: '@' }))
    const brackets = '['.repeat(500_000) + ']'.repeat(500_000)
    const answer = await deliver(event, body.replace('"@"', brackets))
    expect(answer).toMatchObject({ http: 200, status: 'parked' })
    expect(answer.stored?.parked.length).toBeLessThan(2_000)
  })

  test('whose object is absent is parked', async () => {
    for (const data of [undefined, null, {}, { object: null }, { object: [] }]) {
      const event = { ...paidInvoice(), data } as unknown as RawEvent
      const answer = await deliver(event)
      expect(answer).toMatchObject({ http: 200, status: 'parked' })
      expect(answer.stored?.reason).toBe('shape of data.object')
    }
  })
})

test('an applied or an ignored event is not logged', async () => {
  expect(await deliver(paidInvoice())).toMatchObject({ status: taken, log: '' })
  const ignored = { ...paidInvoice(), ...future, type: 'customer.created' }
  expect(await deliver(ignored)).toMatchObject({ status: 'ignored', log: '' })
})
