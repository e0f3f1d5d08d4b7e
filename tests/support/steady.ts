/** What calls answer, without what differs between two runs of the same call. */
import { expect } from 'vitest'
import type { Stage } from './stage.ts'

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Of an event that is taken: it can be stored where another call has the Stripe account just then. */
const ofChance: Record<string, unknown> = { stored: 'applied' }

/** A row without what is drawn, ids and codes that the stage does not have, and without what others decide. */
export function steadyRows(staged: Stage) {
  const known = JSON.stringify(staged)
  return (row: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries(row).map(([column, value]) => {
        const drawn = /^code/.test(column) || uuid.test(String(value))
        if (column === 'unsettled' || (drawn && !known.includes(String(value))))
          return [column, 'drawn']
        return [column, ofChance[String(value)] ?? value]
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
