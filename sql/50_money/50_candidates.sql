-- The evidence that a sale could be won by.

-- The mth sale and the nth evidence that it could be won by: since when that is bound to the sale's payer, and why it
-- is passed over, where it is.
create type referral_private.candidate as (
  m bigint,
  n bigint,
  org_id uuid,
  kind referral_private.evidence_kind,
  evidence_id uuid,
  at timestamptz,
  bound_at timestamptz,
  is_forfeited boolean,
  passed_over text
);

-- Since when the nth evidence is bound to a payer of its group, and whether the payer was a customer before.
create type referral_private.binding as (
  n bigint,
  payer_id text collate "C",
  bound_at timestamptz,
  is_existing boolean
);

-- The bindings of this evidence to payers with sales. Evidence is bound at its own time, or by the last link through
-- which it reaches the payer; the id of a redemption is a link to the referee, too. An existing customer is one who, or
-- another payer that was linked to the same person by the time of the evidence, had paid before it. Payments that carry
-- the same code, or name another organisation, do not count. Times of evidence are whole seconds.
create function referral_private.bindings(
  p_sales referral_private.named_sale[],
  p_history referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof referral_private.binding
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
    payers as materialized (select s.payer_id, s.group_id, s.linked_at from unnest(p_sales) as s group by 1, 2, 3),
    own as materialized (
      select n from referral_private.evidence_for_own_payers(p_sales, p_evidence) as n
      where (select count(*) from payers) > 2
    ),
    numbered as materialized (
      select row_number() over () as n, e.group_id, e.payer_id as carried_by, e.kind, e.carried_at,
        e.linked_at as carrier_linked_at, e.at, e.org_id, e.code_id,
        e.refusal is null and e.terms ->> 'customers' <> 'any' as is_for_new
      from unnest(p_evidence) as e
    ),
    bound as materialized (
      select n.*, p.payer_id, p.linked_at
      from numbered as n join payers as p on p.payer_id = n.carried_by
      where n.n in (select own.n from own)
      union all
      select n.*, p.payer_id, p.linked_at
      from numbered as n join payers as p on p.group_id = n.group_id
      where not n.n in (select own.n from own)
    ),
    paid as materialized (
      select p.group_id, p.payer_id, p.linked_at, p.org_id, p.code_ids, date_trunc('second', min(p.paid_at)) as paid_at
      from unnest(p_history) as p group by 1, 2, 3, 4, 5
    ),
    known as (
      select distinct n.n
      from numbered as n
      join (
        select p.group_id, p.org_id, p.code_ids, min(greatest(p.paid_at + interval '1 second', p.linked_at)) as since
        from paid as p where p.linked_at is not null group by 1, 2, 3
      ) as h on h.group_id = n.group_id
      where n.is_for_new and h.since <= n.at and (h.org_id is null or h.org_id = n.org_id)
        and not n.code_id = any (h.code_ids)
    ),
    paying as (
      select distinct b.n, b.payer_id
      from bound as b
      join paid as h on h.payer_id = b.payer_id
      where b.is_for_new and h.paid_at < b.at and (h.org_id is null or h.org_id = b.org_id)
        and not b.code_id = any (h.code_ids)
    )
  select b.n, b.payer_id, greatest(
      b.at, case when b.kind = 'redemption_id' then b.carried_at end,
      case when b.carried_by is distinct from b.payer_id then b.linked_at end,
      case when b.carried_by <> b.payer_id then b.carrier_linked_at end
    ), k.n is not null or e.n is not null
  from bound as b left join known as k on k.n = b.n
  left join paying as e on e.n = b.n and e.payer_id = b.payer_id;
end
$$;

-- A sale is open to evidence that is not later than its payment and that its organisation and its program fit. Evidence
-- wins beyond its conversion window only where a sale within it was open. A forfeit from before the first sale that was
-- open to it is passed over.
create function referral_private.fits(
  p_sales referral_private.named_sale[],
  p_history referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof referral_private.candidate
language plpgsql
stable
rows 1000
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with
    numbered as materialized (
      select row_number() over () as n, e.at, e.org_id, e.program_id, e.kind, e.evidence_id, e.is_confirmed, e.refusal,
        array(
          select d.id from referral.decisions as d
          where d.org_id = e.org_id and d.kind = 'forfeit' and d.withdrawn_at is null
            and (d.member_id in (e.earner_id, e.referrer_id) or d.chain_id = e.chain_id)
        ) as forfeit_ids,
        e.at + (e.terms ->> 'conversion_window_days')::int * interval '24 hours' as ends_at
      from unnest(p_evidence) as e
    ),
    fitting as materialized (
      select n.*, s.ordinality as m, b.bound_at, b.is_existing, s.sale_at <= n.ends_at as is_in_window, s.paid_at,
        date_trunc('second', s.paid_at) as paid_in
      from numbered as n
      join referral_private.bindings(p_sales, p_history, p_evidence) as b on b.n = n.n
      join unnest(p_sales) with ordinality as s on s.payer_id = b.payer_id
      where n.at <= date_trunc('second', s.paid_at) and (s.org_id is null or s.org_id = n.org_id)
        and (s.program_id is null or s.program_id = n.program_id)
    ),
    opened as (
      select o.n, min(o.bound_at) filter (where o.is_in_window) as in_window, array_agg(o.bound_at) as bound_at,
        array_agg(o.paid_in) as paid_in
      from (
        select f.n, f.bound_at, min(f.paid_in) as paid_in, bool_or(f.is_in_window) as is_in_window
        from fitting as f
        group by f.n, f.bound_at
      ) as o
      group by o.n
    )
  select f.m, f.n, f.org_id, f.kind, f.evidence_id, f.at, f.bound_at, coalesce(forfeit.is_forfeited, false), case
      when f.refusal is not null then f.refusal
      when f.is_existing then 'existing_customer'
      when not (f.is_in_window or f.is_confirmed or coalesce(o.in_window <= f.paid_at, false)) then 'conversion_window'
      when forfeit.is_early then 'forfeited'
    end
  from fitting as f
  join opened as o on o.n = f.n
  left join lateral (
    select true as is_forfeited, bool_or(d.since <= least(f.paid_in, (
        select min(open.paid_in) from unnest(o.bound_at, o.paid_in) as open (bound_at, paid_in)
        where open.bound_at <= f.paid_in
      ))) as is_early
    from referral.decisions as d
    where f.forfeit_ids <> '{}' and d.org_id = f.org_id and d.id = any (f.forfeit_ids)
      and d.since <= f.paid_in and (d.until is null or f.paid_in < d.until)
    having count(*) > 0
  ) as forfeit on true;
end
$$;

-- The candidates of these sales: of an organisation's evidence that counts, and of that which is passed over, the
-- first. What a buyer can edit counts or not by its time: each is kept.
create function referral_private.candidates(
  p_sales referral_private.named_sale[],
  p_history referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof referral_private.candidate
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select distinct on (f.m, f.org_id, f.passed_over is null, case when f.kind = 'payment_link' then f.at end) f.*
  from referral_private.fits(p_sales, p_history, p_evidence) as f
  order by f.m, f.org_id, f.passed_over is null, case when f.kind = 'payment_link' then f.at end, f.bound_at, f.kind,
    f.evidence_id, f.at;
end
$$;
