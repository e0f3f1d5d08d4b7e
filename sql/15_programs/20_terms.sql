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

-- Commission by rank: [{"from":1,"bps":1000},{"from":11,"bps":1500}], starting at 1 and rising.
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

-- Checks terms and fills in the defaults. Raises `invalid_terms` with the key that is unknown or wrong.
create function referral_private.complete_terms(p_terms jsonb)
returns jsonb
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
  select string_agg(key, ', ') into v_wrong
  from jsonb_each(p_terms) as term
  where not coalesce(
    case key
      when 'commission' then referral_private.is_reward(value)
      when 'referee_reward' then referral_private.is_reward(value)
      when 'recurrence' then referral_private.is_recurrence(value)
      when 'tiers' then referral_private.is_tiers(value)
      when 'hold_days' then referral_private.is_whole(value, 0, 365)
      when 'conversion_window_days' then referral_private.is_whole(value, 1, 3650)
      when 'new_users_only_days' then referral_private.is_whole(value, 0, 3650)
      when 'max_commissions_per_referrer' then referral_private.is_whole(value, 1, 1000000000)
      when 'minimum_sale' then referral_private.is_money(value)
      when 'max_commission_per_referral' then referral_private.is_money(value)
      when 'payout_minimum' then referral_private.is_money(value)
      when 'enrolment' then value in ('"open"', '"invited"')
      when 'guests' then jsonb_typeof(value) = 'boolean'
      else false
    end,
    false
  );
  if v_wrong is not null then
    perform referral_private.raise_error('invalid_terms', v_wrong);
  end if;
  return jsonb_build_object(
    'recurrence', 'once', 'hold_days', 14, 'conversion_window_days', 90, 'enrolment', 'invited', 'guests', true
  ) || p_terms;
end
$$;
