-- A referral: what one person, or payer without one, bought in a program, as far as one earner is credited. A
-- projection, kept because the rank of a referral among its earner's decides tiers and the number of commissions.
create table referral_private.referrals (
  org_id uuid not null,
  program_id uuid not null,
  earner_id uuid not null,
  person text collate "C" not null,
  stripe_account text collate "C" not null,
  livemode boolean not null,
  payer_id text collate "C" not null,
  first_paid_at timestamptz not null,
  first_sale_id text collate "C" not null,
  constraint referrals_pkey primary key (org_id, program_id, earner_id, livemode, person),
  constraint referrals_are_of_a_program
    foreign key (org_id, program_id) references referral.programs (org_id, id)
      on delete restrict
);

create index referrals_by_rank on referral_private.referrals (
  org_id,
  program_id,
  earner_id,
  livemode,
  first_paid_at,
  first_sale_id,
  person
);

create index referrals_by_payer on referral_private.referrals (payer_id, stripe_account, livemode);

alter table referral_private.referrals enable row level security;

-- A referral's place among its earner's in the program, by the first qualifying sale that the earner won in it.
create function referral_private.rank_of(
  p_org_id uuid,
  p_program_id uuid,
  p_earner_id uuid,
  p_livemode boolean,
  p_person text
)
returns int
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select count(*) + 1
    from referral_private.referrals as own
    join referral_private.referrals as f
      on f.org_id = own.org_id and f.program_id = own.program_id and f.earner_id = own.earner_id
        and f.livemode = own.livemode
        and (f.first_paid_at, f.first_sale_id, f.person) < (own.first_paid_at, own.first_sale_id, own.person)
    where own.org_id = p_org_id and own.program_id = p_program_id and own.earner_id = p_earner_id
      and own.livemode = p_livemode and own.person = p_person
  );
end
$$;

-- A referral's rank among its earner's.
create type referral_private.ranked_referral as (program_id uuid, earner_id uuid, person text, rank int);

-- The ranks of the referrals of these sales, where the terms make them count. Where many of an earner's are asked for,
-- all of the earner's are numbered once.
create function referral_private.ranks_of(p_settled referral_private.settlement)
returns setof referral_private.ranked_referral
language plpgsql
stable
rows 1000
security invoker
set search_path = pg_catalog, pg_temp
-- Callers that join long arrays turn it off.
set enable_nestloop = on
as $$
declare
  v_ranked constant bigint[] := array(
    select e.ordinality from unnest(p_settled.evidence) with ordinality as e
    where e.terms ?| '{tiers,max_commissions_per_referrer}'
  );
begin
  if cardinality(v_ranked) = 0 then
    return;
  end if;
  return query
  with
    asked as materialized (
      select r.*, count(*) over (partition by r.org_id, r.program_id, r.earner_id) > 2 as are_many
      from (
        select distinct e.org_id, e.program_id, e.earner_id, w.group_id as person
        from (
          select distinct w.n, w.group_id from unnest(p_settled.won) as w
          where w.refusal is null and w.n in (select unnest(v_ranked))
        ) as w
        join unnest(p_settled.evidence) with ordinality as e on e.ordinality = w.n
      ) as r
    )
  select a.program_id, a.earner_id, a.person,
    referral_private.rank_of(a.org_id, a.program_id, a.earner_id, p_settled.livemode, a.person)
  from asked as a
  where not a.are_many
  union all
  select f.program_id, f.earner_id, f.person, row_number() over (
      partition by f.program_id, f.earner_id order by f.first_paid_at, f.first_sale_id, f.person
    )::int
  from (select distinct a.org_id, a.program_id, a.earner_id from asked as a where a.are_many) as many
  join referral_private.referrals as f
    on f.org_id = many.org_id and f.program_id = many.program_id and f.earner_id = many.earner_id
      and f.livemode = p_settled.livemode;
end
$$;

