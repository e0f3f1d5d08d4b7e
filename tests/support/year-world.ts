/**
 * What the oracle is told of a made-up year, one Stripe account at a time. What was delivered and recorded is made again
 * from the seed, and is not read from the database; what the server dates (terms, switches, codes, redemptions, decisions,
 * who is known) is read from it.
 */
import type postgres from 'postgres'
import type { Happening } from '../fixtures/year-happenings.ts'
import { second, type World } from '../oracle/world.ts'
import { reduced } from './ingest.ts'
import { whatWasShared, whoTheyAre } from './what-happened.ts'

/** In a large year events are made each time, in a small one they are kept. */
type Asked = { stripeAccount: string; until: number; told: Happening[]; isLarge: boolean }

/** What the year says of an account until a time, and what the database says of its people. */
export async function worldOf(
  sql: postgres.Sql,
  { stripeAccount, until, told, isLarge }: Asked,
): Promise<World> {
  const [people, shared, known] = await Promise.all([
    whoTheyAre(sql),
    whatWasShared(sql),
    sql<World['knownUsers']>`
      select user_id as id, (extract(epoch from signed_up_at) * 1000000)::float8 as "signedUpAt"
      from referral_private.known_users where stripe_account = ${stripeAccount}`,
  ])
  const organisations = people.organisations.filter((org) => org.stripeAccount === stripeAccount)
  const ours = new Set(organisations.map(({ id }) => id))
  const delivered = told
    .filter((of) => of.kind === 'event')
    .filter((of) => isFirst(of, stripeAccount))
  const within = <Of extends { org: string }>(rows: Of[]) => rows.filter(({ org }) => ours.has(org))
  return {
    now: until * second,
    events: await eventsOf(delivered, isLarge),
    records: within(told.flatMap((of) => (of.kind === 'record' ? of.fact : []))),
    organisations,
    terms: people.terms,
    switches: within(people.switches),
    codes: within(shared.codes),
    codeStates: shared.codeStates,
    redemptions: within(shared.redemptions),
    decisions: within(shared.decisions),
    // Who has redeemed anywhere is somebody everywhere.
    members: [...people.members, ...shared.redemptions.map(({ referee }) => referee)],
    knownUsers: known,
  }
}

type Delivered = Extract<Happening, { kind: 'event' }>

/** Whether it is delivered on this account, and for the first time. */
export const isFirst = (of: Delivered, stripeAccount: string) =>
  of.stripeAccount === stripeAccount && !of.again

const kept = new WeakMap<Delivered, World['events'][0]>()

const eventsOf = (delivered: Delivered[], isLarge: boolean): Promise<World['events']> =>
  Promise.all(
    delivered.map(async (of) => {
      const event = kept.get(of) ?? ((await reduced(of.make())) as World['events'][0])
      if (!isLarge) kept.set(of, event)
      return event
    }),
  )
