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

-- Where sales that name no organisation go.
create type referral_private.destination as (sale_id text collate "C", org_id uuid, is_unknown boolean);

-- They go where the first sale of their subscription went that went to one, else to the organisation of the evidence
-- that was bound when they were paid. Without any, later evidence says so in the same way. Where it is of several
-- organisations, nobody knows.
create function referral_private.destinations(p_candidates referral_private.candidate[], p_shared_since timestamptz)
returns setof referral_private.destination
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    pointed as (
      select c.sale_id, c.subscription_id, c.paid_at, c.named,
        array_agg(distinct c.org_id) filter (where c.counts and c.bound_at <= c.paid_at) as bound,
        array_agg(distinct c.org_id) filter (where c.counts) as late
      from (
        select ((c.sale).sale).sale_id, ((c.sale).sale).subscription_id, ((c.sale).sale).paid_at,
          (c.sale).org_id as named, (c.evidence).org_id, c.bound_at, c.passed_over is null
            and not ((c.evidence).kind = 'payment_link' and (c.evidence).at >= p_shared_since) as counts
        from unnest(p_candidates) as c
      ) as c
      group by 1, 2, 3, 4
    ),
    gone as (
      select p.sale_id, p.subscription_id, p.paid_at, p.named,
        coalesce(p.named, case when cardinality(p.bound) = 1 then p.bound[1] end) as org_id, p.bound,
        case when cardinality(p.late) = 1 then p.late[1] end as late_org_id, p.late
      from pointed as p
    ),
    firsts as (
      select distinct on (is_late, g.subscription_id) is_late, g.subscription_id, g.paid_at, g.sale_id,
        case when is_late then g.late_org_id else g.org_id end as org_id
      from gone as g
      cross join (values (false), (true)) as which (is_late)
      where g.subscription_id is not null and case when is_late then g.late_org_id else g.org_id end is not null
      order by is_late, g.subscription_id, g.paid_at, g.sale_id
    )
  select g.sale_id, coalesce(g.named, f.org_id, g.org_id, l.org_id, g.late_org_id),
    coalesce(g.named, f.org_id, g.org_id, l.org_id) is null and cardinality(coalesce(g.bound, g.late)) > 1
  from gone as g
  left join firsts as f
    on not f.is_late and f.subscription_id = g.subscription_id and (f.paid_at, f.sale_id) <= (g.paid_at, g.sale_id)
  left join firsts as l
    on l.is_late and l.subscription_id = g.subscription_id and (l.paid_at, l.sale_id) <= (g.paid_at, g.sale_id)
    and g.bound is null;
end
$$;
