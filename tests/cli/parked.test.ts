/** `referbase parked`: what is applied, what stays, and what Stripe is asked for. */
import { beforeEach, describe, expect, test } from 'vitest'
import { applyParked, type Outcome } from '../../cli/parked/apply.ts'
import { fetchFromStripe } from '../../cli/parked/fetch.ts'
import { connectStripe } from '../../cli/stripe/client.ts'
import { keyLivemode } from '../../cli/stripe/key-mode.ts'
import { now, type RawEvent } from '../fixtures/stripe/about.ts'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { creditNote } from '../fixtures/stripe/credit-note.ts'
import { dispute } from '../fixtures/stripe/dispute.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { succeededIntent } from '../fixtures/stripe/payment-intent-succeeded.ts'
import { personalFields, personalIn } from '../fixtures/stripe/personal-fields.ts'
import { refund, refundedCharge } from '../fixtures/stripe/refund.ts'
import { operator } from '../support/actors.ts'
import { referbase } from '../support/cli.ts'
import { ingest, ingestReduced, reduced } from '../support/ingest.ts'
import { ownApi } from '../support/own-api.ts'
import { codeOf, scene } from '../support/scene.ts'
import { startStripeStandIn } from '../support/stripe-stand-in.ts'

const { sql, environment, database } = await ownApi()
const standIn = await startStripeStandIn()
const fetchEvent = () =>
  fetchFromStripe(connectStripe(standIn.environment), keyLivemode(standIn.environment))
const day = 24 * 60 * 60

beforeEach(() => sql`delete from referral_private.parked_events`)

/** The event as an endpoint of a version that is not known delivered it. */
const future = (event: RawEvent): RawEvent => ({ ...event, api_version: '2031-01-01.future' })
/** Delivers an event in a version that is not known. */
const park = async (event: RawEvent) => expect(await ingest(sql, future(event))).toBe('parked')
const outcomes = async (fetchEvent?: Parameters<typeof applyParked>[1]) => {
  const all: Outcome[] = []
  for await (const outcome of applyParked(database, fetchEvent)) all.push(outcome)
  return all
}
const fetched = () => outcomes(fetchEvent())
const idsLeft = async () => {
  const rows = await operator(sql).rpc('list_parked_events')
  return rows.map(({ event_id }) => event_id)
}

describe('parked', () => {
  test('applies what this version can read, and leaves what it cannot with its reason', async () => {
    const unreadable = paidInvoice()
    await park(unreadable)
    const readable = paidInvoice()
    await ingestReduced(sql, { ...(await reduced(readable)), parked: 'shape of total' })
    expect(await outcomes()).toEqual([
      expect.objectContaining({
        event_id: unreadable.id,
        status: 'parked',
        why: 'version 2031-01-01.future',
      }),
      expect.objectContaining({ event_id: readable.id, status: 'applied', why: null }),
    ])
    expect(await idsLeft()).toEqual([unreadable.id])
  })

  test('reads all pages, and each event once', async () => {
    const event = (await reduced(future(paidInvoice()))) as Record<string, unknown>
    await sql`
      select referral.ingest_stripe_event(${sql.json(event as never)}::jsonb || jsonb_build_object('id', 'evt_page' || n))
      from generate_series(1, 250) as n`
    const ids = (await outcomes()).map(({ event_id }) => event_id)
    expect([ids.length, new Set(ids).size]).toEqual([250, 250])
  })

  test('leaves what the database refuses, and goes on', async () => {
    const negative = refund({ amount: -5, intent: 'pi_1' })
    await ingestReduced(sql, { ...(await reduced(negative)), parked: 'refused by the database' })
    const good = paidInvoice()
    await ingestReduced(sql, { ...(await reduced(good)), parked: 'shape of total' })
    expect(await outcomes()).toMatchObject([
      { event_id: negative.id, status: 'parked', why: 'refused by the database' },
      { event_id: good.id, status: 'applied' },
    ])
  })
})

