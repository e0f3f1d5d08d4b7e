-- Posting: the ledger gets the difference between what the facts say is owed and what it has.

-- The difference between a target and what is posted, per sale and earner, and when what is pending will be due.
create type referral_private.difference as (
  org_id uuid,
  stripe_account text,
  livemode boolean,
  sale_id text,
  earner_id uuid,
  currency text,
  pending bigint,
  available bigint,
  reward bigint,
  due_at timestamptz
);

-- The differences of these sales, in one order. The sales must be all of the payers whose won sales are given.
create function referral_private.differences(
  p_stripe_account text,
  p_livemode boolean,
  p_sale_ids text[],
  p_won referral_private.won_sale[]
)
returns setof referral_private.difference
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    amounts as (
      select (t.evidence).org_id, (t.sale).sale_id, t.earner_id, (t.sale).currency, t.kind, t.amount as target,
        0::bigint as posted, case when t.kind = 'pending' and t.amount > 0 then t.available_at end as due_at,
        null::timestamptz as posted_due_at
      from referral_private.targets_of(p_won, clock_timestamp()) as t
      where t.earner_id is not null
      union all
      select p.org_id, p.sale_id, p.earner_id, p.currency, p.kind, 0, p.amount, null,
        case when p.kind = 'pending' and p.amount > 0 then p.due_at end
      from referral_private.postings as p
      where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.sale_id = any (p_sale_ids)
    ),
    summed as (
      select a.org_id, a.sale_id, a.earner_id, a.currency,
        coalesce(sum(a.target - a.posted) filter (where a.kind = 'pending'), 0)::bigint as pending,
        coalesce(sum(a.target - a.posted) filter (where a.kind = 'available'), 0)::bigint as available,
        coalesce(sum(a.target - a.posted) filter (where a.kind = 'reward'), 0)::bigint as reward,
        max(a.due_at) as due_at, max(a.posted_due_at) as posted_due_at
      from amounts as a
      group by 1, 2, 3, 4
    )
  select s.org_id, p_stripe_account, p_livemode, s.sale_id, s.earner_id, s.currency,
    s.pending, s.available, s.reward, s.due_at
  from summed as s
  where s.pending <> 0 or s.available <> 0 or s.reward <> 0 or s.due_at is distinct from s.posted_due_at
  order by s.org_id, s.earner_id, s.currency, s.sale_id;
end
$$;

-- An amount that goes from one account to another: `expense` is the organisation's, the others are the earner's.
create type referral_private.movement as (
  from_kind referral.account_kind,
  to_kind referral.account_kind,
  amount bigint
);

-- The movements that make up for a difference. An amount that leaves pending and enters available moves between them,
-- and the reverse. The rest comes from, or returns to, the expense.
create function referral_private.movements_of(p_difference referral_private.difference)
returns setof referral_private.movement
language plpgsql
immutable
rows 3
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_released bigint := case
    when p_difference.available > 0 then least(p_difference.available, greatest(-p_difference.pending, 0))
    else greatest(p_difference.available, -greatest(p_difference.pending, 0))
  end;
begin
  return query
  select
    case when c.change > 0 then c.from_kind else c.to_kind end,
    case when c.change > 0 then c.to_kind else c.from_kind end,
    abs(c.change)
  from (
    values
      (1, 'pending'::referral.account_kind, 'available'::referral.account_kind, v_released),
      (2, 'expense', 'available', p_difference.available - v_released),
      (3, 'expense', 'reward', p_difference.reward),
      (4, 'expense', 'pending', p_difference.pending + v_released)
  ) as c (place, from_kind, to_kind, change)
  where c.change <> 0
  order by c.place;
end
$$;

-- Adds to what is posted of a sale to an earner's account of this kind, and stores when what is pending will be due.
-- Returns how many entries that makes.
create function referral_private.change_posting(
  p_difference referral_private.difference,
  p_kind referral.account_kind,
  p_change bigint
)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due_at timestamptz := case when p_kind = 'pending' then p_difference.due_at end;
  v_entries int;
