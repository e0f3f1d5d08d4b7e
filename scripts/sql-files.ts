/** The files of sql/ in load order: a file uses only files before it. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './stack/root.ts'

/** The file that is generated from the files before it. */
export const apiFile = 'sql/90_api.sql'

/** The first line of the migration that is generated. */
export const generatedMark = '-- Generated from sql/ by `npm run migrate`. Do not edit.\n'

/** Paths from the root of the repository, or from another project folder. */
export async function sqlFiles(folder = root): Promise<string[]> {
  const names = await readdir(join(folder, 'sql'), { recursive: true })
  return names
    .filter((name) => name.endsWith('.sql'))
    .map((name) => `sql/${name}`)
    .sort()
}

/** All files of sql/ as one migration, which it is until the first release. */
export async function migrationFromSource(folder = root): Promise<string> {
  const files = await sqlFiles(folder)
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))
  return [generatedMark, ...texts].join('\n')
}
