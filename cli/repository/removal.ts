/** The SQL that drops both schemas: at `remove`, or before a newer preview replaces an older one. */
import { withHeader } from './header.ts'

/** After `removed` nothing of referbase is installed; `replaced` is followed by a newer migration in the same file. */
export type RemovalName = 'removed' | 'replaced'

/** With this setting a session drops the schemas of a database with data: `remove` has exported it. */
export const exportedSetting = 'referbase.data_is_exported'

const why: Record<RemovalName, string> = {
  removed: '-- Drops referbase.',
  replaced: '-- Drops the preview of referbase that is installed, and makes the newer one.',
}

/** With rows in one of these a database has data that cannot be made anew. */
export const tablesOfData = [
  'referral.organisations',
  'referral_private.stripe_events',
  'referral_private.recorded_facts',
]

const refuseData = `do $$
declare
  v_table text;
  v_found boolean;
begin
  if current_setting('${exportedSetting}', true) = 'yes' then
    return;
  end if;
  foreach v_table in array array[${tablesOfData.map((table) => `'${table}'`).join(', ')}] loop
    continue when to_regclass(v_table) is null;
    execute format('select exists (select from %s)', v_table) into v_found;
    if v_found then
      raise exception 'referbase: this migration drops the schema referral, and % has rows. Export them and drop it with: npx --no-install referbase remove --export FOLDER --db-url URL --yes', v_table;
    end if;
  end loop;
end
$$`

/** What belongs to our schemas: what is in them, and the parts of that. What needs a part of them and is outside is foreign. */
const refuseDependents = `do $$
declare
  v_dependents text;
begin
  with recursive ours as (
    select 'pg_namespace'::regclass::oid as classid, oid as objid
    from pg_namespace
    where nspname in ('referral', 'referral_private')
    union
    select d.classid, d.objid
    from ours
    join pg_depend as d on d.refclassid = ours.classid and d.refobjid = ours.objid
    where d.deptype in ('a', 'i', 'P', 'S') or d.refclassid = 'pg_namespace'::regclass
  )
  select string_agg(distinct regexp_replace(pg_describe_object(d.classid, d.objid, d.objsubid), '^rule _RETURN on ', ''), ', ')
  into v_dependents
  from ours
  join pg_depend as d on d.refclassid = ours.classid and d.refobjid = ours.objid
  where d.deptype = 'n' and (d.classid, d.objid) not in (select classid, objid from ours);
  if v_dependents is not null then
    raise exception 'referbase: these depend on the schema referral, which this migration drops: %. Drop them in a migration whose version is lower than this one''s.', v_dependents;
  end if;
end
$$`

const unschedule = `do $$
begin
  if to_regclass('cron.job') is not null then
    perform cron.unschedule(jobid) from cron.job where command like '%referral.run\\_maintenance%';
  end if;
end
$$`

/** The statements, without semicolons. With `cascade` they drop what of the adopter's depends on the schemas, too. */
export const removalStatements = (
  name: RemovalName,
  { cascade = false }: { cascade?: boolean } = {},
): string[] => [
  `${why[name]}\n${refuseData}`,
  ...(cascade ? [] : [refuseDependents]),
  'drop schema if exists referral cascade',
  'drop schema if exists referral_private cascade',
  ...(name === 'removed' ? [unschedule] : []),
]

/** The statements as a migration, and the migration that follows them in the same file. */
export const removalMigration = (
  version: string,
  name: RemovalName,
  statements: string[],
  next = '',
): string => withHeader('--', { version, name }, textOf(statements) + (next && `\n${next}`))

/** The text of a removal's file, from the statements that are recorded of it: the first has the header. */
export const textOf = (statements: string[]): string =>
  statements.map((statement) => `${statement};\n`).join('\n')

/** The statements of a removal's file, as the Supabase CLI records them. */
export const statementsOf = (text: string): string[] =>
  text
    .replaceAll('\r\n', '\n')
    .trim()
    .split('\n\n')
    .map((statement) => statement.replace(/;$/, ''))
