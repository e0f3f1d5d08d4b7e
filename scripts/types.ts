/** `npm run types`: writes client/database.types.ts from the migrated database. */
import { writeFile } from 'node:fs/promises'
import { typesFile, typesOf } from './schema.ts'
import { runMain } from './stack/cli-error.ts'
import { applyMigrations, createProject } from './stack/database.ts'
import { startThrowawayPostgres } from './stack/throwaway.ts'

await runMain(async () => {
  const server = await startThrowawayPostgres()
  try {
    await createProject(server, 'postgres')
    await applyMigrations(server, 'postgres')
    await writeFile(typesFile, await typesOf(server, 'postgres'))
  } finally {
    await server.stop()
  }
})
