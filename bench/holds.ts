import postgres from 'postgres'
import { execute } from '../scripts/stack/database.ts'
import type { Postgres } from '../scripts/stack/postgres.ts'
import { paidInvoice } from '../tests/fixtures/stripe/invoice-paid.ts'
import { reduced } from '../tests/support/ingest.ts'
import { facts } from './facts.ts'
import { type Call, nthCode, type Situation, situations } from './hold-situations.ts'
import { median } from './measure.ts'
import { filled, onServer } from './scene.ts'

/** The longest hold of the account lock by a call and what it left to settle, in milliseconds. */
export type Hold = {
  what: string
  longest: number
  /** How many transactions that was, and how long all of them took. */
  transactions: number
  total: number
  /** The median hold of a renewal in the same run. */
  renewal: number
  atMost: number
}

const timeout = 60_000
const renewals = 300

/**
 * How long the Stripe account lock is held where much depends on one call, beside a renewal. One connection, so that a
 * call has the lock from begin to end. HOLDS_SCALE=0.1 measures a tenth of the sizes, HOLDS_ONLY one situation.
 */
export const holds = () =>
  onServer<Hold>(async function* (server) {
    const scale = Number(process.env.HOLDS_SCALE ?? 1)
    await base(server)
    const renewal = await onCopy(server, 'renewals', [], async (sql, at) =>
      median(await renew(sql, at)),
    )
    for (const situation of situations(scale)) {
      if (![undefined, situation.name].includes(process.env.HOLDS_ONLY)) continue
      for (const hold of await measured(server, situation)) yield { ...hold, renewal, atMost: 150 }
    }
    if (![undefined, 'million'].includes(process.env.HOLDS_ONLY)) return
    const million = Math.round(1_000_000 * scale)
    const times = await onCopy(server, 'million', [facts({ name: 'm', sales: million })], renew)
    yield {
      what: `a renewal with ${million} sales in all, the longest of ${times.length}`,
      longest: Math.max(...times),
      transactions: times.length,
      total: times.reduce((sum, time) => sum + time, 0),
      renewal,
      atMost: 150,
    }
  })

/** The database that others are copied from: an organisation whose program earns by every sale. */
async function base(server: Postgres): Promise<void> {
  const url = await filled(server, 'holds', 10)
  await execute(
    url,
    `
    create table bench.times as select date_trunc('second', clock_timestamp()) + interval '1 minute' as at;
    create function bench.at() returns timestamptz language sql stable as $$ select at from bench.times $$;
    select referral.update_program(bench.program_id(), '{"terms": {"recurrence": "forever"}}')`,
  )
}

/** Works on a copy of the database in which this was done, on one connection. Gives the time of the first facts, too. */
async function onCopy<Result>(
  server: Postgres,
  database: string,
  prepare: string[],
  work: (sql: postgres.Sql, at: number) => Promise<Result>,
): Promise<Result> {
  await execute(
    server.url('postgres', 'supabase_admin'),
    `create database ${database} template holds`,
  )
  const sql = postgres(server.url(database, 'supabase_admin'), { max: 1, onnotice: () => {} })
  try {
    await sql`set role postgres`
    for (const statement of prepare) await sql.unsafe(statement).simple()
    await sql.unsafe('vacuum analyze')
    await sql.unsafe(`set statement_timeout = ${timeout}`)
    const [row] = await sql<{ at: number }[]>`select extract(epoch from bench.at())::int as at`
    return await work(sql, row?.at ?? 0)
  } finally {
    await sql.end()
    await execute(server.url('postgres', 'supabase_admin'), `drop database ${database}`)
  }
}

/** The milliseconds of renewals, each of another customer, after a first invoice of each. */
async function renew(sql: postgres.Sql, at: number): Promise<number[]> {
  const times: number[] = []
  for (const month of [1, 2])
    for (let n = 0; n < renewals; n++) {
      const about = { customer: `cus_renewal${n}`, subscription: `sub_renewal${n}` }
      const event = paidInvoice({ ...about, at: at + month, code: nthCode(1) })
      const call = await callable(sql, { what: 'a renewal', event })
      times.push((await timed(call)).milliseconds)
    }
  return times.slice(renewals)
}

/** The holds of a situation's calls. One that is cancelled is called again without a limit, for the calls after it. */
const measured = (server: Postgres, { name, prepare, calls }: Situation) =>
  onCopy(server, name, prepare, async (sql, at) => {
    const found: Omit<Hold, 'renewal' | 'atMost'>[] = []
    const list = calls(at)
    for (const [i, call] of list.entries()) {
      const made = await callable(sql, call)
      const times = [await timed(made)]
      if (times[0]?.isCancelled && i + 1 < list.length) {
        await sql`set statement_timeout = 0`
        await made()
        await sql.unsafe(`set statement_timeout = ${timeout}`)
      }
      times.push(...(await drained(sql)))
      const milliseconds = times.map((time) => time.milliseconds)
      found.push({
        what: call.what,
        longest: Math.max(...milliseconds),
        transactions: times.length,
        total: milliseconds.reduce((sum, time) => sum + time, 0),
      })
    }
    if (found.every(({ longest }) => Number.isFinite(longest))) await verify(sql)
    return found
  })

/** Makes the call, of which everything outside the database is done. */
const callable = async (sql: postgres.Sql, call: Call): Promise<() => PromiseLike<unknown>> => {
  if ('statement' in call) return () => sql.unsafe(call.statement)
  const event = (await reduced(call.event as never)) as never
  return () => sql`select referral.ingest_stripe_event(${sql.json(event)})`
}

/** Settles what was left to settle, piece by piece. */
async function drained(sql: postgres.Sql) {
  const times: Awaited<ReturnType<typeof timed>>[] = []
  const accounts = await sql<{ account: string }[]>`
    select coalesce(stripe_account_id, '') as account from referral.organisations union select ''`
  for (const { account } of accounts)
    for (let more = true; more; ) {
      times.push(
        await timed(async () => {
          const [state] = await sql`select more from referral.settle_stripe_events(${account})`
          more = state?.more === true
        }),
      )
      if (times.at(-1)?.isCancelled) break
    }
  return times
}

/** How long this took, at most the timeout. */
async function timed(work: () => PromiseLike<unknown>) {
  const began = performance.now()
  try {
    await work()
    return { milliseconds: performance.now() - began, isCancelled: false }
  } catch (error) {
    if ((error as { code?: string }).code !== '57014') throw error
    return { milliseconds: Number.POSITIVE_INFINITY, isCancelled: true }
  }
}

/** Throws unless a slice of the accounts and a sample of the sales are what the facts say. */
async function verify(sql: postgres.Sql): Promise<void> {
  await sql`set statement_timeout = 0`
  const [accounts] = await sql`select cardinality(faults) as faults from referral.verify_ledger()`
  const [sales] = await sql`
    select cardinality(faults) as faults
    from referral.verify_ledger('{"sale_id": "", "stripe_account": "", "livemode": false}', 10)`
  if (accounts?.faults !== 0 || sales?.faults !== 0) throw new Error('verify_ledger found faults')
}
