/** A database of its own for a test file, copied from the migrated template. */
import postgres from 'postgres'
import { afterAll, inject } from 'vitest'

export type Sql = postgres.Sql | postgres.TransactionSql

/**
 * Makes the file's database, a copy of the migrated template unless it is made otherwise, and drops it after the file's
 * last test. Connections are the schema owner's.
 */
export async function testDatabase(
  create = copyTemplate,
  finished: (end: () => Promise<void>) => void = afterAll,
): Promise<postgres.Sql> {
  const servers = inject('servers')
  const name = `test_${crypto.randomUUID().replaceAll('-', '')}`
  await create(name)
  const sql = postgres(servers.postgres.replace('DATABASE', name), {
    max: 40,
    onnotice: () => {},
    types: { bigint: postgres.BigInt },
  })
  finished(async () => {
    await sql.end()
    await onAdmin((admin) => admin.unsafe(`drop database ${name} with (force)`))
  })
  return sql
}

const copyTemplate = (name: string) =>
  onAdmin((admin) =>
    admin.unsafe(`create database ${name} template ${inject('servers').template} owner postgres`),
  )

/** Runs something as superuser, beside all databases of tests. */
export async function onAdmin(work: (admin: postgres.Sql) => Promise<unknown>): Promise<void> {
  const admin = postgres(inject('servers').admin.replace('DATABASE', 'postgres'), { max: 1 })
  try {
    await work(admin)
  } finally {
    await admin.end()
  }
}

class Rollback extends Error {}

/** Runs a test in a transaction and undoes all of it. */
export async function undone(
  sql: postgres.Sql,
  test: (tx: postgres.TransactionSql) => Promise<void>,
): Promise<void> {
  const end = sql.begin(async (tx) => {
    await test(tx)
    throw new Rollback()
  })
  await end.catch((error) => {
    if (!(error instanceof Rollback)) throw error
  })
}
