/**
 * A hot standby answers every call that only reads as the primary does, once it has replayed what the primary has, and
 * refuses every other.
 */
import postgres from 'postgres'
import { afterAll, describe, expect, test } from 'vitest'
import { answerOf, calls } from '../support/calls.ts'
import { replayed, startWithReplica } from '../support/replica.ts'
import { actors, callers, stage } from '../support/stage.ts'
import { variantsOf } from '../support/variants.ts'

const servers = await startWithReplica()
const connect = ({ url }: typeof servers.primary) =>
  postgres(url('postgres', 'postgres'), {
    ...{ max: 4, onnotice: () => {} },
    types: { bigint: postgres.BigInt },
  })
const [primary, replica] = [connect(servers.primary), connect(servers.replica)]
afterAll(async () => {
  await Promise.all([primary.end(), replica.end()])
  await servers.stop()
})

const staged = await stage(primary)
await replayed(primary, replica)

const rpcs = await primary<{ name: string; reads: boolean }[]>`
  select proname as name, provolatile in ('s', 'i') as reads from pg_proc
  where pronamespace = 'referral'::regnamespace order by proname`
const named = (reads: boolean) => rpcs.filter((rpc) => rpc.reads === reads).map(({ name }) => name)

/** What `health` says of the server itself. */
const ofServer = ['clock', 'day_keys']

describe('what is stable answers on the replica as on the primary', () => {
  test.for(named(true))('%s', async (rpc) => {
    for (const args of await variantsOf(primary, staged, rpc))
      for (const who of callers) {
        const on = async (sql: postgres.Sql) => {
          const call = actors(sql, staged)[who].rpc(rpc, args)
          const answer = await answerOf(call)
          if (!['ok', 'none'].includes(answer)) return answer
          return (await call).filter(({ name }) => !ofServer.includes(String(name)))
        }
        expect(await on(replica), `${who} ${JSON.stringify(args)}`).toEqual(await on(primary))
      }
  })

  test('the tables that people read', async () => {
    const tables = await primary<{ name: string }[]>`
      select relname as name from pg_class where relnamespace = 'referral'::regnamespace and relkind = 'r'`
    expect(tables.length).toBeGreaterThan(5)
    for (const { name } of tables)
      for (const who of callers) {
        const rows = `select to_jsonb(t) as row from referral.${name} as t order by 1`
        const on = async (sql: postgres.Sql) => {
          const call = actors(sql, staged)[who].run(rows)
          return (await answerOf(call)) === 'denied' ? 'denied' : call
        }
        expect(await on(replica), `${who} ${name}`).toEqual(await on(primary))
      }
  })
})

/** Postgres says `read_only_sql_transaction`, but of a table that is not logged `feature_not_supported`. */
const [readOnly, unlogged] = ['25006', '0A000']

/** Where it is not only the first, and why. */
const otherwise: Record<string, [answers: string[], reason: string]> = {
  get_or_create_code: [[readOnly, 'ok'], 'whoever has a code gets it, which only reads'],
  purge_rate_limits: [[unlogged], 'the keys of the day'],
  recognise_users: [['ok'], 'no new user waits'],
  record_click: [[unlogged], 'the visitors of the day'],
  release_due_commissions: [['ok'], 'none is due'],
  settle_stripe_events: [['ok'], 'no event waits'],
}

describe('what is volatile is refused on the replica, unless there is nothing to write', () => {
  test.for(named(false))('%s', async (rpc) => {
    const { args, answers } = calls[rpc] as (typeof calls)[string]
    const allowed = callers.filter((who) => ['ok', 'none'].includes(answers[who]))
    const seen = new Set<string>()
    for (const who of allowed.length ? allowed : (['admin'] as const))
      seen.add(await answerOf(actors(replica, staged)[who].rpc(rpc, args(staged))))
    expect([...seen].sort()).toEqual(otherwise[rpc]?.[0] ?? [readOnly])
  })
})
