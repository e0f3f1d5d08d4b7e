/** What `remove` drops, what it records, and what it does to the repository. */
import type postgres from 'postgres'
import { CliError } from '../cli-error.ts'
import { pack } from '../pack.ts'
import type { Change } from './changes.ts'
import { removeFromConfig } from './config.ts'
import { readHistory } from './database.ts'
import type { Installed } from './installed.ts'
import { removalMigration, removalStatements, statementsOf, textOf } from './removal.ts'
import type { LocalMigration, Repository } from './repository.ts'
import { nextMigrationVersion } from './versions.ts'

export type RemovalPlan = {
  statements: string[]
  /** For the history of migrations, where the database has one. */
  record: { version: string; name: string } | undefined
  /** The migration in the repository that the database follows. */
  followed: string | undefined
  /** The adopter's objects that depend on the schemas are dropped, too. */
  cascade: boolean
  changes: Change[]
}

/**
 * A file that drops the schemas may be in the repository and wait for this database: `remove` wrote it for another one, or it
 * replaces a preview. Then the database follows it, and the files stay as they are.
 */
export async function planRemoval(
  sql: postgres.Sql,
  repository: Repository,
  installed: Installed,
  cascade: boolean,
): Promise<RemovalPlan> {
  const history = await readHistory(sql)
  const pending = pendingMigrations(repository, history)
  const waiting = pending.find(({ headers }) => headers[0] && isRemoval(headers[0].name))
  requireApplied(waiting ? pending.slice(0, pending.indexOf(waiting)) : pending)
  if (waiting) return followFile(waiting)

  const statements = removalStatements('removed', { cascade })
  const text = removalMigration(pack.version, 'removed', statements)
  const versions = [...repository.migrations.map(({ version }) => version), ...(history ?? [])]
  const version = nextMigrationVersion(versions, new Date())
  return {
    statements: statementsOf(text),
    record: history && { version, name: removedName },
    followed: undefined,
    cascade,
    changes: [
      { path: removedPath(version), before: undefined, after: text },
      ...filesToRemove(repository, installed),
    ],
  }
}

/**
 * What is left to do in the repository where an earlier `remove` has dropped the schemas of this database. Nothing where none
 * has, or where referbase is installed again.
 */
export async function restOfRemoval(
  sql: postgres.Sql,
  repository: Repository,
  installed: Installed,
): Promise<Change[]> {
  if ((await readHistory(sql)) === undefined) return []
  const [done] = await sql<{ version: string; statements: string[] }[]>`
    select version, statements from supabase_migrations.schema_migrations
    where name = ${removedName} order by version desc limit 1`
  if (!done) return []
  const { version, statements } = done
  const isHere = repository.migrations.some((migration) => migration.version === version)
  if (isHere && installed.migrations.length > 0) return []
  const text = textOf(statements)
  const file = { path: removedPath(version), before: undefined, after: text }
  return [...(isHere ? [] : [file]), ...filesToRemove(repository, installed)]
}

const removedName = 'referbase_removed'
const removedPath = (version: string) => `supabase/migrations/${version}_${removedName}.sql`

function followFile({ path, version, text, headers }: LocalMigration): RemovalPlan {
  if (headers[0]?.name === 'replaced') {
    // The newer migration is in the same file, and still has to be applied.
    const statements = removalStatements('replaced')
    return { statements, record: undefined, followed: path, cascade: false, changes: [] }
  }
  if (headers[0]?.changed) {
    throw new CliError(`${path} was changed after referbase wrote it. Restore it first.`)
  }
  const name = path.slice(path.indexOf('_') + 1, -'.sql'.length)
  return {
    statements: statementsOf(text),
    record: { version, name },
    followed: path,
    cascade: false,
    changes: [],
  }
}

function filesToRemove(repository: Repository, installed: Installed): Change[] {
  const functions = installed.functions.filter(({ header }) => !header.changed)
  const path = 'supabase/config.toml'
  const before = repository.read(path) ?? ''
  const after = removeFromConfig(
    before,
    functions.map(({ name }) => name),
  )
  // The settings first: where a file stays, another call finds it, and has nothing to ask of config.toml.
  return [
    ...(after === before ? [] : [{ path, before, after }]),
    ...functions.map(({ path, text }) => ({ path, before: text, after: undefined })),
  ]
}

const isRemoval = (name: string) => name === 'removed' || name === 'replaced'

/** Without a history, only a removal that is the repository's last word waits. */
function pendingMigrations(
  { migrations }: Repository,
  history: string[] | undefined,
): LocalMigration[] {
  if (history) return migrations.filter(({ version }) => !history.includes(version))
  const last = migrations.findLast(({ headers }) => headers.length > 0)
  return last?.headers[0]?.name === 'removed' ? [last] : []
}

function requireApplied(migrations: LocalMigration[]): void {
  if (migrations.length === 0) return
  const paths = migrations.map(({ path }) => path).join(', ')
  throw new CliError(
    `The database lacks migrations of this repository: ${paths}. Apply them first, or move them away.`,
  )
}
