-- Sales whose entries, postings and targets are not equal.

-- Of these sales those that wait to be settled, themselves or with another payer of their payer's person.
create function referral_private.sales_waiting(p_stripe_account text, p_livemode boolean, p_sale_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from referral_private.to_settle as q where q.stripe_account = p_stripe_account) then
    return '{}';
  end if;
  return array(
    select q.payer_id from referral_private.to_settle as q
    where q.stripe_account = p_stripe_account and q.livemode = p_livemode and q.payer_id = any (p_sale_ids)
    union
    select s.sale_id
    from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_sale_ids)
      and exists (
        select
        from unnest((referral_private.payers_together(p_stripe_account, p_livemode, array[s.payer_id])).carriers) as p
        join referral_private.to_settle as q
          on q.payer_id = p.payer_id and q.stripe_account = p_stripe_account and q.livemode = p_livemode
      )
  );
end
$$;

-- What is wrong with sales: the entries of a sale add up to what is posted, and that is what the facts say, unless it
-- waits to be settled. What is due and not released yet counts as available.
create function referral_private.faults_of_sales(p_stripe_account text, p_livemode boolean, p_sale_ids text[])
returns setof referral.ledger_fault
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_payers text[] := array(
    select distinct s.payer_id from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_sale_ids)
  );
  v_waiting text[] := referral_private.sales_waiting(p_stripe_account, p_livemode, p_sale_ids);
begin
  return query
  with
    posted as materialized (
      select p.* from referral_private.postings as p
      where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.sale_id = any (p_sale_ids)
    ),
    owed as materialized (
      select t.org_id, t.sale_id, t.earner_id, t.kind, t.currency, t.amount, t.available_at
      from referral_private.targets_at(p_stripe_account, p_livemode, v_payers, v_now) as t
      where t.sale_id = any (p_sale_ids) and t.earner_id is not null and t.amount > 0
    ),
    amounts as (
      select 'entries'::referral.ledger_fault_kind as fault, e.org_id, e.sale_id, a.earner_id, a.kind, e.currency,
        case a.account_id when e.credit_account_id then e.amount else -e.amount end as expected, 0::bigint as found
      from referral_private.ledger_entries as e
      join referral_private.ledger_accounts as a
        on a.org_id = e.org_id and a.account_id in (e.debit_account_id, e.credit_account_id)
      where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.sale_id = any (p_sale_ids)
        and a.kind <> 'expense'
      union all
      select 'entries', p.org_id, p.sale_id, p.earner_id, p.kind, p.currency, 0, p.amount from posted as p
      union all
      select 'target', o.org_id, o.sale_id, o.earner_id, o.kind, o.currency, o.amount, 0 from owed as o
      union all
      select 'target', p.org_id, p.sale_id, p.earner_id,
        case
          when p.due_at <= v_now and p.kind = 'pending' then 'available'
          when p.due_at <= v_now and p.kind = 'reward_pending' then 'reward_available'
          else p.kind
        end,
        p.currency, 0, p.amount
      from posted as p
      union all
      select 'due', p.org_id, p.sale_id, p.earner_id, p.kind, p.currency,
        extract(epoch from o.available_at)::bigint, coalesce(extract(epoch from p.due_at)::bigint, 0)
      from posted as p
      join owed as o
        on o.org_id = p.org_id and o.sale_id = p.sale_id and o.earner_id = p.earner_id and o.currency = p.currency
        and (o.kind in ('pending', 'available')) = (p.kind = 'pending')
      where p.kind in ('pending', 'reward_pending') and p.amount > 0 and p.due_at is distinct from o.available_at
    )
  select a.fault, a.org_id, p_stripe_account, p_livemode, a.sale_id, a.earner_id, a.kind, a.currency,
    sum(a.expected)::bigint, sum(a.found)::bigint
  from amounts as a
  where a.fault = 'entries' or not a.sale_id = any (v_waiting)
  group by a.fault, a.org_id, a.sale_id, a.earner_id, a.kind, a.currency
  having sum(a.expected) <> sum(a.found) or a.fault = 'due'
  order by a.sale_id, a.fault, a.earner_id, a.kind;
end
$$;

create type referral_private.sale_key as (sale_id text, stripe_account text, livemode boolean);

-- A slice of the sales after this one: all that there are, or that have postings or entries.
create function referral_private.verify_sales(p_after referral_private.sale_key, p_max_rows int)
returns referral.ledger_slice
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_keys referral_private.sale_key[] := array(
    select k::referral_private.sale_key
    from (
      (
        select s.sale_id, s.stripe_account, s.livemode from referral_private.sales as s
        where (s.sale_id, s.stripe_account, s.livemode)
          > ((p_after).sale_id, (p_after).stripe_account, (p_after).livemode)
        order by 1, 2, 3
        limit p_max_rows
      )
      union
      (
        select distinct p.sale_id, p.stripe_account, p.livemode from referral_private.postings as p
        where (p.sale_id, p.stripe_account, p.livemode)
          > ((p_after).sale_id, (p_after).stripe_account, (p_after).livemode)
        order by 1, 2, 3
        limit p_max_rows
      )
      union
      (
        select distinct e.sale_id, e.stripe_account, e.livemode from referral_private.ledger_entries as e
        where (e.sale_id, e.stripe_account, e.livemode)
          > ((p_after).sale_id, (p_after).stripe_account, (p_after).livemode)
        order by 1, 2, 3
        limit p_max_rows
      )
    ) as k
    order by k.sale_id, k.stripe_account, k.livemode
    limit p_max_rows
  );
begin
  return (
    cardinality(v_keys),
    array(
      select f::referral.ledger_fault
      from (
        select k.stripe_account, k.livemode, array_agg(k.sale_id) as sale_ids from unnest(v_keys) as k
        group by k.stripe_account, k.livemode
      ) as book
      cross join lateral referral_private.faults_of_sales(book.stripe_account, book.livemode, book.sale_ids) as f
    ),
    case when cardinality(v_keys) = p_max_rows then to_jsonb(v_keys[p_max_rows]) end
  )::referral.ledger_slice;
end
$$;
