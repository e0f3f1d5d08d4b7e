/** What `init` and `upgrade` do: all files are computed first, then shown or written. */
import { CliError } from '../cli-error.ts'
import { pack } from '../pack.ts'
import { type Change, diffOf, summaryOf, writeChanges } from './changes.ts'
import { addToConfig, ConfigEditError } from './config.ts'
import { readHistory, withDatabase } from './database.ts'
import type { Installed } from './installed.ts'
import { newFunctions } from './new-functions.ts'
import { newMigrations, requireNoOlderPackage } from './new-migrations.ts'
import { nextSteps } from './next-steps.ts'
import type { Repository } from './repository.ts'

export type InstallOptions = { dryRun?: true; cron?: true; overwrite?: true; dbUrl?: string }

/** Brings the repository to this package and says how to go on. A file that it leaves as it is makes it fail at the end. */
export async function install(
  repository: Repository,
  before: Installed,
  options: InstallOptions,
): Promise<void> {
  requireNoOlderPackage(before)
  const local = repository.migrations.map(({ version }) => version)
  const remote = await remoteVersions(repository, options.dbUrl)
  const migrations = newMigrations(before, {
    cron: options.cron ?? false,
    versions: [...local, ...remote],
    now: new Date(),
  })
  const functions = newFunctions(repository, { overwrite: options.overwrite ?? false })
  const config = configChange(repository)
  const changes = [...migrations.changes, ...functions.changes, ...config.changes]

  if (changes.length === 0) process.stdout.write(nothingToDo)
  else if (options.dryRun) process.stdout.write(diffOf(changes))
  else {
    writeChanges(repository.root, changes)
    process.stdout.write(summaryOf(changes) + nextSteps(before, migrations))
  }
  for (const path of before.changedMigrations) {
    process.stderr.write(`${path} was changed after referbase wrote it. It stays as it is.\n`)
  }
  const problems = [...functions.kept.map(keptFile), ...config.problems]
  if (problems.length > 0) throw new CliError(problems.join('\n'))
}

const nothingToDo = `Nothing to do: referbase ${pack.version} is installed.\n`

async function remoteVersions(
  repository: Repository,
  option: string | undefined,
): Promise<string[]> {
  const url = option ?? process.env.DATABASE_URL
  if (!url) return []
  if (!option) process.stderr.write('The history of migrations is read from DATABASE_URL.\n')
  const versions = (await withDatabase(url, readHistory)) ?? []
  const local = new Set(repository.migrations.map(({ version }) => version))
  const missing = versions.filter((version) => !local.has(version))
  if (missing.length > 0) {
    process.stderr.write(
      `The database has migrations that this repository lacks: ${missing.join(', ')}. The Supabase CLI pushes nothing until they are here.\n`,
    )
  }
  return versions
}

function configChange(repository: Repository): { changes: Change[]; problems: string[] } {
  const path = 'supabase/config.toml'
  const before = repository.read(path) ?? ''
  try {
    const after = addToConfig(
      before,
      pack.functions().map(({ name }) => name),
    )
    return { changes: after === before ? [] : [{ path, before, after }], problems: [] }
  } catch (error) {
    if (error instanceof ConfigEditError) return { changes: [], problems: [error.message] }
    throw error
  }
}

const keptFile = (path: string) =>
  `${path} is not as referbase wrote it, and stays as it is. --overwrite replaces it.`
