/** Databases of the local stack, created as in a hosted project and then migrated. */
import { createHash } from 'node:crypto'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { getAuthSchemaSql } from '@supabase/lite'
import postgres from 'postgres'
import { CliError } from '../../cli/cli-error.ts'
import type { Postgres } from './postgres.ts'
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
  await execute(
    admin,
    `alter database ${database} owner to postgres; grant create on schema public to postgres;`,
  )
  await execute(admin, getAuthSchemaSql())
  await execute(admin, { file: join(bootstrap, 'database.sql') })
}

/** Applies pending migrations with the Supabase CLI, as a deployment does: of the repository, or of another project folder. */
export async function applyMigrations(
  server: Pick<Postgres, 'url'>,
  database: string,
  { folder = root, without = [] }: { folder?: string; without?: string[] } = {},
): Promise<void> {
  const args = ['migration', 'up', `--remote=${server.url(database, 'postgres')}`]
  // In a folder of its own the CLI finds no .env, which may hold anything.
  const copy = await mkdtemp(join(tmpdir(), 'referbase-migrations-'))
  const { code, stdout, stderr } = await cp(join(folder, 'supabase'), join(copy, 'supabase'), {
    recursive: true,
    filter: (file) =>
      !/[/\\]\.[^/\\]*$/.test(file.slice(folder.length)) && !without.includes(basename(file)),
  })
    .then(() => supabase(args, copy))
    .finally(() => rm(copy, { recursive: true, force: true }))
  if (code !== 0) {
    const reason = `${stderr}\n${stdout}`.split('\n').find((line) => /^error/i.test(line)) ?? stderr
    throw new CliError(`A migration failed, and nothing of it was applied: ${reason.trim()}`)
  }
}

/** The hash of each migration. The CLI compares versions only, and does not notice an edited migration. */
export async function migrationHashes(): Promise<Record<string, string>> {
  const folder = join(root, 'supabase/migrations')
  const names = (await readdir(folder)).sort()
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name))))
  return Object.fromEntries(
    texts.map((text, i) => [names[i], createHash('sha256').update(text).digest('hex')]),
  )
}
