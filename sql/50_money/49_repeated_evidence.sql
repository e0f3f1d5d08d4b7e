-- What payers carry again and again.

-- This evidence without repetitions: what a payer carried that the same payer carried before, on an object that is part
-- of a sale within the conversion window. That sale keeps the earlier one open, which then comes first everywhere.
-- Renewals carry the same code each month.
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
      sold as materialized (
        select (s.payer).payer_id, object_id, date_trunc('second', (s.sale).paid_at) as paid_in, (s.sale).sale_at,
          s.org_id, (s.sale).program_id
        from unnest(p_sales) as s
        cross join lateral unnest((s.sale).object_ids) as object_id
      ),
      numbered as materialized (
        select row_number() over () as n, e.payer_id, e.kind, e.evidence_id, e.terms_version, e.refusal,
          e.object_id, e.at, e.org_id, e.program_id,
          e.at + (e.terms ->> 'conversion_window_days')::int * interval '24 hours' as ends_at
        from unnest(p_evidence) as e
      ),
      kept_open as (
        select distinct n.n
        from numbered as n
        join sold as s on s.object_id = n.object_id and s.payer_id = n.payer_id
        where n.refusal is null and n.at <= s.paid_in and s.sale_at <= n.ends_at
          and (s.org_id is null or s.org_id = n.org_id) and (s.program_id is null or s.program_id = n.program_id)
      ),
      repeated as (
        select n.n, n.kind in ('metadata_code', 'promotion_code', 'client_reference') and bool_or(
            k.n is not null
          ) over (
            partition by n.payer_id, n.kind, n.evidence_id, n.terms_version
            order by n.at, n.n
            rows between unbounded preceding and 1 preceding
          ) as is_repeated
        from numbered as n
        left join kept_open as k on k.n = n.n
      )
    select p_evidence[r.n] from repeated as r where r.is_repeated is not true order by r.n
  );
end
$$;
