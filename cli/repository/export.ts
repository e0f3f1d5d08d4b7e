/** All rows of both schemas as CSV, a file for each table. */
import { createWriteStream, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type postgres from 'postgres'
import { CliError } from '../cli-error.ts'

/** With its schema, as it is written in SQL. */
export type Table = { schema: string; name: string }

/** The tables of both schemas; of a partitioned table, only the table itself. */
export const listTables = async (sql: postgres.Sql): Promise<Table[]> =>
  sql<Table[]>`
    select n.nspname as schema, c.relname as name
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname in ('referral', 'referral_private') and c.relkind in ('r', 'p') and not c.relispartition
    order by n.nspname, c.relname`

/** A large table takes as long as it takes; a lock that others hold does not. */
export async function setTimeouts(tx: postgres.TransactionSql): Promise<void> {
  await tx`set local statement_timeout = 0`
  await tx`set local lock_timeout = '10s'`
}

/** Nothing is written to the tables until the transaction ends. Waits for those who write now. */
export async function lockTables(tx: postgres.TransactionSql, tables: Table[]): Promise<void> {
  const names = tables.map(quoted).join(', ')
  await tx.unsafe(`lock table ${names} in access exclusive mode`).catch((error) => {
    if (error?.code !== lockNotAvailable) throw error
    throw new CliError(
      'Another session has used a table of referbase for more than 10 seconds. Nothing was exported or dropped. End that session, or try again later.',
    )
  })
}

const lockNotAvailable = '55P03'

/** Refuses a folder that has something in it. */
export function requireEmptyFolder(folder: string): void {
  if (!existsSync(folder) || readdirSync(folder).length === 0) return
  throw new CliError(`The folder ${folder} is not empty. Name a new one.`)
}

/** Writes `<schema>.<table>.csv` for each table and `manifest.json` with the number of rows. Returns the numbers. */
export async function exportTables(
  tx: postgres.TransactionSql,
  tables: Table[],
  { folder, version }: { folder: string; version: string | undefined },
): Promise<Record<string, number>> {
  // Times and numbers as every reader of CSV takes them.
  await tx`set local timezone = 'UTC'`
  await tx`set local datestyle = 'ISO, YMD'`
  await tx`set local intervalstyle = 'iso_8601'`
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  // It has personal data, and may be in a repository.
  writeFileSync(join(folder, '.gitignore'), '*\n', ownerOnly)
  const rows: Record<string, number> = {}
  for (const { schema, name } of tables) {
    const from = quoted({ schema, name })
    const [counted] = await tx.unsafe<{ count: string }[]>(`select count(*) from ${from}`)
    rows[`${schema}.${name}`] = Number(counted?.count)
    const copy = tx.unsafe(`copy (select * from ${from}) to stdout (format csv, header)`)
    const file = join(folder, `${schema}.${name}.csv`)
    await pipeline(await copy.readable(), createWriteStream(file, ownerOnly))
    process.stderr.write(`${schema}.${name}: ${counted?.count} rows\n`)
  }
  const manifest = { version, exported_at: new Date().toISOString(), rows }
  writeFileSync(join(folder, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`, ownerOnly)
  return rows
}

const ownerOnly = { mode: 0o600 }

/** A table's name as SQL. */
const quoted = ({ schema, name }: Table): string =>
  [schema, name].map((part) => `"${part.replaceAll('"', '""')}"`).join('.')
