/** Events without an object, as those of Stripe's API v2 are: 200 and ignored, so that Stripe does not send them again. */
import type Stripe from 'stripe'
import { describe, expect, inject, test } from 'vitest'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { stackDatabase } from '../support/http.ts'
import { deliverBody } from '../support/webhook.ts'

const sql = stackDatabase()
const url = `${inject('stack').FUNCTIONS_URL}/referbase-stripe-webhook`

const unique = () => `evt_test_${crypto.randomUUID().replaceAll('-', '')}`

/** A thin event, as the SDK's types have it. */
const thin = (change: object = {}): Record<string, unknown> => ({
  ...({
    id: unique(),
    object: 'v2.core.event',
    type: 'v1.billing.meter.error_report_triggered',
    livemode: false,
    created: '2026-11-27T10:00:00.000Z',
    related_object: { id: 'mtr_1', type: 'billing.meter', url: '/v1/billing/meters/mtr_1' },
  } satisfies Partial<Stripe.V2.Core.Events.V1BillingMeterErrorReportTriggeredEvent>),
  context: null,
  reason: null,
  ...change,
})

const ping = { type: 'v2.core.event_destination.ping', related_object: { id: 'ed_test_1' } }

describe('an event of API v2', () => {
  test.for([
    ['thin', {}],
    ['a ping', ping],
    ['of live mode, at a test endpoint', { livemode: true }],
    ['of an account', { context: 'acct_1' }],
    ['with data of its own', { data: { developer_message_summary: 'for Olivia' } }],
    ['with an object in its data', { data: { object: { id: 'in_1' } } }],
    ['with the name of a type of v1', { type: 'invoice.paid' }],
    ['of a type and a form that are not known', { type: 'v3.new-type', id: 7, created: null }],
    ['with a time in seconds', { created: 1_800_000_000 }],
  ] as const)('%s is ignored, and not stored', async ([, change]) => {
    const event = thin(change)
    expect(await deliverBody(url, JSON.stringify(event))).toMatchObject({
      http: 200,
      status: 'ignored',
    })
    const rows = sql`select from referral_private.stripe_events where event_id = ${String(event.id)}`
    expect(await rows).toHaveLength(0)
  })

  test('that Stripe did not sign is refused', async () => {
    const body = JSON.stringify(thin())
    expect(await deliverBody(url, body, { signature: 't=1,v1=00' })).toMatchObject({
      http: 400,
      code: 'invalid_signature',
    })
  })
})

describe('an event without an object', () => {
  const unlisted = { ...paidInvoice(), type: 'billing.alert.triggered' }

  test.for([
    ['no data', { data: undefined }],
    ['data null', { data: null }],
    ['data without an object', { data: {} }],
    ['an object of null', { data: { object: null } }],
    ['a time of its own form', { data: undefined, created: '2026-11-27T10:00:00.000Z' }],
    ['no version and no mode', { data: undefined, api_version: undefined, livemode: undefined }],
  ] as const)('and with %s is ignored', async ([, change]) => {
    const answer = await deliverBody(url, JSON.stringify({ ...unlisted, ...change }))
    expect(answer).toMatchObject({ http: 200, status: 'ignored' })
  })

  test('of a type that states a fact is parked instead, and never ignored', async () => {
    const event = { ...paidInvoice(), data: {} } as unknown as RawEvent
    expect(await deliverBody(url, JSON.stringify(event))).toMatchObject({
      http: 200,
      status: 'parked',
    })
    const unreadable = { ...paidInvoice(), data: {}, created: '2026-11-27T10:00:00.000Z' }
    expect(await deliverBody(url, JSON.stringify(unreadable))).toMatchObject({
      http: 400,
      code: 'invalid_body',
    })
  })

  test.for([
    ['an id of another kind', { id: 'ch_1' }],
    ['no id', { id: undefined }],
    ['no type', { type: undefined }],
    ['an object that is a list', { data: { object: [] } }],
    ['an object that is text', { data: { object: 'in_1' } }],
  ] as const)('and with %s is no event', async ([, change]) => {
    const event = { ...unlisted, data: {}, ...change }
    expect(await deliverBody(url, JSON.stringify(event))).toMatchObject({
      http: 400,
      code: 'invalid_body',
    })
  })
})
