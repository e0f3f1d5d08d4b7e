/**
 * A database whose clock a test sets: every function and every default that asks for the time asks a setting of the
 * transaction instead. So a year passes with its holds, windows, graces and versions of terms, all dated by the database.
 */
import type postgres from 'postgres'
import type { Sql } from './database.ts'

/** Puts the clock into a database that nobody uses yet. Until it is set, it is the real one. */
export async function setClock(sql: Sql): Promise<void> {
  await sql.unsafe(`
    create schema year;
    grant usage on schema year to public;
    create function year.now() returns timestamptz language sql volatile as
    $$ select coalesce(nullif(current_setting('year.now', true), '')::timestamptz, clock_timestamp()) $$;
    create function year.deliver(p_at text, p_event jsonb) returns setof referral.event_result language plpgsql volatile as $$
    begin
      perform set_config('year.now', p_at, true), set_config('role', 'service_role', true),
        set_config('request.jwt.claims', '{"role": "service_role"}', true);
      return query select * from referral.ingest_stripe_event(p_event);
    end $$;
    grant execute on all functions in schema year to public`)
  await askTheClock(sql)
  // A redemption has the id that is told, because objects of Stripe's name it.
  await sql.unsafe(`
    alter table referral.redemptions alter column id
    set default coalesce(nullif(current_setting('year.id', true), '')::uuid, gen_random_uuid())`)
}

/** Writes our functions and defaults anew, with the clock. */
async function askTheClock(sql: Sql): Promise<void> {
  const functions = await sql`
    select pg_get_functiondef(p.oid) as text from pg_proc as p
    where p.pronamespace in ('referral'::regnamespace, 'referral_private'::regnamespace)
      and p.prosrc ~ 'clock_timestamp'`
  for (const { text } of functions)
    await sql.unsafe(String(text).replaceAll('clock_timestamp()', 'year.now()'))
  const defaults = await sql`
    select a.attrelid::regclass::text as "table", a.attname as "column" from pg_attrdef as d
    join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
    join pg_class as c on c.oid = a.attrelid
    where c.relnamespace in ('referral'::regnamespace, 'referral_private'::regnamespace)
      and pg_get_expr(d.adbin, d.adrelid) ~ '(clock_timestamp|now)\\(\\)'`
  for (const { table, column } of defaults)
    await sql.unsafe(`alter table ${table} alter column ${column} set default year.now()`)
}

export const iso = (seconds: number) => new Date(seconds * 1000).toISOString()

/** Does something in a transaction of this time. */
export const at = <Result>(
  sql: postgres.Sql,
  seconds: number,
  work: (tx: postgres.TransactionSql) => Promise<Result>,
): Promise<Result> =>
  sql.begin(async (tx) => {
    await tx`select set_config('year.now', ${iso(seconds)}, true)`
    return work(tx)
  }) as Promise<Result>
