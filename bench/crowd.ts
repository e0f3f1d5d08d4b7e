/** A project that has grown: as many rows as asked for in every table that grows, past triggers and foreign keys. */
import type postgres from 'postgres'

/** Whose project it is: its mentor's code is used by half of the crowd, and its mentor earns half of the entries. */
export type Place = {
  org: string
  program: string
  codeId: string
  mentor: { id: string }
  admin: { id: string }
}

/** The nth of the crowd: a user, a member who has a code, a payer. */
const user = "md5('user' || n)::uuid"
const code = "md5('code' || n)::uuid"
const redemption = "md5('redemption' || n)::uuid"
const all = (rows: number) => `from generate_series(1, ${rows}) as n`

/** As many customers on the platform's Stripe account, each with a subscription that a code of another program's brought. */
const customers = (rows: number) => `
  insert into auth.users (id) select ${user} ${all(rows)};
  insert into referral_private.known_users (stripe_account, user_id) select '', ${user} ${all(rows)};
  insert into referral_private.payer_users (stripe_account, livemode, carrier, user_id, linked_at)
  select '', false, 'cus_' || n, ${user}, now() ${all(rows)};
  insert into referral_private.payments (
    stripe_account, livemode, payment_id, source, customer_id, org_id, program_id, subscription_id,
    subscription_org_id, names_referral, currency, paid, total, total_excluding_tax, sale_at, paid_at,
    paid_at_is_stated, made_at, stated_at, stated_by
  )
  select '', false, kind || n, source::referral_private.payment_source, 'cus_' || n, null, null, 'sub_' || n, null, true,
    'usd', 1000, 1000, null, now(), now(), false, now(), now(), 'evt_' || n
  from generate_series(1, ${rows}) as n, (values ('in_', 'invoice'), ('pi_', 'intent')) as of (kind, source);
  insert into referral_private.invoice_payments (
    stripe_account, livemode, object_id, invoice_id, payment_key, amount_paid
  )
  select '', false, 'inpay_' || n, 'in_' || n, 'pi_' || n, 1000 ${all(rows)};
  insert into referral_private.sessions (
    stripe_account, livemode, session_id, made_at, org_id, subscription_id, invoice_id, intent_id
  )
  select '', false, 'cs_' || n, now(), null, 'sub_' || n, null, null ${all(rows)};
  insert into referral_private.charges (stripe_account, livemode, charge_id, intent_id)
  select '', false, 'ch_' || n, 'pi_' || n ${all(rows)};
  insert into referral_private.payer_evidence (stripe_account, livemode, carrier, kind, named, object_id, carried_at)
  select '', false, 'cus_' || n, 'promotion_code', 'promo_' || n, 'in_' || n, now() ${all(rows)};
  insert into referral_private.promotion_code_statements (
    stripe_account, livemode, promotion_code_id, stated_at, stated_by, code_key, states_previous, previous_key
  )
  select '', false, 'promo_' || n, now(), 'evt_' || n, 'CODE' || n, false, null ${all(rows)};
  insert into referral_private.sales (
    stripe_account, livemode, sale_id, payer_id, is_guest, org_id, program_id, subscription_id, object_ids,
    currency, paid, reversed, total, total_excluding_tax, sale_at, paid_at, warned_at
  )
  select '', false, 'in_' || n, 'cus_' || n, false, null, null, 'sub_' || n, array['in_' || n, 'pi_' || n, 'cs_' || n],
    'usd', 1000, 0, 1000, null, now() - n * interval '1 second', now() - n * interval '1 second', null
  ${all(rows)};`

/** Codes, their members, and what is done with them; every second redemption is of the mentor's code. */
const codes = (rows: number, { org, program, codeId, mentor, admin }: Place) => `
  insert into referral.organisations (id, slug, name)
  select ${user}, 'crowd-' || n, 'Crowd' ${all(rows / 100)};
  insert into referral.programs (id, org_id, key, name) select ${code}, ${user}, 'crowd', 'Crowd' ${all(rows / 100)};
  insert into referral.program_terms (org_id, program_id, version, terms)
  select ${user}, ${code}, 1, t.terms
  from referral.program_terms as t, generate_series(1, ${rows / 100}) as n
  where t.program_id = '${program}' and t.valid_to is null;
  insert into referral.members (org_id, user_id, display_name, public_name)
  select '${org}', ${user}, 'Name ' || n, n % 10 = 0 ${all(rows)};
  insert into referral.code_quotas (org_id, quota_id, max_uses) select '${org}', ${code}, 100 ${all(rows)};
  insert into referral.codes (
    id, org_id, program_id, code, referrer_id, quota_id, status, expires_at, ended_at, created_at
  )
  select ${code}, '${org}', '${program}', upper(left(md5(n::text), 16)), ${user}, ${code}, case when n % 2 = 0 then 'active' else 'expired' end::referral.code_status,
    now() + interval '1 day' * case when n % 2 = 0 then 1 else -1 end, case when n % 2 = 1 then now() end, now() - n * interval '1 minute'
  ${all(rows)};
  insert into referral_private.code_states (org_id, code_id, status, since) select '${org}', ${code}, 'active', now() ${all(rows)};
  insert into referral.code_changes (org_id, code_id, to_status, actor_id)
  select '${org}', ${code}, 'active', ${user} ${all(rows)};
  insert into referral.redemptions (
    org_id, id, program_id, terms_version, code_id, referrer_id, referee_id, redeemed_at
  )
  select '${org}', ${redemption}, '${program}', 1, case when n % 2 = 0 then ${code} else '${codeId}' end,
    case when n % 2 = 0 then ${user} else '${mentor.id}' end, md5('referee' || n)::uuid, now() - interval '20 days' * n / ${rows}
  ${all(rows)};
  insert into referral.redemption_changes (org_id, redemption_id, from_status, to_status)
  select '${org}', ${redemption}, 'pending', 'confirmed' ${all(rows)};
  insert into referral.decisions (org_id, kind, program_id, person_id, redemption_id, decided_by, decided_at)
  select '${org}', 'confirm', '${program}', ${user}, ${redemption}, '${admin.id}', now() - n * interval '1 minute' ${all(rows)};
  insert into referral_private.changes (org_id, actor_id, made_as, subject, subject_id, after)
  select '${org}', ${user}, 'authenticated', 'member', ${user}, '{}' ${all(rows)};
  insert into referral_private.click_days (org_id, code_id, day, platform, channel, clicks, stored)
  select '${org}', ${code}, now()::date, 'web', '', 1, 1 ${all(rows)};
  insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, counted, platform)
  select '${org}', ${code}, ${code}, now() - n * interval '1 minute', true, 'web' ${all(rows)};
  insert into referral_private.visitors (org_id, visitor, day, clicks)
  select '${org}', sha256(n::text::bytea), now(), 1 ${all(rows)};
  insert into referral_private.rate_limit_buckets (org_id, bucket, hour, redemptions)
  select '${org}', 'user:' || n, now(), 1 ${all(rows)};
  insert into referral_private.sign_up_claims (user_id, code) select ${user}, 'ABC' ${all(rows)};
  insert into referral_private.sign_up_reservations (user_id, org_id, chain_id, expires_at)
  select ${user}, '${org}', ${code}, now() + interval '1 hour' ${all(rows)};`

