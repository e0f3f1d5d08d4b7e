import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A file of the package that a command writes into the adopter's repository. */
export type PackedFile = { name: string; text: string }

/** The package's root: the nearest folder above this file that has a `package.json`. */
const root = (() => {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
})()

const read = (path: string) => readFileSync(join(root, path), 'utf8')

/** What the package carries, read when it is asked for. */
export const pack = {
  version: (JSON.parse(read('package.json')) as { version: string }).version,
  /** The migrations, oldest first. */
  migrations: (): PackedFile[] =>
    readdirSync(join(root, 'supabase/migrations'))
      .filter((name) => name.endsWith('.sql'))
      .toSorted()
      .map((name) => ({ name, text: read(`supabase/migrations/${name}`) })),
  /** The releases so far, oldest first, each with its migrations. A migration that none names is a preview. */
  releases: (): { version: string; migrations: Record<string, string> }[] =>
    JSON.parse(read('supabase/releases.json')),
  /** The bundled edge functions, by the name under which they are deployed. */
  functions: (): PackedFile[] =>
    readdirSync(join(root, 'dist/functions'))
      .toSorted()
      .map((name) => ({ name, text: read(`dist/functions/${name}/index.js`) })),
  changelog: (): string => read('CHANGELOG.md'),
}
