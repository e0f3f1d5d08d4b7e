import { createRequire } from 'node:module'
import postgres from 'postgres'
import { execute } from '../scripts/stack/database.ts'
import type { Postgres } from '../scripts/stack/postgres.ts'
import { paidInvoice } from '../tests/fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../tests/fixtures/stripe/invoice-payment-paid.ts'
import { succeededIntent } from '../tests/fixtures/stripe/payment-intent-succeeded.ts'
import { reduced } from '../tests/support/ingest.ts'
import { code, referrer } from './fill.ts'
import { type Comparison, compare, median } from './measure.ts'
import { as, filled, onServer } from './scene.ts'

// Its ESM build asks for __dirname when it migrates, and says nothing.
const { runMigrations, StripeSync } = createRequire(import.meta.url)(
  '@supabase/stripe-sync-engine',
) as typeof import('@supabase/stripe-sync-engine')

const connections = 8
const rounds = 5
const stories = 150

/** What a delivery costs beside a mirror of Stripe's objects, with many sales beside few, and what a balance costs. */
export const ledger = () =>
  onServer<Comparison>(async function* (server) {
    const url = await filled(server, 'ledger', 1000)
    yield* besideMirror(server, url)

    const [few, many] = [
      await withSales(server, 'few', 1_000),
      await withSales(server, 'many', 1_000_000),
    ]
    const deliver = {
      statement: 'select referral.ingest_stripe_event(bench.event(:n))',
      connections,
    }
    yield compare(
      'ingest_stripe_event with 1,000,000 sales beside 1,000',
      0.85,
      { ...deliver, url: many, upTo: 1_000_000 },
      { ...deliver, url: few, upTo: 1_000_000 },
    )
    const earnings = {
      statement: as(referrer('1'), 'referral.my_earnings(bench.org_id())'),
      connections: 1,
      upTo: 1,
    }
    yield compare(
      'my_earnings of somebody with 100,000 entries beside 100',
      0.5,
      { ...earnings, url: await withEntries(server, 'rich', 100_000) },
      { ...earnings, url: await withEntries(server, 'poor', 100) },
    )
  })

/**
 * The same events of renewals, which earn, delivered over as many connections in turns: to us, to a mirror, and to a
 * function that takes the account lock and notes the event, and does nothing else. That is as fast as deliveries can be
 * that wait for each other and for the disk, and it is slower than the mirror, which does neither.
 */
async function* besideMirror(server: Postgres, url: string): AsyncGenerator<Comparison> {
  await execute(server.url('postgres', 'supabase_admin'), 'create database mirror')
  const mirror = server.url('mirror', 'supabase_admin')
  await runMigrations({ databaseUrl: mirror, schema: 'stripe' })
  const sync = new StripeSync({
    stripeSecretKey: 'sk_test_bench',
    stripeWebhookSecret: 'whsec_bench',
    backfillRelatedEntities: false,
    autoExpandLists: false,
    poolConfig: { connectionString: mirror, max: connections },
  })
  const sql = postgres(url, { max: connections, onnotice: () => {} })
  await sql.unsafe(`
    create function bench.note(event jsonb) returns void language plpgsql as $$
    begin
      perform referral_private.lock_stripe_account('');
      insert into referral_private.stripe_events (
        stripe_account, livemode, event_id, type, status, created_at, body_sha256, event
      )
      values (
        '', false, event ->> 'id', event ->> 'type', 'applied', now(), event ->> 'body_sha256', event
      );
    end
    $$`)
  const codes = await sql<{ code: string }[]>`select code from referral.codes limit ${stories}`
  const rates = { ours: [] as number[], noted: [] as number[], theirs: [] as number[] }
  try {
    for (let round = 0; round <= rounds; round++) {
      const events = (name: string) =>
        codes.flatMap(({ code }, n) => renewal(`${name}${round}x${n}`, code))
      const reducedEvents = (name: string) =>
        Promise.all(events(name).map((event) => reduced(event as never)))
      const [ours, noted] = [await reducedEvents('ours'), await reducedEvents('noted')]
      rates.theirs.push(await rate(events('theirs'), (event) => sync.processEvent(event as never)))
      rates.noted.push(
        await rate(noted, (event) => sql`select bench.note(${sql.json(event as never)})`),
      )
      rates.ours.push(
        await rate(
          ours,
          (event) => sql`select referral.ingest_stripe_event(${sql.json(event as never)})`,
        ),
      )
      // The first round only warms up.
      if (round === 0) for (const measured of Object.values(rates)) measured.pop()
    }
  } finally {
    await sql.end()
    await sync.postgresClient.pool.end()
  }
  const [ours, noted, theirs] = [median(rates.ours), median(rates.noted), median(rates.theirs)]
  const on = `${connections} connections`
  yield {
    what: `ingest_stripe_event beside the account lock and one row, ${on}`,
    rate: ours,
    beside: noted,
    atLeast: 0.2,
  }
  yield {
    what: `the account lock and one row beside @supabase/stripe-sync-engine, ${on}`,
    rate: noted,
    beside: theirs,
    atLeast: 0.5,
  }
  yield {
    what: `ingest_stripe_event beside @supabase/stripe-sync-engine, ${on}`,
    rate: ours,
    beside: theirs,
    atLeast: 0.15,
  }
}

