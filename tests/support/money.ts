/** A story's people, and what the ledger says of them. */
import { type Cast, type Story, stories } from '../fixtures/stories.ts'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { type Actor, operator } from './actors.ts'
import { dateCodes } from './code-states.ts'
import type { Sql } from './database.ts'
import { rewriteTerms } from './histories.ts'
import { reduced, settleAccount } from './ingest.ts'
import { codeOf, scene } from './scene.ts'

export { stories }

const day = 86_400

export type Staged = Awaited<ReturnType<typeof stageStory>>

/** An organisation with the story's terms, a friend who has redeemed a mentor's code, and another referrer. */
export async function stageStory(sql: Sql, story: Story) {
  const people = await scene(sql, { enrolment: 'open', ...story.terms })
  const { org, mentor, coordinator, friend } = people
  const { code } = await codeOf(mentor, org)
  const other = await codeOf(coordinator, org)
  const [redeemed] = await friend.rpc('redeem_code', { code })
  const redemption = String(redeemed?.redemption_id)
  // The story took place half a year ago, so that nothing is on hold any more but by its own doing.
  const at = Math.floor(Date.now() / 1000) - 500 * day
  const before = new Date((at - 2 * day) * 1000).toISOString()
  const long = new Date((at - 90 * day) * 1000).toISOString()
  await sql.unsafe(`
    update referral.redemptions set redeemed_at = '${before}' where id = '${redemption}'`)
  await rewriteTerms(sql, `set valid_from = '${long}' where org_id = '${org}'`)
  await dateCodes(sql, org, long)
  const cast: Cast = {
    at,
    user: friend.id,
    referrer: mentor.id,
    redemption,
    code,
    otherCode: other.code,
    id: unique(),
  }
  const events = await Promise.all(story.events(cast).map((event: RawEvent) => reduced(event)))
  return { ...people, other: coordinator, redemption, events, story }
}

const unique = () => crypto.randomUUID().replaceAll('-', '').slice(0, 12)

/** Releases everything that is due. */
export async function release(sql: Sql): Promise<void> {
  for (let due = 1; due > 0; ) {
    const [row] = await operator(sql).rpc('release_due_commissions')
    due = Number(row?.release_due_commissions)
  }
}

/** Settles what waits, releases what is due, and gives what stands in the ledger. */
export async function ending(sql: Sql, { org, mentor, other, redemption }: Staged) {
  await settleAccount(sql)
  await release(sql)
  await settleAccount(sql)
  const [row] = await sql`select status from referral.redemptions where id = ${redemption}`
  return {
    ends: await balances(mentor, org),
    other: await balances(other, org),
    status: String(row?.status),
  }
}

async function balances(owner: Actor, org: string): Promise<Record<string, number>> {
  const rows = await owner.rpc('my_earnings', { org_id: org })
  const standing = rows.flatMap(({ currency, pending, available }) => [
    [`${currency} pending`, Number(pending)] as const,
    [`${currency} available`, Number(available)] as const,
  ])
  return Object.fromEntries(standing.filter(([, amount]) => amount !== 0))
}
