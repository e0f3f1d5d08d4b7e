/**
 * A hot standby answers every call that only reads as the primary does, once it has replayed what the primary has, and
 * refuses every other.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@supabase/supabase-js'
import { sign } from 'hono/jwt'
import postgres from 'postgres'
import { afterAll, describe, expect, test } from 'vitest'
import { createReferralClient, createStaffClient } from '../../client/index.ts'
import { type Api, startApi } from '../../scripts/stack/api.ts'
import { keysOf } from '../../scripts/stack/keys.ts'
import { readProject } from '../../scripts/stack/project.ts'
import { root } from '../../scripts/stack/root.ts'
import { blocksOf } from '../support/blocks.ts'
import { answerOf, calls } from '../support/calls.ts'
import { replayed, startWithReplica, whileBehind } from '../support/replica.ts'
import { actors, callers, stage } from '../support/stage.ts'
import { variantsOf } from '../support/variants.ts'

const servers = await startWithReplica()
const connect = (
  { url }: typeof servers.primary,
  user: 'postgres' | 'supabase_admin' = 'postgres',
) =>
  postgres(url('postgres', user), {
    ...{ max: 4, onnotice: () => {} },
    types: { bigint: postgres.BigInt },
  })
const [primary, replica] = [connect(servers.primary), connect(servers.replica)]
const operator = connect(servers.replica, 'supabase_admin')
afterAll(async () => {
  await Promise.all([primary.end(), replica.end(), operator.end()])
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

test('the statement of docs/scaling.md says how far the replica is behind', async () => {
  const [statement = ''] = blocksOf('docs/scaling.md')
    .map(({ text }) => text)
    .filter((text) => text.includes('replay'))
  expect(await replica.unsafe(statement)).toEqual([
    {
      pg_last_xact_replay_timestamp: expect.any(Date),
      pg_wal_lsn_diff: expect.stringMatching(/^\d+$/),
    },
  ])
})

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

/** The Data API of each server. As Supabase's load balancer does, `balanced` asks the replica by GET, and else the primary. */
async function startApis() {
  const home = mkdtempSync(join(tmpdir(), 'referbase-replica-'))
  const keys = keysOf(home)
  const { console } = globalThis
  const start = ({ url }: typeof servers.primary) =>
    startApi({
      ...{ databaseUrl: url('postgres', 'supabase_admin'), keys, log: join(home, 'api.log') },
      api: readProject(root).api,
    })
  const [onPrimary, onReplica] = [await start(servers.primary), await start(servers.replica)]
  // It writes many lines for each call that is refused.
  const itsConsole = globalThis.console
  globalThis.console = console
  const answer = ({ fetch }: Api, request: Request) => {
    globalThis.console = itsConsole
    return fetch(request).finally(() => {
      globalThis.console = console
    })
  }
  afterAll(async () => {
    await Promise.all([onPrimary.stop(), onReplica.stop()])
    rmSync(home, { recursive: true })
  })
  const appOf = async (id: string, fetch: (request: Request) => Promise<Response>) => {
    const claims = { sub: id, role: 'authenticated', aud: 'authenticated' }
    const token = await sign(
      { ...claims, exp: Math.floor(Date.now() / 1000) + 3600 },
      keys.jwtSecret,
    )
    return createClient('http://127.0.0.1', keys.publishable, {
      accessToken: async () => token,
      global: { fetch: (input, init) => fetch(new Request(input, init)) },
    })
  }
  return {
    balanced: (id: string) =>
      appOf(id, (request) => answer(request.method === 'GET' ? onReplica : onPrimary, request)),
    replicaOnly: (id: string) => appOf(id, (request) => answer(onReplica, request)),
  }
}

describe('the client', async () => {
  const apis = await startApis()
  const { org, mentor, admin, code } = staged
  const referralsOf = async (id: string) =>
    createReferralClient(await apis.balanced(id), { orgId: org })

  test('behind a load balancer reads lists from the replica, and all else from the primary', async () => {
    const [theirs, mine] = [await referralsOf(crypto.randomUUID()), await referralsOf(mentor.id)]
    const count = async () => (await mine.myReferrals()).data?.length
    const before = Number(await count())
    await whileBehind(operator, async () => {
      expect((await theirs.redeem(code)).error).toBeNull()
      expect((await theirs.myRedemption()).data?.code).toBe(code)
      expect((await theirs.hasRedeemed(code)).data).toBe(true)
      expect(await count()).toBe(before)
    })
    await replayed(primary, replica)
    expect(await count()).toBe(before + 1)
  })

  test('behind a load balancer shows a code at once that it has just rotated', async () => {
    const mine = await referralsOf(mentor.id)
    await whileBehind(operator, async () => {
      const { data } = await mine.rotateCode()
      expect(data?.rotation).toBe(1)
      expect((await mine.getActiveCode()).data?.code).toBe(data?.code)
      expect((await mine.listCodes()).data?.map(({ id }) => id)).not.toContain(data?.id)
    })
  })

  test('reads all pages of staff from the replica', async () => {
    await replayed(primary, replica)
    const staff = createStaffClient(await apis.balanced(admin.id), { orgId: org })
    const { data: all } = await staff.orgLiabilities()
    expect(all?.length).toBeGreaterThan(2)
    const first = await staff.orgLiabilities({ after: null, pageSize: 1 })
    const rest = await staff.orgLiabilities({ after: first.data?.at(-1) })
    const pages = [...(first.data ?? []), ...(rest.data ?? [])]
    expect(pages).toEqual(all)
  })

  test('of a replica alone is refused every write, and says that it can be tried again', async () => {
    const alone = createReferralClient(await apis.replicaOnly(mentor.id), { orgId: org })
    expect((await alone.myEarnings()).error).toBeNull()
    const { error } = await alone.rotateCode()
    expect(error).toMatchObject({ code: 'busy', retryable: true, final: false })
    expect(error?.details).toMatch(/^25006: cannot execute .* in a read-only transaction$/)
  })
})
