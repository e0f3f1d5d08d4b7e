import type postgres from 'postgres'

/**
 * Compares all postings and all redemptions, after what waits is settled and every due commission is released in both
 * databases. Returns a line for each row that only one of them has.
 */
export async function compare(source: postgres.Sql, target: postgres.Sql): Promise<string[]> {
  const [there, here] = [await standing(source), await standing(target)]
  return [
    ...[...there].filter((line) => !here.has(line)).map((line) => `only in the source: ${line}`),
    ...[...here].filter((line) => !there.has(line)).map((line) => `only in the target: ${line}`),
  ]
}

/** A line for each row, with its key. */
async function standing(sql: postgres.Sql): Promise<Set<string>> {
  for (let more = true; more; ) {
    const [row] = await sql`select more from referral.settle_stripe_events()`
    more = row?.more === true
  }
  for (let due = 1; due > 0; ) {
    const [row] = await sql`select referral.release_due_commissions() as due`
    due = Number(row?.due)
  }
  const rows = await sql`
    select concat_ws(' ', org_id, stripe_account, livemode, sale_id, earner_id, kind, currency, amount) as line
    from referral_private.postings where amount > 0
    union all
    select concat_ws(' ', org_id, id, status, confirmed_at at time zone 'UTC') from referral.redemptions`
  return new Set(rows.map(({ line }) => String(line)))
}
