/** Changes of files in the adopter's repository: shown as a diff, or written. */
import {
  chmodSync,
  mkdirSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { createTwoFilesPatch, FILE_HEADERS_ONLY } from 'diff'
import { CliError } from '../cli-error.ts'

/** A text of undefined is no file. The path is relative to the repository. */
export type Change = { path: string; before: string | undefined; after: string | undefined }

/** What the changes would do, as a unified diff. */
export function diffOf(changes: Change[]): string {
  return changes
    .map(({ path, before, after }) =>
      createTwoFilesPatch(
        before === undefined ? '/dev/null' : `a/${path}`,
        after === undefined ? '/dev/null' : `b/${path}`,
        before ?? '',
        after ?? '',
        undefined,
        undefined,
        { headerOptions: FILE_HEADERS_ONLY },
      ),
    )
    .join('')
}

/** Some of the changes could not be made. */
export class WriteError extends CliError {
  readonly left: Change[]
  constructor(reason: unknown, all: Change[], left: Change[]) {
    const done = all.slice(0, all.length - left.length)
    const cause = (reason as Error).message
    super(
      done.length === 0
        ? `Nothing was written: ${cause}`
        : `Not everything was written: ${cause}\nWritten:\n${summaryOf(done)}Not written:\n${summaryOf(left)}`,
    )
    this.left = left
  }
}

/** Writes all files beside their places first, then moves them, so that a full disk leaves the repository as it was. */
export function writeChanges(root: string, changes: Change[]): void {
  const temporary: string[] = []
  const moves: (() => void)[] = []
  let done = 0
  try {
    for (const { path, before, after } of changes) {
      const place = join(root, path)
      if (after === undefined) {
        moves.push(() => remove(place))
        continue
      }
      mkdirSync(dirname(place), { recursive: true })
      // A link stays a link.
      const file = before === undefined ? place : realpathSync(place)
      const beside = `${file}.referbase`
      temporary.push(beside)
      writeFileSync(beside, after)
      if (before !== undefined) chmodSync(beside, statSync(file).mode)
      moves.push(() => renameSync(beside, file))
    }
    for (const move of moves) {
      move()
      done++
    }
  } catch (error) {
    for (const file of temporary) {
      try {
        rmSync(file, { force: true })
      } catch {
        // What stands there is not ours. The first error is the one to tell.
      }
    }
    throw new WriteError(error, changes, changes.slice(done))
  }
}

/** Removes a file, and its folder if nothing is left in it. */
function remove(file: string): void {
  rmSync(file)
  try {
    rmdirSync(dirname(file))
  } catch {
    // Something of the adopter's is in it.
  }
}

/** A line for each change. */
export const summaryOf = (changes: Change[]): string =>
  changes.map((change) => `${verbOf(change).padEnd(7)} ${change.path}\n`).join('')

/** The same for a script. */
export const summaryJson = (changes: Change[]) =>
  changes.map((change) => ({ path: change.path, change: verbOf(change) }))

const verbOf = ({ before, after }: Change) =>
  before === undefined ? 'added' : after === undefined ? 'removed' : 'changed'