describe('parked --fetch', () => {
  test('applies the event as Stripe has it: in its account’s version, and with what was not kept', async () => {
    const { org, mentor, friend } = await scene(sql, {
      enrolment: 'open',
      commission: { kind: 'percent', bps: 1000 },
    })
    await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
    const event = paidInvoice({ userId: friend.id, at: now() + 5 })
    await park(event)
    standIn.events.add({ ...event, api_version: '2025-06-30.basil' })
    expect(await fetched()).toMatchObject([{ event_id: event.id, status: 'applied', why: null }])
    expect(await mentor.rpc('my_earnings', { org_id: org })).toMatchObject([{ pending: 100n }])
    expect(await fetched()).toEqual([])
  })

  test('asks a connected account as itself, whether or not Stripe then says its name', async () => {
    const [named, unnamed] = [
      paidInvoice({ account: 'acct_1' }),
      paidInvoice({ account: 'acct_1' }),
    ]
    const { account: _, ...withoutName } = unnamed
    for (const event of [named, unnamed]) await park(event)
    standIn.events.add(named, 'acct_1')
    standIn.events.add(withoutName as RawEvent, 'acct_1')
    expect((await fetched()).map(({ status }) => status)).toEqual(['applied', 'applied'])
    expect(standIn.requests.slice(-2).map(({ account }) => account)).toEqual(['acct_1', 'acct_1'])
    const rows = await sql`
      select distinct stripe_account from referral_private.resolved_events
      where event_id in ${sql([named.id, unnamed.id])}`
    expect(rows).toEqual([{ stripe_account: 'acct_1' }])
  })

  test('stores of the whole event what the webhook would have stored, and says nothing of it', async () => {
    const events = [
      paidInvoice(),
      completedSession({ mode: 'payment' }),
      succeededIntent(),
      refundedCharge({ intent: 'pi_1' }),
      dispute({ charge: 'ch_1', amount: 5 }),
      creditNote({ invoice: 'in_1' }),
    ].map((event) => ({
      ...event,
      data: { ...event.data, object: { ...event.data.object, ...personalFields } },
    }))
    for (const event of events) {
      await park(event)
      standIn.events.add(event)
    }
    const env = { ...environment, ...standIn.environment }
    const { code, stdout, stderr } = await referbase(['parked', '--fetch', '--json'], env)
    expect([code, stdout.trim().split('\n').length]).toEqual([0, events.length])
    expect(stderr).toBe(`${events.length} events applied, 0 resolved meanwhile, 0 still parked\n`)
    expect(personalIn([stdout, stderr])).toEqual([])
    for (const event of events) {
      const { body_sha256, ...delivered } = await reduced(event)
      const [row] = await sql`
        select event from referral_private.resolved_events where event_id = ${event.id}`
      expect(row?.event).toEqual(JSON.parse(JSON.stringify(delivered)))
    }
    const tables = await sql`
      select format('select count(*)::int from %I.%I as t where t::text ~* $1', n.nspname, c.relname) as query
      from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and n.nspname like 'referral%'`
    for (const { query } of tables)
      expect(await sql.unsafe(query, ['olivia']), query).toEqual([{ count: 0 }])
  })

  test.for([
    [
      'the account’s version is not known either',
      { api_version: '2024-06-20' },
      'version 2031-01-01.future; as Stripe has it: version 2024-06-20',
    ],
    ['the type is another', { type: 'invoice.sent' }, /Stripe returned another event$/],
    ['the time is another', { created: 1_700_000_000 }, /Stripe returned another event$/],
    ['the account is another', { account: 'acct_9' }, /Stripe returned another event$/],
    ['it is no event', { object: 'v2.core.event' }, /Stripe returned another event$/],
  ] as const)('leaves an event where %s', async ([, change, why]) => {
    const event = paidInvoice()
    await park(event)
    standIn.events.add({ ...event, ...change })
    const [outcome] = await fetched()
    expect(outcome).toMatchObject({ event_id: event.id, status: 'parked' })
    expect(outcome?.why).toMatch(why)
    expect(await idsLeft()).toEqual([event.id])
  })

  test('says what Stripe does not have, does not ask for what is too old, and goes on', async () => {
    const [old, gone, live, good] = [
      paidInvoice({ at: now() - 31 * day }),
      paidInvoice(),
      paidInvoice({ livemode: true }),
      paidInvoice(),
    ]
    for (const event of [old, gone, live, good]) await park(event)
    for (const event of [old, live, good]) standIn.events.add(event)
    const before = standIn.requests.length
    const whys = (await fetched()).map(({ why }) => why?.split('; not fetched: ')[1])
    expect(whys).toEqual([
      'Stripe has events for 30 days',
      'Stripe has no such event in the account of this key',
      'STRIPE_SECRET_KEY is of test mode',
      undefined,
    ])
    expect(standIn.requests.slice(before).map(({ path }) => path)).toEqual(
      [gone, good].map(({ id }) => `/v1/events/${id}`),
    )
    expect(await idsLeft()).toEqual([old.id, gone.id, live.id])
  })

  test('applies what was kept where Stripe has the event no more', async () => {
    const event = paidInvoice({ at: now() - 31 * day })
    await ingestReduced(sql, { ...(await reduced(event)), parked: 'shape of total' })
    expect(await fetched()).toMatchObject([{ event_id: event.id, status: 'applied' }])
  })

  test('says a missing permission, asks a closed account once, and goes on', async () => {
    standIn.events.closed.add('acct_closed')
    const closed = [1, 2].map(() => paidInvoice({ account: 'acct_closed' }))
    const good = paidInvoice({ account: 'acct_2' })
    for (const event of [...closed, good]) await park(event)
    standIn.events.add(good, 'acct_2')
    const before = standIn.requests.length
    const all = await fetched()
    expect(all.map(({ status }) => status)).toEqual(['parked', 'parked', 'applied'])
    expect(all[1]?.why).toMatch(/not fetched: STRIPE_SECRET_KEY has no access to this Stripe acc/)
    expect(standIn.requests).toHaveLength(before + 2)
  })

  test('says which permission a restricted key lacks', async () => {
    await park(paidInvoice())
    standIn.fail({ times: 1, with: 403 })
    const [outcome] = await fetched()
    expect(outcome?.why).toMatch(/not fetched: STRIPE_SECRET_KEY may not do this.*Events, Read/)
  })

  test('waits while Stripe limits the rate, and asks again where a connection ends', async () => {
    const events = [paidInvoice(), paidInvoice()]
    for (const event of events) {
      await park(event)
      standIn.events.add(event)
    }
    standIn.fail({ times: 3, with: 429 })
    standIn.fail({ times: 1, with: 'reset' })
    expect((await fetched()).map(({ status }) => status)).toEqual(['applied', 'applied'])
  })

  test('goes on after an event for which Stripe has an error, and ends where it refuses the key', async () => {
    const events = [paidInvoice(), paidInvoice()]
    for (const event of events) {
      await park(event)
      standIn.events.add(event)
    }
    standIn.fail({ times: 4, with: 500 })
    const [failed, applied] = await fetched()
    expect(failed?.why).toMatch(/not fetched: Stripe has an error/)
    expect(applied?.status).toBe('applied')
    standIn.fail({ times: 1, with: 401 })
    await expect(fetched()).rejects.toThrow('Stripe refuses STRIPE_SECRET_KEY.')
  })
})

describe('referbase parked', () => {
  test('names each event and exits with 1 while any stays parked', async () => {
    const event = paidInvoice()
    await park(event)
    expect(await referbase(['parked'], environment)).toEqual({
      code: 1,
      stdout: `${event.id} invoice.paid still parked: version 2031-01-01.future\n0 events applied, 0 resolved meanwhile, 1 still parked\n`,
      stderr: '',
    })
  })

  test.for([
    ['a project', [], {}, /^Set SUPABASE_URL and SUPABASE_SECRET_KEY in the environment.\n$/],
    ['Stripe’s key to fetch', ['--fetch'], environment, /^Set STRIPE_SECRET_KEY in the env.*\n$/],
  ] as const)('says that it needs %s', async ([, args, env, said]) => {
    const { code, stdout, stderr } = await referbase(['parked', ...args], { ...env })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(said)
  })
})
