/** The files of sql/ as text: what each defines, and what it uses of the others. */
import { readFileSync } from 'node:fs'
import { apiFile, sqlFiles } from '../../scripts/sql-files.ts'

export type SqlFile = { path: string; text: string; code: string }

/** The files that are written by hand, in load order; `code` is the text without comments. */
export async function sqlSource(): Promise<SqlFile[]> {
  const paths = (await sqlFiles()).filter((path) => path !== apiFile)
  return paths.map((path) => {
    const text = readFileSync(path, 'utf8')
    const code = text
      .replace(/^\s*--.*$/gm, '')
      .replace(/^comment on [^']*? is\s+'(?:[^']|'')*';$/gm, '')
    return { path, text, code }
  })
}

/** Functions by `name()`, tables and types by name, with the place of the file that defines each. */
export function definitions(files: SqlFile[]): Map<string, number> {
  const found = new Map<string, number>()
  for (const [place, { code }] of files.entries()) {
    for (const [, kind, name] of code.matchAll(
      /^create (?:unlogged )?(function|table|type) (referral(?:_private)?\.\w+)/gm,
    )) {
      found.set(kind === 'function' ? `${name}()` : String(name), place)
    }
  }
  return found
}

/** What a file uses, by the names of `definitions`. A name before a parenthesis is a function where there is one. */
export function uses({ code }: SqlFile, defined: Map<string, number>): Set<string> {
  const used = new Set<string>()
  for (const [, name, parenthesis] of code.matchAll(/(referral(?:_private)?\.\w+)(\(?)/g)) {
    const called = `${name}()`
    if (parenthesis && defined.has(called)) used.add(called)
    else if (defined.has(String(name))) used.add(String(name))
    else if (defined.has(called)) used.add(called)
  }
  return used
}
