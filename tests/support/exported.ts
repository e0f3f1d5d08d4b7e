/** What `referbase remove` exported, and what the database has, both as texts. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import type postgres from 'postgres'

/** For each table, its columns and its rows; null is not an empty text. */
type Tables = Record<string, (string | null)[][]>

/** The rows of the files, beside the number that the manifest says. */
export function exportedRows(folder: string): { tables: Tables; counts: Record<string, number> } {
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))
  const tables: Tables = {}
  for (const table of Object.keys(manifest.rows)) {
    const text = readFileSync(join(folder, `${table}.csv`), 'utf8')
    tables[table] = sorted(
      parse(text, { cast: (value, { quoting }) => (value === '' && !quoting ? null : value) }),
    )
  }
  return { tables, counts: manifest.rows }
}

/** The same from the database, asked for column by column. */
export async function storedRows(sql: postgres.Sql): Promise<Tables> {
  const columns = await sql<{ table: string; names: string[] }[]>`
    select table_schema || '.' || table_name as table, array_agg(column_name::text order by ordinal_position) as names
    from information_schema.columns as c
    join pg_class as p on p.oid = format('%I.%I', table_schema, table_name)::regclass
    where table_schema in ('referral', 'referral_private') and p.relkind in ('r', 'p') and not p.relispartition
    group by 1`
  const tables: Tables = {}
  await sql.begin(async (tx) => {
    await tx`set local timezone = 'UTC'`
    await tx`set local intervalstyle = 'iso_8601'`
    for (const { table, names } of columns) {
      // As the type writes itself, which a cast does not do for booleans.
      const texts = names.map(
        (name) => `case when "${name}" is not null then format('%s', "${name}") end`,
      )
      const rows = await tx.unsafe<{ row: (string | null)[] }[]>(
        `select json_build_array(${texts.join(', ')}) as row from ${table}`,
      )
      tables[table] = sorted([names, ...rows.map(({ row }) => row)])
    }
  })
  return tables
}

/** The first row, of names, stays first. */
const sorted = ([names = [], ...rows]: (string | null)[][]) => [
  names,
  ...rows.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
]
