/** A made-up year, day by day: everything that happens, over several connections, with crashes, and what is checked. */
import type postgres from 'postgres'
import {
  accountsOf,
  type Company,
  companyOf,
  firstWorld,
  type Plan,
} from '../fixtures/year-company.ts'
import { day, type Happening } from '../fixtures/year-happenings.ts'
import { lifeOf } from '../fixtures/year-lives.ts'
import { draws } from '../fixtures/year-random.ts'
import { staffOf } from '../fixtures/year-staff.ts'
import type { World } from '../oracle/world.ts'
import { operator } from './actors.ts'
import { differencesOfEntries } from './ledger.ts'
import { settleAll } from './settle-all.ts'
import { stageWorld } from './staged-world.ts'
import { createSettler, insist, take } from './year-calls.ts'
import {
  differencesOfInbox,
  differencesOfReasons,
  differencesOfWhole,
  differencesOn,
  faultsOf,
} from './year-check.ts'
import { at, iso, setClock } from './year-clock.ts'
import { worldOf } from './year-world.ts'

/** The pool is another one after a crash: postgres.js can wait for minutes for what a killed server will not answer. */
export type Database = { sql: postgres.Sql }

export type Settings = Plan & {
  connections: number
  /** Ends something in the middle of a day, so many times. Gives how much it ended. */
  crash: () => Promise<number>
  crashes: number
  /** Told now and then. */
  say?: (what: string) => void
}

/** What was done, for the table. */
export type Counts = {
  events: number
  again: number
  people: number
  refused: number
  crashes: number
}

/** Lives a year, and gives the counts. Throws an error with everything that differs, and the seed. */
export async function liveYear(db: Database, settings: Settings): Promise<Counts> {
  const company = companyOf(settings)
  const told = happeningsOf(company)
  await stage(db.sql, company, told)
  const days = Map.groupBy(told, ({ due }) => Math.floor((due - company.begins) / day))
  const last = Math.max(...days.keys())
  const counts: Counts = { events: 0, again: 0, people: 0, refused: 0, crashes: 0 }
  for (let n = Math.min(...days.keys()); n <= last; n++) {
    const crash = crashOn(n, settings, counts)
    await liveDay(db, days.get(n) ?? [], settings.connections, counts, crash)
    const until = company.begins + (n + 1) * day - 1
    if (n % 7 === 0) await insist(() => jobs(db.sql, until))
    if (n % 30 === 29 || n === last) {
      const month = n === last ? null : Math.floor(n / 30)
      await insist(() => check(db.sql, company, told, { until, month }))
      settings.say?.(`day ${n}: ${JSON.stringify(counts)}`)
    }
  }
  return counts
}

/** The days on which something is ended, evenly over the year. */
function crashOn(n: number, { crash, crashes }: Settings, counts: Counts) {
  const isToday = Math.floor((n * crashes) / 365) < Math.floor(((n + 1) * crashes) / 365)
  if (!isToday || n < 0 || n >= 365) return null
  return async () => {
    counts.crashes += await crash()
  }
}

function happeningsOf(company: Company): Happening[] {
  const lives = Array.from({ length: company.lives }, (_, n) => lifeOf(company, n))
  const staff = company.organisations.map((_, n) => staffOf(company, n))
  return [...lives, ...staff].flat().toSorted((one, other) => one.due - other.due)
}

/** The organisations and their people. Most users have signed up before the year, or in it before they buy. */
async function stage(sql: postgres.Sql, company: Company, told: Happening[]): Promise<void> {
  await setClock(sql)
  await at(sql, company.begins - 90 * day, (tx) => stageWorld(tx, firstWorld(company)))
  const late = new Set(told.flatMap((of) => (of.kind === 'sign-up' ? of.user : [])))
  const random = draws(`${company.seed} users`)
  const users = Array.from({ length: company.lives }, (_, life) => ({
    id: company.user(life),
    since: iso(company.begins + random.int(400 * day) - 60 * day),
  })).filter(({ id }) => !late.has(id) && random.chance(0.9))
  await sql`
    insert into auth.users (id, created_at)
    select * from unnest(${users.map(({ id }) => id)}::uuid[], ${users.map(({ since }) => since)}::timestamptz[])`
}

/** Staff act one after another, beside everything else. */
async function liveDay(
  db: Database,
  today: Happening[],
  connections: number,
  counts: Counts,
  crash: (() => Promise<void>) | null,
): Promise<void> {
  const isStaff = ({ kind }: Happening) => ['staff', 'withdraw'].includes(kind)
  const [staff, others] = [today.filter(isStaff), today.filter((of) => !isStaff(of))]
  const settler = createSettler(db)
  let taken = 0
  const work = async (queue: Happening[]) => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const crashed = taken++ === Math.floor(today.length / 2) && crash?.()
      await take(db, next, counts, settler)
      await crashed
    }
  }
  const queue = [...others]
  await Promise.all([work([...staff]), ...Array.from({ length: connections }, () => work(queue))])
  await settler.finish()
}

/** What runs from time to time. */
async function jobs(sql: postgres.Sql, now: number): Promise<void> {
  const within = <Result>(work: (tx: postgres.TransactionSql) => Promise<Result>) =>
    at(sql, now, work)
  await settleAll(sql, within)
  for (const job of [
    'expire_codes',
    'expire_redemptions',
    'recognise_users',
    'release_due_commissions',
  ])
    for (let done = 1; done > 0; ) {
      const [row] = await within((tx) => operator(tx).rpc(job))
      done = Number(row?.[job])
    }
  await settleAll(sql, within)
}

/**
 * Everything of the year so far. In a large year, a month looks at a quarter of the accounts; its end looks at all, and so
 * does `verify_ledger`.
 */
async function check(
  sql: postgres.Sql,
  company: Company,
  told: Happening[],
  { until, month }: { until: number; month: number | null },
): Promise<void> {
  await jobs(sql, until)
  const isLarge = company.events > 100_000
  const accounts = accountsOf(company)
  const chosen = accounts.filter((_, n) => month === null || !isLarge || (n + month) % 4 === 0)
  const before = told.filter(({ due }) => due <= until)
  const wrong = [
    ...(await differencesOfEntries(sql)),
    ...(await differencesOfInbox(sql, accounts, before)),
  ]
  const worlds: World[] = []
  for (const stripeAccount of chosen) {
    const world = await worldOf(sql, { stripeAccount, until, told: before, isLarge })
    wrong.push(...(await differencesOn(sql, world)))
    if (month === null)
      wrong.push(...(await at(sql, until, (tx) => differencesOfReasons(tx, world))))
    if (!isLarge) worlds.push(world)
  }
  if (month === null) wrong.push(...(await at(sql, until, faultsOf)), ...differencesOfWhole(worlds))
  if (wrong.length)
    throw new Error(
      [
        `seed ${company.seed}, ${iso(until)}: ${wrong.length} differences`,
        ...wrong.slice(0, 40),
      ].join('\n'),
    )
}
