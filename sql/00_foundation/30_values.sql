-- Values: what a text or a JSON value must look like, and how times are reckoned.

-- Is it a whole number in this range?
create function referral_private.is_whole(p_value jsonb, p_from bigint, p_to bigint)
returns boolean
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
  select
    case
      when jsonb_typeof(p_value) != 'number' then false
      else scale(p_value::numeric) = 0
      and p_value::numeric between p_from and p_to
    end;
$$;

-- Amounts per currency in minor units, such as {"usd": 500}. Amounts stay below 2^53, where JavaScript numbers are
-- exact.
create function referral_private.is_money(p_value jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
  select
    case
      when jsonb_typeof(p_value) != 'object' then false
      else p_value != '{}'
      and not exists (
        select
        from jsonb_each(p_value) as amount
        where amount.key !~ '^[a-z]{3}$' or not referral_private.is_whole(amount.value, 0, 9007199254740991)
      )
    end;
$$;

-- A text as UUID; null where it is none.
create function referral_private.as_uuid(p_text text)
returns uuid
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_text::uuid end;
end
$$;

-- A host name with a dot, a port below 10,000, printable ASCII; no user information; at most 2,048 characters.
create function referral_private.is_https_url(p_url text)
returns boolean
language plpgsql
immutable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return length(p_url) <= 2048 and p_url collate "C" ~ (
    '^https://([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?[.])+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]'
    || '(:[1-9][0-9]{0,3})?([/?#][!-~]*)?$'
  );
end
$$;

-- An https URL, or one of the machine that opens it, so that links can lead to a server on a developer's own machine.
create function referral_private.is_page_url(p_url text)
returns boolean
language plpgsql
immutable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.is_https_url(p_url)
  or length(p_url) <= 2048 and p_url collate "C" ~ (
    '^http://(localhost|127[.]0[.]0[.]1)'
    || '(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([/?#][!-~]*)?$'
  );
end
$$;

-- Up to 20 texts, each of which has this form as a whole.
create function referral_private.are_all_like(p_texts text[], p_form text)
returns boolean
language sql
immutable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
  select
    cardinality(p_texts) <= 20
    and not exists (
      select from unnest(p_texts) as t (text) where t.text is null or t.text collate "C" !~ ('^(' || p_form || ')$')
    );
$$;

-- One line of text that shows as it is written: without control characters, line and paragraph separators, and
-- bidirectional controls, which reorder the text around them. Joiners stay: some languages and emoji need them.
create function referral_private.is_one_line(p_text text)
returns boolean
language plpgsql
immutable
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_text !~ e'[\\u0001-\\u001F\\u007F-\\u009F\\u061C\\u200E\\u200F\\u2028-\\u202E\\u2066-\\u2069]';
end
$$;

-- How many rows a page has: 100 unless asked for less or more, 1,000 at most.
create function referral_private.page_size(p_wanted int)
returns int
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
  select least(greatest(coalesce(p_wanted, 100), 1), 1000);
$$;

-- Adds an interval in UTC, independent of the session's time zone, which callers choose.
create function referral_private.later(p_at timestamptz, p_by interval)
returns timestamptz
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (p_at at time zone 'utc' + p_by) at time zone 'utc';
end
$$;

-- The end that a text in ISO 8601 states: `2026-12-31` is the end of that day in the time zone, and a time without an
-- offset is one of the time zone. Null where the text is none of these: 12/11/2026 is read as two different days.
create function referral_private.end_time(p_text text, p_time_zone text)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts constant text[] := regexp_match(
    p_text,
    '^([0-9]{4}-[0-9]{2}-[0-9]{2})'
    || '([Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,6})?)?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$'
  );
begin
  return case
    when v_parts[3] is not null then p_text::timestamptz
    when v_parts[2] is not null then p_text::timestamp at time zone p_time_zone
    else (v_parts[1]::date + 1)::timestamp at time zone p_time_zone
  end;
exception
  when datetime_field_overflow or invalid_datetime_format or invalid_time_zone_displacement_value then
    return null;
end
$$;

-- Refuses changes that are not an object with these keys only, with `invalid_argument`.
create function referral_private.require_changes(p_changes jsonb, p_keys text[])
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_unknown text;
begin
  if p_changes is null or jsonb_typeof(p_changes) <> 'object' then
    perform referral_private.raise_error(
      'invalid_argument', 'changes: an object with some of ' || array_to_string(p_keys, ', ')
    );
  end if;
  select string_agg(left(key, 64), ', ') into v_unknown
  from jsonb_object_keys(p_changes) as key
  where key <> all (p_keys);
  if v_unknown is not null then
    perform referral_private.raise_error('invalid_argument', concat(
      'changes: unknown ', left(v_unknown, 500), '; known are ', array_to_string(p_keys, ', ')
    ));
  end if;
end
$$;
