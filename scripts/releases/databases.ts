/** Databases that have the schema as sql/ describes it, and as the migrations do. */
import { loadFile } from '../api/generate.ts'
import { sqlFiles } from '../sql-files.ts'
import { applyMigrations, createProject, execute } from '../stack/database.ts'
import type { Postgres } from '../stack/postgres.ts'
import { root } from '../stack/root.ts'
import { migrationsOf } from './releases.ts'

type Server = Pick<Postgres, 'url'>

/** Makes a database with the files of sql/, and returns its name. */
export async function createFromSource(server: Server, folder = root): Promise<string> {
  const database = await createEmpty(server, 'source')
  for (const file of await sqlFiles(folder))
    await loadFile(server.url(database, 'postgres'), file, folder)
  return database
}

/** Makes a database with the migrations, or with the frozen ones only, and returns its name. */
export async function createFromMigrations(
  server: Server,
  folder = root,
  which: 'all' | 'frozen' = 'all',
): Promise<string> {
  const database = await createEmpty(server, which)
  const without = which === 'frozen' ? (await migrationsOf(folder)).unreleased : []
  await applyMigrations(server, database, { folder, without })
  return database
}

async function createEmpty(server: Server, what: string): Promise<string> {
  const database = `${what}_${crypto.randomUUID().replaceAll('-', '')}`
  await execute(server.url('postgres', 'supabase_admin'), `create database ${database}`)
  await createProject(server, database)
  return database
}
