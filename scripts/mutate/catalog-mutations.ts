import type postgres from 'postgres'
import type { Mutation } from './mutation.ts'

/** From the catalog: drops each constraint, unique index, policy and trigger, and disables row-level security. */
export async function catalogMutations(sql: postgres.Sql): Promise<Mutation[]> {
  const rows = await sql<Mutation[]>`
    select 'constraint ' || conname as name, format('alter table %s drop constraint %I cascade', conrelid::regclass, conname) as sql
    from pg_constraint
    where connamespace::regnamespace::text like 'referral%' and contype in ('c', 'f', 'u') and conname not like '%_org_and_id_are_unique'
      and coninhcount = 0 and conparentid = 0
    union all
    select 'unique index ' || i.indexrelid::regclass, format('drop index %s', i.indexrelid::regclass)
    from pg_index as i join pg_class as c on c.oid = i.indexrelid
    where c.relnamespace::regnamespace::text like 'referral%' and i.indisunique
      and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)
    union all
    select 'policy ' || policyname || ' gone', format('drop policy %I on %I.%I', policyname, schemaname, tablename)
    from pg_policies where schemaname like 'referral%'
    union all
    select 'policy ' || policyname || ' for all', format('alter policy %I on %I.%I using (true)', policyname, schemaname, tablename)
    from pg_policies where schemaname like 'referral%'
    union all
    select 'row-level security of ' || c.oid::regclass, format('alter table %s disable row level security', c.oid::regclass)
    from pg_class as c where c.relnamespace::regnamespace::text like 'referral%' and c.relkind in ('r', 'p')
    union all
    select 'trigger ' || tgname || case when relispartition then ' of ' || relname else '' end, format('drop trigger %I on %s', tgname, tgrelid::regclass)
    from pg_trigger join pg_class as c on c.oid = tgrelid
    where not tgisinternal and tgrelid::regclass::text like 'referral%'
    union all
    select format('grant %s on %s to %s', privilege, c.oid::regclass, role), format('grant %s on %s to %s', privilege, c.oid::regclass, role)
    from pg_class as c, unnest('{insert,update,delete,truncate}'::text[]) as privilege, unnest('{authenticated,service_role}'::text[]) as role
    where c.oid = 'referral.codes'::regclass`
  return [...rows]
}
