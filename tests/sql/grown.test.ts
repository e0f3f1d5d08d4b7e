/**
 * What calls and lists read of a project that has grown: a page, or as much as they are asked for, and no table from end to
 * end. First nothing is known of the tables, as after a restore; then they are analysed. `GROWN_ROWS` says how many rows.
 */
import { afterAll, expect, inject, test } from 'vitest'
import { fillCrowd } from '../../bench/crowd.ts'
import { type Actor, operator } from '../support/actors.ts'
import { calls } from '../support/calls.ts'
import { testDatabase, undone } from '../support/database.ts'
import { type Read, readsOf, watchedSession } from '../support/rows-read.ts'
import { actors, type Caller, stage } from '../support/stage.ts'
import { type Args, variantsOf } from '../support/variants.ts'

const rows = Number(process.env.GROWN_ROWS ?? 100_000)
const sql = await testDatabase()
const [named] = await sql<{ database: string }[]>`select current_database() as database`
const url = inject('servers').admin.replace('DATABASE', named?.database ?? '')
const staged = await stage(sql)
const { sql: admin, readsOf: readsIn } = watchedSession(url)
afterAll(() => admin.end())
await fillCrowd(admin, rows, staged)

/** The largest batch of a job, and a page of a list. */
const aPage = 1000

/** What the stage has besides the crowd. */
const aFew = 100

/** What reads more, how much at most, and why. */
const more: Record<string, [most: number, why: string]> = {
  code_usage_stats: [rows + aFew, 'counts the uses of the code, here every second redemption'],
  code_uses: [rows + aFew, 'counts the uses of the codes'],
  count_parked_events: [rows / 100 + aFew, 'counts what is parked'],
  create_organisation: [rows / 100 + aFew, 'looks at the other organisations'],
  expire_redemptions: [rows / 100 + aFew, 'looks once at each version of terms'],
  forfeit_from: [rows * 2 + aFew, 'finds all who used the member’s codes'],
  health: [10_000 + aFew, 'looks at the newest'],
  list_parked_events: [rows / 100 + aFew, 'sorts what is parked'],
  maintain_clicks: [100_000 + aFew, 'removes as many, which are past'],
  org_liabilities: [2 * aPage, 'passes over what accounts of the other mode take'],
  recognise_users: [rows + aFew, 'looks up whom the events of the last 30 days named'],
  run_maintenance: [rows + aFew, 'runs all jobs'],
  verify_ledger: [rows + aFew, 'sums the entries of each account'],
  withdraw_decision: [rows * 2 + aFew, 'finds all who used the member’s codes'],
}

/** The last row of a page, as the argument from which the next one begins. */
const next: Record<string, (row: Record<string, unknown>) => Args> = {
  list_changes: ({ id }) => ({ after: id }),
  list_codes: ({ id }) => ({ after: id }),
  list_parked_events: ({ event_id }) => ({ after_event: event_id }),
  list_unattributed: (row) => ({ after: row }),
  my_referrals: ({ redemption_id }) => ({ after: redemption_id }),
  my_statement: ({ entry_id }) => ({ after: entry_id }),
  org_liabilities: (row) => ({ after: row }),
  usage_for_code: ({ id }) => ({ after: id }),
  usage_for_user: ({ id }) => ({ after: id }),
  verify_ledger: ({ next }) => ({ after: next }),
}

/** Calls an RPC as it can be called, refused or not, and, of a list, for the page after. */
async function callAll(
  rpc: string,
  actor: (tx: never) => Actor,
  variants: Args[],
): Promise<Read[]> {
  const reads: Read[] = []
  for (const args of variants)
    await undone(admin, async (tx) => {
      await tx`set local statement_timeout = '20s'`
      const call = async (given: Args) => {
        let page: Record<string, unknown>[] = []
        reads.push(
          ...(await readsIn(tx, async () => {
            page = await actor(tx as never)
              .rpc(rpc, given)
              .catch(() => [])
          })),
        )
        return page
      }
      const last = (await call(args)).at(-1)
      if (last && next[rpc] && !args.after && !args.after_event)
        await call({ ...args, ...(JSON.parse(asJson(next[rpc](last))) as Args) })
    })
  return reads
}

const asJson = (value: object) =>
  JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? Number(part) : part))

