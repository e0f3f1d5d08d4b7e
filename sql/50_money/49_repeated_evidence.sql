-- What payers carry again and again.

-- The numbers of the evidence that a sale keeps open of which its object is part: the sale is within the conversion
-- window, and fits it.
create function referral_private.evidence_kept_open(
  p_sales referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof bigint
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
    sold as materialized (
      select s.payer_id, object_id, date_trunc('second', s.paid_at) as paid_in, s.sale_at, s.org_id, s.program_id
      from unnest(p_sales) as s
      cross join lateral unnest(s.object_ids) as object_id
    ),
    numbered as materialized (
      select row_number() over () as n, e.payer_id, e.refusal, e.object_id, e.at, e.org_id, e.program_id,
        e.at + (e.terms ->> 'conversion_window_days')::int * interval '24 hours' as ends_at
      from unnest(p_evidence) as e
    )
  select distinct n.n
  from numbered as n
  join sold as s on s.object_id = n.object_id and s.payer_id = n.payer_id
  where n.refusal is null and n.at <= s.paid_in and s.sale_at <= n.ends_at
    and (s.org_id is null or s.org_id = n.org_id) and (s.program_id is null or s.program_id = n.program_id);
end
$$;

-- This evidence without repetitions: what a payer carried that the same payer carried before, and what then was kept
-- open comes first everywhere; so does, of what can never win, the first. Renewals carry the same code each month.
create function referral_private.distinct_evidence(
  p_sales referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns referral_private.evidence[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return array(
    with
      numbered as (
        select row_number() over () as n, e.payer_id, e.kind, e.evidence_id, e.terms_version, e.at,
          e.refusal is not null as is_refused
        from unnest(p_evidence) as e
      ),
      repeated as (
        select n.n, n.kind in ('metadata_code', 'promotion_code', 'client_reference') and (
            bool_or(k.n is not null) over before or n.is_refused and bool_or(n.is_refused) over before
          ) as is_repeated
        from numbered as n
        left join referral_private.evidence_kept_open(p_sales, p_evidence) as k (n) on k.n = n.n
        window before as (
          partition by n.payer_id, n.kind, n.evidence_id, n.terms_version
          order by n.at, n.n
          rows between unbounded preceding and 1 preceding
        )
      )
    select p_evidence[r.n] from repeated as r where r.is_repeated is not true order by r.n
  );
end
$$;

-- The numbers of the evidence that only its own payer's sales need: for those of the person's other payers, another
-- payer's evidence of the same code comes first, is bound as early, and counts wherever this does. Both are kept open
-- by sales of their own, or can never win. Where a forfeit stands it matters which sale was open first: all is kept.
create function referral_private.evidence_for_own_payers(
  p_sales referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof bigint
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_forfeited constant uuid[] := array(
    select distinct c.code_id
    from (
      select distinct e.org_id, e.code_id, e.chain_id, array[e.earner_id, e.referrer_id] as member_ids
      from unnest(p_evidence) as e
    ) as c
    -- An array, for which the forfeits of each code are looked up: a join would read all decisions.
    where array(
      select d.id from referral.decisions as d
      where d.org_id = c.org_id and d.kind = 'forfeit' and d.withdrawn_at is null
        and (d.member_id = any (c.member_ids) or d.chain_id = c.chain_id)
    ) <> '{}'
  );
begin
  return query
  with
    numbered as (
      select row_number() over () as n, e.group_id, e.kind, e.evidence_id, e.terms_version, e.at,
        greatest(e.at, e.linked_at) as reaches_at, e.refusal is not null as is_refused
      from unnest(p_evidence) as e
    ),
    compared as (
      select n.n, n.reaches_at, min(n.reaches_at) over (
          partition by n.group_id, n.kind, n.evidence_id, n.terms_version, n.is_refused
          order by n.at, n.reaches_at, n.n
          rows between unbounded preceding and 1 preceding
        ) as others_reach_at
      from numbered as n
      left join referral_private.evidence_kept_open(p_sales, p_evidence) as k (n) on k.n = n.n
      where (k.n is not null or n.is_refused) and n.kind in ('metadata_code', 'promotion_code', 'client_reference')
        and not n.evidence_id in (select unnest(v_forfeited))
    )
  select c.n from compared as c where c.others_reach_at <= c.reaches_at;
end
$$;
