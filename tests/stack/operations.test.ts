/**
 * docs/operations.md without its dumps, which tests/stack/restore.test.ts makes: the program that has Stripe's events again after
 * a recovery to a point in time, what else comes back then, and the queries of what to watch.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { connectStripe } from '../../cli/stripe/client.ts'
import { connectDataApi } from '../../functions/_shared/data-api.ts'
import { createWebhookHandler } from '../../functions/stripe-webhook/handler.ts'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, refusal } from '../support/actors.ts'
import { blocksOf } from '../support/blocks.ts'
import { testDatabase } from '../support/database.ts'
import { printedBy } from '../support/examples.ts'
import { ingest } from '../support/ingest.ts'
import { blockWith, operations } from '../support/operations.ts'
import { ownApi } from '../support/own-api.ts'
import { codeOf, scene } from '../support/scene.ts'
import { startStripeStandIn } from '../support/stripe-stand-in.ts'
import { verified } from '../support/verified.ts'

const terms = {
  enrolment: 'open',
  commission: { kind: 'percent', bps: 1000 },
  recurrence: 'forever',
}
const { sql, environment } = await ownApi()
const stripe = await startStripeStandIn()
const secrets = ['whsec_operations']
const webhook = createWebhookHandler({
  database: connectDataApi(environment.SUPABASE_URL, environment.SUPABASE_SECRET_KEY),
  secrets,
  livemode: false,
})
const at = Math.floor(Date.now() / 1000)

/** Runs the document's program as if it had Stripe and the function; the lines that it prints. */
const resend = (environment: object) =>
  printedBy(blockWith('// resend.mjs').replace(/^import .*$/m, ''), {
    // `new` takes the object that is returned.
    Stripe: function connected(STRIPE_SECRET_KEY: string) {
      return connectStripe({ ...stripe.environment, STRIPE_SECRET_KEY })
    },
    fetch: (url: string, init: RequestInit) => webhook(new Request(url, init)),
    process: {
      env: {
        STRIPE_SECRET_KEY: stripe.environment.STRIPE_SECRET_KEY,
        STRIPE_WEBHOOK_SECRET: secrets[0],
        WEBHOOK_URL: 'http://127.0.0.1/referbase-stripe-webhook',
        ...environment,
      },
    },
  })

const line = ({ id, type }: RawEvent, status: string) => `${id} ${type} 200 ${status}`

test('what was lost since the point in time comes back, and counts once', async () => {
  const { org, mentor, coordinator, friend } = await scene(sql, terms)
  const { code } = await codeOf(mentor, org)
  await friend.rpc('redeem_code', { code })
  const about = { userId: friend.id, orgId: org, livemode: false, at: at + 60 }
  const kept = paidInvoice({ ...about, paid: 1000 })
  await ingest(sql, kept)
  const lost = [paidInvoice({ ...about, paid: 5000 }), paidInvoice({ ...about, paid: 70 })]
  const carrying = paidInvoice({ orgId: org, code: 'LOST-TOO', livemode: false, at: at + 60 })
  const older = paidInvoice({ ...about, at: at - 7200 })
  for (const event of [older, kept, ...lost, carrying]) stripe.events.add(event)

  // A rotation to a chosen text was lost: staff make it again, before a purchase that carries a text is known.
  const rotated = await coordinator.rpc('rotate_code', {
    ...{ org_id: org, referrer_id: mentor.id, code: 'LOST', grace: '1 day' },
  })
  expect(rotated).toMatchObject([{ code: 'LOST', status: 'active' }])

  const since = { SINCE: new Date((at - 3600) * 1000).toISOString() }
  expect((await resend(since)).toSorted()).toEqual(
    [
      line(kept, 'duplicate'),
      ...[...lost, carrying].map((event) => line(event, 'applied')),
    ].toSorted(),
  )
  const payment = {
    ...{ org_id: org, provider: 'play', payment_ref: 'P1', referee_id: friend.id },
    ...{ amount: 20_000, currency: 'usd', paid_at: new Date((at + 60) * 1000).toISOString() },
    options: { livemode: false },
  }
  for (const _ of ['lost', 'again']) await operator(sql).rpc('record_payment', payment)
  expect(new Set(await resend(since))).toEqual(
    new Set([kept, ...lost, carrying].map((event) => line(event, 'duplicate'))),
  )
  // A tenth of 1,000, 5,000, 70 and 20,000.
  const [earned] = await mentor.rpc('my_earnings', { org_id: org, livemode: false })
  expect(earned).toMatchObject({ pending: 2607n, available: 0n })
  expect((await verified(sql)).faults).toEqual([])

  const tooLate = { org_id: org, referrer_id: mentor.id, code: 'LOST-TOO' }
  expect(await refusal(coordinator.rpc('rotate_code', tooLate))).toBe('code_taken')
})