-- The ranks at which something changes, in any version of a program's terms.
create function referral_private.boundaries_of(p_org_id uuid, p_program_id uuid)
returns setof int
language plpgsql
stable
rows 5
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select distinct b.boundary
  from referral.program_terms as t
  cross join lateral (
    select (tier ->> 'from')::int as boundary from jsonb_array_elements(t.terms -> 'tiers') as tier
    union all
    select (t.terms ->> 'max_commissions_per_referrer')::int + 1
  ) as b
  where t.org_id = p_org_id and t.program_id = p_program_id and b.boundary > 1;
end
$$;

-- How many referrals of an earner's came, went or moved.
create type referral_private.rank_change as (org_id uuid, program_id uuid, earner_id uuid, referrals int);

-- The payers of the referrals that may have crossed a boundary by such changes: with n of them, the n on either side
-- of each boundary.
create function referral_private.payers_near_boundaries(p_livemode boolean, p_changes referral_private.rank_change[])
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
    select distinct near.payer_id
    from (
      select p.*, b.boundary
      from (select distinct c.org_id, c.program_id from unnest(p_changes) as c) as p
      cross join lateral referral_private.boundaries_of(p.org_id, p.program_id) as b (boundary)
    ) as b
    join unnest(p_changes) as c on c.org_id = b.org_id and c.program_id = b.program_id
    cross join lateral (
      select f.payer_id from referral_private.referrals as f
      where f.org_id = c.org_id and f.program_id = c.program_id and f.earner_id = c.earner_id
        and f.livemode = p_livemode
      order by f.first_paid_at, f.first_sale_id, f.person
      offset greatest(b.boundary - 1 - c.referrals, 0)
      limit 2 * c.referrals
    ) as near
  );
end
$$;

-- Brings the referrals of these payers up to the facts. Where rank decides, returns the payers whose commissions may
-- change by it.
create function referral_private.rank_referrals(p_payer_ids text[], p_settled referral_private.settlement)
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
  v_changes referral_private.rank_change[];
begin
  with
    current as (
      select f.org_id, f.program_id, f.earner_id, f.person, w.payer_id, w.paid_at as first_paid_at,
        w.sale_id as first_sale_id
      from (
        select e.org_id, e.program_id, e.earner_id, w.group_id as person, min(w.ordinality) as first
        from unnest(p_settled.won) with ordinality as w
        join unnest(p_settled.evidence) with ordinality as e on e.ordinality = w.n
        where w.refusal is null
        group by 1, 2, 3, 4
      ) as f
      join unnest(p_settled.won) with ordinality as w on w.ordinality = f.first
    ),
    gone as (
      delete from referral_private.referrals as f
      where f.stripe_account = p_settled.stripe_account and f.livemode = p_settled.livemode
        and f.payer_id = any (p_payer_ids)
        and not exists (
          select from current as c
          where c.org_id = f.org_id and c.program_id = f.program_id and c.earner_id = f.earner_id
            and c.person = f.person
        )
      returning f.org_id, f.program_id, f.earner_id
    ),
    made as (
      insert into referral_private.referrals as f (
        org_id, program_id, earner_id, person, stripe_account, livemode, payer_id, first_paid_at, first_sale_id
      )
      select c.org_id, c.program_id, c.earner_id, c.person, p_settled.stripe_account, p_settled.livemode, c.payer_id,
        c.first_paid_at, c.first_sale_id
      from current as c
      on conflict on constraint referrals_pkey do update
      set payer_id = excluded.payer_id, first_paid_at = excluded.first_paid_at, first_sale_id = excluded.first_sale_id
      where (f.payer_id, f.first_paid_at, f.first_sale_id)
        is distinct from (excluded.payer_id, excluded.first_paid_at, excluded.first_sale_id)
      returning f.org_id, f.program_id, f.earner_id
    )
  select array_agg(changed::referral_private.rank_change) into v_changes
  from (
    select c.org_id, c.program_id, c.earner_id, count(*)::int
    from (select * from gone union all select * from made) as c
    group by 1, 2, 3
  ) as changed;
  if v_changes is null then
    return '{}';
  end if;
  return referral_private.payers_near_boundaries(p_settled.livemode, v_changes);
end
$$;