/** What the customers' sales earned: every second entry is the mentor's, a tenth is due. And what waits, and is parked. */
const money = (rows: number, { org, mentor }: Place) => `
  insert into referral_private.ledger_accounts (org_id, livemode, earner_id, kind, currency, balance)
  select '${org}', false, ${user}, 'pending', 'usd', 100 ${all(rows)};
  insert into referral_private.postings (
    org_id, stripe_account, livemode, sale_id, earner_id, kind, currency, amount, entries, due_at
  )
  select '${org}', '', false, 'in_' || n, ${user}, 'pending', 'usd', 100, 1,
    now() + interval '1 day' * case when n % 10 = 0 then -1 else 1 end
  from generate_series(2, ${rows}, 2) as n;
  insert into referral_private.ledger_entries (
    org_id, debit_account_id, credit_account_id, amount, currency, reason_key, livemode, stripe_account, sale_id,
    caused_by, posted_at
  )
  select '${org}', e.account_id, case when n % 2 = 0 then a.account_id else m.account_id end, 100, 'usd',
    'in_' || n, false, '', 'in_' || n, 'evt_' || n, now()
  from generate_series(1, ${rows}) as n
  join referral_private.ledger_accounts as a on a.org_id = '${org}' and a.earner_id = ${user}
  cross join (
    select account_id from referral_private.ledger_accounts
    where org_id = '${org}' and earner_id is null and currency = 'usd' and not livemode
  ) as e
  cross join (
    select account_id from referral_private.ledger_accounts
    where org_id = '${org}' and earner_id = '${mentor.id}' and kind = 'pending' and currency = 'usd' and not livemode
  ) as m;
  insert into referral_private.stripe_events (
    stripe_account, livemode, event_id, type, status, created_at, received_at, body_sha256, event
  )
  select '', false, 'evt_' || n, 'invoice.paid', 'applied', now() - n * interval '20 minutes', now(), repeat('a', 64), '{}'
  ${all(rows)};
  insert into referral_private.parked_events (stripe_account, livemode, event_id, event_created_at, reason, event)
  select stripe_account, livemode, event_id, created_at, 'invalid', event
  from referral_private.stripe_events where event_id like 'evt\\_%' and event = '{}' limit ${rows / 100};
  insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by)
  select '', false, 'cus_' || n, 'terms' from generate_series(1, ${rows}, 2) as n;
  insert into referral_private.referrals (
    org_id, program_id, earner_id, person, stripe_account, livemode, payer_id, first_paid_at, first_sale_id
  )
  select '${org}', ${code}, ${user}, 'cus_' || n, '', false, 'cus_' || n, now(), 'in_' || n ${all(rows)};`

/** The tables that rows come into: what ours are, without the partitioned one. */
const ours = `
  select oid from pg_class
  where relnamespace in ('referral'::regnamespace, 'referral_private'::regnamespace) and relkind = 'r'`

/**
 * Fills every table that grows, as superuser. Nothing is known of them then, as after a restore: they are not analysed,
 * and will not be. Indexes are made anew afterwards, which takes half of the time.
 */
export async function fillCrowd(admin: postgres.Sql, rows: number, place: Place): Promise<void> {
  await admin.unsafe(`
    set session_replication_role = replica;
    set maintenance_work_mem = '256MB';
    set max_parallel_maintenance_workers = 0;
    do $$
    declare
      v_table regclass;
    begin
      for v_table in ${ours} loop
        execute format('alter table %s set (autovacuum_enabled = off)', v_table);
      end loop;
    end $$;
    update pg_index set indisready = false, indisvalid = false where indrelid in (${ours})`)
  for (const part of [customers(rows), codes(rows, place), money(rows, place)])
    await admin.unsafe(part)
  await admin.unsafe('reindex schema referral')
  await admin.unsafe('reindex schema referral_private')
  await admin.unsafe(`
    update pg_index set indcheckxmin = false where indrelid in (${ours});
    delete from pg_statistic where starelid in (${ours});
    update pg_class set reltuples = -1, relpages = 0
    where oid in (${ours}) or oid in (select indexrelid from pg_index where indrelid in (${ours}));
    reset session_replication_role`)
}
