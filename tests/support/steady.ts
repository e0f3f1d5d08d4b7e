/** What calls answer, without what differs between two runs of the same call. */
import { expect } from 'vitest'
import type { Stage } from './stage.ts'

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** A row without what is drawn: ids and codes that the stage does not have. */
export function steadyRows(staged: Stage) {
  const known = JSON.stringify(staged)
  return (row: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries(row).map(([column, value]) => {
        const drawn = /^code/.test(column) || uuid.test(String(value))
        return [column, drawn && !known.includes(String(value)) ? 'drawn' : value]
      }),
    )
}

/** From now on, in this file, times are equal that are less than ten minutes apart. */
export function timesAreAbout(): void {
  expect.addEqualityTesters([
    (a, b) =>
      a instanceof Date && b instanceof Date
        ? Math.abs(a.getTime() - b.getTime()) < 600_000
        : undefined,
  ])
}
