-- Which evidence wins a sale, and why the sale earns nothing, where it earns nothing: a function of facts alone, so
-- that the order of events cannot matter.
create type referral_private.won_sale as (
  sale referral_private.sales,
  payer referral_private.payer,
  -- The winner; where there is none, the first that was passed over, for `refusal`.
  evidence referral_private.evidence,
  is_won boolean,
  is_forfeited boolean,
  -- Why the sale does not qualify, whatever its amount is.
  refusal text
);

-- The winner of each sale of these candidates: of the evidence that counts, the first by the time since which it is
-- bound, its kind, and its id. Candidates are joined by number: they are large.
create function referral_private.winners_of(p_candidates referral_private.candidate[], p_shared_since timestamptz)
returns setof referral_private.won_sale
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
    numbered as materialized (
      select row_number() over () as n, c as candidate, ((c.sale).sale).sale_id, (c.evidence).org_id, c.bound_at,
        (c.evidence).kind, (c.evidence).evidence_id, (c.evidence).at, c.passed_over
      from unnest(p_candidates) as c
    ),
    judged as (
      select c.n, c.sale_id, c.bound_at, c.kind, c.evidence_id, c.at,
        case when d.is_unknown then 'organisation_unknown' else c.passed_over end as unwon
      from numbered as c
      join referral_private.destinations(p_candidates, p_shared_since) as d on d.sale_id = c.sale_id
      where d.org_id = c.org_id or d.is_unknown
        -- Nor does what a buyer can edit stand for a sale that is no organisation's.
        or d.org_id is null and c.passed_over is not null
    ),
    chosen as (
      select distinct on (j.sale_id) j.n, j.unwon
      from judged as j
      order by j.sale_id, j.unwon is not null, j.bound_at, j.kind, j.evidence_id, j.at
    )
  select ((n.candidate).sale).sale, ((n.candidate).sale).payer, (n.candidate).evidence, c.unwon is null,
    (n.candidate).is_forfeited, c.unwon
  from chosen as c
  join numbered as n on n.n = c.n;
end
$$;
