/** The versions of migrations, which the Supabase CLI sorts as texts, and those of releases. */

/** A version of a migration that sorts after all others and is no earlier than now: 14 digits, as the CLI makes them. */
export function nextMigrationVersion(others: string[], now: Date): string {
  const stamp = stampOf(now)
  const latest = others.toSorted().at(-1)
  if (latest === undefined || latest < stamp) return stamp
  const second = new Date(dateOf(latest).getTime() + 1000)
  const candidates = [
    Number.isNaN(second.getTime()) ? '' : stampOf(second),
    String(BigInt(latest.padEnd(14, '0')) + 1n),
    `${latest}0`,
  ]
  return candidates.find((candidate) => candidate > latest) ?? `${latest}0`
}

/** Negative if a is an older release than b, positive if it is a newer one, 0 if they are the same. */
export function compareReleases(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(/[.+-]/, 3).map(Number))
  const differences = [0, 1, 2].map((i) => (left?.[i] ?? 0) - (right?.[i] ?? 0))
  return differences.find((difference) => difference !== 0) ?? 0
}

const stampOf = (date: Date) => date.toISOString().replaceAll(/\D/g, '').slice(0, 14)

/** An invalid date for a version that is none. */
function dateOf(version: string): Date {
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(version)
  if (!parts) return new Date(Number.NaN)
  const [, year, month, day, hour, minute, second] = parts
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}
