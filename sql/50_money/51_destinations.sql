-- Which organisation a sale goes to that names none.

-- When a Stripe account got its second organisation; the end of time where it has one or none. From then on an address
-- that a buyer can edit cannot say whose sale it is.
create function referral_private.shared_since(p_stripe_account text)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((
    select o.stripe_account_since from referral.organisations as o
    where coalesce(o.stripe_account_id, '') = p_stripe_account
    order by o.stripe_account_since
    offset 1
    limit 1
  ), 'infinity');
end
$$;

-- Where the mth sale goes that names no organisation.
create type referral_private.destination as (m bigint, org_id uuid, is_unknown boolean);

-- They go where the first sale of their subscription went that went to one, else to the organisation of the evidence
-- that was bound when they were paid. Without any, later evidence says so in the same way. Where it is of several
-- organisations, nobody knows.
create function referral_private.destinations(
  p_sales referral_private.named_sale[],
  p_candidates referral_private.candidate[],
  p_shared_since timestamptz
)
returns setof referral_private.destination
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
-- The planner does not know how long the arrays are.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with
    sold as materialized (
      select s.ordinality as m, s.subscription_id, s.paid_at, s.org_id as named
      from unnest(p_sales) with ordinality as s
    ),
    pointed as (
      select c.m, s.subscription_id, s.named, min(c.org) filter (where c.counts and c.bound_at <= s.paid_at) as bound,
        max(c.org) filter (where c.counts and c.bound_at <= s.paid_at) as last_bound,
        min(c.org) filter (where c.counts) as late, max(c.org) filter (where c.counts) as last_late
      from (
        select c.m, c.org_id::text as org, c.bound_at, c.passed_over is null
          and not (c.kind = 'payment_link' and c.at >= p_shared_since) as counts
        from unnest(p_candidates) as c
      ) as c
      join sold as s on s.m = c.m
      group by 1, 2, 3
    ),
    gone as (
      select p.*, coalesce(p.named, case when p.bound = p.last_bound then p.bound::uuid end) as org_id,
        case when p.late = p.last_late then p.late::uuid end as late_org_id
      from pointed as p
    ),
    firsts as (
      select distinct on (is_late, g.subscription_id) is_late, g.subscription_id, g.m,
        case when is_late then g.late_org_id else g.org_id end as org_id
      from gone as g
      cross join (values (false), (true)) as which (is_late)
      where g.subscription_id is not null and case when is_late then g.late_org_id else g.org_id end is not null
      order by is_late, g.subscription_id, g.m
    )
  select g.m, coalesce(g.named, f.org_id, g.org_id, l.org_id, g.late_org_id),
    coalesce(g.named, f.org_id, g.org_id, l.org_id) is null
      and coalesce(g.bound, g.late) <> coalesce(g.last_bound, g.last_late)
  from gone as g
  left join firsts as f on not f.is_late and f.subscription_id = g.subscription_id and f.m <= g.m
  left join firsts as l
    on l.is_late and l.subscription_id = g.subscription_id and l.m <= g.m and g.bound is null;
end
$$;
