/** What the adopter's database says before files are written. */
import type postgres from 'postgres'
import { readHistory, withDatabase } from './database.ts'
import { tablesOfData } from './removal.ts'
import type { Repository } from './repository.ts'

export type Remote = {
  /** The versions in the history of migrations. */
  versions: string[]
  /** A table of ours that has rows. */
  tableWithRows: string | undefined
}

/** Reads it, where a URL is known. Says which migrations the repository lacks. */
export async function readRemote(
  repository: Repository,
  option: string | undefined,
): Promise<Remote> {
  const url = option ?? process.env.DATABASE_URL
  if (!url) return { versions: [], tableWithRows: undefined }
  if (!option) process.stderr.write('The history of migrations is read from DATABASE_URL.\n')
  const remote = await withDatabase(url, async (sql) => ({
    versions: (await readHistory(sql)) ?? [],
    tableWithRows: await findData(sql),
  }))
  const local = new Set(repository.migrations.map(({ version }) => version))
  const missing = remote.versions.filter((version) => !local.has(version))
  if (missing.length > 0) {
    process.stderr.write(
      `The database has migrations that this repository lacks: ${missing.join(', ')}. The Supabase CLI pushes nothing until they are here.\n`,
    )
  }
  return remote
}

async function findData(sql: postgres.Sql): Promise<string | undefined> {
  for (const table of tablesOfData) {
    const [found] = await sql`select to_regclass(${table}) as name`
    if (found?.name === null) continue
    const [row] = await sql.unsafe(`select exists (select from ${table}) as has_rows`)
    if (row?.has_rows) return table
  }
  return undefined
}
