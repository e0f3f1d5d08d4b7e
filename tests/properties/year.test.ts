/**
 * A made-up year against the oracle: whatever happened, everybody has what they must have, at the end of each month.
 * `YEAR_EVENTS` says how many events, `YEAR_SEED` which year. With `YEAR_KILLS`, Postgres is killed so many times;
 * without, connections are ended in the middle.
 */
import postgres from 'postgres'
import { expect, inject, test } from 'vitest'
import { killable } from '../../scripts/soak/killable.ts'
import { testDatabase } from '../support/database.ts'
import { often, proved } from '../support/soak.ts'
import { type Database, liveYear, type Settings } from '../support/year.ts'

const events = often('YEAR_EVENTS', 2500)
const kills = often('YEAR_KILLS', 0)
const seed = Number(process.env.YEAR_SEED ?? process.env.STORY_SEED ?? Date.now() % 2 ** 31)
const sql = kills ? null : await testDatabase()

const open = (url: string) =>
  postgres(url, { max: 40, onnotice: () => {}, types: { bigint: postgres.BigInt } })

type How = {
  db: Database
  crashing: Pick<Settings, 'crash' | 'crashes'>
  stop: () => unknown
}

/** A database of the run's server, of which the connection of a delivery is ended now and then. */
async function ofTheRun(sql: postgres.Sql): Promise<How> {
  const [row] = await sql`select current_database() as name`
  const crash = async () => {
    const ended = await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and query like '%year.deliver%' and state = 'active'
        and pid <> pg_backend_pid()
      limit 1`
    return ended.length
  }
  const pool = open(inject('servers').postgres.replace('DATABASE', String(row?.name)))
  return { db: { sql: pool }, crashing: { crash, crashes: 6 }, stop: () => {} }
}

/** A server of its own, which is killed now and then. */
async function ofItsOwn(): Promise<How> {
  const server = await killable()
  const db = { sql: open(server.url) }
  const crash = async () => {
    server.kill()
    await db.sql.end({ timeout: 0 })
    await server.recover()
    db.sql = open(server.url)
    return 1
  }
  return { db, crashing: { crash, crashes: kills }, stop: server.stop }
}

test(`a made-up year ends as the oracle says (seed ${seed})`, { timeout: 86_400_000 }, async () => {
  const { db, crashing, stop } = await (sql ? ofTheRun(sql) : ofItsOwn())
  try {
    const say = (what: string) => process.stderr.write(`${what}\n`)
    const counts = await liveYear(db, {
      ...{ seed, events, connections: kills ? 24 : 4, ...crashing, ...(kills && { say }) },
    })
    expect(counts.events).toBeGreaterThan(0.9 * events)
    const [row] = await db.sql`select count(*)::int as sales from referral_private.sales`
    proved('events of a made-up year, compared with the oracle each month', counts.events)
    proved('of these, delivered again', counts.again)
    proved('redemptions, records, sign-ups and acts of staff in that year', counts.people)
    proved('sales of that year', Number(row?.sales))
    proved('crashes in that year', counts.crashes)
  } finally {
    await db.sql.end({ timeout: 1 })
    await stop()
  }
})
