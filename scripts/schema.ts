/**
 * Compares what describes the database: supabase/migrations with sql/ and with the last release, what is generated from
 * sql/ with what is committed, and client/database.types.ts with what the CLI generates; then asks the CLI's advisors.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError, runMain } from '../cli/cli-error.ts'
import { generateApi } from './api/generate.ts'
import { createFromSource } from './releases/databases.ts'
import { migrationDrift } from './releases/drift.ts'
import { migrationsFolder, migrationsOf, readReleases } from './releases/releases.ts'
import { migrationFromSource } from './sql-files.ts'
import type { Postgres } from './stack/postgres.ts'
import { root } from './stack/root.ts'
import { supabase } from './stack/supabase.ts'
import { startThrowawayPostgres } from './stack/throwaway.ts'
import { typesFile, typesOf } from './types.ts'

const read = (path: string) => readFile(join(root, path), 'utf8').catch(() => '')

/** Every way in which the descriptions of the database differ, a sentence each; none where all is well. */
export async function findDrift(server: Postgres): Promise<string[]> {
  const { unreleased } = await migrationsOf()
  if ((await readReleases()).length === 0)
    for (const name of unreleased)
      if ((await read(`${migrationsFolder}/${name}`)) !== (await migrationFromSource()))
        return [`${migrationsFolder}/${name} is stale: run "npm run migrate".`]
  const source = await createFromSource(server)
  const remote = `--remote=${server.url(source, 'postgres')}`
  const [drift, types, generated, advice] = await Promise.all([
    migrationDrift(server),
    typesOf(server, source),
    generateApi(server),
    supabase(['db', 'advisors', '--fail-on=warn', '--level=warn', remote]),
  ])
  const stale: string[] = []
  for (const [path, text] of Object.entries(generated))
    if ((await read(path)) !== text) stale.push(path)
  if ((await read(typesFile)) !== types) stale.push(typesFile)
  return [
    ...drift,
    ...stale.map((path) => `${path} is stale: run "npm run migrate".`),
    ...(advice.code === 0 ? [] : [`supabase db advisors found:\n${advice.stdout}${advice.stderr}`]),
  ]
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
