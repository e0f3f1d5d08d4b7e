/** Every privilege that a client role has, from the catalog: what is granted and not listed here fails. */
import { expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()
const roles = ['anon', 'authenticated', 'service_role']

const tables = {
  'referral.code_quotas': ['authenticated SELECT', 'service_role SELECT'],
  'referral.codes': ['authenticated SELECT', 'service_role SELECT'],
  'referral.members': ['authenticated SELECT', 'service_role SELECT'],
  'referral.organisations': ['authenticated SELECT', 'service_role SELECT'],
  'referral.program_terms': ['authenticated SELECT', 'service_role SELECT'],
  'referral.programs': ['authenticated SELECT', 'service_role SELECT'],
  'referral.redemptions': ['authenticated SELECT', 'service_role SELECT'],
  'referral_private.payer_redemptions': [],
  'referral_private.payer_users': [],
  'referral_private.payments': [],
  'referral_private.stripe_events': [],
}

const people = ['authenticated', 'service_role']
const everybody = ['anon', 'authenticated', 'service_role']
const rpcs: Record<string, string[]> = {
  add_member: people,
  create_code: people,
  create_organisation: ['service_role'],
  create_program: people,
  deactivate_code: people,
  find_code: people,
  get_active_code: people,
  ingest_stripe_event: ['service_role'],
  my_referrals: ['authenticated'],
  redeem_code: ['authenticated'],
  resolve_code: everybody,
  rotate_code: people,
  update_organisation: people,
}

/** Callable besides the functions behind the RPCs: the policies need it. */
const inPolicies = { 'referral_private.orgs_with_role': ['authenticated'] }

test('client roles have exactly the table privileges that are listed', async () => {
  const rows = await sql`
    select format('%I.%I', n.nspname, c.relname) as name, coalesce(
      array_agg(format('%s %s', role, privilege) order by role, privilege) filter (
        where has_table_privilege(role, c.oid, privilege)
          or (privilege in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') and has_any_column_privilege(role, c.oid, privilege))
      ), '{}') as granted
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    cross join unnest(${roles}::text[]) as role
    cross join unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER,MAINTAIN}'::text[]) as privilege
    where n.nspname like 'referral%' and c.relkind in ('r', 'p', 'v', 'm', 'f')
    group by 1 order by 1`
  expect(Object.fromEntries(rows.map(({ name, granted }) => [name, granted]))).toEqual(tables)
})

test('client roles can call exactly the functions that are listed', async () => {
  const rows = await sql`
    select format('%I.%I', n.nspname, p.proname) as name, array_agg(role order by role) as callers
    from pg_proc as p
    join pg_namespace as n on n.oid = p.pronamespace
    cross join unnest(${roles}::text[]) as role
    where n.nspname like 'referral%' and has_function_privilege(role, p.oid, 'EXECUTE')
    group by 1`
  const wrappers = Object.entries(rpcs).flatMap(([name, callers]) => [
    [`referral.${name}`, callers],
    [`referral_private.${name}`, callers],
  ])
  expect(Object.fromEntries(rows.map(({ name, callers }) => [name, callers]))).toEqual({
    ...Object.fromEntries(wrappers),
    ...inPolicies,
  })
})

test('no client role can create in either schema or use a sequence', async () => {
  const rows = await sql`
    select role, n.nspname from unnest(${roles}::text[]) as role, pg_namespace as n
    where n.nspname like 'referral%' and has_schema_privilege(role, n.oid, 'CREATE')`
  expect(rows).toEqual([])
  expect(
    await sql`select from pg_class as c where relnamespace::regnamespace::text like 'referral%' and relkind = 'S'`,
  ).toEqual([])
})

test('every RPC runs as its caller, has a statement timeout and a comment', async () => {
  const rows = await sql`
    select p.proname from pg_proc as p
    where p.pronamespace = 'referral'::regnamespace and (
      p.prosecdef or obj_description(p.oid, 'pg_proc') is null
      or not exists (select from unnest(p.proconfig) as setting where setting like 'statement_timeout=%'))`
  expect(rows).toEqual([])
})

test('every function pins its search path', async () => {
  const rows = await sql`
    select p.oid::regprocedure from pg_proc as p
    where p.pronamespace::regnamespace::text like 'referral%' and not coalesce('search_path=""' = any (p.proconfig), false)`
  expect(rows).toEqual([])
})

test('every table has row-level security, and every exposed one a comment', async () => {
  const rows = await sql`
    select c.oid::regclass from pg_class as c
    where c.relnamespace::regnamespace::text like 'referral%' and c.relkind in ('r', 'p') and (
      not c.relrowsecurity
      or (c.relnamespace = 'referral'::regnamespace and obj_description(c.oid, 'pg_class') is null))`
  expect(rows).toEqual([])
})

test('every foreign key has an index that begins with its columns', async () => {
  const rows = await sql`
    select k.conname from pg_constraint as k
    where k.contype = 'f' and k.connamespace::regnamespace::text like 'referral%' and not exists (
      select from pg_index as i
      where i.indrelid = k.conrelid
        and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)`
  expect(rows).toEqual([])
})