/** A month of a subscription that a code brought: its invoice, its intent, and which paid which. */
function renewal(id: string, code: string) {
  const customer = `cus_${id}`
  return [
    paidInvoice({ id: `in_${id}`, customer, code }),
    succeededIntent({ id: `pi_${id}`, customer }),
    paidInvoicePayment({ id: `inpay_${id}`, invoice: `in_${id}`, intent: `pi_${id}` }),
  ]
}

/** Events per second over as many workers as connections. */
async function rate<Event>(
  events: Event[],
  take: (event: Event) => PromiseLike<unknown>,
): Promise<number> {
  const queue = [...events]
  const began = performance.now()
  await Promise.all(
    Array.from({ length: connections }, async () => {
      for (let event = queue.shift(); event; event = queue.shift()) await take(event)
    }),
  )
  return (events.length * 1000) / (performance.now() - began)
}

/** A database with this many sales of as many customers, and events of further ones, each of a user who has redeemed. */
async function withSales(server: Postgres, database: string, sales: number): Promise<string> {
  const url = await filled(server, database, 1000)
  await execute(
    url,
    `
    insert into referral_private.payments (
      stripe_account, livemode, payment_id, source, customer_id, names_referral, currency, paid, total, sale_at, paid_at, made_at, stated_at,
      stated_by
    )
    select '', false, 'in_old' || n, 'invoice', 'cus_old' || n, true, 'usd', 1000, 1000, now(), now(), now(), now(), 'evt_old' || n
    from generate_series(1, ${sales}) as n;
    insert into referral_private.sales (
      stripe_account, livemode, sale_id, payer_id, is_guest, object_ids, currency, paid, reversed, total, sale_at, paid_at
    )
    select '', false, 'in_old' || n, 'cus_old' || n, false, array['in_old' || n], 'usd', 1000, 0, 1000, now(), now() from generate_series(1, ${sales}) as n;
    insert into referral_private.known_users (stripe_account, user_id)
    select '', md5('old' || n)::uuid from generate_series(1, ${sales}) as n;
    insert into referral_private.payer_users (stripe_account, livemode, carrier, user_id, linked_at)
    select '', false, 'cus_old' || n, md5('old' || n)::uuid, now() from generate_series(1, ${sales}) as n;
    create function bench.event(n int) returns jsonb language sql volatile as $$
      select jsonb_build_object(
        'id', 'evt_' || replace(gen_random_uuid()::text, '-', ''), 'type', 'invoice.paid', 'livemode', false,
        'created', extract(epoch from now())::bigint, 'body_sha256', repeat('0', 64), 'data', jsonb_build_object('object', jsonb_build_object(
          'id', 'in_' || replace(gen_random_uuid()::text, '-', ''), 'created', extract(epoch from now())::bigint, 'currency', 'usd',
          'amount_paid', 1000, 'total', 1000, 'total_excluding_tax', 1000, 'customer', 'cus_' || replace(gen_random_uuid()::text, '-', ''),
          'metadata', jsonb_build_object('referral_code', ${code('1 + n % 1000')})
        )))
    $$`,
  )
  await execute(server.url(database, 'supabase_admin'), 'vacuum analyze')
  return url
}

/** A database in which the first referrer has this many entries. */
async function withEntries(server: Postgres, database: string, entries: number): Promise<string> {
  const url = await filled(server, database, 10)
  await execute(
    url,
    `
    insert into referral_private.ledger_accounts (org_id, livemode, earner_id, kind, currency, balance)
    select bench.org_id(), true, case kind when 'expense' then null else ${referrer('1')} end, kind, 'usd', case kind when 'expense' then 0 else ${entries} end
    from unnest('{expense,available}'::referral.account_kind[]) as kind;
    insert into referral_private.ledger_entries (
      org_id, debit_account_id, credit_account_id, amount, currency, reason_key, stripe_account, livemode, sale_id, caused_by
    )
    select bench.org_id(), d.account_id, c.account_id, 1, 'usd', 'bench ' || n, '', false, 'in_' || n, 'evt_' || n
    from generate_series(1, ${entries}) as n, referral_private.ledger_accounts as d, referral_private.ledger_accounts as c
    where d.kind = 'expense' and c.kind = 'available'`,
  )
  await execute(server.url(database, 'supabase_admin'), 'vacuum analyze')
  return url
}
