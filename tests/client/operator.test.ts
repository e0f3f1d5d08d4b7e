/** Every method of the operator's client, against the database. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  createOperatorClient,
  createReferralClient,
  createStaffClient,
} from '../../client/index.ts'
import type { Result } from '../../client/result.ts'
import { root } from '../../scripts/stack/root.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operatorOverHttp, personOverHttp, sceneOverHttp } from '../support/http.ts'
import { reduced } from '../support/ingest.ts'
import { known, taken } from '../support/taken.ts'

const operator = createOperatorClient(operatorOverHttp())
const done = <Data>({ data, error }: Result<Data>): Data => {
  if (error) throw new Error(`${error.code}: ${error.message}`)
  return data
}

describe('organisations', () => {
  test('are created, found by their slug, listed page by page, and changed', async () => {
    const admin = await personOverHttp()
    const slug = `made-${crypto.randomUUID()}`
    const made = done(await operator.createOrganisation({ name: 'Made', slug, adminId: admin.id }))
    expect(made).toMatchObject({ name: 'Made', slug, stripe_account_id: null })
    const again = await operator.createOrganisation({ name: 'Made', slug, adminId: admin.id })
    expect(again.error?.code).toBe('organisation_exists')
    expect((await operator.listOrganisations({ slug })).data).toEqual([made])
    expect((await operator.listOrganisations({ slug: 'nobody' })).data).toEqual([])

    const newer = done(
      await operator.createOrganisation({ name: 'New', slug: `${slug}-2`, adminId: admin.id }),
    )
    const page = done(await operator.listOrganisations({ pageSize: 1000 }))
    const after = page.find(({ id }) => id === newer.id)
    const rest = done(await operator.listOrganisations({ after, pageSize: 1000 }))
    expect(rest.map(({ id }) => id)).toContain(made.id)
    expect(rest.map(({ id }) => id)).not.toContain(newer.id)

    const linkOrigin = `https://${slug}.example.org`
    const set = await operator.updateOrganisation({ orgId: made.id, linkOrigin, name: 'Other' })
    expect(set.data).toMatchObject({ id: made.id, link_origin: linkOrigin, name: 'Other' })
    const { error } = await operator.updateOrganisation({ name: 'Other' } as never)
    expect(error).toMatchObject({ code: 'invalid_argument', details: 'orgId: required' })
  })

  test('are allowed words', async () => {
    const { org } = await sceneOverHttp()
    expect((await operator.allowWord({ orgId: org, word: 'c0ck' })).data).toEqual(['COCK'])
    const none = await operator.allowWord({ orgId: org, word: 'cock', allowed: false })
    expect(none.data).toEqual([])
  })

  test('have clicks recorded on their codes', async () => {
    const { org, mentor, admin, code } = await sceneOverHttp()
    const click = { code, clickId: crypto.randomUUID(), address: '192.0.2.1', userAgent: 'x' }
    const full = { ...click, platform: 'ios', channel: 'qr', utm: { utm_source: 'fair' } } as const
    expect(await operator.recordClick(full)).toEqual({ data: true, error: null })
    const again = { ...full, clickId: crypto.randomUUID() }
    expect(await operator.recordClick(again)).toEqual({ data: false, error: null })
    const { data } = await createReferralClient(mentor.supabase, { orgId: org }).getActiveCode()
    const staff = createStaffClient(admin.supabase, { orgId: org })
    expect((await staff.codeClicks({ codeId: data?.id ?? '' })).data).toMatchObject([
      { platform: 'ios', channel: 'qr', clicks: 1 },
    ])
  })

  test('are served by the staff client with the same key', async () => {
    const { org, friend } = await sceneOverHttp()
    const staff = createStaffClient(operatorOverHttp(), { orgId: org })
    expect((await staff.addMember({ userId: friend.id })).data?.user_id).toBe(friend.id)
    expect((await staff.createProgram({ key: 'more', name: 'More' })).data?.key).toBe('more')
    expect((await staff.health()).data).toHaveLength(8)
  })
})

describe('payments', () => {
  test('are recorded, refunded, and the refund reversed, once each and by mode', async () => {
    const { org, friend, code } = await sceneOverHttp()
    await createReferralClient(friend.supabase, { orgId: org }).redeem(code)
    const of = { orgId: org, provider: 'app_store' }
    const payment = {
      ...{ ...of, paymentRef: 'P1', refereeId: friend.id, amount: 999, currency: 'usd', tax: 99 },
      paidAt: new Date(Date.now() + 20_000).toISOString(),
    }
    const ref = expect.stringContaining('P1')
    expect((await operator.recordPayment(payment)).data).toEqual({ ref, status: 'applied' })
    expect((await operator.recordPayment(payment)).data?.status).toBe('duplicate')
    const other = await operator.recordPayment({ ...payment, amount: 500 })
    expect(other.error?.code).toBe('record_conflict')
    const inTest = await operator.recordPayment({ ...payment, livemode: false })
    expect(inTest.data?.status).toBe('applied')

    const refund = { ...of, refundRef: 'R1', paymentRef: 'P1', amount: 999 }
    expect((await operator.recordRefund(refund)).data?.status).toBe('applied')
    expect((await operator.recordRefund(refund)).data?.status).toBe('duplicate')
    expect((await operator.recordRefund({ ...refund, livemode: false })).data?.status).toBe(
      'applied',
    )
    const { refundRef } = refund
    expect((await operator.recordRefundReversed({ ...of, refundRef })).data?.status).toBe('applied')
    const again = await operator.recordRefundReversed({ ...of, refundRef })
    expect(again.data?.status).toBe('duplicate')
  })

  test.for([{ amount: Number.NaN }, { amount: undefined }, { paidAt: undefined }])(
    'are refused with %o',
    async (wrong) => {
      const { org, friend } = await sceneOverHttp()
      const { error } = await operator.recordPayment({
        ...{ orgId: org, provider: 'app_store', paymentRef: 'P1', refereeId: friend.id },
        ...{ amount: 999, currency: 'usd', paidAt: '2026-11-21T12:00:00Z' },
        ...(wrong as object),
      })
      expect(error).toMatchObject({ code: 'invalid_argument' })
    },
  )
})

test('events are ingested, and parked ones counted, listed page by page and resolved', async () => {
  const event = { ...(await reduced(paidInvoice())) }
  expect((await operator.ingestStripeEvent({ event })).data).toEqual({
    ...{ event_id: event.id, status: taken, unsettled: expect.any(Boolean) },
  })
  expect((await operator.ingestStripeEvent({ event })).data?.status).toEqual(known)
  const { error } = await operator.ingestStripeEvent({ event: {} })
  expect(error?.code).toBe('invalid_event')

  const letters = crypto.randomUUID().replace(/[^a-f]/g, '')
  const api_version = `2033-03-03.${letters}`
  const parked = []
  for (let n = 0; n < 2; n++) parked.push(await reduced({ ...paidInvoice(), api_version }))
  for (const one of parked)
    expect((await operator.ingestStripeEvent({ event: one })).data?.status).toBe('parked')
  const ids = parked.map(({ id }) => id)
  const seen: unknown[] = []
  for (let after: { event_id: string } | undefined; ; ) {
    const page = done(await operator.listParkedEvents({ after, pageSize: 1 }))
    after = page[0]
    if (!after) break
    seen.push(after.event_id)
  }
  expect(seen.filter((id) => ids.includes(id))).toEqual(ids)
  expect(new Set(seen).size).toBe(seen.length)

  const { parked: _, ...readable } = parked[0] ?? {}
  expect((await operator.resolveParkedEvent({ event: readable })).data).toEqual({
    ...{ event_id: ids[0], status: 'applied', unsettled: expect.any(Boolean) },
  })
  expect((await operator.resolveParkedEvent({ event: readable })).data?.status).toBe('duplicate')
  const left = done(await operator.listParkedEvents({ pageSize: 1000 }))
  expect(left.map(({ event_id }) => event_id)).not.toContain(ids[0])
  const counted = done(await operator.countParkedEvents({ livemode: false }))
  expect(counted.find((row) => row.api_version === api_version)?.events).toBe(1)
})

describe('jobs', () => {
  const count: unknown = expect.any(Number)

  test('run together, and say what they did', async () => {
    await operator.runMaintenance()
    const rows = done(await operator.runMaintenance({ maxSeconds: 1, clickRetention: '100 days' }))
    for (const row of rows)
      expect(row).toEqual({ job: expect.any(String), done: count, more: row.more, error: null })
    const { error } = await operator.runMaintenance({ maxSeconds: 31 })
    expect(error).toMatchObject({ code: 'invalid_argument', details: 'max_seconds: 1 to 30' })
  })

  test.for([
    'expireCodes',
    'expireRedemptions',
    'purgeRateLimits',
    'purgeSignUpClaims',
    'recogniseUsers',
    'releaseDueCommissions',
  ] as const)('run alone: %s', async (job) => {
    expect(await operator[job]()).toEqual({ data: count, error: null })
    expect(await operator[job]({ maxRows: 1 })).toEqual({ data: count, error: null })
  })

  test('keep the storage of clicks', async () => {
    expect((await operator.maintainClicks({ retention: '1 year', maxRows: 10 })).data).toEqual({
      ...{ partitions_made: count, partitions_dropped: count },
      ...{ clicks_removed: count, visitors_removed: count },
    })
  })

  test('keep the inbox', async () => {
    expect((await operator.maintainEvents({ retention: '10 years', maxRows: 10 })).data).toEqual({
      ...{ partitions_made: count, partitions_archived: 0, more: false },
    })
  })
})

describe('health', () => {
  test('is of the installation, or of one organisation', async () => {
    const { org } = await sceneOverHttp()
    const all = done(await operator.health())
    expect(all.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['clock', 'jobs', 'destinations', 'parked_events', 'unattributed']),
    )
    expect(all.find(({ name }) => name === 'clock')).toEqual({
      ...{ name: 'clock', ok: true, found: null, remedy: null },
      message: expect.stringMatching(/^The clock of the database says \d{4}-.*Z\.$/),
    })
    const one = done(await operator.health({ orgId: org }))
    expect(one.find(({ name }) => name === 'destinations')).toMatchObject({
      message: 'Links lead to https://example.org/welcome?lang=en.',
    })
    const { error } = await operator.health({ orgId: crypto.randomUUID() })
    expect(error?.code).toBe('organisation_not_found')
  })

  test('is for admins of their organisation, and for no other people', async () => {
    const { org, admin, mentor } = await sceneOverHttp()
    expect((await createStaffClient(admin.supabase, { orgId: org }).health()).data).toHaveLength(8)
    const { error } = await createStaffClient(mentor.supabase, { orgId: org }).health()
    expect(error?.code).toBe('not_allowed')
  })
})

test('says which version the database has', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect(await operator.installedVersion()).toEqual({ data: version, error: null })
})

test('needs the secret key', async () => {
  const { admin } = await sceneOverHttp()
  const notOperator = createOperatorClient(admin.supabase)
  expect((await notOperator.runMaintenance()).error?.code).toBe('misconfigured')
  expect((await notOperator.health()).error).toMatchObject({ details: 'org_id: required' })
})
