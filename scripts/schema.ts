/**
 * Compares what describes the database: supabase/migrations with sql/ (the CLI's diff must be empty), what is generated
 * from sql/ with what is committed, and client/database.types.ts with what the CLI generates; then asks the CLI's advisors.
 */
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CliError, runMain } from '../cli/cli-error.ts'
import { generateApi, loadFile } from './api/generate.ts'
import { migration, migrationFromSource } from './migrate.ts'
import { sqlFiles } from './sql-files.ts'
import { applyMigrations, createProject, execute } from './stack/database.ts'
import type { Postgres } from './stack/postgres.ts'
import { root } from './stack/root.ts'
import { supabase } from './stack/supabase.ts'
import { startThrowawayPostgres } from './stack/throwaway.ts'
import { typesFile, typesOf } from './types.ts'

/** What `from` lacks or has too much, as SQL; empty where both databases are the same. */
async function difference(server: Postgres, from: string, to: string): Promise<string> {
  const [a, b] = [server.url(from, 'postgres'), server.url(to, 'postgres')]
  const { code, stdout, stderr } = await supabase(['db', 'diff', '--from', a, '--to', b])
  if (code !== 0) throw new CliError(`supabase db diff failed: ${stderr}`)
  return stdout
    .split('\n')
    .filter((line) => line.trim() && !/^(Target|Connecting|No schema changes)/.test(line))
    .join('\n')
}

/** Every way in which the descriptions of the database differ, a sentence each; none where all is well. */
export async function findDrift(server: Postgres): Promise<string[]> {
  const admin = server.url('postgres', 'supabase_admin')
  await execute(admin, 'create database from_migrations')
  await execute(admin, 'create database from_source')
  await Promise.all(
    ['from_migrations', 'from_source'].map((database) => createProject(server, database)),
  )
  await applyMigrations(server, 'from_migrations')
  for (const file of await sqlFiles()) await loadFile(server.url('from_source', 'postgres'), file)

  const [diff, types, generated, advice] = await Promise.all([
    difference(server, 'from_migrations', 'from_source'),
    typesOf(server, 'from_migrations'),
    generateApi(server),
    supabase([
      'db',
      'advisors',
      '--fail-on=warn',
      '--level=warn',
      `--remote=${server.url('from_migrations', 'postgres')}`,
    ]),
  ])
  const found: string[] = []
  for (const [path, text] of Object.entries(generated)) {
    if ((await readFile(join(root, path), 'utf8').catch(() => '')) !== text) {
      found.push(`${path} is stale: run "npm run migrate".`)
    }
  }
  const migrations = await readdir(dirname(migration))
  if (migrations.length > 1)
    found.push(`There is one migration until 0.2.0, not ${migrations.join(', ')}.`)
  if (diff)
    found.push(
      `supabase/migrations and sql/ differ: edit sql/, then run "npm run migrate".\n${diff}`,
    )
  else if ((await readFile(migration, 'utf8')) !== (await migrationFromSource())) {
    found.push('supabase/migrations is not what "npm run migrate" writes: run it.')
  }
  if ((await readFile(typesFile, 'utf8').catch(() => '')) !== types) {
    found.push('client/database.types.ts is stale: run "npm run migrate".')
  }
  if (advice.code !== 0) found.push(`supabase db advisors found:\n${advice.stdout}${advice.stderr}`)
  return found
}

if (import.meta.main) {
  await runMain(async () => {
    const server = await startThrowawayPostgres()
    try {
      const drift = await findDrift(server)
      if (drift.length) throw new CliError(drift.join('\n'))
    } finally {
      await server.stop()
    }
  })
}
