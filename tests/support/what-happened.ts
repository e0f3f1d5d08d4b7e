/** What the oracle is told of a database: its inbox, records, people, codes, decisions. Nothing that is derived. */
import type { World } from '../oracle/world.ts'
import type { Sql } from './database.ts'

export async function whatHappened(sql: Sql): Promise<World> {
  const [clock, payments, people, codes] = await Promise.all([
    sql<{ now: number }[]>`select ${micros(sql, 'clock_timestamp()')} as now`,
    whatWasPaid(sql),
    whoTheyAre(sql),
    whatWasShared(sql),
  ])
  return { now: clock[0]?.now ?? Number.NaN, ...payments, ...people, ...codes }
}

async function whatWasPaid(sql: Sql): Promise<Pick<World, 'events' | 'records'>> {
  const [events, records] = await Promise.all([
    sql<{ event: World['events'][0] }[]>`
      select coalesce(r.event, e.event) as event
      from referral_private.stripe_events as e
      left join referral_private.resolved_events as r using (stripe_account, livemode, event_id)
      where r.event is not null or not exists (
        select from referral_private.parked_events as p
        where (p.stripe_account, p.livemode, p.event_id) = (e.stripe_account, e.livemode, e.event_id)
      )`,
    sql<World['records']>`
      select org_id as org, kind, provider, ref, livemode, content from referral_private.recorded_facts`,
  ])
  return { events: events.map(({ event }) => event), records }
}

type People = 'organisations' | 'terms' | 'switches' | 'members' | 'knownUsers'

export async function whoTheyAre(sql: Sql): Promise<Pick<World, People>> {
  const [organisations, terms, switches, members, knownUsers] = await Promise.all([
    sql<World['organisations']>`
      select id, coalesce(stripe_account_id, '') as "stripeAccount", ${micros(sql, 'stripe_account_since')} as "accountSince"
      from referral.organisations`,
    sql<World['terms']>`
      select program_id as program, version, terms, ${micros(sql, 'valid_from')} as from
      from referral.program_terms`,
    sql<World['switches']>`
      select org_id as org, program_id as program, active, ${micros(sql, 'since')} as since
      from referral_private.switches order by id`,
    sql<{ id: string }[]>`select distinct user_id as id from referral.members`,
    sql<World['knownUsers']>`
      select user_id as id, ${micros(sql, 'signed_up_at')} as "signedUpAt"
      from referral_private.known_users`,
  ])
  return { organisations, terms, switches, members: members.map(({ id }) => id), knownUsers }
}

type Shared = 'codes' | 'codeStates' | 'redemptions' | 'decisions'

export async function whatWasShared(sql: Sql): Promise<Pick<World, Shared>> {
  const [codes, codeStates, redemptions, decisions] = await Promise.all([
    sql<World['codes']>`
      select id, org_id as org, program_id as program, code, coalesce(chain_id, id) as chain, referrer_id as referrer,
        beneficiary_id as beneficiary, created_by as creator, ${micros(sql, 'created_at')} as "createdAt"
      from referral.codes`,
    sql<World['codeStates']>`
      select code_id as code, status, ${micros(sql, 'expires_at')} as "expiresAt",
        ${micros(sql, 'redeemable_until')} as "redeemableUntil", ${micros(sql, 'since')} as since
      from referral_private.code_states order by code_id, state_id`,
    sql<World['redemptions']>`
      select id, org_id as org, program_id as program, terms_version as version, code_id as code,
        referrer_id as referrer, referee_id as referee, ${micros(sql, 'redeemed_at')} as "redeemedAt", status
      from referral.redemptions`,
    sql<World['decisions']>`
      select d.id, d.org_id as org, d.kind, d.program_id as program, d.person_id as person,
        d.redemption_id as redemption, d.member_id as member, d.chain_id as chain,
        ${micros(sql, 'd.since')} as since, ${micros(sql, 'd.until')} as until,
        coalesce((
          select jsonb_agg(jsonb_build_object(
            'stripeAccount', p.stripe_account, 'livemode', p.livemode, 'payer', p.payer_id
          ))
          from referral_private.decision_payers as p where p.org_id = d.org_id and p.decision_id = d.id
        ), '[]') as payers
      from referral.decisions as d where d.withdrawn_at is null`,
  ])
  return { codes, codeStates, redemptions, decisions }
}

/** Microseconds since 1970, which a double holds exactly. */
const micros = (sql: Sql, time: string) =>
  sql.unsafe(`(extract(epoch from ${time}) * 1000000)::float8`)
