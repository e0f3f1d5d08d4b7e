/** One thing that happens in a made-up year, until the database has said that it is done. */
import { setTimeout } from 'node:timers/promises'
import type postgres from 'postgres'
import type { Happening } from '../fixtures/year-happenings.ts'
import { operator, patiently, person, refusal } from './actors.ts'
import { reduced } from './ingest.ts'
import { settleOnce } from './settle-all.ts'
import type { Counts, Database } from './year.ts'
import { at, iso } from './year-clock.ts'

/** What people may be told in a year, in which codes end and rules change. */
const refusals = new Set([
  ...['already_redeemed', 'self_referral', 'mutual_referral', 'new_users_only', 'program_inactive'],
  ...['code_suspended', 'code_inactive', 'code_expired', 'code_not_found', 'code_ended'],
  ...['code_taken', 'no_active_code', 'member_blocked', 'redemption_not_found'],
  ...['redemption_rejected'],
])

/** What postgres.js and Postgres say where a connection, or the server, is gone. */
const lost = new Set([
  ...['CONNECTION_CLOSED', 'CONNECTION_ENDED', 'CONNECTION_DESTROYED', 'CONNECT_TIMEOUT'],
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', '57P01', '57P02', '57P03'],
])

const isLost = (error: unknown) => lost.has(String((error as { code?: unknown })?.code))

/** Does something that can be done again, until no connection is lost before there is an answer. */
export async function insist<Result>(work: () => Promise<Result>): Promise<Result> {
  for (;;)
    try {
      return await patiently(work)
    } catch (error) {
      if (!isLost(error)) throw error
      await setTimeout(20)
    }
}

/** Delivers, redeems or decides, until that is acknowledged or refused. */
export async function take(
  db: Database,
  of: Happening,
  counts: Counts,
  settler: Settler,
): Promise<void> {
  try {
    const unsettled = await insist(() => once(db.sql, of))
    if (unsettled) settler.settle(unsettled, of.due)
    counts[of.kind === 'event' ? (of.again ? 'again' : 'events') : 'people']++
  } catch (error) {
    if (of.kind === 'event' || !refusals.has(await refusal(Promise.reject(error)))) throw error
    counts.refused++
  }
}

/** Returns the Stripe account of which something is left to settle. */
async function once(sql: postgres.Sql, of: Happening): Promise<string | null> {
  if (of.kind === 'event') {
    const event = await reduced(of.make())
    const [row] = await sql.unsafe(
      'select status, unsettled from year.deliver($1, $2)',
      [iso(of.due), sql.json(event as never)],
      { prepare: true },
    )
    // Nothing is parked or ignored.
    if (!['applied', 'duplicate', 'stored'].includes(String(row?.status)))
      throw new Error(`${of.make().type} was ${row?.status}`)
    return row?.unsettled ? of.stripeAccount : null
  }
  await at(sql, of.due, async (tx) => {
    if (of.kind === 'redeem') {
      await tx`select set_config('year.id', ${of.id}, true)`
      await person(tx, of.user).rpc('redeem_code', { code: of.code })
    } else if (of.kind === 'sign-up')
      await tx`
        insert into auth.users (id, created_at) values (${of.user}, ${iso(of.due)})
        on conflict do nothing`
    else if (of.kind === 'withdraw') await withdraws(tx, of)
    else await operator(tx).rpc(of.rpc, of.args)
  })
  return null
}

/** Settles what waits, after the answer to Stripe, by one call at a time for each account, as the webhook does. */
export function createSettler(db: Database) {
  const running = new Map<string, { askedAgain: boolean; done: Promise<void> }>()
  const run = async (stripeAccount: string, seconds: number): Promise<void> => {
    for (let more = true; more; ) {
      const state = running.get(stripeAccount)
      if (state) state.askedAgain = false
      more = await insist(() => settleOnce((work) => at(db.sql, seconds, work), stripeAccount))
      more ||= state?.askedAgain === true
    }
    running.delete(stripeAccount)
  }
  return {
    settle: (stripeAccount: string, seconds: number): void => {
      const state = running.get(stripeAccount)
      if (state) state.askedAgain = true
      else {
        const started = { askedAgain: false, done: Promise.resolve() }
        running.set(stripeAccount, started)
        started.done = run(stripeAccount, seconds)
      }
    },
    /** Waits for what is under way. */
    finish: async (): Promise<void> => {
      await Promise.all([...running.values()].map(({ done }) => done))
    },
  }
}

export type Settler = ReturnType<typeof createSettler>

async function withdraws(
  tx: postgres.TransactionSql,
  { org, place }: Extract<Happening, { kind: 'withdraw' }>,
): Promise<void> {
  const [decision] = await tx`
    select id from referral.decisions where org_id = ${org} and withdrawn_at is null
    order by decided_at desc, id offset ${place} limit 1`
  if (decision) await operator(tx).rpc('withdraw_decision', { decision_id: decision.id })
}
