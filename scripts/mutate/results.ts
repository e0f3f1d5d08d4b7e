/** The results of earlier runs, in `.mutate/results.jsonl`: one line per mutation that was run, the last one counts. */
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from '../stack/root.ts'

export type Failure = { file: string; test: string }

export type Result = {
  name: string
  hash: string
  /** The test that failed. Null if the mutation survived. */
  killedBy: Failure | null
  /** The error of a mutation that is no SQL: it fails every test, and proves nothing. */
  broken?: string | undefined
  seconds: number
}

const file = join(root, '.mutate/results.jsonl')

/** The last result of each mutation, by its name. */
export function readResults(): Map<string, Result> {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
  const results = lines.filter(Boolean).map((line) => JSON.parse(line) as Result)
  return new Map(results.map((result) => [result.name, result]))
}

export function storeResult(result: Result): void {
  mkdirSync(dirname(file), { recursive: true })
  appendFileSync(file, `${JSON.stringify(result)}\n`)
}

/** Returns the hash of a mutation's SQL together with the migrations and the tests. */
export function createHasher(): (sql: string) => string {
  const everything = createHash('sha256')
  for (const folder of ['supabase/migrations', 'tests']) {
    const names = readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
    for (const name of names.sort())
      everything.update(name.slice(root.length)).update(readFileSync(name))
  }
  return (sql) => everything.copy().update(sql).digest('hex')
}
