/** What `init` and `upgrade` do: all files are computed first, then shown or written. */
import { CliError } from '../cli-error.ts'
import { pack } from '../pack.ts'
import { type Change, diffOf, summaryJson, summaryOf, writeChanges } from './changes.ts'
import { addToConfig, ConfigEditError } from './config.ts'
import { configWarnings } from './config-warnings.ts'
import type { Installed } from './installed.ts'
import { newFunctions } from './new-functions.ts'
import { type NewMigrations, newMigrations, requireNoOlderPackage } from './new-migrations.ts'
import { type NextSteps, nextSteps, stepsText } from './next-steps.ts'
import { type Remote, readRemote } from './remote.ts'
import type { Repository } from './repository.ts'

export type InstallOptions = {
  dryRun?: true
  cron?: true
  overwrite?: true
  dbUrl?: string
  json?: true
}

/** Brings the repository to this package and says how to go on. A file that it leaves as it is makes it fail at the end. */
export async function install(
  repository: Repository,
  before: Installed,
  options: InstallOptions,
): Promise<void> {
  requireNoOlderPackage(before)
  const local = repository.migrations.map(({ version }) => version)
  const remote = await readRemote(repository, options.dbUrl)
  const migrations = newMigrations(before, {
    cron: options.cron ?? false,
    versions: [...local, ...remote.versions],
    now: new Date(),
  })
  requireNoData(migrations, remote)
  const functions = newFunctions(repository, { overwrite: options.overwrite ?? false })
  const config = configChange(repository)
  const changes = [...migrations.changes, ...functions.changes, ...config.changes]
  const warnings = [...config.warnings, ...before.changedMigrations.map(changedMigration)]
  const problems = [...functions.kept.map(keptFile), ...config.problems]
  const next = nextSteps(before, migrations)

  if (!options.dryRun) writeChanges(repository.root, changes)
  if (options.json) {
    const from = before.version ?? null
    const dry_run = options.dryRun ?? false
    const done = { version: pack.version, from, dry_run, changes: summaryJson(changes) }
    const report = { ...done, warnings, problems, ...(changes.length > 0 ? next : nothingNext) }
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  } else {
    process.stdout.write(shown(changes, next, options))
    for (const warning of warnings) process.stderr.write(`${warning}\n`)
  }
  if (problems.length > 0) throw new CliError(problems.join('\n'))
}

const nothingNext: NextSteps = { notes: [], steps: [] }

function shown(changes: Change[], next: NextSteps, { dryRun }: InstallOptions): string {
  if (changes.length === 0) return `Nothing to do: referbase ${pack.version} is installed.\n`
  return dryRun ? diffOf(changes) : summaryOf(changes) + stepsText(next)
}

/** The migration itself refuses data, too: here it is said before it is written. */
function requireNoData({ replacesPreview }: NewMigrations, { tableWithRows }: Remote): void {
  if (!replacesPreview || tableWithRows === undefined) return
  throw new CliError(
    `The newer migrations drop the preview of referbase that is installed, and ${tableWithRows} has rows. Nothing was written. Export and remove it with \`npx --no-install referbase remove --export FOLDER --yes\`, then run \`npx --no-install referbase init\`.`,
  )
}

function configChange(repository: Repository): {
  changes: Change[]
  problems: string[]
  warnings: string[]
} {
  const path = 'supabase/config.toml'
  const before = repository.read(path) ?? ''
  const functions = pack.functions().map(({ name }) => name)
  try {
    const after = addToConfig(before, functions)
    const changes = after === before ? [] : [{ path, before, after }]
    return { changes, problems: [], warnings: configWarnings(after, functions) }
  } catch (error) {
    if (error instanceof ConfigEditError) {
      return { changes: [], problems: [error.message], warnings: configWarnings(before, functions) }
    }
    throw error
  }
}

const changedMigration = (path: string) =>
  `${path} was changed after referbase wrote it. It stays as it is.`

const keptFile = (path: string) =>
  `${path} is not as referbase wrote it, and stays as it is. --overwrite replaces it.`
