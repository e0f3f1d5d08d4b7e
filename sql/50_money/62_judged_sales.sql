-- Won sales, judged: what their commission is by, and why they earn none.

-- What a piece of evidence gives one person's sales: the commission for the referral's rank, and when it ends.
create type referral_private.offer as (
  offer int,
  n bigint,
  group_id text collate "C",
  -- The referral, and the place of its first sale that qualifies among all won sales.
  referral int,
  first bigint,
  org_id uuid,
  earner_id uuid,
  referee_id uuid,
  terms jsonb,
  rank int,
  reward jsonb,
  hold interval,
  -- From when on sales earn no commission any more: of those that earn once, all but the first.
  ends_at timestamptz,
  is_once boolean,
  -- Why no sale earns a commission.
  refusal text
);

-- The offers of the evidence of won sales, each with its referral.
create function referral_private.offers_of(p_settled referral_private.settlement)
returns setof referral_private.offer
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with
    won as (
      select w.n, w.group_id, min(w.ordinality) filter (where w.refusal is null) as first
      from unnest(p_settled.won) with ordinality as w
      group by 1, 2
    ),
    placed as (
      select w.n, w.group_id, e.org_id, e.program_id, e.earner_id, e.referee_id, e.terms,
        row_number() over ()::int as offer, dense_rank() over (order by e.program_id, w.group_id)::int as referral,
        min(w.first) over (partition by e.program_id, w.group_id) as first,
        make_interval(months => (e.terms -> 'recurrence' ->> 'months')::int) as months
      from won as w
      join unnest(p_settled.evidence) with ordinality as e on e.ordinality = w.n
    )
  select p.offer, p.n, p.group_id, p.referral, p.first, p.org_id, p.earner_id, p.referee_id, p.terms, r.rank,
    referral_private.commission_of_rank(p.terms, r.rank), (p.terms ->> 'hold_days')::int * interval '24 hours',
    -- Twelve hours less: the invoice of the month after can be created a little early.
    case when p.months is not null then referral_private.later(f.sale_at, p.months - interval '12 hours') end,
    p.terms -> 'recurrence' = '"once"', case
      when r.rank > (p.terms ->> 'max_commissions_per_referrer')::int then 'max_commissions'
      when not (p.terms ? 'commission' or p.terms ? 'tiers') then 'no_commission'
    end
  from placed as p
  left join unnest(p_settled.won) with ordinality as f on f.ordinality = p.first
  left join referral_private.ranks_of(p_settled) as r
    on r.program_id = p.program_id and r.earner_id = p.earner_id and r.person = p.group_id;
end
$$;

-- A won sale, judged under an offer, and why it earns nothing, where it does not.
create type referral_private.judged_sale as (
  m bigint,
  offer int,
  referral int,
  sale_id text collate "C",
  is_won boolean,
  currency text collate "C",
  paid bigint,
  reversed bigint,
  total bigint,
  total_excluding_tax bigint,
  available_at timestamptz,
  -- Why nobody earns anything by the sale, and why it earns no commission.
  refusal text,
  commission_refusal text
);

-- Judges won sales under these offers. What they earn becomes available after the hold: a warning begins it anew.
create function referral_private.sales_judged(p_settled referral_private.settlement, p_offers referral_private.offer[])
returns setof referral_private.judged_sale
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
  select w.ordinality, o.offer, o.referral, w.sale_id, w.is_won, w.currency, w.paid, w.reversed, w.total,
    w.total_excluding_tax, greatest(w.paid_at, w.warned_at) + o.hold, stops.refusal, case
      when stops.refusal is not null then stops.refusal
      when o.is_once and w.ordinality > o.first then 'recurrence'
      when w.sale_at >= o.ends_at then 'recurrence'
      else o.refusal
    end
  from unnest(p_settled.won) with ordinality as w
  join unnest(p_offers) as o on o.n = w.n and o.group_id = w.group_id
  cross join lateral (
    select case
      when w.refusal is not null then w.refusal
      when w.is_guest and o.terms ? 'guests_per_day' and referral_private.is_beyond_guests(
        p_settled.stripe_account, p_settled.livemode, w.sale_id, (o.terms ->> 'guests_per_day')::int
      ) then 'guest_limit'
      when w.is_forfeited then 'forfeited'
    end as refusal
  ) as stops;
end
$$;
