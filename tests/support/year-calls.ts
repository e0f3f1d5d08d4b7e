/** One thing that happens in a made-up year, until the database has said that it is done. */
import { setTimeout } from 'node:timers/promises'
import type postgres from 'postgres'
import type { Happening } from '../fixtures/year-happenings.ts'
import { operator, patiently, person, refusal } from './actors.ts'
import { reduced } from './ingest.ts'
import { canSettle, settleOnce } from './settle-all.ts'
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
export async function take(db: Database, of: Happening, counts: Counts): Promise<void> {
  try {
    await insist(() => once(db.sql, of))
    counts[of.kind === 'event' ? (of.again ? 'again' : 'events') : 'people']++
  } catch (error) {
    if (of.kind === 'event' || !refusals.has(await refusal(Promise.reject(error)))) throw error
    counts.refused++
  }
}

async function once(sql: postgres.Sql, of: Happening): Promise<void> {
  if (of.kind === 'event') {
    const event = await reduced(of.make())
    const [row] = await sql.unsafe(
      'select year.deliver($1, $2) as status',
      [iso(of.due), sql.json(event as never)],
      { prepare: true },
    )
    await settleLater(sql, of, String(row?.status))
    return
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
}

/** Nothing is parked or ignored. What was only stored is settled by a second call, as the webhook does. */
async function settleLater(
  sql: postgres.Sql,
  of: Extract<Happening, { kind: 'event' }>,
  status: string,
): Promise<void> {
  if (!['applied', 'duplicate', 'stored'].includes(status))
    throw new Error(`${of.make().type} was ${status}`)
  if (status === 'stored' && (await canSettle(sql)))
    await settleOnce((work) => at(sql, of.due, work), of.stripeAccount)
}

async function withdraws(
  tx: postgres.TransactionSql,
  { org, place }: Extract<Happening, { kind: 'withdraw' }>,
): Promise<void> {
  const [decision] = await tx`
    select id from referral.decisions where org_id = ${org} and withdrawn_at is null
    order by decided_at desc, id offset ${place} limit 1`
  if (decision) await operator(tx).rpc('withdraw_decision', { decision_id: decision.id })
}
