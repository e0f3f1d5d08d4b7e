/** A made-up year so far, compared with the oracle. */
import type postgres from 'postgres'
import type { Happening } from '../fixtures/year-happenings.ts'
import { booksOf } from '../oracle/books.ts'
import { type Owed, oracle, type Verdict } from '../oracle/oracle.ts'
import { peopleOf } from '../oracle/people.ts'
import { qualifies } from '../oracle/qualifying.ts'
import { ranksOf } from '../oracle/ranks.ts'
import { winnersOf } from '../oracle/winners.ts'
import type { World } from '../oracle/world.ts'
import { operator } from './actors.ts'
import { differences, line } from './ledger.ts'
import { isFirst } from './year-world.ts'

/** What differs between the database and the oracle, on one Stripe account. */
export async function differencesOn(sql: postgres.Sql, world: World): Promise<string[]> {
  const stripeAccount = world.organisations[0]?.stripeAccount ?? ''
  const { owed, statuses } = oracle(world)
  const posted = await sql<Owed[]>`
    select stripe_account as "stripeAccount", livemode, org_id as org, sale_id as sale, earner_id as earner, kind, currency,
      amount, (extract(epoch from due_at) * 1000000)::float8 as "dueAt"
    from referral_private.postings where amount > 0 and stripe_account = ${stripeAccount}`
  const orgs = world.organisations.map(({ id }) => id)
  const balances = await sql<{ line: string }[]>`
    select concat_ws(' ', 'balance', livemode::text, org_id, earner_id, kind, currency, balance) as line
    from referral_private.ledger_accounts
    where balance <> 0 and kind <> 'expense' and org_id = any (${orgs})`
  const ranks = await sql<{ line: string }[]>`
    select concat_ws(' ', 'rank', livemode::text, program_id, earner_id, person, row_number() over (
      partition by livemode, program_id, earner_id order by first_paid_at, first_sale_id, person
    )) as line
    from referral_private.referrals where org_id = any (${orgs})`
  const stored = [
    ...posted.map(line),
    ...balances.map((row) => row.line),
    ...ranks.map((row) => row.line),
    ...world.redemptions.map(({ id, status }) => `redemption ${id} ${status}`),
  ]
  return differences(stored, [
    ...owed.map(line),
    ...balancesOf(owed),
    ...ranksIn(world),
    ...[...statuses].map(([id, status]) => `redemption ${id} ${status}`),
  ])
}

/** What everybody has, by organisation, mode, kind and currency. */
function balancesOf(owed: Owed[]): string[] {
  const keyOf = (of: Owed) => [of.livemode, of.org, of.earner, of.kind, of.currency].join(' ')
  const sums = new Map<string, bigint>()
  for (const of of owed) sums.set(keyOf(of), (sums.get(keyOf(of)) ?? 0n) + of.amount)
  return [...sums].map(([key, sum]) => `balance ${key} ${sum}`)
}

const judged = (world: World) =>
  booksOf(world).map((book) => ({ book, ...winnersOf(book, peopleOf(world, book)) }))

/** The rank of every referral that has one. */
function ranksIn(world: World): string[] {
  const lines = judged(world).flatMap(({ book, won }) => {
    const rankOf = ranksOf(won)
    return won.filter(qualifies).map((of) => {
      const { program, earner } = of.evidence
      return ['rank', book.livemode, program, earner, of.person, rankOf(of)].join(' ')
    })
  })
  return [...new Set(lines)]
}

/** Small, so that a small year has several. */
const page = 200

/** Why sales that nobody has won credit nobody. What is wholly reversed is left out. */
export async function differencesOfReasons(
  tx: postgres.TransactionSql,
  world: World,
): Promise<string[]> {
  const stripe_account = world.organisations[0]?.stripeAccount ?? ''
  const stored: Row[] = []
  for (let rows: Row[] = [], more = true; more; more = rows.length === page) {
    const last = rows.at(-1)
    const after = last && {
      ...{ paid_at: last.paid_at, sale_id: last.sale_id },
      ...{ stripe_account, livemode: last.livemode },
    }
    rows = await operator(tx).rpc('list_unattributed', {
      ...{ stripe_account, page_size: page, ...(after && { after }) },
    })
    stored.push(...rows)
  }
  const books = judged(world)
  const won = new Set(
    books.flatMap(({ book, won }) => won.map(({ sale }) => `${book.livemode} ${sale.id}`)),
  )
  return differences(
    stored
      .filter(({ livemode, sale_id }) => !won.has(`${livemode} ${sale_id}`))
      .map(({ livemode, sale_id, reason }) => `reason ${livemode} ${sale_id} ${reason}`),
    books.flatMap(({ book, unattributed }) =>
      unattributed
        .filter(({ sale }) => sale.reversed < sale.paid)
        .map(({ sale, reason }) => `reason ${book.livemode} ${sale.id} ${reason}`),
    ),
  )
}

type Row = Record<string, unknown>

type Slice = { faults: unknown[]; next: object | null }

/** What verify_ledger finds. */
export async function faultsOf(tx: postgres.TransactionSql): Promise<string[]> {
  const faults: string[] = []
  for (let after: unknown = null; ; ) {
    const [row] = await tx<{ slice: Slice }[]>`
      select to_jsonb(s) as slice
      from referral.verify_ledger(${after === null ? null : JSON.stringify(after)}::text::jsonb, 1000) as s`
    faults.push(...(row?.slice.faults ?? []).map((fault) => `fault ${JSON.stringify(fault)}`))
    after = row?.slice.next ?? null
    if (after === null) return faults
  }
}

/** Every event that was delivered stands in the inbox once, and nothing else does. */
export async function differencesOfInbox(
  sql: postgres.Sql,
  stripeAccounts: string[],
  told: Happening[],
): Promise<string[]> {
  const rows = await sql<{ account: string; count: number }[]>`
    select stripe_account as account, count(*)::int as count
    from referral_private.stripe_events group by 1`
  const counts = new Map(rows.map(({ account, count }) => [account, count]))
  return stripeAccounts.flatMap((account) => {
    const delivered = told.filter((of) => of.kind === 'event' && isFirst(of, account)).length
    const stored = counts.get(account) ?? 0
    return stored === delivered ? [] : [`events of '${account}': ${stored}, not ${delivered}`]
  })
}

/** Whether the accounts, each judged by itself, end as all of them judged together. */
export function differencesOfWhole(worlds: World[]): string[] {
  const [one] = worlds
  if (!one) return []
  const all = (key: keyof Omit<World, 'now'>) => worlds.flatMap((world): unknown[] => world[key])
  const whole = {
    ...one,
    ...{ events: all('events'), records: all('records'), organisations: all('organisations') },
    ...{ switches: all('switches'), codes: all('codes'), redemptions: all('redemptions') },
    ...{ decisions: all('decisions'), knownUsers: all('knownUsers') },
  } as World
  const lines = ({ owed, statuses }: Verdict) => [
    ...owed.map(line),
    ...[...statuses].map((of) => of.join(' ')),
  ]
  return differences(
    worlds.flatMap((world) => lines(oracle(world))),
    lines(oracle(whole)),
  ).map((difference) => `together: ${difference}`)
}
