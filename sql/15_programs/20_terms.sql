-- What a program's terms may say. Every key is known and checked, so that a misspelt promise is refused
-- instead of ignored; what is left out gets its default when the terms are stored, not when they are read.

-- What the referrer or the referee gets: {"kind":"percent","bps":2000} or {"kind":"flat","amount":{"usd":500}}.
create function referral_private.is_reward(p_value jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
  select
    case p_value ->> 'kind'
      when 'percent' then p_value - '{kind,bps}'::text[] = '{}'
      and coalesce(referral_private.is_whole(p_value -> 'bps', 0, 10000), false)
      when 'flat' then p_value - '{kind,amount}'::text[] = '{}'
      and coalesce(referral_private.is_money(p_value -> 'amount'), false)
      else false
    end;
$$;

-- Commission by rank: [{"from":1,"bps":1000},{"from":11,"bps":1500}], starting at 1 and rising, 100 tiers at most.
create function referral_private.is_tiers(p_value jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
  select
    case
      when jsonb_typeof(p_value) != 'array' then false
      else p_value -> 0 -> 'from' = '1'
      and jsonb_array_length(p_value) <= 100
      and not exists (
        select
        from
          (
            select t.tier, lag(t.tier -> 'from') over (order by t.place) as previous
            from jsonb_array_elements(p_value) with ordinality as t (tier, place)
          ) as tiers
        where
          case
            when jsonb_typeof(tier) != 'object' then true
            else not coalesce(referral_private.is_whole(tier -> 'from', 1, 1000000000), false)
            or not coalesce(referral_private.is_whole(tier -> 'bps', 0, 10000), false)
            or tier -> 'from' <= previous
            or tier - '{from,bps}'::text[] != '{}'
          end
      )
    end;
$$;

-- Is this `"once"`, `"forever"`, or `{"months": n}`?
create function referral_private.is_recurrence(p_value jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
  select
    case jsonb_typeof(p_value)
      when 'string' then p_value in ('"once"', '"forever"')
      when 'object' then p_value - 'months' = '{}'
      and coalesce(referral_private.is_whole(p_value -> 'months', 1, 1200), false)
      else false
    end;
$$;

-- Is this a value of this key of the terms? Null for a key that there is not.
create function referral_private.is_term(p_key text, p_value jsonb)
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_key in ('commission', 'referee_reward') then referral_private.is_reward(p_value)
    when p_key = 'recurrence' then referral_private.is_recurrence(p_value)
    when p_key = 'tiers' then referral_private.is_tiers(p_value)
    when p_key = 'hold_days' then referral_private.is_whole(p_value, 0, 365)
    when p_key = 'conversion_window_days' then referral_private.is_whole(p_value, 1, 3650)
    when p_key = 'new_users_only_days' then referral_private.is_whole(p_value, 0, 3650)
    when p_key = 'max_commissions_per_referrer' then referral_private.is_whole(p_value, 1, 1000000000)
    when p_key = 'guests_per_day' then referral_private.is_whole(p_value, 1, 1000000)
    when p_key in ('minimum_sale', 'max_commission_per_referral') then referral_private.is_money(p_value)
    when p_key = 'enrolment' then p_value in ('"open"', '"invited"')
    when p_key = 'customers' then p_value in ('"new"', '"any"')
    when p_key in ('guests', 'flat_above_sale') then jsonb_typeof(p_value) = 'boolean'
  end;
end
$$;

-- What a value of this key of the terms must be. Null for a key that there is not.
create function referral_private.form_of_term(p_key text)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_key in ('commission', 'referee_reward') then
      '{"kind": "percent", "bps": 2000} for 20 percent, or {"kind": "flat", "amount": {"usd": 500}}'
    when p_key = 'recurrence' then '"once", "forever" or {"months": 12}, up to 1,200'
    when p_key = 'tiers' then
      '[{"from": 1, "bps": 1000}, {"from": 11, "bps": 1500}], from 1 on and rising, up to 100'
    when p_key = 'hold_days' then '0 to 365'
    when p_key = 'conversion_window_days' then '1 to 3,650'
    when p_key = 'new_users_only_days' then '0 to 3,650'
    when p_key = 'max_commissions_per_referrer' then '1 to 1,000,000,000'
    when p_key = 'guests_per_day' then '1 to 1,000,000'
    when p_key in ('minimum_sale', 'max_commission_per_referral') then 'minor units by currency, such as {"usd": 500}'
    when p_key = 'enrolment' then '"open" or "invited"'
    when p_key = 'customers' then '"new" or "any"'
    when p_key in ('guests', 'flat_above_sale') then 'true or false'
  end;
end
$$;

-- Refuses terms that are too long, or have a key that is unknown or wrong. Changes of terms may set a key to null.
-- Raises `invalid_terms`; the details name the keys, and say what each must be.
create function referral_private.require_terms(p_terms jsonb, p_are_changes boolean)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wrong text;
begin
  if p_terms is null or jsonb_typeof(p_terms) <> 'object' then
    perform referral_private.raise_error('invalid_terms', 'terms must be an object');
  end if;
  if octet_length(p_terms::text) > 16384 then
    perform referral_private.raise_error('invalid_terms', 'terms are longer than 16 KiB');
  end if;
  if p_terms ? 'payout_minimum' then
    perform referral_private.raise_error('invalid_terms', 'payout_minimum: no term of a program');
  end if;
  select string_agg(
    left(key, 64) || ': ' || coalesce(referral_private.form_of_term(key), 'no such key, see docs/terms.md'), '; '
  )
  into v_wrong
  from jsonb_each(p_terms)
  where case
    when p_are_changes and value = 'null' then referral_private.is_term(key, value) is null
    else referral_private.is_term(key, value) is not true
  end;
  if v_wrong is not null then
    perform referral_private.raise_error('invalid_terms', left(v_wrong, 2000));
  end if;
end
$$;

-- Checks terms and fills in the defaults. Raises `invalid_terms`.
create function referral_private.complete_terms(p_terms jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.require_terms(p_terms, false);
  return jsonb_build_object(
    'recurrence', 'once', 'hold_days', 14, 'conversion_window_days', 90, 'enrolment', 'invited', 'guests', true,
    'customers', 'new'
  ) || p_terms;
end
$$;

-- Terms with changes: a key that the changes do not name stays, and one that they set to null gets its default. Raises
-- `invalid_terms`.
create function referral_private.changed_terms(p_terms jsonb, p_changes jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.complete_terms(coalesce(
    (select jsonb_object_agg(key, value) from jsonb_each(p_terms || p_changes) where value <> 'null'), '{}'
  ));
end
$$;
