/**
 * No result depends on the settings of the caller's session: the calls of the matrix, and a story of money, are the same
 * under all of them. Times are compared as instants; what is made anew has an id of its own.
 */
import { expect, test } from 'vitest'
import { operator } from '../support/actors.ts'
import { calls } from '../support/calls.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { checkLedger } from '../support/ledger.ts'
import { release, stageStory, stories } from '../support/money.ts'
import {
  apply,
  germanDates,
  kathmandu,
  newYork,
  rowsUnder,
  type Settings,
  sqlDates,
} from '../support/settings.ts'
import { actors, callers, stage } from '../support/stage.ts'

const sql = await testDatabase()
const staged = await stage(sql)

/** The runs are made within ten minutes, and no two zones are less than a quarter of an hour apart. */
expect.addEqualityTesters([
  (a, b) =>
    a instanceof Date && b instanceof Date
      ? Math.abs(a.getTime() - b.getTime()) < 600_000
      : undefined,
])

/** A locale of the machine's that is not the database's, where there is one. */
const [locale] = await sql`
  select collcollate as name from pg_collation
  where collprovider = 'c' and collcollate is not null
  order by collcollate in ('C', 'POSIX'), collcollate ilike 'c.utf%', collcollate ilike 'en%', 1`
const lc = { lc_monetary: locale?.name, lc_numeric: locale?.name, lc_time: locale?.name }

/** Together: a session has one of each kind, and a difference under any of them shows. */
const settings: [string, Settings][] = [
  [
    'New York, dates of SQL with days first, and intervals of the SQL standard',
    { ...newYork, ...sqlDates, IntervalStyle: 'sql_standard' },
  ],
  [
    `Kathmandu, intervals of ISO 8601, and the locale ${locale?.name}`,
    { ...kathmandu, IntervalStyle: 'iso_8601', ...lc },
  ],
  [
    'German dates and a search path',
    { ...germanDates, search_path: 'pg_temp, referral_private, referral' },
  ],
]

const known = JSON.stringify(staged)
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** A row without what is drawn: ids and codes that the stage does not have. */
const steady = (row: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(row).map(([column, value]) => {
      const drawn = /^code/.test(column) || uuid.test(String(value))
      return [column, drawn && !known.includes(String(value)) ? 'drawn' : value]
    }),
  )

/** What all calls answer that succeed, each undone. */
async function answers(under: Settings) {
  const all: Record<string, unknown> = {}
  for (const [rpc, { args, answers }] of Object.entries(calls))
    for (const caller of callers.filter((who) => answers[who] === 'ok'))
      await undone(sql, async (tx) => {
        const rows = await rowsUnder(tx, under, actors(tx, staged)[caller], rpc, args(staged))
        all[`${rpc} by ${caller}`] = rows.map(steady)
      })
  return all
}

const usual = await answers({})

test.for(settings)('the calls answer the same with %s', async ([, under]) => {
  expect(await answers(under)).toEqual(usual)
})

/** What a subscription leaves behind whose commissions are on hold for a month, so that clocks change meanwhile. */
async function told(tx: Sql, staged: Awaited<ReturnType<typeof stageStory>>, under: Settings) {
  const { mentor, admin, org, events } = staged
  await tx`savepoint before_the_story`
  await apply(tx, under)
  for (const event of events) await operator(tx).rpc('ingest_stripe_event', { event })
  await release(tx)
  await checkLedger(tx)
  await apply(tx, { TimeZone: 'UTC', DateStyle: 'ISO, MDY', IntervalStyle: 'postgres' })
  const sales = await tx`select sale_id from referral_private.sales order by sale_at, sale_id`
  const explained = []
  for (const { sale_id } of sales)
    explained.push(
      await rowsUnder(tx, under, admin, 'explain_commission', { org_id: org, sale_id }),
    )
  const statement = await rowsUnder(tx, under, mentor, 'my_statement', { org_id: org })
  const ending = {
    sales,
    explained: explained.map((rows) => rows.map((row) => ({ ...row, sale_number: null }))),
    statement: statement.map((row) => ({ ...row, entry_id: null, sale_number: null })),
    earnings: await rowsUnder(tx, under, mentor, 'my_earnings', { org_id: org }),
    liabilities: await rowsUnder(tx, under, admin, 'org_liabilities', { org_id: org }),
    postings: await tx`select * from referral_private.postings order by sale_id, earner_id, kind`,
    redemptions: await tx`select * from referral.redemptions order by id`,
  }
  await tx`rollback to savepoint before_the_story`
  return ending
}

test.for(settings)('a story of money ends the same with %s', ([, under]) =>
  undone(sql, async (tx) => {
    const story = stories.find(
      ({ name }) => name === 'a subscription with 13 renewals, twelve of which earn',
    )
    if (!story) throw new Error('no such story')
    const staged = await stageStory(tx, { ...story, terms: { ...story.terms, hold_days: 31 } })
    expect(await told(tx, staged, under)).toEqual(await told(tx, staged, {}))
  }),
)

test('only the names of months in UTC are written and read by a template', async () => {
  const rows = await sql`
    select proname as name from pg_proc
    where pronamespace::regnamespace::text like 'referral%' and prosrc ~* '\\m(to_char|to_number|to_date|money)\\M'
    order by 1`
  expect(rows.map(({ name }) => name)).toEqual(['make_month', 'months_of'])
})
