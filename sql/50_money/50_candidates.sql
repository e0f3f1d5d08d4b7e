-- The evidence that a sale could be won by.

-- Evidence that a sale could be won by: since when it is bound to the sale's payer, and why it is passed over, where it
-- is.
create type referral_private.candidate as (
  sale referral_private.named_sale,
  evidence referral_private.evidence,
  bound_at timestamptz,
  is_forfeited boolean,
  passed_over text
);

-- Since when evidence is bound to a payer: its own time, or the last link through which it reaches the payer. The id of
-- a redemption is a link to the referee, too.
create function referral_private.bound_at(p_evidence referral_private.evidence, p_payer referral_private.payer)
returns timestamptz
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return greatest(
    p_evidence.at,
    case when p_evidence.kind = 'redemption_id' then p_evidence.carried_at end,
    case when p_evidence.payer_id is distinct from p_payer.payer_id then p_payer.linked_at end,
    case when p_evidence.payer_id <> p_payer.payer_id then p_evidence.linked_at end
  );
end
$$;

-- Since when the nth evidence is bound to a payer of its group, and whether the payer was a customer before.
create type referral_private.binding as (
  n bigint,
  payer_id text collate "C",
  bound_at timestamptz,
  is_existing boolean
);

-- The bindings of this evidence to payers with sales. An existing customer is one who, or another payer that was linked
-- to the same person by the time of the evidence, had paid before it. Payments that carry the same code, or name
-- another organisation, do not count. Times of evidence are whole seconds.
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
declare
  v_payers constant referral_private.payer[] := array(select distinct s.payer from unnest(p_sales) as s);
  v_own constant bigint[] := array(
    select n from referral_private.evidence_for_own_payers(p_sales, p_evidence) as n where cardinality(v_payers) > 2
  );
begin
  return query
  with
    numbered as materialized (
      select row_number() over () as n, e as evidence, e.group_id, e.payer_id, e.at, e.org_id, e.code_id,
        e.refusal is null and e.terms ->> 'customers' <> 'any' as is_for_new
      from unnest(p_evidence) as e
    ),
    bound as materialized (
      select n.*, p as payer
      from numbered as n join unnest(v_payers) as p on p.payer_id = n.payer_id
      where n.n in (select unnest(v_own))
      union all
      select n.*, p
      from numbered as n join unnest(v_payers) as p on p.group_id = n.group_id
      where not n.n in (select unnest(v_own))
    ),
    paid as materialized (
      select (p.payer).group_id, (p.payer).payer_id, (p.payer).linked_at, p.org_id, p.code_ids,
        date_trunc('second', min((p.sale).paid_at)) as paid_at
      from unnest(p_history) as p
      group by 1, 2, 3, 4, 5
    ),
    known as (
      select distinct n.n
      from numbered as n
      join (
        select p.group_id, p.org_id, p.code_ids, min(greatest(p.paid_at + interval '1 second', p.linked_at)) as since
        from paid as p
        where p.linked_at is not null
        group by 1, 2, 3
      ) as h on h.group_id = n.group_id
      where n.is_for_new and h.since <= n.at and (h.org_id is null or h.org_id = n.org_id)
        and not n.code_id = any (h.code_ids)
    ),
    paying as (
      select distinct b.n, (b.payer).payer_id
      from bound as b
      join paid as h on h.payer_id = (b.payer).payer_id
      where b.is_for_new and h.paid_at < b.at and (h.org_id is null or h.org_id = b.org_id)
        and not b.code_id = any (h.code_ids)
    )
  select b.n, (b.payer).payer_id, referral_private.bound_at(b.evidence, b.payer),
    k.n is not null or e.n is not null
  from bound as b
  left join known as k on k.n = b.n
  left join paying as e on e.n = b.n and e.payer_id = (b.payer).payer_id;
end
$$;

-- The mth sale and the nth evidence that fits it.
create type referral_private.fit as (m bigint, n bigint, bound_at timestamptz, is_forfeited boolean, passed_over text);

-- A sale is open to evidence that is not later than its payment and that its organisation and its program fit. Evidence
-- wins beyond its conversion window only where a sale within it was open. A forfeit from before the first sale that was
-- open to it is passed over.
create function referral_private.fits(
  p_sales referral_private.named_sale[],
  p_history referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof referral_private.fit
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
      select row_number() over () as n, e.at, e.org_id, e.program_id, e.chain_id, e.is_confirmed, e.refusal,
        array[e.earner_id, e.referrer_id] as member_ids,
        e.at + (e.terms ->> 'conversion_window_days')::int * interval '24 hours' as ends_at
      from unnest(p_evidence) as e
    ),
    fitting as materialized (
      select n.*, s.m, b.bound_at, b.is_existing, s.sale_at <= n.ends_at as is_in_window, s.paid_at,
        date_trunc('second', s.paid_at) as paid_in
      from numbered as n
      join referral_private.bindings(p_sales, p_history, p_evidence) as b on b.n = n.n
      join (
        select row_number() over () as m, (p.payer).payer_id, (p.sale).sale_at, (p.sale).paid_at, (p.sale).program_id,
          p.org_id
        from unnest(p_sales) as p
      ) as s on s.payer_id = b.payer_id
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
  select f.m, f.n, f.bound_at, coalesce(forfeit.is_forfeited, false), case
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
    where d.org_id = f.org_id and d.kind = 'forfeit' and d.withdrawn_at is null
      and (d.member_id = any (f.member_ids) or d.chain_id = f.chain_id)
      and d.since <= f.paid_in and (d.until is null or f.paid_in < d.until)
    having count(*) > 0
  ) as forfeit on true;
end
$$;

-- The candidates of these sales: of an organisation's evidence that counts, and of that which is passed over, the
-- first. Rows are joined by number: there can be as many as sales times evidence.
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
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with
    numbered as materialized (
      select row_number() over () as n, e as evidence, e.org_id, e.kind, e.evidence_id, e.at,
        -- What a buyer can edit counts or not by its time: each is kept.
        case when e.kind = 'payment_link' then e.at end as edited_at
      from unnest(p_evidence) as e
    ),
    sold as materialized (
      select row_number() over () as m, s as sale from unnest(p_sales) as s
    ),
    first as (
      select distinct on (f.m, n.org_id, f.passed_over is null, n.edited_at) f.*
      from referral_private.fits(p_sales, p_history, p_evidence) as f
      join numbered as n on n.n = f.n
      order by f.m, n.org_id, f.passed_over is null, n.edited_at, f.bound_at, n.kind, n.evidence_id, n.at
    )
  select s.sale, n.evidence, f.bound_at, f.is_forfeited, f.passed_over
  from first as f
  join numbered as n on n.n = f.n
  join sold as s on s.m = f.m;
end
$$;
