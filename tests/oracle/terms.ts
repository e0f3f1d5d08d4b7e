/** Which terms were in force when. */
import { type Terms, type Time, type World, wholeSecond } from './world.ts'

export type Agreed = { version: number; terms: Terms }
export type Agreements = {
  /** A version of a program's terms. */
  version: (program: string, version: number) => Agreed | null
  /** The terms that were in force at a time; null where the program, or the organisation, was switched off then. */
  at: (org: string, program: string, time: Time) => Agreed | null
}

export function agreementsOf(world: World): Agreements {
  const byProgram = Map.groupBy(world.terms, ({ program }) => program)
  const versions = (program: string) => byProgram.get(program) ?? []
  const byOrg = Map.groupBy(world.switches, ({ org }) => org)
  const isOn = (org: string, program: string | null, time: Time) =>
    (byOrg.get(org) ?? []).findLast(
      (change) => change.program === program && wholeSecond(change.since) <= time,
    )?.active ?? true
  return {
    version: (program, version) =>
      versions(program).find((terms) => terms.version === version) ?? null,
    at: (org, program, time) => {
      if (!isOn(org, null, time) || !isOn(org, program, time)) return null
      const begun = versions(program).filter(({ from }) => wholeSecond(from) <= time)
      return begun.toSorted((one, other) => one.version - other.version).at(-1) ?? null
    },
  }
}
