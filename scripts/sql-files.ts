/** The files of sql/ in load order: a file uses only files before it. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './stack/root.ts'

/** The file that is generated from the files before it. */
export const apiFile = 'sql/90_api.sql'

/** Paths from the root of the repository. */
export async function sqlFiles(): Promise<string[]> {
  const names = await readdir(join(root, 'sql'), { recursive: true })
  return names
    .filter((name) => name.endsWith('.sql'))
    .map((name) => `sql/${name}`)
    .sort()
}
