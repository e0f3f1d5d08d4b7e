/** Writes supabase/migrations from sql/: before 1.0 there is one migration, and it is the source files in load order. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './stack/root.ts'

export const migration = join(root, 'supabase/migrations/20261121000000_referbase.sql')

/** The text of the migration as sql/ would have it now. */
export async function migrationFromSource(): Promise<string> {
  const files = (await readdir(join(root, 'sql'))).filter((name) => name.endsWith('.sql')).sort()
  const texts = await Promise.all(files.map((name) => readFile(join(root, 'sql', name), 'utf8')))
  return ['-- Generated from sql/ by `npm run migrate`. Do not edit.\n', ...texts].join('\n')
}

if (import.meta.main) {
  await writeFile(migration, await migrationFromSource())
  process.stdout.write('wrote supabase/migrations from sql/\n')
}
