import Stripe from 'stripe'
import { describe, expect, inject, test } from 'vitest'
import { connectDataApi } from '../../functions/_shared/data-api.ts'
import { version } from '../../functions/_shared/version.ts'
import { createWebhookHandler } from '../../functions/stripe-webhook/handler.ts'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { sceneOverHttp, stackDatabase } from '../support/http.ts'
import { known, taken } from '../support/taken.ts'

const stack = inject('stack')
const sql = stackDatabase()

const signed = (payload: string, secret = stack.STRIPE_WEBHOOK_SECRET, timestamp?: number) =>
  Stripe.webhooks.generateTestHeaderStringAsync({
    payload,
    secret,
    ...(timestamp && { timestamp }),
  })

async function post(payload: string | Uint8Array<ArrayBuffer>, signature?: string) {
  const headers = signature === undefined ? {} : { 'stripe-signature': signature }
  const response = await fetch(`${stack.FUNCTIONS_URL}/referbase-stripe-webhook`, {
    method: 'POST',
    body: payload,
    headers,
  })
  const text = await response.text()
  return { http: response.status, text, body: JSON.parse(text) }
}

async function deliver(event: RawEvent) {
  const payload = JSON.stringify(event)
  return post(payload, await signed(payload))
}

const stored = async (event: RawEvent) =>
  sql`select status, event, body_sha256 from referral_private.stripe_events where event_id = ${event.id}`

describe('a signed event', () => {
  test.for([
    [
      'checkout.session.completed',
      (userId: string) => completedSession({ mode: 'payment', userId }),
    ],
    ['invoice.paid', (userId: string) => paidInvoice({ userId })],
  ] as const)('%s is applied once and confirms the referral', async ([, about]) => {
    const { org, mentor, friend, code } = await sceneOverHttp()
    await friend.supabase.rpc('redeem_code', { code }).throwOnError()
    const event = about(friend.id)
    const answers = [await deliver(event), await deliver(event), await deliver(event)]
    expect(answers.map(({ http, body }) => [http, body.status])).toEqual([
      [200, taken],
      [200, known],
      [200, known],
    ])
    await expect
      .poll(async () => {
        const { data } = await mentor.supabase.rpc('my_referrals', { org_id: org }).throwOnError()
        return data
      })
      .toMatchObject([{ status: 'confirmed' }])
  })

  test('is answered while somebody else has the Stripe account, and settled as soon as that ends', async () => {
    const { org, mentor, friend, code } = await sceneOverHttp()
    await friend.supabase.rpc('redeem_code', { code }).throwOnError()
    const events = [paidInvoice({ userId: friend.id }), paidInvoice({ userId: friend.id })]
    await sql.begin(async (holder) => {
      await holder`select referral_private.lock_stripe_account('')`
      for (const event of events)
        expect(await deliver(event)).toMatchObject({ http: 200, body: { status: 'stored' } })
    })
    await expect
      .poll(async () => {
        const { data } = await mentor.supabase.rpc('my_referrals', { org_id: org }).throwOnError()
        return data
      })
      .toMatchObject([{ status: 'confirmed' }])
    await expect.poll(() => sql`select from referral_private.unapplied_events`).toHaveLength(0)
    for (const event of events)
      expect(await deliver(event)).toMatchObject({ body: { status: 'duplicate' } })
  })

  test('of a type that states nothing is recorded as ignored', async () => {
    const event = { ...paidInvoice(), type: 'customer.created' }
    expect(await deliver(event)).toMatchObject({ http: 200, body: { status: 'ignored' } })
    expect(await stored(event)).toMatchObject([
      { status: 'ignored', event: { data: { object: {} } } },
    ])
  })

  test('leaves nothing personal in the database', async () => {
    const event = completedSession({ mode: 'payment' })
    Object.assign(event.data.object, {
      client_reference_id: 'A Friend',
      billing_reason: 'friend@example.com',
    })
    await deliver(event)
    const [row] = await stored(event)
    expect(JSON.stringify(row)).not.toMatch(/example\.com|Friend|private/)
    expect(row?.body_sha256).toMatch(/^[0-9a-f]{64}$/)
  })
})

