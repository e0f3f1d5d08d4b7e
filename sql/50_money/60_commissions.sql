-- What a sale earns under given terms. The functions here take terms, or a reward of them, as an argument and read no
-- table.

-- What was paid for a sale.
create type referral_private.price as (
  currency text collate "C",
  paid bigint,
  reversed bigint,
  total bigint,
  total_excluding_tax bigint
);

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
create function referral_private.net_without_tax(p_price referral_private.price)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_price.total <= 0 or p_price.total_excluding_tax is null then
    return p_price.paid - p_price.reversed;
  end if;
  return div(
    (p_price.paid - p_price.reversed)::numeric * greatest(p_price.total_excluding_tax, 0), p_price.total::numeric
  );
end
$$;

-- What a sale's net is worth under a reward, before caps; null where its currency is not listed. A percentage is
-- taken of what is left of the price without tax. A flat amount is at most the price without tax, unless the terms
-- say otherwise, and shrinks with what is left of the payment.
create function referral_private.reward_on(p_reward jsonb, p_price referral_private.price, p_is_above boolean)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_net numeric := p_price.paid - p_price.reversed;
  v_amount numeric := (p_reward -> 'amount' ->> p_price.currency)::numeric;
  v_has_tax boolean := p_price.total > 0 and p_price.total_excluding_tax is not null;
  v_untaxed numeric := case when v_has_tax then greatest(p_price.total_excluding_tax, 0) else 1 end;
  v_total numeric := case when v_has_tax then p_price.total else 1 end;
begin
  if p_reward ->> 'kind' = 'percent' then
    return referral_private.rounded_share(v_net * v_untaxed, (p_reward ->> 'bps')::numeric, v_total * 10000);
  end if;
  if v_amount is null then
    return null;
  end if;
  if p_is_above or v_amount * v_total <= p_price.paid * v_untaxed then
    return referral_private.rounded_share(v_amount, v_net, p_price.paid);
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
