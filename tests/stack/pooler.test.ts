/**
 * Every RPC is the same through PgBouncer in transaction mode, where each transaction of a client has any connection to the
 * server, and no call leaves anything of a session behind. `npm run test:pooler`; what npm brings is not enough for it.
 */
import postgres from 'postgres'
import { afterAll, expect, inject, test } from 'vitest'
import { blocksOf } from '../support/blocks.ts'
import { answerOf, calls } from '../support/calls.ts'
import { testDatabase, undone } from '../support/database.ts'
import { printedBy, promisedBy } from '../support/examples.ts'
import { checkLedger } from '../support/ledger.ts'
import { startPgBouncer } from '../support/pgbouncer.ts'
import { recordedCalls } from '../support/recorded-calls.ts'
import { actors, type Caller, callers, type Stage, stage } from '../support/stage.ts'
import { steadyRows, timesAreAbout } from '../support/steady.ts'

const [clients, serverConnections] = [12, 3]

const owner = await testDatabase()
const [database] = await owner`select current_database() as name`
const url = inject('servers').postgres.replace('DATABASE', String(database?.name))
const pooler = await startPgBouncer(url, serverConnections)
const connect = (to: string, max: number) =>
  postgres(to, { max, prepare: false, onnotice: () => {}, types: { bigint: postgres.BigInt } })
const direct = connect(url, serverConnections)
const pooled = connect(pooler.url, clients)
afterAll(async () => {
  await Promise.all([direct.end(), pooled.end()])
  await pooler.stop()
})

/** What the calls are about is written through the pooler, too. */
const staged = await stage(pooled)
const steady = steadyRows(staged)
timesAreAbout()

type Call = { rpc: string; who: Caller; args: (typeof calls)[string]['args'] }

/** Every RPC by every caller, and everything that is put on record. */
const all: Call[] = [
  ...Object.entries(calls).flatMap(([rpc, { args }]) => callers.map((who) => ({ rpc, who, args }))),
  ...Object.entries(recordedCalls).flatMap(([rpc, { args, by }]) => {
    const recordedBy: Caller[] = by ?? ['admin', 'operator']
    return recordedBy.map((who) => ({ rpc, who, args }))
  }),
]

/** An organisation's batches of codes are made one at a time: another is busy. */
const inTurns = ['generate_codes', 'import_codes']

/** What a call answers, with its rows. It is undone. */
async function answered(sql: postgres.Sql, call: Call): Promise<unknown[]> {
  const { rpc, who, args } = call
  let seen: unknown[] = []
  await undone(sql, async (tx) => {
    const called = actors(tx, staged)[who].rpc(rpc, args(staged))
    const answer = await answerOf(called)
    seen = [rpc, who, answer, answer === 'ok' ? (await called).map(steady) : []]
  })
  return seen[2] === 'busy' && inTurns.includes(rpc) ? answered(sql, call) : seen
}

test('clients share the few connections', async () => {
  const looks = Array.from({ length: clients }, () => pooled`select pg_backend_pid() as pid`)
  const pids = (await Promise.all(looks)).map(([row]) => row?.pid)
  expect(new Set(pids).size).toBeLessThanOrEqual(serverConnections)
})

test('every call answers everybody the same through the pooler as directly', async () => {
  const seen = await Promise.all(all.map((call) => answered(pooled, call)))
  expect(seen).toEqual(await Promise.all(all.map((call) => answered(direct, call))))
}, 180_000)

test('the example of docs/scaling.md makes a call as a person', async () => {
  const [program = ''] = blocksOf('docs/scaling.md')
    .map(({ text }) => text)
    .filter((text) => text.includes('poolerUrl'))
  const made: postgres.Sql[] = []
  const values = {
    postgres: (...of: Parameters<typeof postgres>) => {
      made.push(postgres(...of))
      return made[0]
    },
    ...{ poolerUrl: pooler.url, userId: staged.mentor.id, orgId: staged.org },
  }
  expect(await printedBy(program, values)).toEqual(promisedBy(program))
  await made[0]?.end()
})

/** What each connection to the server has of a session. Clients hold all of them at the same time. */
async function sessions() {
  const everyOneIsHeld = Promise.withResolvers<void>()
  let free = serverConnections
  const looks = Array.from({ length: serverConnections }, () =>
    pooled.begin(async (tx) => {
      free -= 1
      if (free === 0) everyOneIsHeld.resolve()
      await everyOneIsHeld.promise
      const [state] = await tx`
        select current_user as role, nullif(current_setting('request.jwt.claims', true), '') as claims,
          array(select objid::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
          array(select name || '=' || setting from pg_settings where source = 'session') as settings,
          array(select relname::text from pg_class where relnamespace = pg_my_temp_schema()) as temporary,
          array(select name from pg_prepared_statements) as prepared,
          array(select name from pg_cursors where is_holdable) as cursors,
          array(select pg_listening_channels()) as channels`
      return state
    }),
  )
  return Promise.all(looks)
}

const answers = ({ rpc, who, args }: Call, on: Stage) =>
  answerOf(actors(pooled, on)[who].rpc(rpc, args(on)))
const isDone = (answer: string) => ['ok', 'none'].includes(answer)

/** Another stage, which takes the link host of all before it. */
async function newStage(): Promise<Stage> {
  await owner`update referral.organisations set link_origin = null`
  return stage(pooled)
}

/** Makes every call, and commits it. Where others have ended what an RPC is about, it is made on a stage of its own. */
async function commitAll(): Promise<void> {
  const done = await Promise.all(
    all.map(async (call) => (isDone(await answers(call, staged)) ? call.rpc : '')),
  )
  for (const rpc of Object.keys(calls).filter((name) => !done.includes(name))) {
    const own = await newStage()
    const seen: string[] = []
    for (const call of all.filter((one) => one.rpc === rpc)) seen.push(await answers(call, own))
    expect(seen.filter(isDone), rpc).not.toEqual([])
  }
}

test('no call leaves anything of a session to the next client', async () => {
  await commitAll()
  const nothing = { locks: [], temporary: [], prepared: [], cursors: [], channels: [] }
  const fresh = {
    ...nothing,
    role: 'postgres',
    claims: null,
    settings: ['application_name=postgres.js'],
  }
  expect(await sessions()).toEqual(Array(serverConnections).fill(fresh))
  await checkLedger(direct)
}, 180_000)