describe('what Stripe did not sign', () => {
  test('is refused with invalid_signature, echoes nothing and reaches no table', async () => {
    const event = paidInvoice()
    const payload = JSON.stringify(event)
    const good = await signed(payload)
    const now = Math.floor(Date.now() / 1000)
    const forged = [
      undefined,
      '',
      'nonsense',
      't=1',
      good.replace(/v1=./, 'v1='),
      good.replace('v1=', 'v0='),
      `${good},t=${now}`,
      await signed(payload, 'whsec_other'),
      await signed(`${payload} `),
      await signed(payload, stack.STRIPE_WEBHOOK_SECRET, now - 302),
      await signed(payload, stack.STRIPE_WEBHOOK_SECRET, now + 31_536_000),
    ]
    for (const header of forged) {
      const { http, text, body } = await post(payload, header)
      expect([http, body.code], header).toEqual([400, 'invalid_signature'])
      expect(text).not.toContain(event.id)
    }
    expect(await stored(event)).toHaveLength(0)
  })

  test('is refused also without a body', async () => {
    expect(await post('', 'nonsense')).toMatchObject({
      http: 400,
      body: { code: 'invalid_signature' },
    })
  })
})

describe('a body', () => {
  test('over 1 MiB is refused with body_too_large, signed or not', async () => {
    const payload = JSON.stringify({ ...paidInvoice(), padding: 'x'.repeat(1024 * 1024) })
    expect(await post(payload, await signed(payload))).toMatchObject({
      http: 413,
      body: { code: 'body_too_large' },
    })
    // The connection is closed before all of it was read, which can take the answer along: then it is sent again.
    const sent = () => post(new Uint8Array(5_000_000)).then(({ http }) => http, String)
    await expect.poll(sent, { timeout: 20_000 }).toBe(413)
  })

  test('of exactly 1 MiB is taken', async () => {
    const event = { ...paidInvoice(), padding: '' }
    event.padding = 'x'.repeat(1024 * 1024 - JSON.stringify(event).length)
    expect(await deliver(event)).toMatchObject({ http: 200 })
  })

  test.for(['', 'not json', '{"id":', '[]', 'null', '"text"', '{}', '{"id":"evt_1"}'])(
    '%j, though signed, is refused with invalid_body',
    async (payload) => {
      expect(await post(payload, await signed(payload))).toMatchObject({
        http: 400,
        body: { code: 'invalid_body' },
      })
    },
  )

  test('with a byte-order mark before it is refused', async () => {
    const event = JSON.stringify(paidInvoice())
    const bytes = new TextEncoder().encode(`\ufeff${event}`)
    expect(await post(bytes, await signed(`\ufeff${event}`))).toMatchObject({ http: 400 })
    expect((await post(bytes, await signed(event))).http).toBe(400)
  })

  test('of a type that is a word of JavaScript is ignored like others', async () => {
    expect(await deliver({ ...paidInvoice(), type: 'constructor' })).toMatchObject({ http: 200 })
  })

  test('whose restriction cannot be read restricts the sale to nobody', async () => {
    const event = paidInvoice({ orgId: 'not a uuid' })
    await deliver(event)
    const rows =
      await sql`select subscription_org_id as org_id from referral_private.payments where payment_id = ${String(event.data.object.id)}`
    expect(rows).toEqual([{ org_id: '00000000-0000-0000-0000-000000000000' }])
  })

  test('that is no UTF-8 is refused', async () => {
    const bytes = new Uint8Array([0x7b, 0xff, 0x7d])
    expect((await post(bytes, await signed('{\ufffd}'))).http).toBe(400)
  })
})

