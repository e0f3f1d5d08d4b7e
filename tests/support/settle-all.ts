/** Settles what was stored and is not applied yet, where a delivery that meets another one is only stored. */
import type postgres from 'postgres'
import { operator } from './actors.ts'

/** Runs work in a transaction. */
export type Within = <Result>(
  work: (tx: postgres.TransactionSql) => Promise<Result>,
) => Promise<Result>

/** Whether this database settles by a call of its own. */
async function canSettle(sql: postgres.Sql): Promise<boolean> {
  const rows = await sql`
    select from pg_proc
    where pronamespace = 'referral'::regnamespace and proname = 'settle_stripe_events'`
  return rows.length > 0
}

/** One call for an account. Says whether there is more. */
export const settleOnce = (within: Within, stripeAccount: string): Promise<boolean> =>
  within(async (tx) => {
    const [row] = await operator(tx).run('select * from referral.settle_stripe_events($1)', [
      stripeAccount,
    ])
    return Boolean(row?.more)
  })

/** Calls until nothing is left of any account. */
export async function settleAll(
  sql: postgres.Sql,
  within: Within = (work) => sql.begin(work) as Promise<never>,
): Promise<void> {
  if (!(await canSettle(sql))) return
  const accounts = await sql<{ account: string }[]>`
    select distinct coalesce(stripe_account_id, '') as account from referral.organisations`
  for (const { account } of accounts) while (await settleOnce(within, account));
}
