/** A database as a hosted project has it before its first migration. */
import type postgres from 'postgres'
import { inject } from 'vitest'
import { createProject } from '../../scripts/stack/database.ts'
import { onAdmin, testDatabase } from './database.ts'

/** The connection is the schema owner's, as is the URL, which a command takes. */
export async function projectDatabase(): Promise<{ sql: postgres.Sql; url: string }> {
  const { admin, postgres } = inject('servers')
  let url = ''
  const sql = await testDatabase(async (name) => {
    await onAdmin((connection) => connection.unsafe(`create database ${name}`))
    url = postgres.replace('DATABASE', name)
    await createProject(
      {
        url: (database, user) =>
          (user === 'postgres' ? postgres : admin).replace('DATABASE', database),
      },
      name,
    )
  })
  return { sql, url }
}
