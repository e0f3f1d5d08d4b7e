import { code } from './fill.ts'

/** Paid invoices, one a second from `bench.at()` on, and what they say about who referred their customers. */
export type Facts = {
  name: string
  sales: number
  /** All of them unless given. */
  customers?: number
  /** Whom every customer is linked to, as SQL. */
  user?: string
  /** Each invoice names the first code, or a promotion code. */
  names?: 'code' | 'promotion'
  /** How much later than `bench.at()` it all was, as an interval. */
  ahead?: string
}

/** The SQL that states them, and makes their sales. Nothing of it is settled. */
export function facts({ name, sales, customers = sales, user, names, ahead = '0' }: Facts): string {
  const kind = names === 'code' ? 'metadata_code' : 'promotion_code'
  const named = names === 'code' ? code('1') : "'promo_bench'"
  const evidence = `
    insert into referral_private.payer_evidence (stripe_account, livemode, carrier, kind, named, object_id, carried_at)
    select '', false, customer_id, '${kind}', ${named}, payment_id, bench.at() + interval '${ahead}'
    from stated;`
  const links = `
    insert into referral_private.known_users (stripe_account, user_id) values ('', ${user});
    insert into referral_private.payer_users (stripe_account, livemode, carrier, user_id, linked_at)
    select distinct '', false, customer_id, ${user}, bench.at() + interval '${ahead}' from stated;`
  return `
    create temporary table stated as
    select 'in_${name}' || n as payment_id, 'cus_${name}' || n % ${customers} as customer_id,
      bench.at() + interval '${ahead}' + n * interval '1 second' as paid_at
    from generate_series(1, ${sales}) as n;
    insert into referral_private.payments (
      stripe_account, livemode, payment_id, source, customer_id, names_referral, currency, paid, total,
      total_excluding_tax, sale_at, paid_at, paid_at_is_stated, made_at, stated_at, stated_by
    )
    select '', false, payment_id, 'invoice', customer_id, true, 'usd', 1000, 1000, 1000, paid_at, paid_at, true, paid_at,
      paid_at, 'evt_' || payment_id
    from stated;
    insert into referral_private.sales (
      stripe_account, livemode, sale_id, payer_id, is_guest, object_ids, currency, paid, reversed, total,
      total_excluding_tax, sale_at, paid_at
    )
    select '', false, payment_id, customer_id, false, array[payment_id], 'usd', 1000, 0, 1000, 1000, paid_at, paid_at
    from stated;
    ${names ? evidence : ''}
    ${user ? links : ''}
    drop table stated;`
}

/** The SQL that settles these customers, 500 in a transaction, or all of them in one, as payers of one person need it. */
export const settled = (name: string, together = false) => `
  do $$
  declare
    v_payers text[];
  begin
    for v_payers in
      select array_agg(payer_id)
      from (
        select payer_id, row_number() over (order by min(paid_at)) / ${together ? 100_000_000 : 500} as part
        from referral_private.sales where payer_id like 'cus\\_${name}%' group by payer_id
      ) as payers
      group by part order by part
    loop
      perform referral_private.settle('', false, v_payers, '{}', 'bench');
      commit;
    end loop;
  end $$`

/** The SQL that redeems the first code, by these users. */
export const redemptions = (users: string, from: string) => `
  reset role;
  set session_replication_role = replica;
  insert into referral.redemptions (
    org_id, program_id, terms_version, code_id, referrer_id, referee_id, redeemed_at
  )
  select c.org_id, c.program_id, 2, c.id, c.referrer_id, ${users}, bench.at()
  from ${from}, referral.codes as c where c.code_key = ${code('1')};
  reset session_replication_role;
  set role postgres`
