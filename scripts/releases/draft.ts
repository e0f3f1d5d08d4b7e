/** A draft of the unreleased migration: what leads from the migrations to sql/, as far as the Supabase CLI can tell. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from '../../cli/cli-error.ts'
import type { Postgres } from '../stack/postgres.ts'
import { root } from '../stack/root.ts'
import { createFromMigrations, createFromSource } from './databases.ts'
import { schemaDiff } from './differences.ts'
import { draftMark, migrationsFolder, readReleases, stampOf } from './releases.ts'

const note = `${draftMark} finish this file by hand, then remove this note. It comes from \`supabase db diff\`, which cannot do everything:
-- * A CHECK, a default and a policy come back as Postgres prints them. Take their texts from sql/.
-- * A dropped table or column takes its data along. Move the data first.
-- * A new column that is not null needs a default, or values for the rows that exist before it becomes not null.
-- * Rows that sql/ inserts are not here. Write them.
-- * A new value of an enum can be used by a later migration only. Put what uses it into a second file.
`

/** Writes the draft into the migrations of a project folder, and returns its path from there. */
export async function draftMigration(
  server: Pick<Postgres, 'url'>,
  name: string,
  folder = root,
): Promise<string> {
  if (!/^[a-z0-9_]+$/.test(name))
    throw new CliError('The name of a draft has small letters, digits and underscores only.')
  if ((await readReleases(folder)).length === 0)
    throw new CliError(
      'Before the first release there is one migration, which "npm run migrate" writes.',
    )
  const diff = await schemaDiff(
    server,
    await createFromMigrations(server, folder),
    await createFromSource(server, folder),
  )
  const path = `${migrationsFolder}/${stampOf(new Date())}_${name}.sql`
  await writeFile(join(folder, path), `${note}\n${diff}\n`)
  return path
}
