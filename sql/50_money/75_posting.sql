-- Posting: the ledger gets the difference between what the facts say is owed and what it has.

-- The difference between a target and what is posted, per sale and earner, and when what is on hold will be due.
create type referral_private.difference as (
  org_id uuid,
  stripe_account text,
  livemode boolean,
  sale_id text,
  earner_id uuid,
  currency text,
  pending bigint,
  available bigint,
  reward_pending bigint,
  reward_available bigint,
  due_at timestamptz
);

-- So many differences of these sales, in one order. The sales must be all of the payers whose settlement is given.
create function referral_private.differences(p_sale_ids text[], p_settled referral_private.settlement, p_max int)
returns setof referral_private.difference
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
-- The planner does not know how many sales are owed.
set enable_mergejoin = off
set jit = off
as $$
declare
  v_stripe_account constant text := p_settled.stripe_account;
  v_livemode constant boolean := p_settled.livemode;
begin
  return query
  with
    owed as (
      select t.org_id, t.sale_id, t.earner_id, t.currency, t.kind, t.amount,
        case when t.kind in ('pending', 'reward_pending') and t.amount > 0 then t.available_at end as due_at
      from referral_private.targets_of(p_settled, clock_timestamp()) as t
      where t.earner_id is not null
    ),
    posted as (
      select p.org_id, p.sale_id, p.earner_id, p.currency, p.kind, p.amount,
        case when p.amount > 0 then p.due_at end as due_at
      from referral_private.postings as p
      where p.stripe_account = v_stripe_account and p.livemode = v_livemode and p.sale_id = any (p_sale_ids)
    ),
    changes as (
      select org_id, sale_id, earner_id, currency, kind, coalesce(o.amount, 0) - coalesce(p.amount, 0) as change,
        o.due_at, p.due_at as posted_due_at
      from owed as o
      full join posted as p using (org_id, sale_id, earner_id, currency, kind)
      where coalesce(o.amount, 0) <> coalesce(p.amount, 0) or o.due_at is distinct from p.due_at
    ),
    summed as (
      select c.org_id, c.sale_id, c.earner_id, c.currency,
        coalesce(sum(c.change) filter (where c.kind = 'pending'), 0)::bigint as pending,
        coalesce(sum(c.change) filter (where c.kind = 'available'), 0)::bigint as available,
        coalesce(sum(c.change) filter (where c.kind = 'reward_pending'), 0)::bigint as reward_pending,
        coalesce(sum(c.change) filter (where c.kind = 'reward_available'), 0)::bigint as reward_available,
        max(c.due_at) as due_at, max(c.posted_due_at) as posted_due_at
      from changes as c
      group by 1, 2, 3, 4
    )
  select s.org_id, v_stripe_account, v_livemode, s.sale_id, s.earner_id, s.currency,
    s.pending, s.available, s.reward_pending, s.reward_available, s.due_at
  from summed as s
  where num_nonnulls(
    nullif(s.pending, 0), nullif(s.available, 0), nullif(s.reward_pending, 0), nullif(s.reward_available, 0)
  ) > 0 or s.due_at is distinct from s.posted_due_at
  order by s.org_id, s.earner_id, s.currency, s.sale_id
  limit p_max;
end
$$;

-- An amount of a sale that goes from one account to another: `expense` is the organisation's, the others are the
-- earner's.
create type referral_private.movement as (
  org_id uuid,
  sale_id text,
  earner_id uuid,
  currency text,
  place int,
  from_kind referral.account_kind,
  to_kind referral.account_kind,
  amount bigint,
  due_at timestamptz
);

