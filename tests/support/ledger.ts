/** The ledger, compared with itself and with what the oracle says. */
import { type Owed, oracle } from '../oracle/oracle.ts'
import type { Sql } from './database.ts'
import { whatHappened } from './what-happened.ts'

/**
 * Stored balance = sum of its entries; posted = sum of a sale's entries = what the oracle says, to whom, of which kind and
 * due when; and every redemption stands as it says.
 */
export async function checkLedger(sql: Sql): Promise<void> {
  const [entries, posted, world] = await Promise.all([
    differencesOfEntries(sql),
    sql<Owed[]>`
      select stripe_account as "stripeAccount", livemode, org_id as org, sale_id as sale, earner_id as earner, kind, currency, amount,
        (extract(epoch from due_at) * 1000000)::float8 as "dueAt"
      from referral_private.postings where amount > 0`,
    whatHappened(sql),
  ])
  const { owed, statuses } = oracle(world)
  const wrong = [
    ...entries,
    ...differences(
      posted.map((row) => line(row)),
      owed.map((row) => line(row)),
    ),
    ...differences(
      world.redemptions.map(({ id, status }) => `redemption ${id} ${status}`),
      [...statuses].map(([id, status]) => `redemption ${id} ${status}`),
    ),
  ]
  if (wrong.length) throw new Error(wrong.join('\n'))
}

/** Stored balances, and what is posted of each sale, that are not the sum of their entries. */
export async function differencesOfEntries(sql: Sql): Promise<string[]> {
  const [balances, sums] = await Promise.all([
    sql`
      select a.account_id, a.balance, sum(case when e.credit_account_id = a.account_id then e.amount else -e.amount end) as entries
      from referral_private.ledger_accounts as a
      left join referral_private.ledger_entries as e
        on e.org_id = a.org_id and a.account_id in (e.credit_account_id, e.debit_account_id)
      where a.kind <> 'expense'
      group by a.org_id, a.account_id
      having a.balance <> coalesce(sum(case when e.credit_account_id = a.account_id then e.amount else -e.amount end), 0)`,
    sql`
      with
        moved as (
          select e.org_id, e.sale_id, a.earner_id, a.kind, a.currency, e.stripe_account, e.livemode,
            sum(case when e.credit_account_id = a.account_id then e.amount else -e.amount end) as amount
          from referral_private.ledger_accounts as a
          join referral_private.ledger_entries as e
            on e.org_id = a.org_id and a.account_id in (e.credit_account_id, e.debit_account_id)
          where a.kind <> 'expense' and e.sale_id is not null
          group by 1, 2, 3, 4, 5, 6, 7
        )
      select *
      from moved as m
      full join referral_private.postings as p using (org_id, sale_id, earner_id, kind, currency, stripe_account, livemode)
      where m.amount is distinct from p.amount`,
  ])
  return [
    ...lines('balance and entries differ', balances),
    ...lines('posted and entries differ', sums),
  ]
}

const lines = (what: string, rows: readonly object[]) =>
  rows.map((row) => `${what}: ${Object.values(row).join(' ')}`)

export const line = ({
  stripeAccount,
  livemode,
  org,
  sale,
  earner,
  kind,
  currency,
  amount,
  dueAt,
}: Owed) =>
  [stripeAccount, livemode, org, sale, earner, kind, currency, amount, dueAt ?? ''].join(' ')

/** What is in one list only. */
export function differences(stored: string[], expected: string[]): string[] {
  const [there, said] = [new Set(stored), new Set(expected)]
  return [
    ...stored.filter((one) => !said.has(one)).map((one) => `stored, not so by the oracle: ${one}`),
    ...expected.filter((one) => !there.has(one)).map((one) => `by the oracle, not stored: ${one}`),
  ]
}
