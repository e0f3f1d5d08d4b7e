/** A database as a hosted project has it before its first migration. */
import type postgres from 'postgres'
import { inject, onTestFinished } from 'vitest'
import { createProject } from '../../scripts/stack/database.ts'
import { onAdmin, testDatabase } from './database.ts'

/**
 * The connection is the schema owner's, as is the URL, which a command takes. With a name, it is a copy of that database. It is
 * dropped after the test, or when `finished` says.
 */
export async function projectDatabase(
  original?: string,
  finished: (end: () => Promise<void>) => void = onTestFinished,
): Promise<{ sql: postgres.Sql; url: string; name: string }> {
  const { admin, postgres } = inject('servers')
  const made = { url: '', name: '' }
  const sql = await testDatabase(async (name) => {
    made.url = postgres.replace('DATABASE', name)
    made.name = name
    const template = original ? `template ${original} owner postgres` : ''
    await onAdmin((connection) => connection.unsafe(`create database ${name} ${template}`))
    if (original) return
    const url = (database: string, user: string) =>
      (user === 'postgres' ? postgres : admin).replace('DATABASE', database)
    await createProject({ url }, name)
  }, finished)
  return { sql, ...made }
}
