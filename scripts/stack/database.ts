/** Databases of the local stack, created as in a hosted project and then migrated. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import postgres from 'postgres'
import { CliError } from '../../cli/cli-error.ts'
import type { Postgres } from './postgres.ts'
import { importLite } from './programs.ts'
import { root } from './root.ts'
import { supabase } from './supabase.ts'

const bootstrap = join(root, 'scripts/stack/bootstrap')

/** Runs SQL text, or the text of a file, on a connection of its own. */
export async function execute(url: string, sql: string | { file: string }): Promise<void> {
  const connection = postgres(url, { max: 1, onnotice: () => {} })
  try {
    await connection
      .unsafe(typeof sql === 'string' ? sql : await readFile(sql.file, 'utf8'))
      .simple()
  } finally {
    await connection.end()
  }
}

/** Creates the roles of a hosted project in a new cluster. */
export async function createRoles(server: Postgres): Promise<void> {
  const admin = server.url('postgres', 'supabase_admin')
  await execute(admin, { file: join(bootstrap, 'roles.sql') })
  const { password } = new URL(server.url('postgres', 'postgres'))
  await execute(admin, `alter role postgres password '${password}'`)
}

/** Sets an empty database up as a hosted project's before its first migration. */
export async function createProject(
  server: Pick<Postgres, 'url'>,
  database: string,
): Promise<void> {
  const admin = server.url(database, 'supabase_admin')
  const { getAuthSchemaSql } = await importLite()
  await execute(
    admin,
    `alter database ${database} owner to postgres; grant create on schema public to postgres;`,
  )
  await execute(admin, getAuthSchemaSql())
  await execute(admin, { file: join(bootstrap, 'database.sql') })
}

/**
 * Applies pending migrations with the Supabase CLI, as a deployment does: of this package, or of the `supabase` folder in
 * another folder. `seed` also runs the seed files that config.toml names, each once. `without` leaves out migrations.
 */
export async function applyMigrations(
  server: Pick<Postgres, 'url'>,
  database: string,
  { folder = root, seed = false, without = [] as string[] } = {},
): Promise<void> {
  const args = ['db', 'push', '--include-all', `--remote=${server.url(database, 'postgres')}`]
  // In a folder of its own the CLI finds no .env, which may hold anything.
  const copy = await mkdtemp(join(tmpdir(), 'referbase-migrations-'))
  const source = join(folder, 'supabase')
  const needed = (file: string) =>
    !/^[/\\](functions$|\.|.*[/\\]\.)/.test(file.slice(source.length)) &&
    !without.includes(basename(file))
  const { code, stderr } = await cp(source, join(copy, 'supabase'), {
    recursive: true,
    filter: needed,
  })
    .then(() => supabase(seed ? [...args, '--include-seed'] : args, copy))
    .finally(() => rm(copy, { recursive: true, force: true }))
  if (code !== 0) throw new CliError(explain(stderr))
}

/** What the CLI says of a failed migration, from the line that names it. */
function explain(stderr: string): string {
  const lines = stderr.trim().split('\n')
  const begin = Math.max(
    lines.findLastIndex((line) => /^(Applying|Seeding) /.test(line)),
    0,
  )
  const reason = lines.slice(begin).filter((line) => !line.startsWith('Try rerunning'))
  return `A migration failed, and nothing of it was applied. The Supabase CLI says:\n${reason.join('\n')}`
}

/** The hash of each migration. The CLI compares versions only, and does not notice an edited migration. */
export async function migrationHashes(folder: string): Promise<Record<string, string>> {
  const migrations = join(folder, 'supabase/migrations')
  if (!existsSync(migrations)) return {}
  const names = (await readdir(migrations)).filter((name) => name.endsWith('.sql')).sort()
  const texts = await Promise.all(names.map((name) => readFile(join(migrations, name))))
  return Object.fromEntries(
    texts.map((text, i) => [names[i], createHash('sha256').update(text).digest('hex')]),
  )
}
