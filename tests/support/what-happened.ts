/** What the oracle is told of a database: its inbox, records, organisations, codes, redemptions. Nothing that is derived. */
import type { World } from '../oracle/world.ts'
import type { Sql } from './database.ts'

export async function whatHappened(sql: Sql): Promise<World> {
  const [clock, events, records, organisations, terms, switches, codes, redemptions, users] =
    await Promise.all([
      sql<{ now: number }[]>`select ${micros(sql, 'clock_timestamp()')} as now`,
      sql<{ event: World['events'][0] }[]>`
        select coalesce(r.event, e.event) as event
        from referral_private.stripe_events as e
        left join referral_private.resolved_events as r using (stripe_account, livemode, event_id)
        where e.status <> 'parked' or r.event is not null`,
      sql<World['records']>`
        select org_id as org, kind, provider, ref, content from referral_private.recorded_facts`,
      sql<World['organisations']>`
        select id, coalesce(stripe_account_id, '') as "stripeAccount" from referral.organisations`,
      sql<World['terms']>`
        select program_id as program, version, terms, ${micros(sql, 'valid_from')} as from
        from referral.program_terms`,
      sql<World['switches']>`
        select org_id as org, program_id as program, active, ${micros(sql, 'since')} as since
        from referral_private.switches order by id`,
      sql<World['codes']>`
        select id, org_id as org, program_id as program, code, referrer_id as referrer,
          beneficiary_id as beneficiary, created_by as creator, ${micros(sql, 'created_at')} as "createdAt"
        from referral.codes`,
      sql<World['redemptions']>`
        select id, org_id as org, program_id as program, terms_version as version, code_id as code,
          referrer_id as referrer, referee_id as referee, ${micros(sql, 'redeemed_at')} as "redeemedAt",
          decision, status
        from referral.redemptions`,
      sql<World['users']>`
        select id, ${micros(sql, 'created_at')} as "createdAt" from auth.users where created_at is not null`,
    ])
  return {
    now: clock[0]?.now ?? Number.NaN,
    events: events.map(({ event }) => event),
    records,
    organisations,
    terms,
    switches,
    codes,
    redemptions,
    users,
  }
}

/** Microseconds since 1970, which a double holds exactly. */
const micros = (sql: Sql, time: string) =>
  sql.unsafe(`(extract(epoch from ${time}) * 1000000)::float8`)
