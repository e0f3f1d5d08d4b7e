/** What of referbase a repository has. */
import { pack } from '../pack.ts'
import { type Header, readHeader } from './header.ts'
import type { Repository } from './repository.ts'
import { compareReleases } from './versions.ts'

type InstalledFunction = { name: string; path: string; text: string; header: Header }

export type Installed = {
  /** The newest release of which a file is; undefined if nothing is installed. */
  version: string | undefined
  /** The packed migrations that are in force: none that a later migration drops. */
  migrations: Header[]
  /** The migration that schedules the jobs is in force. */
  cron: boolean
  functions: InstalledFunction[]
  /** Migrations of ours that the adopter changed. */
  changedMigrations: string[]
}

export function readInstalled(repository: Repository): Installed {
  const headers = repository.migrations.flatMap(({ headers }) => headers)
  const lastOf = (...names: string[]) => headers.findLastIndex(({ name }) => names.includes(name))
  const migrations = headers
    .slice(lastOf('removed', 'replaced') + 1)
    .filter(({ name }) => name !== 'cron')
  const functions = pack.functions().flatMap(({ name }) => {
    const path = functionPath(name)
    const text = repository.read(path)
    const header = text === undefined ? undefined : readHeader('//', text)
    return text !== undefined && header ? [{ name, path, text, header }] : []
  })
  const versions = [...migrations, ...functions.map(({ header }) => header)]
  return {
    version: versions
      .map(({ version }) => version)
      .toSorted(compareReleases)
      .at(-1),
    migrations,
    cron: lastOf('cron') > lastOf('removed'),
    functions,
    changedMigrations: repository.migrations
      .filter(({ headers }) => headers[0]?.changed)
      .map(({ path }) => path),
  }
}

export const functionPath = (name: string): string => `supabase/functions/${name}/index.js`
