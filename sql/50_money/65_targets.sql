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
as $$
begin
  return query
  with
    placed as (
      select w, (w.evidence).program_id || ' ' || (w.payer).group_id as referral, (w.evidence).terms, ranked.rank,
        row_number() over referral as place, first_value((w.sale).sale_at) over referral as first_at
      from unnest(p_won) as w
      left join referral_private.ranks_of(p_won) as ranked
        on ranked.program_id = (w.evidence).program_id and ranked.earner_id = (w.evidence).earner_id
          and ranked.person = (w.payer).group_id
      window referral as (
        partition by (w.evidence).program_id, (w.payer).group_id, w.refusal is null
        order by (w.sale).paid_at, (w.sale).sale_id
      )
    )
  select p.w, p.referral, p.terms, p.place, p.rank, referral_private.commission_of_rank(p.terms, p.rank),
    referral_private.available_at(p.terms, (p.w).sale), stops.refusal,
    coalesce(stops.refusal, referral_private.commission_refusal(p.terms, (p.w).sale, p.place, p.first_at, p.rank))
  from placed as p
  cross join lateral (
    select case
      when (p.w).refusal is not null then (p.w).refusal
      when ((p.w).sale).is_guest and p.terms ? 'guests_per_day'
        and referral_private.is_beyond_guests((p.w).sale, (p.terms ->> 'guests_per_day')::int) then 'guest_limit'
      when (p.w).is_forfeited then 'forfeited'
    end as refusal
  ) as stops;
end
$$;

-- What the referee gets for a referral's first sale: where the terms do not say otherwise, at most what the commission
-- leaves of the price without tax.
create function referral_private.referee_reward_on(p_judged referral_private.judged_sale, p_commission bigint)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sale referral_private.sales := (p_judged.won).sale;
  v_is_above boolean := coalesce((p_judged.terms -> 'flat_above_sale')::boolean, false);
  v_reward bigint := coalesce(
    referral_private.reward_on(p_judged.terms -> 'referee_reward', v_sale, v_is_above), 0
  );
begin
  if v_is_above then
    return v_reward;
  end if;
  return least(v_reward, greatest(0, referral_private.net_without_tax(v_sale) - p_commission));
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
as $$
begin
  return query
  with
    rewarded as (
      select j, j.referral, (j.won).sale as sale, (j.won).evidence as evidence,
        ((j.won).payer).group_id as person, j.terms, j.rank, j.reward, j.available_at, j.commission_refusal,
        (j.terms -> 'max_commission_per_referral' ->> ((j.won).sale).currency)::bigint as cap,
        case when j.commission_refusal is null then referral_private.reward_on(
          j.reward, (j.won).sale, coalesce((j.terms -> 'flat_above_sale')::boolean, false)
        ) end as uncapped
      from referral_private.sales_judged(p_won) as j
    ),
    summed as (
      select r.*, sum(coalesce(r.uncapped, 0)) over (
        partition by r.referral, (r.sale).currency order by (r.sale).paid_at, (r.sale).sale_id
      ) as prefix
      from rewarded as r
    ),
    capped as (
      select s.*, case
          when s.uncapped is null then 0
          when s.cap is null then s.uncapped
          else least(s.cap, s.prefix) - least(s.cap, s.prefix - s.uncapped)
        end::bigint as amount,
        s.available_at <= p_now as is_free
      from summed as s
    )
  select c.sale, c.evidence, c.person, case when ((c.j).won).is_won then (c.evidence).earner_id end,
    (case when c.is_free then 'available' else 'pending' end)::referral.account_kind,
    c.amount, c.terms, c.rank, c.reward, c.uncapped, c.cap, c.available_at, c.commission_refusal
  from capped as c
  union all
  select c.sale, c.evidence, c.person, (c.evidence).referee_id,
    (case when c.is_free then 'reward_available' else 'reward_pending' end)::referral.account_kind,
    referral_private.referee_reward_on(c.j, c.amount), c.terms, c.rank, c.terms -> 'referee_reward', null, null,
    c.available_at, null
  from capped as c
  where (c.j).place = 1 and (c.j).refusal is null and c.terms ? 'referee_reward'
    and (c.evidence).referee_id is not null;
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