-- The movements that make up for these differences. An amount that leaves the hold and becomes available moves between
-- the two, and the reverse. The rest comes from, or returns to, the expense.
create function referral_private.movements_of(p_differences referral_private.difference[])
returns setof referral_private.movement
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    pairs as (
      select row_number() over () as n, d.org_id, d.sale_id, d.earner_id, d.currency, d.due_at, p.*
      from unnest(p_differences) as d
      cross join lateral (
        select 1, 'pending'::referral.account_kind, 'available'::referral.account_kind, d.pending, d.available
        union all
        select 4, 'reward_pending', 'reward_available', d.reward_pending, d.reward_available
      ) as p (place, held_kind, free_kind, held, free)
    ),
    released as (
      select p.*, case
          when p.free > 0 then least(p.free, greatest(-p.held, 0))
          else greatest(p.free, -greatest(p.held, 0))
        end as release
      from pairs as p
    )
  select r.org_id, r.sale_id, r.earner_id, r.currency, c.place,
    case when c.change > 0 then c.from_kind else c.to_kind end,
    case when c.change > 0 then c.to_kind else c.from_kind end,
    abs(c.change), r.due_at
  from released as r
  cross join lateral (
    select r.place, r.held_kind, r.free_kind, r.release
    union all
    select r.place + 1, 'expense', r.free_kind, r.free - r.release
    union all
    select r.place + 2, 'expense', r.held_kind, r.held + r.release
  ) as c (place, from_kind, to_kind, change)
  where c.change <> 0
  order by r.n, c.place;
end
$$;

-- Brings what is posted of sales up to these movements, and returns, per posting, how many entries there are of it.
create function referral_private.change_postings(
  p_stripe_account text,
  p_livemode boolean,
  p_movements referral_private.movement[]
)
returns setof referral_private.postings
language plpgsql
volatile
rows 10
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_sale_ids constant text[] := array(select distinct m.sale_id from unnest(p_movements) as m);
begin
  return query
  with
    changes as materialized (
      select m.org_id, m.sale_id, m.earner_id, c.kind, m.currency, sum(c.change)::bigint as amount,
        count(*)::int as entries,
        case when c.kind in ('pending', 'reward_pending') then max(m.due_at) end as due_at
      from unnest(p_movements) as m
      cross join lateral (
        select m.from_kind, -m.amount union all select m.to_kind, m.amount
      ) as c (kind, change)
      where c.kind <> 'expense'
      group by 1, 2, 3, 4, 5
    ),
    changed as (
      update referral_private.postings as p
      set amount = p.amount + c.amount, entries = p.entries + c.entries, due_at = c.due_at
      from changes as c
      where p.org_id = c.org_id and p.sale_id = c.sale_id and p.earner_id = c.earner_id and p.kind = c.kind
        and p.currency = c.currency and p.stripe_account = p_stripe_account and p.livemode = p_livemode
        and p.sale_id = any (v_sale_ids)
      returning p.*
    ),
    made as (
      insert into referral_private.postings as p (
        org_id, stripe_account, livemode, sale_id, earner_id, kind, currency, amount, entries, due_at
      )
      select c.org_id, p_stripe_account, p_livemode, c.sale_id, c.earner_id, c.kind, c.currency, c.amount, c.entries,
        c.due_at
      from changes as c
      where not exists (
        select from changed as p
        where p.org_id = c.org_id and p.sale_id = c.sale_id and p.earner_id = c.earner_id and p.kind = c.kind
          and p.currency = c.currency
      )
      returning p.*
    )
  select * from changed
  union all
  select * from made;
end
$$;

-- Stores when what is on hold of these sales will be due, where only that changed.
create function referral_private.change_due_times(p_differences referral_private.difference[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sale_ids constant text[] := array(select distinct d.sale_id from unnest(p_differences) as d);
begin
  update referral_private.postings as p
  set due_at = due.due_at
  from (
    select d.*, kind
    from unnest(p_differences) as d
    cross join unnest('{pending,reward_pending}'::referral.account_kind[]) as kind
  ) as due
  where p.org_id = due.org_id and p.sale_id = due.sale_id and p.earner_id = due.earner_id and p.kind = due.kind
    and p.currency = due.currency and p.stripe_account = due.stripe_account and p.livemode = due.livemode
    and p.due_at is distinct from due.due_at and p.sale_id = any (v_sale_ids);
end
$$;
