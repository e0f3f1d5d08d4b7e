/** The schema with the columns of every table in the reversed order: nothing may depend on where a column stands. */
import { migrationFromSource } from '../../scripts/sql-files.ts'
import { createProject, execute } from '../../scripts/stack/database.ts'
import type { Postgres } from '../../scripts/stack/postgres.ts'

/** Makes an existing empty database a project that has the schema with reversed columns. */
export async function createReversed(
  server: Pick<Postgres, 'url'>,
  database: string,
): Promise<void> {
  await createProject(server, database)
  await execute(server.url(database, 'postgres'), reversedColumns(await migrationFromSource()))
}

/** SQL as it is formatted in sql/, with the columns of each `create table` reversed and before its constraints. */
export const reversedColumns = (sql: string): string =>
  sql.replace(/^(create (?:unlogged )?table \S+ \(\n)(.*?\n)(?=\))/gms, (_, head, body) => {
    const parts = String(body)
      .replace(/^\s*--.*\n/gm, '')
      .split(/\n(?= {2}[^ )])/)
      .map((part) => part.replace(/,?\s*$/, ''))
    const isConstraint = (part: string) => /^ *(constraint|primary key|unique|check)\b/.test(part)
    const columns = parts.filter((part) => !isConstraint(part)).toReversed()
    return `${head}${[...columns, ...parts.filter(isConstraint)].join(',\n')}\n`
  })
