import { isDeepStrictEqual } from 'node:util'
import type { ProgramTerms } from '../../client/terms.ts'

/** The terms that the database fills in. */
export const termDefaults: ProgramTerms = {
  recurrence: 'once',
  hold_days: 14,
  conversion_window_days: 90,
  enrolment: 'invited',
  guests: true,
  customers: 'new',
}

/**
 * What makes the stored terms the wanted ones, as `update_program` takes it. Terms that nobody states stay, unless all terms
 * are stated: then they become their defaults. A commission ends tiers, with which it would not be used.
 */
export function differencesOf(
  stored: ProgramTerms,
  wanted: ProgramTerms,
  isComplete: boolean,
): Record<string, unknown> {
  const left: Record<string, unknown> = isComplete
    ? { ...nothing(stored), ...termDefaults }
    : wanted.commission && stored.tiers
      ? { tiers: null }
      : {}
  const current: Record<string, unknown> = stored
  const differs = ([term, value]: [string, unknown]) =>
    !isDeepStrictEqual(current[term] ?? null, value)
  return Object.fromEntries(Object.entries({ ...left, ...wanted }).filter(differs))
}

const nothing = (terms: ProgramTerms) =>
  Object.fromEntries(Object.keys(terms).map((term) => [term, null]))