begin
  update referral_private.postings as p
  set amount = p.amount + p_change, entries = p.entries + (p_change <> 0)::int, due_at = v_due_at
  where p.org_id = p_difference.org_id and p.sale_id = p_difference.sale_id and p.earner_id = p_difference.earner_id
    and p.kind = p_kind and p.currency = p_difference.currency
    and p.stripe_account = p_difference.stripe_account and p.livemode = p_difference.livemode
    and (p_change <> 0 or p.due_at is distinct from v_due_at)
  returning p.entries into v_entries;
  if not found and p_change <> 0 then
    insert into referral_private.postings (
      org_id, stripe_account, livemode, sale_id, earner_id, kind, currency, amount, entries, due_at
    )
    values (
      p_difference.org_id, p_difference.stripe_account, p_difference.livemode, p_difference.sale_id,
      p_difference.earner_id, p_kind, p_difference.currency, p_change, 1, v_due_at
    )
    returning entries into v_entries;
  end if;
  return v_entries;
end
$$;

-- Posts one movement: the entry, what is posted of the sale, and the balances of the earner's accounts. The reason of
-- an entry is the account that it changes and its number among the entries of the sale there: it can be posted once
-- only.
create function referral_private.post_movement(
  p_difference referral_private.difference,
  p_movement referral_private.movement,
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from bigint := referral_private.ensure_ledger_account(
    p_difference.org_id, p_difference.livemode, p_difference.earner_id, p_movement.from_kind, p_difference.currency
  );
  v_to bigint := referral_private.ensure_ledger_account(
    p_difference.org_id, p_difference.livemode, p_difference.earner_id, p_movement.to_kind, p_difference.currency
  );
  v_from_entries int;
  v_to_entries int;
begin
  if p_movement.from_kind <> 'expense' then
    v_from_entries := referral_private.change_posting(p_difference, p_movement.from_kind, -p_movement.amount);
  end if;
  if p_movement.to_kind <> 'expense' then
    v_to_entries := referral_private.change_posting(p_difference, p_movement.to_kind, p_movement.amount);
  end if;
  insert into referral_private.ledger_entries (
    org_id, debit_account_id, credit_account_id, amount, currency, reason_key, stripe_account, livemode, sale_id,
    caused_by
  )
  values (
    p_difference.org_id, v_from, v_to, p_movement.amount, p_difference.currency,
    concat_ws(
      ' ', p_difference.stripe_account, p_difference.livemode, p_difference.sale_id,
      case when v_to_entries is null then v_from else v_to end, coalesce(v_to_entries, v_from_entries)
    ),
    p_difference.stripe_account, p_difference.livemode, p_difference.sale_id, p_cause
  );
  update referral_private.ledger_accounts as a
  set balance = a.balance + case a.account_id when v_to then p_movement.amount else -p_movement.amount end
  where a.org_id = p_difference.org_id and a.account_id in (v_from, v_to) and a.kind <> 'expense';
end
$$;

-- Posts the differences between what won sales are owed and what is posted of these sales: all sales of the payers
-- that are settled, and those that may have become another payer's, or no sale.
create function referral_private.post_differences(
  p_stripe_account text,
  p_livemode boolean,
  p_sale_ids text[],
  p_won referral_private.won_sale[],
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_differences referral_private.difference[] := array(
    select d from referral_private.differences(p_stripe_account, p_livemode, p_sale_ids, p_won) as d
  );
  v_difference referral_private.difference;
  v_movement referral_private.movement;
begin
  -- Locked first and in one order: the accounts of old and new winners.
  perform from referral_private.ledger_accounts as a
  where (a.org_id, a.earner_id) in (select d.org_id, d.earner_id from unnest(v_differences) as d)
  order by a.org_id, a.account_id
  for no key update;
  foreach v_difference in array v_differences loop
    for v_movement in select m.* from referral_private.movements_of(v_difference) as m loop
      perform referral_private.post_movement(v_difference, v_movement, p_cause);
    end loop;
    if v_difference.pending = 0 then
      -- Only the hold may have changed.
      perform referral_private.change_posting(v_difference, 'pending', 0);
    end if;
  end loop;
end
$$;
