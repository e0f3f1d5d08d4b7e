-- Sales of guests under terms that limit how many of a code earn in a day. A projection, kept because a sale's place
-- among those of its code and UTC day decides whether it earns.
create table referral_private.guest_sales (
  code_id uuid not null,
  livemode boolean not null,
  paid_on date not null,
  paid_at timestamptz not null,
  sale_id text collate "C" not null,
  stripe_account text collate "C" not null,
  constraint guest_sales_pkey primary key (sale_id, stripe_account, livemode),
  constraint guest_sales_are_by_a_code
    foreign key (code_id) references referral.codes (id)
      on delete restrict
);

create index guest_sales_by_place on referral_private.guest_sales (code_id, livemode, paid_on, paid_at, sale_id);

alter table referral_private.guest_sales enable row level security;

-- Whether so many guests' sales of a code and day, or more, come before this one. Not more than these are read.
create function referral_private.is_beyond_guests(
  p_stripe_account text,
  p_livemode boolean,
  p_sale_id text,
  p_guests_per_day int
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral_private.guest_sales as own
    cross join lateral (
      select from referral_private.guest_sales as g
      where g.code_id = own.code_id and g.livemode = own.livemode and g.paid_on = own.paid_on
        and (g.paid_at, g.sale_id) < (own.paid_at, own.sale_id)
      order by g.paid_at, g.sale_id
      offset p_guests_per_day - 1
      limit 1
    ) as earlier
    where own.sale_id = p_sale_id and own.stripe_account = p_stripe_account and own.livemode = p_livemode
  );
end
$$;

-- How many sales of a code and day came, went or moved, and the numbers at which a place matters.
create type referral_private.guest_change as (code_id uuid, paid_on date, sales int, limits int[]);

-- The payers of the sales that such changes may have moved across a limit: with n of them, the n on either side.
create function referral_private.guests_near_limits(p_livemode boolean, p_changes referral_private.guest_change[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- Callers that join long arrays turn it off.
set enable_nestloop = on
as $$
begin
  return array(
    select distinct s.payer_id
    from unnest(p_changes) as c
    cross join lateral unnest(c.limits) as near_limit
    cross join lateral (
      select g.sale_id, g.stripe_account from referral_private.guest_sales as g
      where g.code_id = c.code_id and g.livemode = p_livemode and g.paid_on = c.paid_on
      order by g.paid_at, g.sale_id
      offset greatest(near_limit - c.sales, 0)
      limit 2 * c.sales
    ) as near
    join referral_private.sales as s
      on s.sale_id = near.sale_id and s.stripe_account = near.stripe_account and s.livemode = p_livemode
  );
end
$$;

-- Brings the guests' sales among these up to the facts. Returns the payers whose commissions may change by it.
create function referral_private.place_guest_sales(p_sale_ids text[], p_settled referral_private.settlement)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- The planner does not know how many sales are won.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_stripe_account constant text := p_settled.stripe_account;
  v_livemode constant boolean := p_settled.livemode;
  v_changes referral_private.guest_change[];
begin
  if not exists (select from unnest(p_settled.won) as w where w.is_guest) and not exists (
    select from referral_private.guest_sales as g
    where g.sale_id = any (p_sale_ids) and g.stripe_account = v_stripe_account and g.livemode = v_livemode
  ) then
    return '{}';
  end if;
  with
    current as (
      select e.code_id, (w.paid_at at time zone 'UTC')::date as paid_on, w.paid_at, w.sale_id
      from unnest(p_settled.won) as w
      join unnest(p_settled.evidence) with ordinality as e on e.ordinality = w.n
      where w.refusal is null and w.is_guest and e.terms ? 'guests_per_day'
    ),
    gone as (
      delete from referral_private.guest_sales as g
      where g.stripe_account = v_stripe_account and g.livemode = v_livemode and g.sale_id = any (p_sale_ids)
        and not exists (
          select from current as c
          where c.sale_id = g.sale_id and c.code_id = g.code_id and c.paid_at = g.paid_at
        )
      returning g.code_id, g.paid_on
    ),
    made as (
      insert into referral_private.guest_sales (code_id, livemode, paid_on, paid_at, sale_id, stripe_account)
      select c.code_id, v_livemode, c.paid_on, c.paid_at, c.sale_id, v_stripe_account
      from current as c
      where not exists (
        select from referral_private.guest_sales as g
        where g.sale_id = c.sale_id and g.stripe_account = v_stripe_account and g.livemode = v_livemode
          and g.code_id = c.code_id and g.paid_at = c.paid_at
      )
      returning code_id, paid_on
    )
  select array_agg((c.code_id, c.paid_on, c.sales, array(
    select distinct (t.terms ->> 'guests_per_day')::int
    from referral.codes as d
    join referral.program_terms as t on t.org_id = d.org_id and t.program_id = d.program_id
    where d.id = c.code_id and t.terms ? 'guests_per_day'
  ))::referral_private.guest_change) into v_changes
  from (
    select x.code_id, x.paid_on, count(*)::int as sales
    from (select * from gone union all select * from made) as x
    group by 1, 2
  ) as c;
  if v_changes is null then
    return '{}';
  end if;
  return referral_private.guests_near_limits(v_livemode, v_changes);
end
$$;
