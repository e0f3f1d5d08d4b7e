/** An adopter's repository, made with the real Supabase CLI, and packages of ours to run in it. */
import { execFileSync, spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type postgres from 'postgres'
import { root } from '../../scripts/stack/root.ts'
import { supabase } from '../../scripts/stack/supabase.ts'
import type { Ended } from './processes.ts'

export type Files = Record<string, string>

const made: string[] = []

/** A folder of its own, which `removeFolders` removes. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-adopter-'))
  made.push(folder)
  return folder
}

/** For the end of a test file that makes repositories and packages. */
export function removeFolders(): void {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true })
}

/** Writes files, and the folders that they are in. */
export function write(folder: string, files: Files): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

/** All files of a folder, without what the Supabase CLI keeps for itself. */
export function filesOf(folder: string): Files {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1))
    .filter((path) => !path.includes('.temp/'))
  return Object.fromEntries(
    paths.toSorted().map((path) => [path, readFileSync(join(folder, path), 'utf8')]),
  )
}

/** A repository after `supabase init`, with files of the adopter's own. */
export async function adopterRepository(files: Files = {}): Promise<string> {
  const folder = temporaryFolder()
  await supabase(['init'], folder)
  if (!existsSync(join(folder, 'supabase/config.toml'))) throw new Error('supabase init failed')
  write(folder, files)
  return folder
}

/** A package as npm would unpack it, with the command as it is built and stand-ins for the bundled functions. */
export function packageOf(files: Files = {}): string {
  const folder = temporaryFolder()
  for (const path of ['package.json', 'CHANGELOG.md', 'dist/cli.js']) {
    cpSync(join(root, path), join(folder, path))
  }
  write(folder, {
    'dist/functions/referbase-link/index.js': "Deno.serve(() => new Response('link'))\n",
    'dist/functions/referbase-stripe-webhook/index.js': "Deno.serve(() => new Response('ok'))\n",
    ...files,
  })
  return folder
}

/** The real migrations. */
export const realMigrations = (): Files =>
  Object.fromEntries(
    ['supabase/releases.json', ...migrationsOf(root)].map((path) => [
      path,
      readFileSync(join(root, path), 'utf8'),
    ]),
  )

/** The paths of a repository's migrations, in their order. */
export const migrationsOf = (folder: string): string[] =>
  readdirSync(join(folder, 'supabase/migrations'))
    .toSorted()
    .map((name) => `supabase/migrations/${name}`)

/** Runs `referbase` from a package in a folder, without variables that name a database or a project. */
export function referbase(
  from: string,
  folder: string,
  args: string[],
  { env = {}, node = process.execPath }: { env?: Record<string, string>; node?: string } = {},
): Promise<Ended> {
  const { DATABASE_URL: _, ...inherited } = process.env
  const child = spawn(node, [join(from, 'dist/cli.js'), ...args], {
    cwd: folder,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk
  })
  return new Promise((resolve, reject) => {
    child.once('close', (code) => resolve({ code, ...output }))
    child.once('error', reject)
  })
}

/** Applies what is pending, as an adopter does; the text is what they read. */
export async function push(
  folder: string,
  url: string,
  ...args: string[]
): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await supabase(
    ['db', 'push', `--remote=${url}`, ...args],
    folder,
  )
  return { code, text: stdout + stderr }
}

/** Applies what is pending as a push does, with the history, without the seconds of the Supabase CLI. */
export async function apply(folder: string, sql: postgres.Sql): Promise<void> {
  await sql.unsafe(`
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations
      (version text primary key, statements text[], name text)`)
  for (const path of migrationsOf(folder)) {
    const [, version = '', name = ''] = /(\d+)_(.*)\.sql$/.exec(path) ?? []
    const added = await sql`
      insert into supabase_migrations.schema_migrations (version, name)
      values (${version}, ${name}) on conflict do nothing returning version`
    if (added.length > 0) await sql.unsafe(readFileSync(join(folder, path), 'utf8')).simple()
  }
}

/** The system's Node where it is version 20, the oldest that the package supports; otherwise the tests' own. */
export const node20: string =
  run('which', '-a', 'node')
    .split('\n')
    .find((path) => run(path, '--version').startsWith('v20.')) ?? process.execPath

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8' }).trim()
}