test('a friend who paid in between and redeems again is an existing customer', async () => {
  const { org, mentor, friend } = await scene(sql, terms)
  const { code } = await codeOf(mentor, org)
  const about = { userId: friend.id, orgId: org, livemode: false }
  await ingest(sql, paidInvoice({ ...about, at: at - 600 }))
  await friend.rpc('redeem_code', { code })
  const later = paidInvoice({ ...about, at: at + 600 })
  await ingest(sql, later)
  const sale = { org_id: org, sale_id: later.data.object.id }
  expect(await operator(sql).rpc('explain_commission', sale)).toMatchObject([
    { refusal: 'existing_customer', amount: 0n },
  ])
})

test('a connected account has a run of its own, and its events name it', async () => {
  const { org } = await scene(sql, terms)
  const account = `acct_${crypto.randomUUID().slice(0, 8)}`
  await operator(sql).rpc('update_organisation', {
    org_id: org,
    changes: { stripe_account_id: account },
  })
  const event = paidInvoice({ orgId: org, livemode: false, at })
  stripe.events.add(event, account)
  const since = new Date((at - 3600) * 1000).toISOString()
  expect(await resend({ STRIPE_ACCOUNT: account, SINCE: since })).toEqual([line(event, 'applied')])
  expect(
    await sql`select stripe_account from referral_private.stripe_events where event_id = ${event.id}`,
  ).toEqual([{ stripe_account: account }])
})

test('after a copy without sequences, each goes on after the last row of its column', async () => {
  const copy = await testDatabase()
  const { org, mentor } = await scene(copy)
  await codeOf(mentor, org)
  const sequences = () =>
    copy`
      select format('%I.%I', schemaname, sequencename) as name, last_value as last from pg_sequences
      where schemaname like 'referral%' order by 1`
  const before = await sequences()
  expect(before.filter(({ last }) => last !== null).length).toBeGreaterThan(2)
  for (const { name } of before) await copy.unsafe(`alter sequence ${name} restart`)
  expect(await sequences()).not.toEqual(before)
  await copy.unsafe(blockWith('pg_get_serial_sequence'))
  expect(await sequences()).toEqual(before)
})

test('a read-only standby runs no job', async () => {
  const jobs = sql.begin('read only', (tx) => tx`select from referral.run_maintenance()`)
  expect(await refusal(jobs)).toBe('25006')
})

test('the queries of what to watch run as postgres, and say what they should', async () => {
  const fresh = await testDatabase()
  const { org } = await scene(fresh)
  await ingest(fresh, paidInvoice({ orgId: org }))
  await fresh`analyze referral.organisations, referral_private.stripe_events`
  const queries = blocksOf(operations).filter(({ language }) => language === 'sql')
  const inline = [...readFileSync(operations, 'utf8').matchAll(/`(select [^`]+)`/g)]
  expect([queries.length, inline.length]).toEqual([7, 1])
  const answers = new Map<string, readonly object[]>()
  await fresh`insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by)
    values ('', true, 'cus_1', 'evt_1')`
  for (const text of [
    ...queries.map((block) => block.text),
    ...inline.map(([, text = '']) => text),
  ])
    answers.set(text, await fresh.unsafe(text))
  const of = (text: string) => [...answers].find(([query]) => query.includes(text))?.[1]
  expect(of('as waiting')).toMatchObject([{ waiting: 0n }])
  expect(of('as unvacuumed')).toHaveLength(10)
  expect(of('as payers')).toEqual([[], [expect.objectContaining({ payers: 1n })]])
  expect(of('as open_for')).toEqual([])
  expect(of('as from_memory')).toHaveLength(1)
  expect(of('referral.health()')).toContainEqual(expect.objectContaining({ name: 'jobs' }))
  expect(
    await fresh`
      select relname from pg_class where reloptions = '{autovacuum_vacuum_insert_scale_factor=0.02}' order by 1`,
  ).toEqual([{ relname: 'ledger_entries' }, { relname: 'payments' }])
  for (const name of ['referral_private.maintenance_runs', 'referral.count_parked_events()'])
    await fresh.unsafe(`select * from ${name}`)
})

test('every kind of fault of verify_ledger is in the table', async () => {
  const [, rows = ''] = /\| fault \|.*\n\|[-| ]*\n((?:\|.*\n)*)/.exec(
    readFileSync(operations, 'utf8'),
  ) ?? ['', '']
  const kinds = await sql`select unnest(enum_range(null::referral.ledger_fault_kind))::text as kind`
  expect([...rows.matchAll(/^\| `(\w+)`/gm)].map(([, kind]) => kind)).toEqual(
    kinds.map(({ kind }) => kind),
  )
})
