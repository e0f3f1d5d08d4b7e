import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sqlFiles } from '../sql-files.ts'
import { root } from '../stack/root.ts'

/** The file of sql/ that makes each function and table, by the name with its schema. */
export async function sourceFiles(): Promise<Map<string, string>> {
  const sources = new Map<string, string>()
  for (const file of await sqlFiles()) {
    const text = await readFile(join(root, file), 'utf8')
    for (const [, name] of text.matchAll(/^create (?:function|table) (\w+\.\w+)/gm))
      sources.set(String(name), file)
  }
  return sources
}
