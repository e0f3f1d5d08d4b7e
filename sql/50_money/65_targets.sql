-- Targets: what the facts say is owed for each won sale, to whom, and where it stands at a time.

-- The kinds of ledger accounts: the organisation's expense, what an earner has, and what a referee has.
create type referral.account_kind as enum (
  'expense',
  'pending',
  'available',
  'in_transit',
  'paid',
  'reward_pending',
  'reward_available'
);

create type referral_private.target as (
  sale referral_private.sales,
  evidence referral_private.evidence,
  person text,
  earner_id uuid,
  kind referral.account_kind,
  amount bigint,
  terms jsonb,
  rank int,
  reward jsonb,
  uncapped bigint,
  cap bigint,
  available_at timestamptz,
  refusal text
);

-- A won sale, judged: what its commission is by, and why it earns none, where it does not.
create type referral_private.judged_sale as (
  won referral_private.won_sale,
  referral text,
  terms jsonb,
  -- The place among those of its referral that qualify.
  place bigint,
  rank int,
  reward jsonb,
  available_at timestamptz,
  -- Why nobody earns anything by the sale, and why it earns no commission.
  refusal text,
  commission_refusal text
);

-- Judges won sales: which place and rank each has, what its commission is by, and why it earns none.
create function referral_private.sales_judged(p_won referral_private.won_sale[])
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
  with
    numbered as materialized (
      select row_number() over () as n, w as won, (w.sale).sale_id, (w.sale).sale_at, (w.sale).paid_at,
        (w.evidence).program_id, (w.evidence).earner_id, (w.evidence).terms, (w.payer).group_id, w.refusal
      from unnest(p_won) as w
    ),
    -- Sales are joined by number: they are large.
    placed as (
      select n.n, row_number() over referral as place, first_value(n.sale_at) over referral as first_at
      from numbered as n
      window referral as (
        partition by n.program_id, n.group_id, n.refusal is null
        order by n.paid_at, n.sale_id
      )
    )
  select n.won, n.program_id || ' ' || n.group_id, n.terms, p.place, ranked.rank,
    referral_private.commission_of_rank(n.terms, ranked.rank),
    referral_private.available_at(n.terms, (n.won).sale), stops.refusal,
    coalesce(stops.refusal, referral_private.commission_refusal(
      n.terms, (n.won).sale, p.place, p.first_at, ranked.rank
    ))
  from numbered as n
  join placed as p on p.n = n.n
  left join referral_private.ranks_of(p_won) as ranked
    on ranked.program_id = n.program_id and ranked.earner_id = n.earner_id and ranked.person = n.group_id
  cross join lateral (
    select case
      when n.refusal is not null then n.refusal
      when ((n.won).sale).is_guest and n.terms ? 'guests_per_day'
        and referral_private.is_beyond_guests((n.won).sale, (n.terms ->> 'guests_per_day')::int) then 'guest_limit'
      when (n.won).is_forfeited then 'forfeited'
    end as refusal
  ) as stops;
end
$$;

-- What the referee gets for a referral's first sale: where the terms do not say otherwise, at most what the commission
-- leaves of the price without tax.
create function referral_private.referee_reward_on(p_terms jsonb, p_sale referral_private.sales, p_commission bigint)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_above boolean := coalesce((p_terms -> 'flat_above_sale')::boolean, false);
  v_reward bigint := coalesce(referral_private.reward_on(p_terms -> 'referee_reward', p_sale, v_is_above), 0);
begin
  if v_is_above then
    return v_reward;
  end if;
  return least(v_reward, greatest(0, referral_private.net_without_tax(p_sale) - p_commission));
end
$$;

-- What these sales owe now, to whom: of each sale the commission, and the reward of the referee.
create function referral_private.targets_of(p_won referral_private.won_sale[], p_now timestamptz)
returns setof referral_private.target
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
    judged as materialized (
      select row_number() over () as n, (j.won).sale, (j.won).evidence, ((j.won).payer).group_id as person,
        (j.won).is_won, j.referral, j.terms, j.place, j.rank, j.reward, j.available_at, j.refusal,
        j.commission_refusal
      from referral_private.sales_judged(p_won) as j
    ),
    rewarded as materialized (
      select j.n, j.referral, (j.sale).currency, (j.sale).paid_at, (j.sale).sale_id,
        (j.terms -> 'max_commission_per_referral' ->> (j.sale).currency)::bigint as cap,
        case when j.commission_refusal is null then referral_private.reward_on(
          j.reward, j.sale, coalesce((j.terms -> 'flat_above_sale')::boolean, false)
        ) end as uncapped
      from judged as j
    ),
    -- Sales are joined by number: they are large.
    summed as (
      select r.n, r.cap, r.uncapped, sum(coalesce(r.uncapped, 0)) over (
        partition by r.referral, r.currency order by r.paid_at, r.sale_id
      ) as prefix
      from rewarded as r
    ),
    capped as materialized (
      select s.n, s.cap, s.uncapped, case
          when s.uncapped is null then 0
          when s.cap is null then s.uncapped
          else least(s.cap, s.prefix) - least(s.cap, s.prefix - s.uncapped)
        end::bigint as amount
      from summed as s
    )
  select j.sale, j.evidence, j.person, case when j.is_won then (j.evidence).earner_id end,
    (case when j.available_at <= p_now then 'available' else 'pending' end)::referral.account_kind,
    c.amount, j.terms, j.rank, j.reward, c.uncapped, c.cap, j.available_at, j.commission_refusal
  from judged as j
  join capped as c on c.n = j.n
  union all
  select j.sale, j.evidence, j.person, (j.evidence).referee_id,
    (case when j.available_at <= p_now then 'reward_available' else 'reward_pending' end)::referral.account_kind,
    referral_private.referee_reward_on(j.terms, j.sale, c.amount), j.terms, j.rank, j.terms -> 'referee_reward',
    null, null, j.available_at, null
  from judged as j
  join capped as c on c.n = j.n
  where j.place = 1 and j.refusal is null and j.terms ? 'referee_reward'
    and (j.evidence).referee_id is not null;
end
$$;

-- The targets of these payers' sales, and of those of all payers that are one person with them, at a time.
create function referral_private.targets_at(
  p_stripe_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_now timestamptz
)
returns setof referral_private.target
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select t.*
  from referral_private.targets_of(
    (referral_private.settlement_of(
      p_stripe_account, p_livemode, referral_private.payers_together(p_stripe_account, p_livemode, p_payer_ids)
    )).won, p_now
  ) as t;
end
$$;
