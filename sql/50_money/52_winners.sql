-- Which evidence wins a sale, and why the sale earns nothing, where it earns nothing: a function of facts alone, so
-- that the order of events cannot matter.
create type referral_private.won_sale as (
  sale_id text collate "C",
  payer_id text collate "C",
  group_id text collate "C",
  person uuid,
  is_guest boolean,
  currency text collate "C",
  paid bigint,
  reversed bigint,
  total bigint,
  total_excluding_tax bigint,
  sale_at timestamptz,
  paid_at timestamptz,
  warned_at timestamptz,
  -- The number of the winner; where there is none, of the first evidence that was passed over, for `refusal`.
  n bigint,
  is_won boolean,
  is_forfeited boolean,
  -- Why the sale does not qualify, whatever its amount is.
  refusal text
);

-- The winner of each sale of these candidates: of the evidence that counts, the first by the time since which it is
-- bound, its kind, and its id. Its terms say whether the sale qualifies. They are in the order in which they were paid.
create function referral_private.winners_of(
  p_sales referral_private.named_sale[],
  p_evidence referral_private.evidence[],
  p_candidates referral_private.candidate[],
  p_shared_since timestamptz
)
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
declare
  -- Evidence of one organisation, if no buyer could edit it, has all sales that fit it.
  v_is_undisputed constant boolean := p_shared_since = 'infinity'
    and (select count(distinct e.org_id) from unnest(p_evidence) as e) < 2;
begin
  return query
  with
    gone as materialized (
      select d.* from referral_private.destinations(p_sales, p_candidates, p_shared_since) as d
      where not v_is_undisputed
    ),
    judged as (
      select c.m, c.n, c.bound_at, c.kind, c.evidence_id, c.at, c.is_forfeited,
        case when d.is_unknown then 'organisation_unknown' else c.passed_over end as unwon
      from unnest(p_candidates) as c
      left join gone as d on d.m = c.m
      where v_is_undisputed or d.org_id = c.org_id or d.is_unknown
        -- Nor does what a buyer can edit stand for a sale that is no organisation's.
        or d.org_id is null and c.passed_over is not null
    ),
    chosen as (
      select distinct on (j.m) j.m, j.n, j.is_forfeited, j.unwon
      from judged as j
      order by j.m, j.unwon is not null, j.bound_at, j.kind, j.evidence_id, j.at
    )
  select s.sale_id, s.payer_id, s.group_id, s.person, s.is_guest, s.currency, s.paid, s.reversed, s.total,
    s.total_excluding_tax, s.sale_at, s.paid_at, s.warned_at, c.n, c.unwon is null, c.is_forfeited, case
      when c.unwon is not null then c.unwon
      when e.earner_id is null then 'no_earner'
      when s.is_guest and e.terms -> 'guests' = 'false' then 'guest'
      when e.terms ? 'minimum_sale' and s.paid
        < coalesce((e.terms -> 'minimum_sale' ->> s.currency)::numeric, 'infinity') then 'minimum_sale'
      when e.terms ? 'max_commission_per_referral'
        and not e.terms -> 'max_commission_per_referral' ? s.currency then 'currency'
      when not e.terms ? 'tiers' and e.terms -> 'commission' ->> 'kind' = 'flat'
        and not e.terms -> 'commission' -> 'amount' ? s.currency then 'currency'
    end
  from chosen as c
  join unnest(p_sales) with ordinality as s on s.ordinality = c.m
  join unnest(p_evidence) with ordinality as e on e.ordinality = c.n
  order by c.m;
end
$$;
