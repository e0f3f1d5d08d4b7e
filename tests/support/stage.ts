/** Everything that a call could be about, in two organisations that share a Stripe account and people. */
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { type Actor, anonymous, operator, person } from './actors.ts'
import type { Sql } from './database.ts'
import { ingest, reduced } from './ingest.ts'
import { codeOf, type Scene, scene } from './scene.ts'

export const callers = [
  'anon',
  'guest',
  'stranger',
  'referee',
  'referrer',
  'coordinator',
  'elsewhere',
  'admin',
  'operator',
] as const
export type Caller = (typeof callers)[number]

export type Stage = Awaited<ReturnType<typeof stage>>

export const terms = {
  enrolment: 'open',
  commission: { kind: 'percent', bps: 1000 },
  recurrence: 'forever',
  hold_days: 7,
  referee_reward: { kind: 'flat', amount: { usd: 300 } },
}

/**
 * The mentor refers the friend in both organisations, and the friend buys in both, live and in test mode. `here` also
 * has a sale of the coordinator's, a recorded payment, a forfeit of a day long ago, and a link host. One event is parked, and one is still to come.
 */
export async function stage(sql: Sql) {
  const here = await scene(sql, terms)
  const there = { ...(await scene(sql, terms)), mentor: here.mentor, friend: here.friend }
  await there.admin.rpc('add_member', { org_id: there.org, user_id: here.mentor.id })
  const changes = { link_origin: 'https://go.example.org' }
  await operator(sql).rpc('update_organisation', { org_id: here.org, changes })
  const usedHere = await used(sql, here)
  const usedThere = await used(sql, there)
  const sale = {
    here: await sold(sql, { ...here, paid: 1000, livemode: true }),
    hereInTest: await sold(sql, { ...here, paid: 500_000, livemode: false }),
    there: await sold(sql, { ...there, paid: 3000, livemode: true }),
    thereInTest: await sold(sql, { ...there, paid: 700_000, livemode: false }),
  }
  const colleague = { ...here, mentor: here.coordinator, friend: person(sql) }
  const { redemption: buyersRedemption } = await used(sql, colleague)
  await sold(sql, { ...colleague, paid: 4000, livemode: true })
  await operator(sql).rpc('record_payment', paymentOf(here, 'P1'))
  const day = { since: '2001-01-01T00:00:00Z', until: '2001-01-02T00:00:00Z' }
  const of = { org_id: here.org, member_id: here.mentor.id }
  const [forfeit] = await operator(sql).rpc('forfeit_from', { ...of, ...day })
  const later = paidInvoice({ userId: here.friend.id, orgId: here.org })
  await ingest(sql, { ...later, api_version: '2031-01-01.future' })
  return {
    ...here,
    ...usedHere,
    there: { ...there, ...usedThere },
    buyer: colleague.friend,
    buyersRedemption,
    forfeit: String(forfeit?.id),
    sale,
    saleNumber: await numberOf(sql, here.org, sale.here),
    parked: await reduced(later),
    event: await reduced(paidInvoice({ userId: here.friend.id, orgId: here.org })),
    guest: crypto.randomUUID(),
    stranger: crypto.randomUUID(),
  }
}

/** Everybody who could call, for `here`. */
export function actors(sql: Sql, staged: Stage): Record<Caller, Actor> {
  return {
    anon: anonymous(sql),
    guest: person(sql, staged.guest, { is_anonymous: true }),
    stranger: person(sql, staged.stranger),
    referee: person(sql, staged.friend.id),
    referrer: person(sql, staged.mentor.id),
    coordinator: person(sql, staged.coordinator.id),
    elsewhere: person(sql, staged.there.coordinator.id),
    admin: person(sql, staged.admin.id),
    operator: operator(sql),
  }
}

/** A paid invoice of the friend's that names the organisation, in some seconds; its id. */
export async function sold(
  sql: Sql,
  {
    org,
    friend,
    paid,
    livemode,
  }: Pick<Scene, 'org' | 'friend'> & { paid: number; livemode: boolean },
): Promise<string> {
  const at = Math.floor(Date.now() / 1000) + 10
  const event = paidInvoice({ userId: friend.id, orgId: org, paid, livemode, at })
  await ingest(sql, event)
  return String(event.data.object.id)
}

/** The number that people know a sale by. */
export async function numberOf(sql: Sql, org: string, sale: string): Promise<number> {
  const [row] = await operator(sql).rpc('explain_commission', { org_id: org, sale_id: sale })
  return Number(row?.sale_number)
}

/** A payment of 2,000 that the app's server records. */
export const paymentOf = ({ org, friend }: Pick<Scene, 'org' | 'friend'>, ref: string) => ({
  org_id: org,
  provider: 'play',
  payment_ref: ref,
  referee_id: friend.id,
  amount: 2000,
  currency: 'usd',
  paid_at: new Date(Date.now() + 20_000).toISOString(),
})

/** A code of the mentor's whose link the friend followed, and redeemed. */
async function used(sql: Sql, { org, mentor, friend }: Scene) {
  const { id, code } = await codeOf(mentor, org)
  const click = { code, click_id: crypto.randomUUID() }
  await operator(sql).rpc('record_click', click)
  const [redeemed] = await friend.rpc('redeem_code', { ...click, provenance: 'link' })
  return { codeId: id, code, redemption: String(redeemed?.redemption_id) }
}
