/** Every privilege that a client role has, from the catalog: what is granted and not listed here fails. */
import { expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()

const tables = {
  'referral.code_changes': ['authenticated SELECT', 'service_role SELECT'],
  'referral.code_changes_id_seq': [],
  'referral.code_quotas': ['authenticated SELECT', 'service_role SELECT'],
  'referral.codes': ['authenticated SELECT', 'service_role SELECT'],
  'referral.decisions': ['authenticated SELECT', 'service_role SELECT'],
  'referral.members': ['authenticated SELECT', 'service_role SELECT'],
  'referral.organisations': ['authenticated SELECT', 'service_role SELECT'],
  'referral.program_terms': ['authenticated SELECT', 'service_role SELECT'],
  'referral.programs': ['authenticated SELECT', 'service_role SELECT'],
  'referral.redemption_changes': ['authenticated SELECT', 'service_role SELECT'],
  'referral.redemption_changes_id_seq': [],
  'referral.redemptions': ['authenticated SELECT', 'service_role SELECT'],
  'referral_private.archived_events': [],
  'referral_private.archived_months': [],
  'referral_private.changes': [],
  'referral_private.changes_id_seq': [],
  'referral_private.charges': [],
  'referral_private.click_days': [],
  'referral_private.clicks': [],
  'referral_private.clicks_default': [],
  'referral_private.code_batches': [],
  'referral_private.code_states': [],
  'referral_private.code_states_state_id_seq': [],
  'referral_private.credit_note_refunds': [],
  'referral_private.credit_notes': [],
  'referral_private.decision_payers': [],
  'referral_private.dispute_transactions': [],
  'referral_private.disputes': [],
  'referral_private.invoice_payments': [],
  'referral_private.ledger_accounts': [],
  'referral_private.ledger_accounts_account_id_seq': [],
  'referral_private.ledger_entries': [],
  'referral_private.ledger_entries_entry_id_seq': [],
  'referral_private.maintenance_runs': [],
  'referral_private.parked_events': [],
  'referral_private.payer_evidence': [],
  'referral_private.postings': [],
  'referral_private.promotion_code_statements': [],
  'referral_private.sessions': [],
  'referral_private.known_users': [],
  'referral_private.customer_accounts': [],
  'referral_private.guest_sales': [],
  'referral_private.recorded_facts': [],
  'referral_private.referrals': [],
  'referral_private.refunds': [],
  'referral_private.resolved_events': [],
  'referral_private.sales': [],
  'referral_private.switches': [],
  'referral_private.switches_id_seq': [],
  'referral_private.warnings': [],
  'referral_private.payer_users': [],
  'referral_private.payments': [],
  'referral_private.rate_limit_buckets': [],
  'referral_private.allowed_words': [],
  'referral_private.reserved_words': [],
  'referral_private.sign_up_claims': [],
  'referral_private.sign_up_reservations': [],
  'referral_private.stripe_events': [],
  'referral_private.stripe_events_default': [],
  'referral_private.day_keys': [],
  'referral_private.to_settle': [],
  'referral_private.unapplied_events': [],
  'referral_private.visitors': [],
}

const people = ['authenticated', 'service_role']
const everybody = ['anon', 'authenticated', 'service_role']
const rpcs: Record<string, string[]> = {
  add_member: people,
  allow_word: ['service_role'],
  code_clicks: people,
  code_usage_stats: people,
  code_uses: people,
  confirm_redemption: people,
  create_campaign_code: people,
  create_code: people,
  create_organisation: ['service_role'],
  create_program: people,
  deactivate_code: people,
  deactivate_member: people,
  end_code: people,
  expire_codes: ['service_role'],
  expire_redemptions: ['service_role'],
  find_code: people,
  forfeit_from: people,
  purge_rate_limits: ['service_role'],
  purge_sign_up_claims: ['service_role'],
  generate_codes: people,
  get_active_code: people,
  get_or_create_code: ['authenticated'],
  has_redeemed: ['authenticated'],
  health: people,
  import_codes: people,
  ingest_stripe_event: ['service_role'],
  installed_version: ['service_role'],
  my_memberships: ['authenticated'],
  my_redemption: ['authenticated'],
  my_referrals: ['authenticated'],
  reactivate_code: people,
  reactivate_member: people,
  explain_commission: people,
  my_earnings: people,
  my_statement: people,
  org_liabilities: people,
  link_site: everybody,
  maintain_clicks: ['service_role'],
  maintain_events: ['service_role'],
  count_parked_events: ['service_role'],
  list_changes: people,
  list_codes: people,
  list_parked_events: ['service_role'],
  list_unattributed: ['service_role'],
  recognise_users: ['service_role'],
  record_click: ['service_role'],
  record_payment: ['service_role'],
  record_refund: ['service_role'],
  record_refund_reversed: ['service_role'],
  release_due_commissions: ['service_role'],
  run_maintenance: ['service_role'],
  resolve_parked_event: ['service_role'],
  settle_stripe_events: ['service_role'],
  redeem_code: ['authenticated'],
  reject_redemption: people,
  reject_referral: people,
  redeem_sign_up_code: ['authenticated'],
  resolve_code: everybody,
  rotate_code: people,
  set_member_role: people,
  set_my_name: ['authenticated'],
  suspend_code: people,
  update_code: people,
  update_organisation: people,
  update_program: people,
  usage_for_code: people,
  usage_for_user: people,
  validate_code: everybody,
  withdraw_decision: people,
  verify_ledger: ['service_role'],
}

/** Callable besides the functions behind the RPCs: for policies, and for the handlers of the functions of the API. */
const helpers = {
  'referral_private.org_ids_with_role': ['authenticated'],
  'referral_private.readable_programs': ['authenticated'],
  'referral_private.raise_violation': people,
}

test('everybody but the owner has exactly the table privileges that are listed, and none to pass on', async () => {
  const rows = await sql`
    select format('%I.%I', n.nspname, c.relname) as name, coalesce(
      array_agg(format('%s %s%s', coalesce(r.rolname, 'public'), a.privilege_type, case when a.is_grantable then ' grantable' end)
        order by r.rolname, a.privilege_type) filter (where a.privilege_type is not null), '{}') as granted
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    left join lateral (
      select given.* from aclexplode(c.relacl) as given
      union all
      select given.* from pg_attribute as t, aclexplode(t.attacl) as given where t.attrelid = c.oid
    ) as a on a.grantee <> c.relowner
    left join pg_roles as r on r.oid = a.grantee
    where n.nspname like 'referral%' and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    group by 1 order by 1`
  expect(Object.fromEntries(rows.map(({ name, granted }) => [name, granted]))).toEqual(tables)
})

test('policies let signed-in people read, and nobody write', async () => {
  const rows = await sql`
    select distinct cmd, roles::text[], permissive from pg_policies where schemaname like 'referral%'`
  expect(rows).toEqual([{ cmd: 'SELECT', roles: ['authenticated'], permissive: 'PERMISSIVE' }])
})

test('client roles can call exactly the functions that are listed, and pass that right to nobody', async () => {
  const rows = await sql`
    select format('%I.%I', n.nspname, p.proname) as name, array_agg(role order by role) as callers
    from pg_proc as p
    join pg_namespace as n on n.oid = p.pronamespace
    cross join unnest(${everybody}::text[]) as role
    where n.nspname like 'referral%' and has_function_privilege(role, p.oid, 'EXECUTE')
    group by 1`
  expect(
    await sql`
    select p.oid::regprocedure from pg_proc as p, aclexplode(p.proacl) as a
    where p.pronamespace::regnamespace::text like 'referral%' and (a.grantee = 0 or a.is_grantable)`,
  ).toEqual([])
  const functions = Object.entries(rpcs).flatMap(([name, callers]) => [
    [`referral.${name}`, callers],
    [`referral_private.${name}`, callers],
  ])
  expect(Object.fromEntries(rows.map(({ name, callers }) => [name, callers]))).toEqual({
    ...Object.fromEntries(functions),
    ...helpers,
  })
})

test('nobody but the owner can create in either schema, and nothing that is made later is granted', async () => {
  const rows = await sql`
    select n.nspname, r.rolname, a.privilege_type, a.is_grantable
    from pg_namespace as n, aclexplode(n.nspacl) as a left join pg_roles as r on r.oid = a.grantee
    where n.nspname like 'referral%' and a.grantee <> n.nspowner order by 1, 2`
  expect(rows).toEqual(
    ['referral', 'referral_private'].flatMap((nspname) =>
      everybody.map((rolname) => ({
        nspname,
        rolname,
        privilege_type: 'USAGE',
        is_grantable: false,
      })),
    ),
  )
  expect(await sql`select from pg_default_acl`).toEqual([])
})

test('the migration grants nothing outside its schemas', async () => {
  const rows = await sql`
    select r.rolname, a.privilege_type from pg_namespace as n, aclexplode(n.nspacl) as a join pg_roles as r on r.oid = a.grantee
    where n.nspname = 'public' and r.rolname = any (${everybody})`
  expect(rows).toEqual([])
})

test('every RPC runs as its caller, has a statement timeout and a comment', async () => {
  const rows = await sql`
    select p.proname from pg_proc as p
    where p.pronamespace = 'referral'::regnamespace and (
      p.prosecdef or obj_description(p.oid, 'pg_proc') is null
      or not exists (select from unnest(p.proconfig) as setting where setting like 'statement_timeout=%'))`
  expect(rows).toEqual([])
})

test('every function pins its search path, with pg_temp last, where it hides nothing', async () => {
  const rows = await sql`
    select p.oid::regprocedure from pg_proc as p
    where p.pronamespace::regnamespace::text like 'referral%' and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)`
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
