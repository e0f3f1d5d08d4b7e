import { execute } from '../scripts/stack/database.ts'
import type { Postgres } from '../scripts/stack/postgres.ts'
import { code } from './fill.ts'
import { type Comparison, compare } from './measure.ts'
import { as, filled, onServer } from './scene.ts'

const codes = 10_000
const redeem = {
  statement: as('gen_random_uuid()', `referral.redeem_code(${code(':n')})`),
  connections: 8,
}

/**
 * redeem_code on one code, without and with a limit, and after 100,000 redemptions, without statistics beside with them.
 * With more connections than cores a redemption, which is much more work than an update, competes for the cores, not only
 * for the row.
 */
export const redemption = () =>
  onServer<Comparison>(async function* (server) {
    const [unlimited, limited] = [
      await filled(server, 'unlimited', codes),
      await filled(server, 'limited', codes, codes),
    ]
    yield compare(
      'redeem_code, 8 connections, one unlimited code beside 10,000',
      0.7,
      { ...redeem, url: unlimited, upTo: 1 },
      { ...redeem, url: unlimited, upTo: codes },
    )
    const bareUpdate = `
      update referral.code_quotas set used = used + 1
      where org_id = bench.org_id() and quota_id = bench.first_quota_id() and used < max_uses`
    for (const [connections, atLeast] of [
      [2, 0.5],
      [8, 0.4],
    ] as const)
      yield compare(
        `redeem_code, ${connections} connections, one limited code beside a bare conditional update of one row`,
        atLeast,
        { ...redeem, url: limited, upTo: 1, connections },
        { url: limited, statement: bareUpdate, upTo: 1, connections },
      )
    const [absent, analysed] = [
      await redeemed(server, 'absent', withoutStatistics),
      await redeemed(server, 'analysed', 'analyze'),
    ]
    for (const [which, upTo] of [
      ['one code', 1],
      ['10,000 codes', codes],
    ] as const)
      yield compare(
        `redeem_code, 8 connections, ${which}, 100,000 redemptions, without statistics beside with them`,
        0.8,
        { ...redeem, url: absent, upTo },
        { ...redeem, url: analysed, upTo },
      )
  })

/** As after a restore: nothing is known of any table. */
const withoutStatistics = `
  delete from pg_statistic;
  update pg_class set reltuples = -1, relpages = 0, relallvisible = 0
  where relnamespace in ('referral'::regnamespace, 'referral_private'::regnamespace) and relkind in ('r', 'i')`

/** A database with 100,000 redemptions whose statistics stay as `statistics` leaves them. Gives its address. */
async function redeemed(server: Postgres, database: string, statistics: string): Promise<string> {
  const url = await filled(server, database, codes)
  const admin = server.url(database, 'supabase_admin')
  await execute(admin, 'alter system set autovacuum = off')
  await execute(
    admin,
    `
    select pg_reload_conf();
    set session_replication_role = replica;
    insert into referral.redemptions (org_id, program_id, terms_version, code_id, referrer_id, referee_id)
    select c.org_id, c.program_id, 1, c.id, c.referrer_id, gen_random_uuid()
    from referral.codes as c, generate_series(1, 10);
    reset session_replication_role`,
  )
  await execute(admin, statistics)
  return url
}
