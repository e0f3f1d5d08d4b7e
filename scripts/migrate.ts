/**
 * `npm run migrate`: after a change in sql/ or in the client's comments, writes what is generated: sql/90_api.sql, docs/api.md,
 * docs/client.md, the migration, client/database.types.ts and client/call-errors.ts. Before 0.2.0 there is one migration, and it is the files of sql/ in load order.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runMain } from '../cli/cli-error.ts'
import { generateApi } from './api/generate.ts'
import { sqlFiles } from './sql-files.ts'
import { applyMigrations, createProject } from './stack/database.ts'
import { root } from './stack/root.ts'
import { startThrowawayPostgres } from './stack/throwaway.ts'
import { typesFile, typesOf } from './types.ts'

export const migration = join(root, 'supabase/migrations/20261121000000_referbase.sql')

/** The text of the migration as sql/ would have it now. */
export async function migrationFromSource(): Promise<string> {
  const texts = (await sqlFiles()).map((file) => readFile(join(root, file), 'utf8'))
  return [
    '-- Generated from sql/ by `npm run migrate`. Do not edit.\n',
    ...(await Promise.all(texts)),
  ].join('\n')
}

if (import.meta.main) {
  await runMain(async () => {
    const server = await startThrowawayPostgres()
    try {
      for (const [path, text] of Object.entries(await generateApi(server))) {
        await writeFile(join(root, path), text)
      }
      await writeFile(migration, await migrationFromSource())
      await createProject(server, 'postgres')
      await applyMigrations(server, 'postgres')
      await writeFile(typesFile, await typesOf(server, 'postgres'))
    } finally {
      await server.stop()
    }
    process.stdout.write(
      "wrote sql/90_api.sql, docs/api.md, docs/client.md, supabase/migrations, and the client's types\n",
    )
  })
}