const tooMany = (reads: Read[], most: number) =>
  reads
    .filter((read) => read.rows > most || read.pages > 5 * most)
    .map(
      ({ rows, pages, by, query }) => `${rows} rows, ${pages} pages: ${by}: ${query.slice(0, 150)}`,
    )

/** Who makes a call: staff or the operator in all its forms; a referrer and a stranger, if they may, as it is meant. */
function callersOf(rpc: string): [Caller, boolean][] {
  const isAnswered = (caller: Caller) => ['ok', 'none'].includes(calls[rpc]?.answers[caller] ?? '')
  const staff = (['admin', 'operator'] as const).find(isAnswered)
  const others = (['referrer', 'referee', 'stranger'] as const).filter(isAnswered)
  return [
    ...(staff ? [[staff, true] as [Caller, boolean]] : []),
    ...others.map((who) => [who, false] as [Caller, boolean]),
  ]
}

async function callsThatReadMuch(): Promise<Record<string, string[]>> {
  const much: Record<string, string[]> = {}
  for (const [rpc, { args }] of Object.entries(calls)) {
    const [most] = more[rpc] ?? [aPage]
    for (const [caller, inAllForms] of callersOf(rpc)) {
      const variants = inAllForms ? await variantsOf(sql, staged, rpc) : [args(staged)]
      const reads = await callAll(rpc, (tx) => actors(tx, staged)[caller], variants)
      const found = tooMany(reads, most)
      if (found.length) much[`${rpc} by ${caller}`] = [...new Set(found)].slice(0, 5)
    }
  }
  return much
}

const tables = await sql<{ name: string }[]>`
  select relname as name from pg_class where relnamespace = 'referral'::regnamespace and relkind = 'r' order by 1`

/** What a select of a table of the Data API reads, by its plan as it ran. */
async function readsOfSelect(actor: (tx: never) => Actor, query: string): Promise<Read[]> {
  let reads: Read[] = []
  await undone(admin, async (tx) => {
    const explain = `explain (analyze, buffers, timing off, format json) ${query}`
    const [row] = await actor(tx as never).run(explain)
    const told = row?.['QUERY PLAN'] as { Plan: never }[] | undefined
    reads = (told ?? []).flatMap(({ Plan }) => readsOf(Plan, query))
  })
  return reads
}

/** Requests for lists: the cheapest, a page of it, and a page of an organisation. */
const lists = (table: string) => {
  const column = table === 'organisations' ? 'id' : 'org_id'
  const all = `select * from referral.${table}`
  return [
    `${all} limit 1`,
    `${all} limit 100`,
    `${all} where ${column} = '${staged.org}' limit 100`,
  ]
}

async function listsThatReadMuch(): Promise<Record<string, string[]>> {
  const much: Record<string, string[]> = {}
  // An organisation's programs, which are few, are found before it is known that none may be read.
  const most = { stranger: 3, referrer: 50, admin: 200 }
  for (const { name } of tables)
    for (const [caller, ownRows] of Object.entries(most)) {
      // Programs are few beside what is done in them: all are looked at, once.
      const atMost = name.startsWith('program') ? rows / 100 + aFew : ownRows
      const found: string[] = []
      for (const query of lists(name)) {
        const reads = await readsOfSelect((tx) => actors(tx, staged)[caller as Caller], query)
        found.push(
          ...reads
            .filter((read) => read.rows > atMost)
            .map((read) => `${read.rows} rows, ${read.by}: ${query}`),
        )
      }
      if (found.length) much[`${name} by ${caller}`] = found
    }
  return much
}

test('with statistics or without, calls read a page, and lists what the caller may see', async () => {
  expect(await callsThatReadMuch(), 'without statistics').toEqual({})
  expect(await listsThatReadMuch(), 'without statistics').toEqual({})
  await admin.unsafe('analyze')
  expect(await callsThatReadMuch(), 'with statistics').toEqual({})
  expect(await listsThatReadMuch(), 'with statistics').toEqual({})
}, 600_000)

test('every list goes on from its last row, and everything that reads more is a call', async () => {
  const of = async (rpc: string) =>
    (await variantsOf(sql, staged, rpc)).some((args) => 'after' in args)
  for (const rpc of [...Object.keys(more), ...Object.keys(next)]) expect(calls).toHaveProperty(rpc)
  for (const rpc of Object.keys(calls)) if (await of(rpc)) expect(next, rpc).toHaveProperty(rpc)
  expect((await operator(sql).rpc('health')).length).toBeGreaterThan(0)
})
