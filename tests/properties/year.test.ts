/**
 * A made-up year against the oracle: whatever happened, everybody has what they must have, at the end of each month.
 * `YEAR_EVENTS` says how many events, `YEAR_SEED` which year.
 */
import postgres from 'postgres'
import { expect, inject, test } from 'vitest'
import { testDatabase } from '../support/database.ts'
import { often, proved } from '../support/soak.ts'
import { liveYear } from '../support/year.ts'

const sql = await testDatabase()
const events = often('YEAR_EVENTS', 4000)
const seed = Number(process.env.YEAR_SEED ?? process.env.STORY_SEED ?? Date.now() % 2 ** 31)

test(`a made-up year ends as the oracle says (seed ${seed})`, { timeout: 86_400_000 }, async () => {
  const [row] = await sql`select current_database() as name`
  const pool = postgres(inject('servers').postgres.replace('DATABASE', String(row?.name)), {
    ...{ max: 12, onnotice: () => {}, types: { bigint: postgres.BigInt } },
  })
  const counts = await liveYear(pool, {
    ...{ seed, events, connections: 6, crashes: 12 },
    crash: async () => {
      await sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and query like '%year.deliver%' and pid <> pg_backend_pid()`
    },
    say: (what) => process.stderr.write(`${what}\n`),
  })
  await pool.end({ timeout: 1 })
  expect(counts.events).toBeGreaterThan(events / 2)
  proved('events of a made-up year', counts.events)
})
