import { execute } from '../scripts/stack/database.ts'
import type { Postgres } from '../scripts/stack/postgres.ts'
import { deliveries } from './deliveries.ts'
import { code, referrer } from './fill.ts'
import { type Comparison, compare } from './measure.ts'
import { as, filled, onServer } from './scene.ts'

const connections = 8

/** What a delivery costs beside a mirror of Stripe's objects, with many sales beside few, and what a balance costs. */
export const ledger = () =>
  onServer<Comparison>(async function* (server) {
    yield* deliveries(server)

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
