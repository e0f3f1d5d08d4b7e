/** Settings of a session, which every caller chooses: PostgREST takes the time zone from a header, SQL takes all of them. */
import { type Actor, callOf } from './actors.ts'
import type { Sql } from './database.ts'

export type Settings = Record<string, string>

export const newYork: Settings = { TimeZone: 'America/New_York' }
export const kathmandu: Settings = { TimeZone: 'Asia/Kathmandu' }
export const sqlDates: Settings = { DateStyle: 'SQL, DMY' }
/** German dates name the zone by its abbreviation, and Postgres reads this one as Israel's. */
export const germanDates: Settings = { DateStyle: 'German', TimeZone: 'Asia/Kolkata' }

/** Applies settings until the transaction, or the savepoint, is undone. */
export async function apply(tx: Sql, settings: Settings): Promise<void> {
  await tx`select set_config(key, value, true) from jsonb_each_text(${tx.json(settings)})`
}

/** A zone in which clocks go forward an hour at that day's midnight in UTC, so many days from now, and back half a year later. */
export function zoneThatChanges(days: number): Settings {
  const [forward, back] = [days, days + 182].map((ahead) => {
    const date = new Date(Date.now() + ahead * 86_400_000)
    const inCommonYear = Date.UTC(2025, date.getUTCMonth(), date.getUTCDate())
    return `J${(inCommonYear - Date.UTC(2025, 0, 0)) / 86_400_000}/0`
  })
  return { TimeZone: `AAA0BBB,${forward},${back}` }
}

/**
 * Calls with the settings, and gives the rows as values: they are kept in a table, and read without the settings.
 * What the call changed stays, the settings do not.
 */
export async function rowsUnder(
  tx: Sql,
  settings: Settings,
  actor: Actor,
  rpc: string,
  args: Record<string, unknown> = {},
): Promise<Record<string, unknown>[]> {
  const { query, values } = callOf(tx, rpc, args)
  const before = await currently(tx, settings)
  await apply(tx, settings)
  await actor.run(`create temp table answer as ${query}`, values)
  await apply(tx, before)
  const rows = await tx.unsafe('select * from answer')
  await tx`drop table answer`
  return rows
}

async function currently(tx: Sql, settings: Settings): Promise<Settings> {
  const rows = await tx`
    select name, current_setting(name) as value from unnest(${Object.keys(settings)}::text[]) as name`
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
}
