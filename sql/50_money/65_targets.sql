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
  sale_id text collate "C",
  -- The number of the evidence that won the sale, or was passed over.
  n bigint,
  org_id uuid,
  earner_id uuid,
  kind referral.account_kind,
  currency text collate "C",
  amount bigint,
  rank int,
  reward jsonb,
  uncapped bigint,
  cap bigint,
  available_at timestamptz,
  refusal text
);

-- What the referee gets for a referral's first sale: where the terms do not say otherwise, at most what the commission
-- leaves of the price without tax.
create function referral_private.referee_reward_on(p_terms jsonb, p_price referral_private.price, p_commission bigint)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_above boolean := coalesce((p_terms -> 'flat_above_sale')::boolean, false);
  v_reward bigint := coalesce(referral_private.reward_on(p_terms -> 'referee_reward', p_price, v_is_above), 0);
begin
  if v_is_above then
    return v_reward;
  end if;
  return least(v_reward, greatest(0, referral_private.net_without_tax(p_price) - p_commission));
end
$$;

-- What these sales owe now, to whom: of each sale the commission, and the reward of the referee.
create function referral_private.targets_of(p_settled referral_private.settlement, p_now timestamptz)
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
declare
  v_offers constant referral_private.offer[] := array(
    select o from referral_private.offers_of(p_settled) as o order by o.offer
  );
begin
  return query
  with
    judged as materialized (
      select j.* from referral_private.sales_judged(p_settled, v_offers) as j
    ),
    -- Many sales have the same price.
    priced as materialized (
      select p.*, (o.terms -> 'max_commission_per_referral' ->> p.currency)::bigint as cap,
        referral_private.reward_on(
          o.reward, (p.currency, p.paid, p.reversed, p.total, p.total_excluding_tax)::referral_private.price,
          coalesce((o.terms -> 'flat_above_sale')::boolean, false)
        ) as uncapped
      from (
        select distinct j.offer, j.currency, j.paid, j.reversed, j.total, j.total_excluding_tax from judged as j
      ) as p
      join unnest(v_offers) as o on o.offer = p.offer
    ),
    rewarded as materialized (
      select j.*, p.cap, case when j.commission_refusal is null then p.uncapped end as uncapped
      from judged as j join priced as p
        on p.offer = j.offer and p.currency = j.currency and p.paid = j.paid and p.reversed = j.reversed
        and p.total = j.total and (p.total_excluding_tax is null) = (j.total_excluding_tax is null)
        and coalesce(p.total_excluding_tax, 0) = coalesce(j.total_excluding_tax, 0)
    ),
    summed as (
      select r.m, sum(coalesce(r.uncapped, 0)) over (partition by r.referral, r.currency order by r.m) as prefix
      from rewarded as r
      where exists (select from rewarded as c where c.cap is not null)
    ),
    capped as materialized (
      select s.*, case
          when s.uncapped is null then 0
          when s.cap is null then s.uncapped
          else least(s.cap, p.prefix) - least(s.cap, p.prefix - s.uncapped)
        end::bigint as amount
      from rewarded as s
      left join summed as p on p.m = s.m
    )
  select c.sale_id, o.n, o.org_id, case when c.is_won then o.earner_id end,
    (case when c.available_at <= p_now then 'available' else 'pending' end)::referral.account_kind,
    c.currency, c.amount, o.rank, o.reward, c.uncapped, c.cap, c.available_at, c.commission_refusal
  from capped as c
  join unnest(v_offers) as o on o.offer = c.offer
  union all
  select c.sale_id, o.n, o.org_id, o.referee_id,
    (case when c.available_at <= p_now then 'reward_available' else 'reward_pending' end)::referral.account_kind,
    c.currency, referral_private.referee_reward_on(
      o.terms, (c.currency, c.paid, c.reversed, c.total, c.total_excluding_tax)::referral_private.price, c.amount
    ), o.rank, o.terms -> 'referee_reward', null, null, c.available_at, null
  from capped as c
  join unnest(v_offers) as o on o.offer = c.offer and o.first = c.m
  where c.refusal is null and o.terms ? 'referee_reward' and o.referee_id is not null;
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
    referral_private.settlement_of(
      p_stripe_account, p_livemode, referral_private.payers_together(p_stripe_account, p_livemode, p_payer_ids)
    ), p_now
  ) as t;
end
$$;
