-- What a sale earns under given terms. The functions here take terms, or a reward of them, as an argument and read no
-- table.

-- a times b over c, rounded half up, exactly.
create function referral_private.rounded_share(p_a numeric, p_b numeric, p_c numeric)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return div(2 * p_a * p_b + p_c, 2 * p_c);
end
$$;

-- What is left of a sale without tax, in the proportion of the invoice, rounded down; all that is left where the tax is
-- unknown.
create function referral_private.net_without_tax(p_sale referral_private.sales)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_sale.total <= 0 or p_sale.total_excluding_tax is null then
    return p_sale.paid - p_sale.reversed;
  end if;
  return div(
    (p_sale.paid - p_sale.reversed)::numeric * greatest(p_sale.total_excluding_tax, 0), p_sale.total::numeric
  );
end
$$;

-- What a sale's net is worth under a reward, before caps; null where its currency is not listed. A percentage is
-- taken of what is left of the price without tax. A flat amount is at most the price without tax, unless the terms
-- say otherwise, and shrinks with what is left of the payment.
create function referral_private.reward_on(p_reward jsonb, p_sale referral_private.sales, p_is_above boolean)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_net numeric := p_sale.paid - p_sale.reversed;
  v_amount numeric := (p_reward -> 'amount' ->> p_sale.currency)::numeric;
  v_has_tax boolean := p_sale.total > 0 and p_sale.total_excluding_tax is not null;
  v_untaxed numeric := case when v_has_tax then greatest(p_sale.total_excluding_tax, 0) else 1 end;
  v_total numeric := case when v_has_tax then p_sale.total else 1 end;
begin
  if p_reward ->> 'kind' = 'percent' then
    return referral_private.rounded_share(v_net * v_untaxed, (p_reward ->> 'bps')::numeric, v_total * 10000);
  end if;
  if v_amount is null then
    return null;
  end if;
  if p_is_above or v_amount * v_total <= p_sale.paid * v_untaxed then
    return referral_private.rounded_share(v_amount, v_net, p_sale.paid);
  end if;
  return referral_private.rounded_share(v_net, v_untaxed, v_total);
end
$$;

-- The commission of a program's terms for a referral of this rank: tiers, where there are some, set the percentage.
create function referral_private.commission_of_rank(p_terms jsonb, p_rank int)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_terms ? 'tiers' then
    return (
      select jsonb_build_object('kind', 'percent', 'bps', t.tier -> 'bps')
      from jsonb_array_elements(p_terms -> 'tiers') as t (tier)
      where (t.tier ->> 'from')::int <= p_rank
      order by (t.tier ->> 'from')::int desc
      limit 1
    );
  end if;
  return p_terms -> 'commission';
end
$$;

-- Why a sale that qualifies earns no commission under these terms; null where it earns. It is the referral's
-- `p_place`th that qualifies, the first was sold at `p_first_at`, and the referral is its earner's `p_rank`th.
create function referral_private.commission_refusal(
  p_terms jsonb,
  p_sale referral_private.sales,
  p_place bigint,
  p_first_at timestamptz,
  p_rank int
)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_months interval := make_interval(months => (p_terms -> 'recurrence' ->> 'months')::int);
begin
  return case
    when p_terms -> 'recurrence' = '"once"' and p_place > 1 then 'recurrence'
    -- Twelve hours less: the invoice of the month after can be created a little early.
    when p_sale.sale_at >= referral_private.later(p_first_at, v_months - interval '12 hours') then 'recurrence'
    when p_rank > (p_terms ->> 'max_commissions_per_referrer')::int then 'max_commissions'
    when not (p_terms ? 'commission' or p_terms ? 'tiers') then 'no_commission'
  end;
end
$$;

-- When what a sale earns becomes available: a warning begins the hold anew.
create function referral_private.available_at(p_terms jsonb, p_sale referral_private.sales)
returns timestamptz
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return greatest(p_sale.paid_at, p_sale.warned_at) + (p_terms ->> 'hold_days')::int * interval '24 hours';
end
$$;
