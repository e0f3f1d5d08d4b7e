import { CliError } from '../cli-error.ts'
import { commandText } from '../command-text.ts'
import { pack } from '../pack.ts'
import { readHistory, withDatabase } from '../repository/database.ts'
import { hashOf } from '../repository/header.ts'
import { type Installed, readInstalled } from '../repository/installed.ts'
import { findRepository, type LocalMigration } from '../repository/repository.ts'
import { isLocal } from './examined.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'
import { compareVersion } from './version.ts'

const name = 'migrations_applied'

/** Has the repository in the folder the migrations of this package, and are they applied to the database at the URL? */
export async function checkHistory(
  url: string | undefined,
  folder: string = process.cwd(),
): Promise<Line[]> {
  const { migrations, installed } = readRepository(folder)
  if (!installed?.version) {
    const remedy = `Run it in your repository, after ${commandText.referbase('init')}`
    return [
      unchecked(name, 'There is no migration of referbase in supabase/migrations here.', remedy),
    ]
  }
  const version = compareRepository(installed.version, installed.migrations)
  if (!url) {
    const remedy = 'Set DATABASE_URL in the environment, or pass --db-url.'
    return [version, unchecked(name, 'The history of migrations is not compared.', remedy)]
  }
  try {
    const history = (await withDatabase(url, readHistory)) ?? []
    return [version, compareHistory(migrations, history, isLocal(url))]
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    const remedy = 'Copy the URL of the session pooler: dashboard, Connect.'
    return [version, wrong(name, error.message, remedy)]
  }
}

/** The version of the repository; and, as all previews have one version, whether its migrations are the packed ones. */
function compareRepository(version: string, migrations: Installed['migrations']): Line {
  const check = 'repository_version'
  const again = commandText.referbase('upgrade')
  const line = compareVersion(check, 'The repository', version, again)
  const packed = new Set(pack.migrations().map(({ text }) => hashOf(text)))
  const other = migrations.find(({ hash }) => !packed.has(hash))
  if (line.state !== 'ok' || !other) return line
  const message = `The repository has another text of ${other.name} than this package, with the same version.`
  return wrong(check, message, `${again}, with the newer one of the two packages`)
}

/** The migrations of ours that are in the repository. Nothing where there is no repository. */
function readRepository(folder: string): { migrations: LocalMigration[]; installed?: Installed } {
  try {
    const repository = findRepository(folder)
    const migrations = repository.migrations.filter(({ headers }) => headers.length > 0)
    return { migrations, installed: readInstalled(repository) }
  } catch (error) {
    if (error instanceof CliError) return { migrations: [] }
    throw error
  }
}

/** The Supabase CLI applies what is older than the last applied migration with `--include-all` only. */
function compareHistory(migrations: LocalMigration[], history: string[], local: boolean): Line {
  const missing = migrations.filter(({ version }) => !history.includes(version))
  if (missing.length === 0) return ok(name, 'All migrations of referbase are applied.')
  const last = history.toSorted().at(-1) ?? ''
  const isOlder = missing.some(({ version }) => version < last)
  const command = commandText.supabase(local ? 'migration up' : 'db push --remote')
  const paths = missing.map(({ path }) => path).join(', ')
  return isOlder
    ? wrong(name, `Not applied: ${paths}. ${last} is newer, and is.`, `${command} --include-all`)
    : wrong(name, `Not applied: ${paths}.`, command)
}
