/** Whether the frozen and the unreleased migrations lead to sql/, and sql/ keeps what the last release promised. */
import postgres from 'postgres'
import type { Postgres } from '../stack/postgres.ts'
import { root } from '../stack/root.ts'
import { brokenPromises, type Contract, readContract } from './contract.ts'
import { createFromMigrations, createFromSource } from './databases.ts'
import { differences } from './differences.ts'
import { migrationsOf, readReleases, releaseFaults } from './releases.ts'

/** A sentence for each thing that is wrong with the migrations of a project folder; none where all is well. */
export async function migrationDrift(
  server: Pick<Postgres, 'url'>,
  folder = root,
): Promise<string[]> {
  const faults = await releaseFaults(folder)
  if (faults.length) return faults
  const source = await createFromSource(server, folder)
  const migrated = await createFromMigrations(server, folder)
  const found = await differences(server, migrated, source)
  if ((await readReleases(folder)).length === 0) return found
  const { unreleased } = await migrationsOf(folder)
  const frozen = unreleased.length ? await createFromMigrations(server, folder, 'frozen') : migrated
  const promised = await contractOf(server, frozen)
  return [...brokenPromises(promised, await contractOf(server, source)), ...found]
}

async function contractOf(server: Pick<Postgres, 'url'>, database: string): Promise<Contract> {
  const sql = postgres(server.url(database, 'postgres'), { max: 1 })
  try {
    return await readContract(sql)
  } finally {
    await sql.end()
  }
}
