-- Entries: each movement is written once, with the balances of the accounts that it changes.

-- An entry of a sale, between two accounts.
create type referral_private.sale_entry as (
  org_id uuid,
  debit_account_id bigint,
  credit_account_id bigint,
  amount bigint,
  currency text,
  reason_key text,
  sale_id text
);

-- The entries of these movements, in one order. The reason of an entry is the account that it changes and its number
-- among the entries of the sale there: it can be written once only.
create function referral_private.entries_of(
  p_stripe_account text,
  p_livemode boolean,
  p_movements referral_private.movement[],
  p_postings referral_private.postings[],
  p_accounts referral_private.ledger_accounts[]
)
returns setof referral_private.sale_entry
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with
    -- The expense is under the organisation's id: a null does not join.
    accounts as (
      select a.account_id, a.org_id, a.kind, a.currency, coalesce(a.earner_id, a.org_id) as owner_id
      from unnest(p_accounts) as a
      where a.livemode = p_livemode
    ),
    numbered as (
      select m.*, f.account_id as from_id, t.account_id as to_id,
        case m.to_kind when 'expense' then m.from_kind else m.to_kind end as keyed_kind
      from unnest(p_movements) as m
      join accounts as f
        on f.org_id = m.org_id and f.kind = m.from_kind and f.currency = m.currency
        and f.owner_id = case m.from_kind when 'expense' then m.org_id else m.earner_id end
      join accounts as t
        on t.org_id = m.org_id and t.kind = m.to_kind and t.currency = m.currency
        and t.owner_id = case m.to_kind when 'expense' then m.org_id else m.earner_id end
    )
  select n.org_id, n.from_id, n.to_id, n.amount, n.currency, concat_ws(
      ' ', p_stripe_account, p_livemode, n.sale_id, case n.to_kind when 'expense' then n.from_id else n.to_id end,
      p.entries - row_number() over (
        partition by n.org_id, n.sale_id, n.earner_id, n.currency, n.keyed_kind order by n.place desc
      ) + 1
    ), n.sale_id
  from numbered as n
  join unnest(p_postings) as p
    on p.org_id = n.org_id and p.sale_id = n.sale_id and p.earner_id = n.earner_id and p.currency = n.currency
    and p.kind = n.keyed_kind
  order by n.org_id, n.earner_id, n.currency, n.sale_id, n.place;
end
$$;

-- The event that caused what is posted of a sale, where several are settled together.
create type referral_private.cause as (sale_id text collate "C", event_id text collate "C");

-- Writes these movements into the ledger, and updates each balance once. A sale has the cause that is named for it, or
-- else the first, which is that of all.
create function referral_private.post_movements(
  p_stripe_account text,
  p_livemode boolean,
  p_movements referral_private.movement[],
  p_accounts referral_private.ledger_accounts[],
  p_causes referral_private.cause[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_postings referral_private.postings[] := array(
    select p from referral_private.change_postings(p_stripe_account, p_livemode, p_movements) as p
  );
begin
  with
    written as (
      insert into referral_private.ledger_entries (
        org_id, debit_account_id, credit_account_id, amount, currency, reason_key, stripe_account, livemode, sale_id,
        caused_by
      )
      select e.org_id, e.debit_account_id, e.credit_account_id, e.amount, e.currency, e.reason_key, p_stripe_account,
        p_livemode, e.sale_id, coalesce(c.event_id, (p_causes[1]).event_id)
      from referral_private.entries_of(p_stripe_account, p_livemode, p_movements, v_postings, p_accounts) as e
      left join unnest(p_causes[2:]) as c on c.sale_id = e.sale_id
      returning org_id, debit_account_id, credit_account_id, amount
    )
  update referral_private.ledger_accounts as a
  set balance = a.balance + c.change
  from (
    select w.org_id, side.account_id, sum(side.change)::bigint as change
    from written as w
    cross join lateral (
      select w.debit_account_id, -w.amount union all select w.credit_account_id, w.amount
    ) as side (account_id, change)
    group by w.org_id, side.account_id
  ) as c
  where a.org_id = c.org_id and a.account_id = c.account_id and a.kind <> 'expense';
end
$$;

-- Posts the differences between what won sales are owed and what is posted of these sales: all sales of the payers
-- that are settled, and those that may have become another payer's, or no sale. At most so many at once: true if some
-- are left.
create function referral_private.post_differences(
  p_sale_ids text[],
  p_settled referral_private.settlement,
  p_causes referral_private.cause[],
  p_max int
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_differences referral_private.difference[] := array(
    select d from referral_private.differences(p_sale_ids, p_settled, p_max + 1) as d
  );
  v_are_left constant boolean := cardinality(v_differences) > p_max;
  v_movements referral_private.movement[];
  v_accounts referral_private.ledger_accounts[];
begin
  if cardinality(v_differences) = 0 then
    return false;
  end if;
  v_differences := v_differences[:p_max];
  v_movements := array(select m from referral_private.movements_of(v_differences) as m);
  if cardinality(v_movements) > 0 then
    -- The accounts of old and new winners.
    v_accounts := referral_private.lock_ledger_accounts(array(
      select (m.org_id, p_settled.livemode, case when kind <> 'expense' then m.earner_id end, kind, m.currency)
        ::referral_private.account_name
      from unnest(v_movements) as m
      cross join lateral unnest(array[m.from_kind, m.to_kind]) as kind
    ));
    perform referral_private.post_movements(
      p_settled.stripe_account, p_settled.livemode, v_movements, v_accounts, p_causes
    );
  end if;
  if exists (select from unnest(v_differences) as d where d.pending = 0 and d.reward_pending = 0) then
    perform referral_private.change_due_times(v_differences);
  end if;
  return v_are_left;
end
$$;
