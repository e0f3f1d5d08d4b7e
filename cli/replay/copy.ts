import type postgres from 'postgres'

/** The tables that are copied unchanged, in the order of their references. */
const copied = [
  'referral.organisations',
  'referral.members',
  'referral.programs',
  'referral.program_terms',
  'referral_private.switches',
  'referral_private.known_users',
  'referral.code_quotas',
  'referral.codes',
  'referral_private.code_states',
  'referral.redemptions',
  'referral.decisions',
  'referral_private.decision_payers',
]

/**
 * Copies what cannot be derived: organisations, programs with their terms and switches, known users, codes with their
 * states, redemptions and decisions of staff. All or nothing.
 */
export async function copyTables(source: postgres.Sql, target: postgres.Sql): Promise<void> {
  await target.begin(async (tx) => {
    for (const table of copied) await copy(source, tx, table)
    // The replay confirms by payments again. Decisions of staff are kept.
    await tx`
      update referral.redemptions set status = 'pending', confirmed_at = null where decision is null and status <> 'expired'`
  })
}

/**
 * Copies a table's rows without its triggers, which ran in the source already, except those that run always. Its
 * identity column goes on after the copied rows.
 */
async function copy(
  source: postgres.Sql,
  target: postgres.TransactionSql,
  table: string,
): Promise<void> {
  const columns = await source<{ name: string; identity: boolean }[]>`
    select attname as name, attidentity <> '' as identity from pg_attribute
    where attrelid = ${table}::regclass and attnum > 0 and not attisdropped and attgenerated = ''`
  const triggers = await target<{ name: string }[]>`
    select tgname as name from pg_trigger
    where tgrelid = ${table}::regclass and not tgisinternal and tgenabled = 'O'`
  const turn = async (change: 'enable' | 'disable') => {
    for (const { name } of triggers)
      await target.unsafe(`alter table ${table} ${change} trigger ${name}`)
  }
  const list = (prefix: string) => columns.map(({ name }) => prefix + name).join(', ')
  await turn('disable')
  await target`set constraints all deferred`
  const rows = `select to_jsonb(t) as row from (select ${list('')} from ${table}) as t`
  for await (const page of source.unsafe(rows).cursor(1000)) {
    await target.unsafe(
      `insert into ${table} (${list('')}) overriding system value
       select ${list('r.')}
       from jsonb_array_elements($1) as given, jsonb_populate_record(null::${table}, given) as r`,
      [target.json(page.map(({ row }) => row)) as never],
    )
  }
  for (const { name } of columns.filter(({ identity }) => identity))
    await target.unsafe(
      `select setval(pg_get_serial_sequence('${table}', '${name}'), (select max(${name}) from ${table}))`,
    )
  // A table whose constraints are still to be checked cannot be altered.
  await target`set constraints all immediate`
  await turn('enable')
}