describe('an event that is not as known', () => {
  test.for([
    ['a version before basil', { api_version: '2024-06-20' }, {}],
    ['a version newer than the SDK', { api_version: '2027-01-01.zinnia' }, {}],
    ['no version', { api_version: null }, {}],
    ['an amount that is no whole number', {}, { amount_paid: 10.5 }],
    ['no amount', {}, { amount_paid: undefined }],
    ['an amount beyond 2^53', {}, { amount_paid: 2 ** 60 }],
    ['a currency that is none', {}, { currency: 'dollars' }],
    ['a currency of U+0000', {}, { currency: '\u0000' }],
    ['a currency that is half a character', {}, { currency: '\ud800' }],
  ] as const)('with %s is parked, without what is personal', async ([, change, ofObject]) => {
    const event = { ...paidInvoice(), ...change }
    Object.assign(event.data.object, ofObject)
    expect(await deliver(event)).toMatchObject({ http: 200, body: { status: 'parked' } })
    expect(await deliver(event)).toMatchObject({ http: 200, body: { status: 'duplicate' } })
    expect(await stored(event)).toMatchObject([{ status: 'parked' }])
    const [parked] =
      await sql`select reason, event::text from referral_private.parked_events where event_id = ${event.id}`
    expect(parked?.reason).toMatch(/^(version|shape of) /)
    expect(parked?.event).toContain(event.data.object.id)
    expect(parked?.event).not.toMatch(/friend@example\.com|A Friend|private/)
  })

  test('but of a type that states nothing does not matter', async () => {
    const event = { ...paidInvoice(), type: 'product.created', api_version: '2019-01-01' }
    expect(await deliver(event)).toMatchObject({ http: 200, body: { status: 'ignored' } })
  })

  test('of live mode is refused by a test endpoint; a connected account’s is passed over', async () => {
    expect(await deliver(paidInvoice({ livemode: true }))).toMatchObject({
      http: 400,
      body: { code: 'wrong_mode' },
    })
    const connected = paidInvoice({ livemode: true, account: 'acct_1' })
    expect(await deliver(connected)).toMatchObject({ http: 200, body: { status: 'ignored' } })
    expect(await stored(connected)).toHaveLength(0)
  })
})

describe('the endpoint', () => {
  test.for(['GET', 'HEAD', 'PUT', 'DELETE'])('refuses %s with 405', async (method) => {
    const response = await fetch(`${stack.FUNCTIONS_URL}/referbase-stripe-webhook`, { method })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST'])
  })

  test.for(['GET', 'HEAD'])('says its version and its mode by %s', async (method) => {
    const url = `${stack.FUNCTIONS_URL}/referbase-stripe-webhook/.well-known/referbase`
    const response = await fetch(url, { method })
    const about = { function: 'referbase-stripe-webhook', version, livemode: false }
    expect([response.status, await response.text()]).toEqual([
      200,
      method === 'GET' ? JSON.stringify(about) : '',
    ])
  })

  const handlerWith = (database: string, key: string, secrets: string[]) =>
    createWebhookHandler({ database: connectDataApi(database, key), secrets, livemode: false })
  const request = async (event: RawEvent, secret: string) => {
    const body = JSON.stringify(event)
    const headers = { 'stripe-signature': await signed(body, secret) }
    return new Request('http://localhost/referbase-stripe-webhook', {
      method: 'POST',
      body,
      headers,
    })
  }

  test('answers 500 without detail when the database cannot be reached, so that Stripe sends it again', async () => {
    const handler = handlerWith('http://127.0.0.1:9', 'key', ['whsec_1'])
    const response = await handler(await request(paidInvoice(), 'whsec_1'))
    expect(response.status).toBe(500)
    expect(await response.json()).toEqual({
      code: 'internal_error',
      message: 'The event could not be stored. Send it again.',
      details: null,
      hint: null,
    })
  })

  test('takes either secret while one replaces the other', async () => {
    const handler = handlerWith(stack.SUPABASE_URL, stack.SUPABASE_SECRET_KEY, [
      'whsec_old',
      'whsec_new',
    ])
    for (const secret of ['whsec_old', 'whsec_new']) {
      expect((await handler(await request(paidInvoice(), secret))).status).toBe(200)
    }
    expect((await handler(await request(paidInvoice(), 'whsec_none'))).status).toBe(400)
  })
})
