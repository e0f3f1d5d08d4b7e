/**
 * `npm run migrate`: after a change in sql/ or in the client's comments, writes what is generated: sql/90_api.sql, docs/api.md,
 * docs/client.md, client/database.types.ts and client/call-errors.ts. Until the first release it also writes the one migration,
 * which is the files of sql/ in load order. After it, migrations are written by hand: it says where they do not lead to sql/,
 * and `-- --draft NAME` drafts the unreleased one.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { CliError, runMain } from '../cli/cli-error.ts'
import { generateApi } from './api/generate.ts'
import { createFromSource } from './releases/databases.ts'
import { draftMigration } from './releases/draft.ts'
import { migrationDrift } from './releases/drift.ts'
import { migrationsFolder, migrationsOf, readReleases } from './releases/releases.ts'
import { migrationFromSource } from './sql-files.ts'
import { root } from './stack/root.ts'
import { startThrowawayPostgres } from './stack/throwaway.ts'
import { typesFile, typesOf } from './types.ts'

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

await runMain(async () => {
  const draft = readDraft()
  const isReleased = (await readReleases()).length > 0
  const server = await startThrowawayPostgres()
  try {
    for (const [path, text] of Object.entries(await generateApi(server)))
      await writeFile(join(root, path), text)
    await writeFile(join(root, typesFile), await typesOf(server, await createFromSource(server)))
    say("wrote sql/90_api.sql, docs/api.md, docs/client.md, and the client's types")
    if (draft) return say(`wrote ${await draftMigration(server, draft)}: finish it by hand`)
    if (!isReleased) {
      const [name = '20261121000000_referbase.sql'] = (await migrationsOf()).unreleased
      await writeFile(join(root, migrationsFolder, name), await migrationFromSource())
      return say(`wrote ${migrationsFolder}/${name}`)
    }
    const drift = await migrationDrift(server)
    if (drift.length)
      say(`The migrations do not lead to sql/ yet. Write an unreleased one by hand, or a draft of it by
"npm run migrate -- --draft NAME".\n${drift.join('\n')}`)
  } finally {
    await server.stop()
  }
})

function readDraft(): string | undefined {
  try {
    return parseArgs({ options: { draft: { type: 'string' } } }).values.draft
  } catch (error) {
    throw new CliError(`${(error as Error).message}. Usage: npm run migrate [-- --draft NAME]`)
  }
}
