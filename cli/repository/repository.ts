/** The adopter's repository: the folder with `supabase/config.toml`, and what of it we read. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CliError } from '../cli-error.ts'
import { type Header, readHeaders } from './header.ts'

export type LocalMigration = {
  /** Relative to the repository. */
  path: string
  /** The digits before the name, as the Supabase CLI reads them. */
  version: string
  text: string
  /** None if it is not ours. */
  headers: Header[]
}

export type Repository = {
  root: string
  /** A file's text; undefined if there is none. The path is relative to the root. */
  read: (path: string) => string | undefined
  /** In the order in which the Supabase CLI applies them. It skips a file whose name does not begin with a version. */
  migrations: LocalMigration[]
}

const folder = 'supabase/migrations'

/** Finds the repository as the Supabase CLI does: here, or above. Says so where it is above. */
export function findRepository(from: string = process.cwd()): Repository {
  let root = from
  while (!existsSync(join(root, 'supabase/config.toml'))) {
    if (dirname(root) === root) {
      throw new CliError(
        `There is no supabase/config.toml in ${from} or above. Run \`npx supabase init\` first, in your repository: without it the Supabase CLI finds no migrations and no functions.`,
      )
    }
    root = dirname(root)
  }
  if (root !== from) process.stderr.write(`The repository is ${root}.\n`)
  const read = (path: string) =>
    existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined
  const names = existsSync(join(root, folder)) ? readdirSync(join(root, folder)) : []
  const migrations = names
    .filter((name) => /^\d+_.*\.sql$/.test(name))
    .map((name) => {
      const text = readFileSync(join(root, folder, name), 'utf8')
      const version = name.slice(0, name.indexOf('_'))
      return { path: `${folder}/${name}`, version, text, headers: readHeaders(text) }
    })
    .toSorted((a, b) => (a.version < b.version ? -1 : a.version > b.version ? 1 : 0))
  return { root, read, migrations }
}
