-- Generated from sql/ by `npm run migrate`. Do not edit.

-- Two schemas. `referral` is the public contract: tables that clients read under row-level security, and RPC
-- functions. `referral_private` is never exposed: the definer functions that do the work, and what only they touch.
create schema referral;

comment on schema referral is
  'referbase, public contract: tables to read under row-level security, and RPCs. No client role can write a table.';

create schema referral_private;

comment on schema referral_private is 'referbase, internal: never exposed through the Data API.';

-- Public functions run as their caller and policies call functions, so every client role must reach both schemas;
-- what it may execute there is granted function by function.
grant usage
on schema referral, referral_private
to anon, authenticated, service_role;

-- Every error that SQL raises: code, HTTP status, message. docs/errors.md explains them; a test keeps both equal.
create type referral_private.error as (code text, status int, message text);

-- All errors, each once.
create function referral_private.error_registry()
returns setof referral_private.error
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
  values
    ('not_signed_in', 401, 'Sign in first.'),
    ('anonymous_user', 403, 'An anonymous sign-in cannot do this.'),
    ('not_a_member', 403, 'You are not a member of this organisation.'),
    ('not_allowed', 403, 'You are not allowed to do this in this organisation.'),
    ('member_deactivated', 403, 'This member is deactivated.'),
    ('member_blocked', 403, 'This member is blocked from having codes.'),
    ('not_invited', 403, 'There is no program here that you can join by yourself.'),
    ('self_referral', 403, 'Nobody can redeem a code that is theirs.'),
    ('new_users_only', 403, 'This program is for new users only.'),
    ('organisation_not_found', 404, 'There is no such organisation.'),
    ('member_not_found', 404, 'This person is not a member of the organisation.'),
    ('program_not_found', 404, 'There is no such program in this organisation.'),
    ('code_not_found', 404, 'There is no such code.'),
    ('redemption_not_found', 404, 'There is no such redemption.'),
    ('decision_not_found', 404, 'There is no such decision.'),
    ('no_active_code', 404, 'This referrer has no active code in the organisation.'),
    ('organisation_exists', 409, 'An organisation with this slug exists.'),
    ('stripe_account_taken', 409, 'Another organisation has this Stripe account.'),
    ('link_origin_taken', 409, 'Another organisation has this link origin.'),
    ('stripe_account_fixed', 409, 'The Stripe account has payments and cannot be changed any more.'),
    ('last_admin', 409, 'An organisation keeps at least one admin.'),
    ('member_exists', 409, 'This person is a member already, with another role.'),
    ('program_exists', 409, 'A program with this key exists in the organisation.'),
    ('program_inactive', 409, 'This program is switched off.'),
    ('active_code_exists', 409, 'This referrer has an active code in the organisation.'),
    ('active_in_other_program', 409, 'This referrer has an active code in another program of the organisation.'),
    ('too_many_codes', 409, 'This member has as many codes as the organisation allows.'),
    ('code_suspended', 409, 'The code is suspended.'),
    ('code_taken', 409, 'This code, or one that reads the same, is taken.'),
    ('code_reserved', 409, 'This word cannot be a code.'),
    ('code_looks_alike', 409, 'A code of another organisation looks like this one.'),
    ('code_inactive', 409, 'This code is no longer in use.'),
    ('code_expired', 409, 'This code has expired.'),
    ('code_limit_reached', 409, 'This code has been used as often as it may be.'),
    ('code_uses_reserved', 409, 'Sign-ups have reserved the uses that are left. Some may become free within the hour.'),
    ('code_ended', 409, 'A code that has ended stays as it is.'),
    ('record_conflict', 409, 'This reference is recorded with other content.'),
    ('redemption_rejected', 409, 'Staff have rejected this redemption.'),
    ('already_redeemed', 409, 'This person has redeemed a code of this program.'),
    ('mutual_referral', 409, 'Two people cannot refer each other in one program.'),
    ('invalid_argument', 400, 'An argument is missing or has a value that is not allowed.'),
    ('invalid_code', 400, 'This is not a code: 3 to 32 letters and digits.'),
    ('invalid_terms', 400, 'The terms of the program are not valid.'),
    ('invalid_click', 400, 'There is no click that proves this.'),
    ('invalid_event', 400, 'The event is not one that can be read.'),
    ('rate_limited', 429, 'Too many calls of this kind. Try again later.'),
    ('busy', 503, 'The database is busy. Try again.');
$$;

-- Is this the code of a refusal after which an app, or a claim of a sign-up, forgets the code? After any other it is
-- kept for another try. A limit can be raised, and terms can be changed: the person enters the code again then.
create function referral_private.is_final_refusal(p_code text)
returns boolean
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
  select
    p_code in (
      'invalid_code',
      'code_not_found',
      'code_inactive',
      'code_expired',
      'code_limit_reached',
      'already_redeemed',
      'self_referral',
      'mutual_referral',
      'new_users_only'
    );
$$;

-- Raises a registered error the way PostgREST relays: `{code, message, details, hint}` and the HTTP status.
create function referral_private.raise_error(p_code text, p_details text default null)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_status int;
  v_message text;
begin
  select e.status, e.message into strict v_status, v_message
  from referral_private.error_registry() as e
  where e.code = p_code;

  raise sqlstate 'PGRST' using
    message = json_build_object('code', p_code, 'message', v_message, 'details', p_details, 'hint', null)::text,
    detail = json_build_object(
      'status', v_status,
      'headers', case p_code
        when 'busy' then json_build_object('Retry-After', '1')
        when 'rate_limited' then json_build_object('Retry-After', '3600')
        else json_build_object()
      end
    )::text;
end
$$;

-- What a constraint says of an argument, which is its comment: the name of the argument, and what it must be.
create function referral_private.rule_of(p_schema text, p_constraint text)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select max(obj_description(c.oid, 'pg_constraint'))
    from pg_constraint as c
    where c.conname = p_constraint and c.connamespace::regnamespace::text = p_schema
  );
end
$$;

-- Raises the error for a violated constraint, or `busy` for a lock time-out or a deadlock. The public functions call it
-- from their exception handlers, and raise the original error again if it returns: a violation that is no fault of the
-- caller is not hidden.
create function referral_private.raise_violation(p_sqlstate text, p_schema text, p_constraint text, p_column text)
returns void
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code text;
begin
  case p_sqlstate
    when '55P03', '40P01' then
      v_code := 'busy';
    when '23505' then
      v_code := case p_constraint
        when 'organisations_slug_is_unique' then 'organisation_exists'
        when 'organisations_stripe_account_is_unique' then 'stripe_account_taken'
        when 'organisations_link_origin_is_unique' then 'link_origin_taken'
        when 'programs_key_is_unique' then 'program_exists'
        when 'codes_one_active' then 'active_code_exists'
      end;
    when '23502', '23514' then
      -- Tables of `referral` and records of payments take a caller's value unchanged, and a sum can become too large.
      if p_schema = 'referral' or starts_with(p_constraint, 'recorded_facts_')
        or right(p_constraint, 19) = 'exact_in_javascript'
      then
        v_code := 'invalid_argument';
      end if;
    else
      return;
  end case;
  if v_code is not null then
    perform referral_private.raise_error(
      v_code, coalesce(
        referral_private.rule_of(p_schema, p_constraint),
        case when p_sqlstate = '40P01' then 'two calls waited for each other' end,
        case when v_code = 'invalid_argument' then coalesce(nullif(p_constraint, ''), p_column || ': required') end
      )
    );
  end if;
end
$$;

grant execute on function referral_private.raise_violation to authenticated, service_role;

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

-- Refuses every change of what is written once, to the owner too, and in replica mode.
create function referral_private.refuse_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end
$$;

-- Where a caller comes from.

-- The caller's address. Hosted Supabase stands behind Cloudflare, which sets `cf-connecting-ip` itself, whatever the
-- client sends; the local gateway does the same. Behind another proxy, replace this function by one that reads the
-- header which that proxy sets. No address means no limit by address, and locks nobody out.
create function referral_private.client_address()
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return nullif(nullif(current_setting('request.headers', true), '')::jsonb ->> 'cf-connecting-ip', '');
end
$$;

-- The network of an address: /64 for IPv6, and the given length for IPv4. Null if it is no address.
create function referral_private.network_of(p_address text, p_ipv4_length int)
returns text
language plpgsql
immutable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_address inet;
begin
  v_address := case
    when starts_with(p_address, ':') then regexp_replace(p_address, '^::ffff:(?=[0-9]+[.])', '', 'i')
    else p_address
  end;
  return host(network(set_masklen(v_address, case family(v_address) when 6 then 64 else p_ipv4_length end)));
exception
  when invalid_text_representation then
    return null;
end
$$;

-- Who called, without knowing who: what tells people apart, such as an address, is stored only as a hash under a random
-- key of the day. Hashes of two days have nothing in common, and once the key is gone nobody can tell whose they were.

-- Not logged, so that the key is in no archive of the write-ahead log. After a crash there is a new one.
create unlogged table referral_private.day_keys (
  day date not null,
  key bytea not null,
  constraint day_keys_pkey primary key (day)
);

alter table referral_private.day_keys enable row level security;

-- Removes the keys of the days before this one, for good.
create function referral_private.forget_keys_before(p_day date)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from referral_private.day_keys as k where k.day < p_day;
end
$$;

-- The key of a day in UTC, drawn when it is first asked for: 244 random bits. Drawing it removes those of the days
-- before.
create function referral_private.day_key(p_day date)
returns bytea
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bytea;
begin
  select k.key into v_key from referral_private.day_keys as k where k.day = p_day;
  if found then
    return v_key;
  end if;
  perform referral_private.forget_keys_before(p_day);
  insert into referral_private.day_keys (day, key)
  values (p_day, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
  on conflict do nothing;
  select k.key into strict v_key from referral_private.day_keys as k where k.day = p_day;
  return v_key;
end
$$;

-- The hash of a text under a key. A hash follows the key, always of one length: only the key's holder can compute the
-- outer hash.
create function referral_private.hash_under(p_key bytea, p_text text)
returns bytea
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(p_key || sha256(convert_to(p_text, 'UTF8')));
end
$$;

-- The hash of a text under the key of a day.
create function referral_private.hash_of_day(p_day date, p_text text)
returns bytea
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.hash_under(referral_private.day_key(p_day), p_text);
end
$$;

-- The version of the schema. `npm run release` sets it, and a test keeps it equal to package.json's.
create function referral_private.installed_version()
returns text
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return '0.1.0';
end
$$;

comment on function referral_private.installed_version is
  'public: Returns the version of referbase that the database has: that of the last migration of a release.

group: Run jobs
callers: the operator
errors: none
timeout: 5s';

grant execute on function referral_private.installed_version to service_role;

-- Tables by month: each month, in UTC, can have a partition of its own, and the default partition has the rest.

-- A month that has a partition of its own.
create type referral_private.month_partition as (partition name, month timestamp);

-- The months of this table that have a partition.
create function referral_private.months_of(p_table regclass)
returns setof referral_private.month_partition
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select c.relname, to_date(right(c.relname, 7), 'YYYY_MM')::timestamp
  from pg_inherits as i
  join pg_class as c on c.oid = i.inhrelid
  join pg_partitioned_table as t on t.partrelid = i.inhparent
  where i.inhparent = p_table and c.oid <> t.partdefid;
end
$$;

-- Whether the default partition has rows of this month. Then it keeps the month, where a look-up finds them as well,
-- and nothing has to be moved while others wait.
create function referral_private.is_kept_by_default(p_table regclass, p_month timestamp)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- Nearly always there is none, and a table that is read to its end says so late.
set enable_seqscan = off
as $$
declare
  v_default regclass;
  v_time name;
  v_is_kept boolean;
begin
  select t.partdefid, a.attname into strict v_default, v_time
  from pg_partitioned_table as t
  join pg_attribute as a on a.attrelid = t.partrelid and a.attnum = t.partattrs[0]
  where t.partrelid = p_table;
  execute format('select exists (select from %s where %2$I >= $1 and %2$I < $2)', v_default, v_time)
  into v_is_kept
  using p_month at time zone 'utc', (p_month + interval '1 month') at time zone 'utc';
  return v_is_kept;
end
$$;

-- Which of this month and so many after it should have a partition, and have none.
create function referral_private.missing_months(p_table regclass, p_ahead int)
returns timestamp[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_this_month constant timestamp := date_trunc('month', clock_timestamp() at time zone 'utc');
begin
  return array(
    select ahead.month
    from (select v_this_month + n * interval '1 month' as month from generate_series(0, p_ahead) as n) as ahead
    where ahead.month not in (select m.month from referral_private.months_of(p_table) as m)
      and not referral_private.is_kept_by_default(p_table, ahead.month)
    order by 1
  );
end
$$;

-- Makes a month's partition and returns its name; null, where the default partition keeps the month. The table is
-- locked.
create function referral_private.make_month(p_table regclass, p_month timestamp)
returns name
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $$
declare
  v_partition constant name := (select c.relname from pg_class as c where c.oid = p_table)
    || to_char(p_month, '"_"YYYY_MM');
  v_from constant timestamptz := p_month at time zone 'utc';
  v_to constant timestamptz := (p_month + interval '1 month') at time zone 'utc';
begin
  if referral_private.is_kept_by_default(p_table, p_month) then
    return null;
  end if;
  execute format(
    'create table referral_private.%I partition of %s for values from (%L) to (%L)',
    v_partition, p_table, v_from, v_to
  );
  execute format('alter table referral_private.%I enable row level security', v_partition);
  execute format('revoke all on referral_private.%I from public, anon, authenticated, service_role', v_partition);
  return v_partition;
end
$$;

-- Since when rows are kept. Raises `invalid_argument` for less than 90 days: no click_window is longer, and Stripe
-- delivers no event that late.
create function referral_private.kept_from(p_retention interval)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_kept_from timestamptz;
begin
  v_kept_from := referral_private.later(v_now, -p_retention);
  if coalesce(v_kept_from > referral_private.later(v_now, interval '-90 days'), true) then
    perform referral_private.raise_error('invalid_argument', 'retention: 90 days or more');
  end if;
  return v_kept_from;
exception
  when datetime_field_overflow then
    perform referral_private.raise_error('invalid_argument', 'retention: 90 days or more');
end
$$;

-- Who is calling, and what they may do. Every policy and every check of a caller goes through this file.
create type referral.member_role as enum ('member', 'coordinator', 'admin');

-- Is the caller the operator: the service role, or the schema's owner, connected directly or by `set role` (seeds,
-- jobs)? The absence of a signed-in user proves nothing: the anonymous role has none either.
create function referral_private.is_operator()
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role text := current_setting('role');
begin
  if v_role = 'none' then
    v_role := session_user;
  end if;
  return v_role = 'service_role'
    or v_role = (select pg_get_userbyid(n.nspowner) from pg_namespace as n where n.nspname = 'referral');
end
$$;

-- Is the caller signed in anonymously? An anonymous session has no rights, because it cannot be recognised again.
create function referral_private.is_anonymous()
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false);
end
$$;

-- The signed-in person. Raises `not_signed_in`, or `anonymous_user` for an anonymous sign-in.
create function referral_private.require_person()
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := auth.uid();
begin
  if v_user_id is null then
    perform referral_private.raise_error('not_signed_in');
  end if;
  if referral_private.is_anonymous() then
    perform referral_private.raise_error('anonymous_user');
  end if;
  return v_user_id;
end
$$;

-- The organisations in which the caller has at least this role. Every policy and every check goes through it:
-- an app with a membership table of its own replaces this one function. An anonymous sign-in has no role anywhere.
create function referral_private.orgs_with_role(p_role referral.member_role)
returns setof uuid
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.is_anonymous() then
    return;
  end if;
  return query
  select m.org_id
  from referral.members as m
  where m.user_id = auth.uid() and m.role >= p_role and m.deactivated_at is null;
end
$$;

-- The same for policies: the planner evaluates it, so it knows how few rows a caller may read, and finds them by an
-- index. It stands alone in a policy: beside an alternative it would be called for each row. The cost is about what it
-- is.
create function referral_private.org_ids_with_role(p_role referral.member_role)
returns uuid[]
language plpgsql
stable
cost 2000
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(select referral_private.orgs_with_role(p_role));
end
$$;

grant execute on function referral_private.org_ids_with_role to authenticated;

-- Does the caller act with this role in the organisation? The operator does, in every one.
create function referral_private.acts_with_role(p_org_id uuid, p_role referral.member_role)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.is_operator() or p_org_id in (select referral_private.orgs_with_role(p_role));
end
$$;

-- Lets a caller pass who acts with this role. Raises `not_signed_in`, `anonymous_user`, `not_a_member`,
-- `not_allowed`, and for the operator `organisation_not_found`.
create function referral_private.require_role(p_org_id uuid, p_role referral.member_role)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id: required');
  end if;
  if referral_private.is_operator() then
    if not exists (select from referral.organisations as o where o.id = p_org_id) then
      perform referral_private.raise_error('organisation_not_found');
    end if;
    return;
  end if;
  perform referral_private.require_person();
  if not referral_private.acts_with_role(p_org_id, 'member') then
    perform referral_private.raise_error('not_a_member');
  end if;
  if not referral_private.acts_with_role(p_org_id, p_role) then
    perform referral_private.raise_error('not_allowed');
  end if;
end
$$;

-- The person that the caller acts for: themself, or, for staff and the operator, anyone in the organisation.
-- `p_argument` is the name of the argument that gives the person. Raises `not_signed_in`, `anonymous_user`,
-- `not_a_member`, `not_allowed`, `organisation_not_found`.
create function referral_private.acting_for(p_org_id uuid, p_user_id uuid, p_argument text default 'referrer_id')
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id: required');
  end if;
  if p_user_id is null and referral_private.is_operator() then
    perform referral_private.raise_error('invalid_argument', concat(
      p_argument, ': required with the secret key, which is no person; an app uses the publishable key and signs in'
    ));
  end if;
  if p_user_id is null or p_user_id is not distinct from auth.uid() then
    return referral_private.require_person();
  end if;
  perform referral_private.require_role(p_org_id, 'coordinator');
  return p_user_id;
end
$$;

-- An organisation is a tenant: it owns programs, codes and what comes of them. Its destinations are the only places
-- that a referral link can lead to.
create table referral.organisations (
  id uuid not null default gen_random_uuid(),
  slug text collate "C" not null,
  name text not null,
  active boolean not null default true,
  stripe_account_id text collate "C",
  stripe_account_since timestamptz not null default now(),
  link_origin text collate "C",
  web_destination text,
  ios_destination text,
  android_destination text,
  android_package text,
  ios_app_ids text[] not null default '{}',
  android_fingerprints text[] not null default '{}',
  code_length int not null default 8,
  codes_per_member int not null default 20,
  batch_rows_per_day int not null default 100000,
  max_uses_cap int not null default 100000,
  rotation_grace interval not null default interval '7 days',
  rotations_per_day int not null default 10,
  redemptions_per_user int not null default 20,
  redemptions_per_address int not null default 200,
  click_window interval not null default interval '30 days',
  clicks_per_visitor int not null default 20,
  clicks_per_code int not null default 50000,
  time_zone text not null default 'UTC',
  refuse_look_alikes boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint organisations_pkey primary key (id),
  constraint organisations_slug_is_unique unique (slug),
  constraint organisations_stripe_account_is_unique unique (stripe_account_id),
  constraint organisations_link_origin_is_unique unique (link_origin),
  constraint organisations_slug_is_a_label check (slug ~ '^[a-z0-9](-?[a-z0-9]){0,62}$'),
  constraint organisations_name_is_1_to_120 check (length(name) between 1 and 120),
  constraint organisations_name_is_one_line check (referral_private.is_one_line(name)),
  constraint organisations_stripe_account_is_an_id check (stripe_account_id ~ '^acct_[A-Za-z0-9]{1,64}$'),
  constraint organisations_link_origin_is_https
    check (referral_private.is_https_url(link_origin) and link_origin collate "C" ~ '^https://[a-z0-9.-]+(:[0-9]+)?$'),
  constraint organisations_web_destination_is_a_page check (referral_private.is_page_url(web_destination)),
  constraint organisations_ios_destination_is_https check (referral_private.is_https_url(ios_destination)),
  constraint organisations_android_destination_is_https check (referral_private.is_https_url(android_destination)),
  constraint organisations_android_package_is_a_name
    check (android_package ~ '^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$' and length(android_package) <= 255),
  constraint organisations_ios_app_ids_are_ids
    check (referral_private.are_all_like(ios_app_ids, '[A-Z0-9]{10}\.[A-Za-z0-9][A-Za-z0-9.-]{0,154}')),
  constraint organisations_android_fingerprints_are_sha256
    check (referral_private.are_all_like(android_fingerprints, '([0-9A-F]{2}:){31}[0-9A-F]{2}')),
  constraint organisations_code_length_is_8_to_16 check (code_length between 8 and 16),
  constraint organisations_codes_per_member_is_positive check (codes_per_member between 1 and 10000),
  constraint organisations_batch_rows_per_day_is_bounded check (batch_rows_per_day between 0 and 10000000),
  constraint organisations_max_uses_cap_is_positive check (max_uses_cap between 1 and 1000000000),
  constraint organisations_rotations_per_day_is_positive check (rotations_per_day between 1 and 1000),
  constraint organisations_redemptions_per_user_is_positive check (redemptions_per_user between 1 and 1000000),
  constraint organisations_redemptions_per_address_is_positive check (redemptions_per_address between 1 and 1000000),
  constraint organisations_clicks_per_visitor_is_positive check (clicks_per_visitor between 1 and 1000),
  constraint organisations_clicks_per_code_is_positive check (clicks_per_code between 1 and 10000000),
  -- update_organisation takes only zones that the database knows.
  constraint organisations_time_zone_is_a_name check (time_zone ~ '^[A-Za-z0-9_+/-]{1,64}$'),
  constraint organisations_click_window_is_a_quarter_at_most
    check (
      click_window between interval '1 hour' and interval '90 days'
      and extract(year from click_window) = 0
      and extract(month from click_window) = 0
    ),
  constraint organisations_rotation_grace_is_a_quarter_at_most
    check (
      rotation_grace between interval '0' and interval '90 days'
      and extract(year from rotation_grace) = 0
      and extract(month from rotation_grace) = 0
    )
);

comment on table referral.organisations is
  'Tenants with their settings. Read by coordinators and admins of the organisation. Written by create_organisation and
update_organisation.';

-- What an argument that a constraint refuses must be.
comment on constraint organisations_slug_is_a_label on referral.organisations is
  'slug: lower-case letters and digits, with single hyphens between them';
comment on constraint organisations_name_is_1_to_120 on referral.organisations is 'name: 1 to 120 characters';
comment on constraint organisations_name_is_one_line on referral.organisations is
  'name: one line, without control and bidirectional characters';
comment on constraint organisations_stripe_account_is_an_id on referral.organisations is
  'stripe_account_id: acct_ and what follows at Stripe';
comment on constraint organisations_link_origin_is_unique on referral.organisations is
  'link_origin: a host that no other organisation has; to move a host, set it to null there first';
comment on constraint organisations_link_origin_is_https on referral.organisations is
  'link_origin: https:// and a host in lower case, and nothing after it but a port';
comment on constraint organisations_web_destination_is_a_page on referral.organisations is
  'web_destination: an https address, or http://localhost or http://127.0.0.1 with any port';
comment on constraint organisations_ios_destination_is_https on referral.organisations is
  'ios_destination: an https address';
comment on constraint organisations_android_destination_is_https on referral.organisations is
  'android_destination: an https address';
comment on constraint organisations_android_package_is_a_name on referral.organisations is
  'android_package: such as com.example.app';
comment on constraint organisations_ios_app_ids_are_ids on referral.organisations is
  'ios_app_ids: each such as ABCDE12345.com.example.app';
comment on constraint organisations_android_fingerprints_are_sha256 on referral.organisations is
  'android_fingerprints: each a SHA-256 such as AB:CD:…';
comment on constraint organisations_code_length_is_8_to_16 on referral.organisations is 'code_length: 8 to 16';
comment on constraint organisations_codes_per_member_is_positive on referral.organisations is
  'codes_per_member: 1 to 10,000';
comment on constraint organisations_batch_rows_per_day_is_bounded on referral.organisations is
  'batch_rows_per_day: 0 to 10,000,000';
comment on constraint organisations_max_uses_cap_is_positive on referral.organisations is
  'max_uses_cap: 1 to 1,000,000,000';
comment on constraint organisations_rotations_per_day_is_positive on referral.organisations is
  'rotations_per_day: 1 to 1,000';
comment on constraint organisations_redemptions_per_user_is_positive on referral.organisations is
  'redemptions_per_user: 1 to 1,000,000';
comment on constraint organisations_redemptions_per_address_is_positive on referral.organisations is
  'redemptions_per_address: 1 to 1,000,000';
comment on constraint organisations_clicks_per_visitor_is_positive on referral.organisations is
  'clicks_per_visitor: 1 to 1,000';
comment on constraint organisations_clicks_per_code_is_positive on referral.organisations is
  'clicks_per_code: 1 to 10,000,000';
comment on constraint organisations_click_window_is_a_quarter_at_most on referral.organisations is
  'click_window: 1 hour to 90 days, without months and years';
comment on constraint organisations_rotation_grace_is_a_quarter_at_most on referral.organisations is
  'rotation_grace: up to 90 days, without months and years';
comment on constraint organisations_time_zone_is_a_name on referral.organisations is
  'time_zone: a name that Postgres knows, such as Europe/Berlin';

alter table referral.organisations enable row level security;

create policy organisations_staff_reads on referral.organisations
for select
to authenticated
using (id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.organisations to authenticated, service_role;

-- The record of what staff and the operator change: who, what, before and after. It is written by triggers, so that no
-- function can forget it, and nobody changes it. Redemptions, clicks and payments are not in it.
create type referral.change_subject as enum (
  'organisation',
  'member',
  'program',
  'terms',
  'allowed_word',
  'code',
  'code_batch',
  'decision'
);

create table referral_private.changes (
  org_id uuid not null,
  id bigint generated always as identity,
  changed_at timestamptz not null default clock_timestamp(),
  actor_id uuid,
  -- The role of the database in which it was made.
  made_as text not null,
  subject referral.change_subject not null,
  subject_id uuid not null,
  before jsonb,
  after jsonb,
  constraint changes_pkey primary key (org_id, id),
  constraint changes_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict
);

create index changes_by_subject on referral_private.changes (org_id, subject_id, id);

create index changes_by_actor on referral_private.changes (org_id, actor_id, id);

alter table referral_private.changes enable row level security;

create trigger changes_are_append_only
before update or delete or truncate on referral_private.changes
for each statement
execute function referral_private.refuse_change();

alter table referral_private.changes enable always trigger changes_are_append_only;

-- Puts on record what differs between two states of a subject; nothing, where nothing does. The state before is null of
-- what is made, the state after of what is removed. `p_with` is a column that goes with every change.
create function referral_private.record_difference(
  p_org_id uuid,
  p_subject referral.change_subject,
  p_subject_id uuid,
  p_before jsonb,
  p_after jsonb,
  p_with text default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.changes (org_id, subject, subject_id, actor_id, made_as, before, after)
  select p_org_id, p_subject, p_subject_id, auth.uid(), coalesce(nullif(current_setting('role'), 'none'), session_user),
    jsonb_object_agg(key, was.value) filter (where p_before is not null),
    jsonb_object_agg(key, is_now.value) filter (where p_after is not null)
  from jsonb_each(p_before) as was
  full join jsonb_each(p_after) as is_now using (key)
  where coalesce(was.value, 'null') <> coalesce(is_now.value, 'null') or key = p_with and is_now.value <> 'null'
  having bool_or(coalesce(was.value, 'null') <> coalesce(is_now.value, 'null'));
end
$$;

-- Puts a change of a row on record. The trigger names the subject, the column of its id, and the column that goes with
-- every change.
create function referral_private.record_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
declare
  v_row jsonb := to_jsonb(coalesce(new, old));
  v_left_out text[] := array['id', 'org_id', 'created_at', 'updated_at', tg_argv[1]];
  v_before jsonb := to_jsonb(old);
  v_after jsonb := to_jsonb(new);
begin
  -- A name that no link shows is nobody's business but the organisation's.
  if v_before ->> 'public_name' = 'false' then
    v_before := v_before - 'display_name';
  end if;
  if v_after ->> 'public_name' = 'false' then
    v_after := v_after - 'display_name';
  end if;
  -- A name is on record while a link shows it; a member who is removed leaves none.
  if tg_op <> 'UPDATE' then
    v_left_out := v_left_out || 'display_name'::text;
  end if;
  perform referral_private.record_difference(
    coalesce(v_row ->> 'org_id', v_row ->> 'id')::uuid, tg_argv[0]::referral.change_subject,
    (v_row ->> tg_argv[1])::uuid,
    v_before - v_left_out, v_after - v_left_out, tg_argv[2]
  );
  return null;
end
$$;

create trigger organisations_are_on_record
after insert or update on referral.organisations
for each row
execute function referral_private.record_change('organisation', 'id');

create type referral.change as (
  id bigint,
  changed_at timestamptz,
  actor_id uuid,
  made_as text,
  subject referral.change_subject,
  subject_id uuid,
  before jsonb,
  after jsonb
);

create function referral_private.list_changes(
  p_org_id uuid,
  p_subject_id uuid default null,
  p_actor_id uuid default null,
  p_after bigint default null,
  p_page_size int default 100
)
returns setof referral.change
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_custom_plan'
-- In the order of the index, up to a page: all of an organisation would be read and sorted else.
set enable_bitmapscan = off
as $$
begin
  perform referral_private.require_role(p_org_id, 'admin');
  if p_after is not null and not exists (
    select from referral_private.changes as c where c.org_id = p_org_id and c.id = p_after
  ) then
    perform referral_private.raise_error('invalid_argument', 'after: the id of a change of the organisation');
  end if;
  return query
  select c.id, c.changed_at, c.actor_id, c.made_as, c.subject, c.subject_id, c.before, c.after
  from referral_private.changes as c
  where c.org_id = p_org_id and (p_after is null or c.id < p_after)
    and (p_subject_id is null or c.subject_id = p_subject_id)
    and (p_actor_id is null or c.actor_id = p_actor_id)
  order by c.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

comment on function referral_private.list_changes is
  'public: Returns what staff and the operator changed, and the names that members showed, newest first. before and
after have the columns that changed; before is null where something was made, after where it was removed. actor_id is
null for the operator. made_as is the role of the database: authenticated for people, service_role for the operator''s
server, another for the operator''s jobs and SQL.

group: Set up organisations and programs
org_id: the organisation
subject_id: of this organisation, member (the user), program, code, batch of codes or decision only; terms are of their
  program, allowed words of the organisation
actor_id: by this person only
after: the last id of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 10s';

grant execute on function referral_private.list_changes to authenticated, service_role;

-- The people who have a role in an organisation. No foreign key to auth.users: history outlives a user.
create table referral.members (
  org_id uuid not null,
  user_id uuid not null,
  role referral.member_role not null default 'member',
  display_name text,
  public_name boolean not null default false,
  -- Who admitted them: staff, themself where enrolment is open, or, where null, the operator.
  admitted_by uuid,
  deactivated_at timestamptz,
  blocked_at timestamptz,
  -- Why it was deactivated or reactivated last.
  reason text,
  created_at timestamptz not null default now(),
  constraint members_pkey primary key (org_id, user_id),
  constraint members_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint members_display_name_is_1_to_80 check (length(display_name) between 1 and 80),
  constraint members_display_name_is_one_line check (referral_private.is_one_line(display_name)),
  constraint members_reason_is_500_at_most check (length(reason) <= 500),
  constraint members_reason_is_one_line check (referral_private.is_one_line(reason)),
  constraint members_public_name_is_set check (not public_name or display_name is not null)
);

create index members_by_user on referral.members (user_id);

create index members_active_admins on referral.members (org_id, user_id)
where role = 'admin' and deactivated_at is null;

-- Few members have a public name, so look-ups of codes use this small index.
create index members_with_public_name on referral.members (org_id, user_id) include (display_name) where public_name;

comment on table referral.members is
  'Who has which role in an organisation. Read by admins of the organisation; a person reads their own rows with
my_memberships. Written by add_member, set_member_role, deactivate_member, reactivate_member and get_or_create_code.';

-- What an argument that a constraint refuses must be.
comment on constraint members_display_name_is_1_to_80 on referral.members is 'display_name: 1 to 80 characters';
comment on constraint members_display_name_is_one_line on referral.members is
  'display_name: one line, without control and bidirectional characters';
comment on constraint members_reason_is_500_at_most on referral.members is 'reason: up to 500 characters';
comment on constraint members_reason_is_one_line on referral.members is
  'reason: one line, without control and bidirectional characters';
comment on constraint members_public_name_is_set on referral.members is 'public_name: true only with a display_name';

alter table referral.members enable row level security;

create policy members_admin_reads on referral.members
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('admin')));

grant select on referral.members to authenticated, service_role;

-- Who enrols by themself changes nothing of anybody else's: the row says so.
create trigger members_added_are_on_record
after insert on referral.members
for each row
when (new.admitted_by is distinct from new.user_id)
execute function referral_private.record_change('member', 'user_id');

create trigger members_rights_are_on_record
after update of role, admitted_by, deactivated_at, blocked_at on referral.members
for each row
execute function referral_private.record_change('member', 'user_id', 'reason');

create trigger members_removed_are_on_record
after delete on referral.members
for each row
execute function referral_private.record_change('member', 'user_id');

-- A name that nobody but the organisation is shown is not kept.
create trigger members_public_names_are_on_record
after update of display_name, public_name on referral.members
for each row
when (old.public_name or new.public_name)
execute function referral_private.record_change('member', 'user_id');

-- Refuses who is and was no member, without a lock. Raises `not_a_member` of the caller, `member_not_found` of anyone
-- else.
create function referral_private.require_member(p_org_id uuid, p_user_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from referral.members as m where m.org_id = p_org_id and m.user_id = p_user_id) then
    perform referral_private.raise_error(
      case when p_user_id is not distinct from auth.uid() then 'not_a_member' else 'member_not_found' end
    );
  end if;
end
$$;

-- Locks a member row until the transaction ends. Raises `not_a_member` of the caller, `member_not_found` of anyone
-- else.
create function referral_private.lock_member(p_org_id uuid, p_user_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_member referral.members;
begin
  select * into v_member
  from referral.members as m
  where m.org_id = p_org_id and m.user_id = p_user_id
  for no key update;
  if not found then
    perform referral_private.require_member(p_org_id, p_user_id);
  end if;
  -- A caller who acts for another person may have lost that right while this waited.
  if p_user_id is distinct from auth.uid() then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  return v_member;
end
$$;

create function referral_private.my_memberships()
returns setof referral.members
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id constant uuid := referral_private.require_person();
begin
  return query
  select m.* from referral.members as m
  where m.user_id = v_user_id
  order by m.org_id
  limit 1000;
end
$$;

comment on function referral_private.my_memberships is
  'public: Returns what the caller is in which organisation: their rows of members, 1,000 at most.

group: Manage members
callers: signed-in people
errors: not_signed_in, anonymous_user
timeout: 5s';

grant execute on function referral_private.my_memberships to authenticated;

-- The organisation behind a link host of its own: the destination of the host's pages, and the apps that open its
-- links.
create type referral.link_site as (
  link_origin text,
  web_destination text,
  ios_app_ids text[],
  android_package text,
  android_fingerprints text[]
);

create function referral_private.link_site(p_host text)
returns setof referral.link_site
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select o.link_origin, o.web_destination, o.ios_app_ids, o.android_package, o.android_fingerprints
  from referral.organisations as o
  where o.link_origin = 'https://' || lower(p_host);
end
$$;

comment on function referral_private.link_site is
  'public: Returns what anyone may know of a link host: the destination of its organisation, and the apps that open its
links. No row for a host that no organisation has.

group: Follow a link
host: such as go.example.org or go.example.org:8443
callers: anyone
errors: none
timeout: 5s';

grant execute on function referral_private.link_site to anon, authenticated, service_role;

-- A program is what an organisation offers, to whom, and until when. Its terms are versioned and immutable, and a
-- redemption keeps the version it was made under: changing a program never changes what was promised.
create table referral.programs (
  id uuid not null default gen_random_uuid(),
  org_id uuid not null,
  key text collate "C" not null,
  name text not null,
  is_default boolean not null default false,
  active boolean not null default true,
  created_at timestamptz not null default now(),
  constraint programs_pkey primary key (id),
  constraint programs_org_and_id_are_unique unique (org_id, id),
  constraint programs_key_is_unique unique (org_id, key),
  constraint programs_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint programs_key_is_a_label check (key ~ '^[a-z0-9]([_-]?[a-z0-9]){0,62}$'),
  constraint programs_name_is_1_to_120 check (length(name) between 1 and 120),
  constraint programs_name_is_one_line check (referral_private.is_one_line(name))
);

create unique index programs_one_default on referral.programs (org_id) where is_default;

comment on table referral.programs is
  'Programs of an organisation. Read by its staff and the members whom they have added; by members who enrolled by
themselves those with open enrolment, and those in which they have a code or a redemption. Written by create_program and
update_program.';

-- What an argument that a constraint refuses must be.
comment on constraint programs_key_is_a_label on referral.programs is
  'key: lower-case letters and digits, with single hyphens or underscores between them';
comment on constraint programs_name_is_1_to_120 on referral.programs is 'name: 1 to 120 characters';
comment on constraint programs_name_is_one_line on referral.programs is
  'name: one line, without control and bidirectional characters';

alter table referral.programs enable row level security;

grant select on referral.programs to authenticated, service_role;

create trigger programs_are_on_record
after insert or update on referral.programs
for each row
execute function referral_private.record_change('program', 'id');

-- The given program of an organisation, or else its default; null where there is none.
create function referral_private.named_program(p_org_id uuid, p_program_id uuid)
returns referral.programs
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_program referral.programs;
begin
  select p.* into v_program
  from referral.programs as p
  where p.org_id = p_org_id and case when p_program_id is null then p.is_default else p.id = p_program_id end;
  return v_program;
end
$$;

-- Are a program and its organisation switched on?
create function referral_private.is_switched_on(p_program referral.programs)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_program.active and (select o.active from referral.organisations as o where o.id = p_program.org_id);
end
$$;

-- The program that a new code belongs to: the given one, or else the organisation's default. Raises
-- `program_not_found`, `program_inactive`.
create function referral_private.program_for_code(p_org_id uuid, p_program_id uuid)
returns referral.programs
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_program referral.programs := referral_private.named_program(p_org_id, p_program_id);
begin
  if v_program.id is null then
    perform referral_private.raise_error(
      'program_not_found', case when p_program_id is null then 'none: an admin calls create_program first' end
    );
  end if;
  if not referral_private.is_switched_on(v_program) then
    perform referral_private.raise_error('program_inactive');
  end if;
  return v_program;
end
$$;

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

-- The times at which programs and organisations were switched on and off: a code in a payment counts if its program
-- was on at that time.
create table referral_private.switches (
  id bigint generated always as identity,
  org_id uuid not null,
  program_id uuid,
  active boolean not null,
  since timestamptz not null default clock_timestamp(),
  constraint switches_pkey primary key (id),
  constraint switches_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict
);

create index switches_by_organisation on referral_private.switches (org_id, program_id, since);

alter table referral_private.switches enable row level security;

create trigger switches_are_append_only
before update or delete or truncate on referral_private.switches
for each statement
execute function referral_private.refuse_change();

alter table referral_private.switches enable always trigger switches_are_append_only;

-- Stores each change of `active` of a program or an organisation.
create function referral_private.record_switch()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and new.active = old.active or tg_op = 'INSERT' and new.active then
    return null;
  end if;
  if tg_table_name = 'programs' then
    insert into referral_private.switches (org_id, program_id, active) values (new.org_id, new.id, new.active);
  else
    insert into referral_private.switches (org_id, active) values (new.id, new.active);
  end if;
  return null;
end
$$;

create trigger programs_record_their_switch
after insert or update of active on referral.programs
for each row
execute function referral_private.record_switch();

create trigger organisations_record_their_switch
after insert or update of active on referral.organisations
for each row
execute function referral_private.record_switch();

-- Versions of a program's terms, each immutable, with the time it was in force.
create table referral.program_terms (
  org_id uuid not null,
  program_id uuid not null,
  version int not null,
  terms jsonb not null,
  valid_from timestamptz not null default clock_timestamp(),
  valid_to timestamptz,
  constraint program_terms_pkey primary key (org_id, program_id, version),
  constraint program_terms_belong_to_a_program
    foreign key (org_id, program_id) references referral.programs (org_id, id)
      on delete restrict,
  constraint program_terms_version_is_positive check (version >= 1),
  constraint program_terms_end_after_they_begin check (valid_to > valid_from)
);

create unique index program_terms_one_in_force on referral.program_terms (org_id, program_id) where valid_to is null;

comment on table referral.program_terms is
  'Versions of a program''s terms, each immutable, with the time it was in force. Read by those who read the program.
Written by create_program and update_program.';

alter table referral.program_terms enable row level security;

grant select on referral.program_terms to authenticated, service_role;

-- Lets a version end once. Everything else is refused. No truncation of terms gets past the payers of decisions, which
-- refer to them by redemptions.
create function referral_private.guard_terms()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowed referral.program_terms := old;
begin
  v_allowed.valid_to := coalesce(old.valid_to, new.valid_to);
  -- Of a row that is deleted, there is no new one.
  if new is distinct from v_allowed then
    raise exception 'program_terms are immutable' using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;

create trigger program_terms_are_immutable
before update or delete on referral.program_terms
for each row
execute function referral_private.guard_terms();

alter table referral.program_terms enable always trigger program_terms_are_immutable;

-- Puts on record which terms a version changes.
create function referral_private.record_terms()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.record_difference(
    new.org_id, 'terms', new.program_id,
    (
      select t.terms || jsonb_build_object('version', t.version) from referral.program_terms as t
      where t.org_id = new.org_id and t.program_id = new.program_id and t.version = new.version - 1
    ),
    new.terms || jsonb_build_object('version', new.version)
  );
  return null;
end
$$;

create trigger program_terms_are_on_record
after insert on referral.program_terms
for each row
execute function referral_private.record_terms();

-- The terms of a program that are in force now.
create function referral_private.terms_in_force(p_org_id uuid, p_program_id uuid)
returns referral.program_terms
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_terms referral.program_terms;
begin
  select * into v_terms
  from referral.program_terms as t
  where t.org_id = p_org_id and t.program_id = p_program_id and t.valid_to is null;
  return v_terms;
end
$$;

-- May people enrol by themselves? Null where there is no such program.
create function referral_private.has_open_enrolment(p_org_id uuid, p_program_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (referral_private.terms_in_force(p_org_id, p_program_id)).terms ->> 'enrolment' = 'open';
end
$$;

-- Lets people pass who enrol by themselves, where the terms in force say so. Raises `not_invited`, which does not tell
-- whether there is such a program.
create function referral_private.require_open_enrolment(p_org_id uuid, p_program_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.has_open_enrolment(p_org_id, p_program_id) is not true then
    perform referral_private.raise_error(
      'not_invited', 'org_id or program_id: no program of these has enrolment "open"; or staff call add_member'
    );
  end if;
end
$$;

-- The version of a program's terms that was in force at a time; null where the program or its organisation was
-- switched off then. Times are compared in whole seconds, as Stripe's are.
create function referral_private.terms_at(p_org_id uuid, p_program_id uuid, p_at timestamptz)
returns int
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from (
      select distinct on (w.program_id) w.active from referral_private.switches as w
      where w.org_id = p_org_id and (w.program_id = p_program_id or w.program_id is null)
        and date_trunc('second', w.since) <= p_at
      order by w.program_id, w.id desc
    ) as switched
    where not switched.active
  ) then
    return null;
  end if;
  return (
    select max(t.version) from referral.program_terms as t
    where t.org_id = p_org_id and t.program_id = p_program_id and date_trunc('second', t.valid_from) <= p_at
  );
end
$$;

-- What a code is as text: how it is shown, the one normal form that decides equality, and how new ones are drawn.

-- The form in which a code is shown: capitals, words joined by single hyphens, as in `OLIVIA-1`; null where the text
-- is too long. NFKC folds compatibility forms. Format characters, which nobody sees, are dropped: Unicode's
-- Default_Ignorable_Code_Point. White space and dashes (Pd) part words. Quotes, brackets and sentence punctuation of
-- every script are dropped around the code, as are the signs that chat programs format with. Only ASCII is raised.
create function referral_private.show_code(p_code text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ignored constant text :=
    e'\\u00AD\\u034F\\u061C\\u115F\\u1160\\u17B4\\u17B5\\u180B-\\u180F\\u200B-\\u200F\\u202A-\\u202E'
    || e'\\u2060-\\u206F\\u3164\\uFE00-\\uFE0F\\uFEFF\\uFFA0\\uFFF0-\\uFFFB\\U0001BCA0-\\U0001BCA3'
    || e'\\U0001D173-\\U0001D17A\\U000E0000-\\U000E0FFF';
  v_parting constant text :=
    e'\\u0009-\\u000D\\u0020\\u0085\\u00A0\\u1680\\u2000-\\u200A\\u2028\\u2029\\u202F\\u205F\\u3000'
    || e'\\u002D\\u058A\\u05BE\\u1400\\u1806\\u2010-\\u2015\\u2E17\\u2E1A\\u2E3A\\u2E3B\\u2E40\\u2E5D'
    || e'\\u301C\\u3030\\u30A0'
    || e'\\uFE31\\uFE32\\uFE58\\uFE63\\uFF0D\\U00010D6E\\U00010EAD';
  v_around constant text :=
    e'\\u0021\\u0022\\u0027-\\u002A\\u002C\\u002E\\u003A\\u003B\\u003C\\u003E\\u003F\\u005B\\u005D'
    || e'\\u005F\\u0060\\u007B\\u007D\\u007E\\u00A1\\u00AB\\u00B7\\u00BB\\u00BF\\u02B9-\\u02BD\\u02EE'
    || e'\\u055A-\\u055F\\u0589\\u05C3\\u05F3\\u05F4\\u060C\\u061B\\u061D-\\u061F\\u06D4\\u0700-\\u070A'
    || e'\\u070C\\u07F8\\u07F9\\u0830-\\u0835\\u0837-\\u083E\\u085E\\u0964\\u0965\\u0E5A\\u0E5B\\u0F08'
    || e'\\u0F0D-\\u0F12\\u0F3A-\\u0F3D\\u104A\\u104B\\u1361-\\u1368\\u166E\\u169B\\u169C\\u16EB-\\u16ED'
    || e'\\u1735\\u1736\\u17D4-\\u17D6\\u17DA\\u1802-\\u1805\\u1808\\u1809\\u1944\\u1945\\u1AA8-\\u1AAB'
    || e'\\u1B4E\\u1B4F\\u1B5A\\u1B5B\\u1B5D-\\u1B5F\\u1B7D-\\u1B7F\\u1C3B-\\u1C3F\\u1C7E\\u1C7F'
    || e'\\u2018-\\u201F\\u2022\\u2032-\\u2037\\u2039\\u203A\\u203D\\u2045\\u2046\\u2308-\\u230B'
    || e'\\u275B-\\u2760\\u2768-\\u2775\\u27C5\\u27C6\\u27E6-\\u27EF\\u2983-\\u2998\\u29D8-\\u29DB\\u29FC'
    || e'\\u29FD\\u2CF9-\\u2CFB\\u2E00-\\u2E0D\\u2E18\\u2E1C\\u2E1D\\u2E20-\\u2E29\\u2E2E\\u2E3C\\u2E41'
    || e'\\u2E42\\u2E4C\\u2E4E\\u2E4F\\u2E53-\\u2E5C\\u3001\\u3002\\u3008-\\u3011\\u3014-\\u301B'
    || e'\\u301D-\\u301F\\u30FB\\uA4FE\\uA4FF\\uA60D-\\uA60F\\uA6F3-\\uA6F7\\uA876\\uA877\\uA8CE\\uA8CF'
    || e'\\uA92F\\uA9C7-\\uA9C9\\uAA5D-\\uAA5F\\uAADF\\uAAF0\\uAAF1\\uABEB\\uFD3E\\uFD3F\\U0001039F'
    || e'\\U000103D0\\U00010857\\U0001091F\\U00010A56\\U00010A57\\U00010AF0-\\U00010AF5'
    || e'\\U00010B3A-\\U00010B3F\\U00010B99-\\U00010B9C\\U00010F55-\\U00010F59\\U00010F86-\\U00010F89'
    || e'\\U00011047-\\U0001104D\\U000110BE-\\U000110C1\\U00011141-\\U00011143\\U000111C5\\U000111C6'
    || e'\\U000111CD\\U000111DE\\U000111DF\\U00011238-\\U0001123C\\U000112A9\\U000113D4\\U000113D5'
    || e'\\U0001144B-\\U0001144D\\U0001145A\\U0001145B\\U000115C2-\\U000115C5\\U000115C9-\\U000115D7'
    || e'\\U00011641\\U00011642\\U0001173C-\\U0001173E\\U00011944\\U00011946\\U00011A42\\U00011A43'
    || e'\\U00011A9B\\U00011A9C\\U00011AA1\\U00011AA2\\U00011C41-\\U00011C43\\U00011C71\\U00011EF7'
    || e'\\U00011EF8\\U00011F43\\U00011F44\\U00012470-\\U00012474\\U00016A6E\\U00016A6F\\U00016AF5'
    || e'\\U00016B37-\\U00016B39\\U00016B44\\U00016D6E\\U00016D6F\\U00016E97\\U00016E98\\U0001BC9F'
    || e'\\U0001DA87-\\U0001DA8A';
  v_text text;
begin
  if length(p_code) > 128 then
    return null;
  end if;
  -- People type an acute accent for a quote. Its compatibility form is a space and a combining accent.
  v_text := normalize(translate(p_code, e'\u00B4', ''''), NFKC) collate "C";
  v_text := regexp_replace(v_text, '[' || v_ignored || ']+', '', 'g');
  v_text := regexp_replace(v_text, '[' || v_parting || ']+', '-', 'g');
  v_text := regexp_replace(v_text, '^[-' || v_around || ']+|[-' || v_around || ']+$', '', 'g');
  return translate(v_text, 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ');
end
$$;

-- The normal form of a code, or null where the text is not a code: 3 to 32 digits and capitals, O read as 0, I and L
-- as 1. So `olivia-1` and `0LIV1A1` are the same code. Text of ASCII letters, digits, hyphens and spaces, which nearly
-- all is, takes the short way.
create function referral_private.normalise_code(p_code text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text;
begin
  if length(p_code) > 128 then
    return null;
  end if;
  v_key := translate(p_code, 'abcdefghijklmnopqrstuvwxyzOIL- ', 'ABCDEFGH1JK1MN0PQRSTUVWXYZ011');
  if length(v_key) between 3 and 32 and translate(v_key, '0123456789ABCDEFGHJKMNPQRSTUVWXYZ', '') = '' then
    return v_key;
  end if;
  v_key := translate(referral_private.show_code(p_code), 'OIL-', '011');
  return case when v_key collate "C" ~ '^[0-9A-HJKMNP-Z]+$' and length(v_key) between 3 and 32 then v_key end;
end
$$;

-- How a code looks, from its normal form: codes that look alike are the same here. 5 is read as S, 2 as Z, 8 as B, 6 as
-- G, and U as V. Such codes are different ones; only people confuse them.
create function referral_private.look_of(p_key text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return translate(p_key, 'SZBGU', '5286V');
end
$$;

-- Draws a code of 8 to 16 characters of Crockford's base32, in groups of four: `7KQ2-M9XT`. Each character takes five
-- bits of one random byte; bytes 6 and 8 of a version 4 UUID carry fixed bits and are left out.
create function referral_private.draw_code(p_length int)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_alphabet constant text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  v_bytes bytea := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
  v_places constant int[] := '{0,1,2,3,4,5,7,9,10,11,12,13,14,15,16,17}';
  v_code text := '';
begin
  for i in 1..p_length loop
    v_code := v_code || case when i % 4 = 1 and i > 1 then '-' else '' end
      || substr(v_alphabet, (get_byte(v_bytes, v_places[i]) & 31) + 1, 1);
  end loop;
  return v_code;
end
$$;

-- Words that cannot be codes, in every spelling that reads the same. A word that is reserved `alone` is refused as the
-- whole code, any other also as one word of a code: words end at hyphens, digits and the ends of the code, so GRAPE and
-- COCKTAIL are no matter. An organisation's own words go here too.
create table referral_private.reserved_words (
  word text collate "C" not null,
  alone boolean not null default false,
  key text collate "C" not null generated always as (referral_private.normalise_code(word)) stored,
  -- The word with the digits that are read as letters, between characters that are no letters.
  spelling text not null generated always as (
    '(?<![A-Z])' || replace(replace(referral_private.normalise_code(word), '0', '[0O]'), '1', '[1IL]') || '(?![A-Z])'
  ) stored,
  constraint reserved_words_pkey primary key (word),
  constraint reserved_words_are_one_spelling unique (key),
  constraint reserved_words_are_as_shown check (word = referral_private.show_code(word))
);

alter table referral_private.reserved_words enable row level security;

-- Words that the operator allows an organisation.
create table referral_private.allowed_words (
  org_id uuid not null,
  word text collate "C" not null,
  constraint allowed_words_pkey primary key (org_id, word),
  constraint allowed_words_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint allowed_words_are_reserved
    foreign key (word) references referral_private.reserved_words (word)
      on delete cascade
);

create index allowed_words_by_word on referral_private.allowed_words (word);

alter table referral_private.allowed_words enable row level security;

create trigger allowed_words_are_on_record
after insert or delete on referral_private.allowed_words
for each row
execute function referral_private.record_change('allowed_word', 'org_id');

insert into referral_private.reserved_words (word, alone)
select referral_private.show_code(word), alone
from
  (
    values
      ('admin', true),
      ('administrator', true),
      ('api', true),
      ('app', true),
      ('auth', true),
      ('code', true),
      ('codes', true),
      ('context', true),
      ('false', true),
      ('help', true),
      ('link', true),
      ('login', true),
      ('none', true),
      ('null', true),
      ('official', true),
      ('qr', true),
      ('ref', true),
      ('referral', true),
      ('root', true),
      ('signup', true),
      ('staff', true),
      ('stripe', true),
      ('supabase', true),
      ('support', true),
      ('system', true),
      ('test', true),
      ('true', true),
      ('undefined', true),
      ('well known', true),
      ('arsch', false),
      ('arschloch', false),
      ('bastard', false),
      ('bitch', false),
      ('bitches', false),
      ('cock', false),
      ('cocks', false),
      ('cocksucker', false),
      ('cunt', false),
      ('cunts', false),
      ('fag', false),
      ('fags', false),
      ('faggot', false),
      ('fick', false),
      ('ficken', false),
      ('ficker', false),
      ('fotze', false),
      ('fotzen', false),
      ('fuck', false),
      ('fucked', false),
      ('fucker', false),
      ('fucking', false),
      ('motherfucker', false),
      ('fvck', false),
      ('hitler', false),
      ('hure', false),
      ('huren', false),
      ('hurensohn', false),
      ('merde', false),
      ('nazi', false),
      ('nazis', false),
      ('nigga', false),
      ('nigger', false),
      ('niggers', false),
      ('penis', false),
      ('porn', false),
      ('porno', false),
      ('puta', false),
      ('putain', false),
      ('rape', false),
      ('raped', false),
      ('rapist', false),
      ('shit', false),
      ('shitty', false),
      ('bullshit', false),
      ('slut', false),
      ('sluts', false),
      ('sperm', false),
      ('tits', false),
      ('twat', false),
      ('vagina', false),
      ('whore', false),
      ('whores', false),
      ('wank', false),
      ('wanker', false),
      ('xxx', false)
  ) as words (word, alone)
where referral_private.normalise_code(word) is not null
on conflict do nothing;

-- Does a text that was drawn, in its normal form, contain a word anywhere? Another one is drawn then.
create function referral_private.is_reserved(p_key text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral_private.reserved_words as r
    where r.key = p_key or not r.alone and position(r.key in p_key) > 0
  );
end
$$;

-- The reserved word for which an organisation cannot choose this code; null where there is none. The words are those of
-- the code as it is shown, and of the code without its hyphens: F-U-C-K is read as a word, too.
create function referral_private.reserved_word_in(p_org_id uuid, p_code text)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key constant text := referral_private.normalise_code(p_code);
  v_shown constant text := referral_private.show_code(p_code) collate "C";
  v_joined constant text := replace(v_shown, '-', '');
begin
  return (
    select r.word
    from referral_private.reserved_words as r
    where (
        r.key = v_key
        or not r.alone and position(r.key in v_key) > 0 and (v_shown ~ r.spelling or v_joined ~ r.spelling)
      )
      and not exists (
        select from referral_private.allowed_words as a where a.org_id = p_org_id and a.word = r.word
      )
    order by length(r.word) desc, r.word
    limit 1
  );
end
$$;

-- A code belongs to a referrer, or, as a campaign code, to the organisation. The text of a code is never given out
-- twice: rows are not deleted, and the normal form of the text is unique.
create type referral.code_status as enum ('active', 'suspended', 'rotated', 'invalidated', 'expired');

-- How often a limited code may be used. A code and the codes it was rotated into share one quota; codes without a
-- limit have none. The counter is not on the codes row, where every use would lock the code.
create table referral.code_quotas (
  org_id uuid not null,
  quota_id uuid not null default gen_random_uuid(),
  used int not null default 0,
  max_uses int not null,
  constraint code_quotas_pkey primary key (org_id, quota_id),
  constraint code_quotas_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint code_quotas_never_exceeded check (used between 0 and max_uses),
  constraint code_quotas_allow_a_use check (max_uses >= 1)
);

comment on table referral.code_quotas is
  'Uses and limit of limited codes. Read by coordinators and admins of the organisation; code_uses tells a referrer
those of theirs. Written by create_code and redeem_code.';

-- What an argument that a constraint refuses must be.
comment on constraint code_quotas_never_exceeded on referral.code_quotas is
  'max_uses: as many as there are uses, or more';
comment on constraint code_quotas_allow_a_use on referral.code_quotas is 'max_uses: 1 or more';

alter table referral.code_quotas enable row level security;

create table referral.codes (
  id uuid not null default gen_random_uuid(),
  org_id uuid not null,
  program_id uuid not null,
  code text not null,
  code_key text collate "C" not null generated always as (referral_private.normalise_code(code)) stored,
  referrer_id uuid,
  beneficiary_id uuid,
  description text,
  status referral.code_status not null default 'active',
  expires_at timestamptz,
  quota_id uuid,
  rotation int not null default 0,
  -- The first code of its chain of rotations; null for that code itself.
  chain_id uuid,
  replaced_by uuid,
  redeemable_until timestamptz,
  batch_id uuid,
  created_by uuid,
  ended_at timestamptz,
  ended_by uuid,
  reason text,
  -- When its text was chosen, a code of another organisation on the shared link host looked like it.
  looks_like_another boolean not null default false,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  constraint codes_pkey primary key (id),
  constraint codes_org_and_id_are_unique unique (org_id, id),
  constraint codes_key_is_unique unique (code_key),
  constraint codes_belong_to_a_program
    foreign key (org_id, program_id) references referral.programs (org_id, id)
      on delete restrict,
  constraint codes_referrer_is_a_member
    foreign key (org_id, referrer_id) references referral.members (org_id, user_id)
      on delete restrict,
  constraint codes_have_a_quota
    foreign key (org_id, quota_id) references referral.code_quotas (org_id, quota_id)
      on delete restrict,
  constraint codes_are_replaced_by_a_code
    foreign key (org_id, replaced_by) references referral.codes (org_id, id)
      on delete restrict
      deferrable initially deferred,
  constraint codes_chain_begins_with_a_code
    foreign key (org_id, chain_id) references referral.codes (org_id, id)
      on delete restrict
      deferrable initially immediate,
  constraint codes_description_is_500_at_most check (length(description) <= 500),
  constraint codes_description_is_one_line check (referral_private.is_one_line(description)),
  constraint codes_reason_is_500_at_most check (length(reason) <= 500),
  constraint codes_reason_is_one_line check (referral_private.is_one_line(reason)),
  constraint codes_expire_at_a_time check (isfinite(expires_at)),
  constraint codes_rotation_is_counted check (rotation >= 0),
  constraint codes_unrotated_begin_their_chain check ((rotation = 0) = (chain_id is null)),
  constraint codes_rotated_are_replaced check ((status = 'rotated') = (replaced_by is not null)),
  constraint codes_only_rotated_have_grace check (redeemable_until is null or status = 'rotated'),
  constraint codes_ended_say_when check ((status in ('rotated', 'invalidated', 'expired')) = (ended_at is not null))
);

create unique index codes_one_active on referral.codes (referrer_id, org_id) where status = 'active';

create index codes_by_referrer on referral.codes (referrer_id, org_id, created_at desc);

create index codes_live on referral.codes (referrer_id, org_id) where status in ('active', 'suspended');

create index codes_in_grace on referral.codes (referrer_id, org_id, redeemable_until)
where redeemable_until is not null;

create index codes_replaced on referral.codes (referrer_id, org_id, ended_at)
where status in ('rotated', 'invalidated');

create index codes_by_program on referral.codes (org_id, program_id, created_at desc, id);

create index codes_by_organisation on referral.codes (org_id, created_at desc, id);

create index codes_by_creator on referral.codes (org_id, created_by) where referrer_id is null and batch_id is null;

create index codes_by_beneficiary on referral.codes (org_id, beneficiary_id) where beneficiary_id is not null;

create index codes_by_batch on referral.codes (org_id, batch_id, created_at desc, id) where batch_id is not null;

create index codes_to_expire on referral.codes (expires_at) where status in ('active', 'suspended');

create index codes_by_look on referral.codes (referral_private.look_of(code_key), org_id)
where status in ('active', 'suspended');

create index codes_by_quota on referral.codes (org_id, quota_id) where quota_id is not null;

create index codes_by_chain on referral.codes (org_id, chain_id) where chain_id is not null;

create index codes_by_replacement on referral.codes (org_id, replaced_by) where replaced_by is not null;

comment on table referral.codes is
  'Codes. looks_like_another says that a code of another organisation looked like this one when staff chose its text.
Read by coordinators and admins of the organisation; a referrer reads their own with list_codes. Written by the
functions of their life: create, rotate, suspend, update, end, expire.';

-- What an argument that a constraint refuses must be.
comment on constraint codes_description_is_500_at_most on referral.codes is 'description: up to 500 characters';
comment on constraint codes_description_is_one_line on referral.codes is
  'description: one line, without control and bidirectional characters';
comment on constraint codes_reason_is_500_at_most on referral.codes is 'reason: up to 500 characters';
comment on constraint codes_reason_is_one_line on referral.codes is
  'reason: one line, without control and bidirectional characters';
comment on constraint codes_expire_at_a_time on referral.codes is 'expires_at: a time, or null, but not infinity';

alter table referral.codes enable row level security;

create policy codes_staff_reads on referral.codes
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.codes to authenticated, service_role;

create policy code_quotas_staff_reads on referral.code_quotas
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.code_quotas to authenticated, service_role;

-- Refuses changes of a code's identity, changes of an ended code, and deletion.
create function referral_private.guard_code()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op in ('DELETE', 'TRUNCATE')
    or (new.id, new.org_id, new.program_id, new.code, new.created_at)
      is distinct from (old.id, old.org_id, old.program_id, old.code, old.created_at)
    or (new.referrer_id, new.created_by, new.rotation, new.chain_id, new.batch_id, new.looks_like_another)
      is distinct from (
        old.referrer_id, old.created_by, old.rotation, old.chain_id, old.batch_id, old.looks_like_another
      )
    or (
      old.status in ('rotated', 'invalidated', 'expired')
      and (
        (new.status, new.expires_at, new.replaced_by) is distinct from (old.status, old.expires_at, old.replaced_by)
        or (new.quota_id is distinct from old.quota_id and old.redeemable_until is null)
        or new.redeemable_until > old.redeemable_until
        or (new.redeemable_until is null) <> (old.redeemable_until is null)
      )
    )
  then
    perform referral_private.raise_error('code_ended');
  end if;
  return new;
end
$$;

create trigger codes_keep_what_they_are
before update or delete on referral.codes
for each row
execute function referral_private.guard_code();

alter table referral.codes enable always trigger codes_keep_what_they_are;

create trigger codes_are_never_truncated
before truncate on referral.codes
for each statement
execute function referral_private.guard_code();

-- Every change of a code's status, and every grace that was cut short: written by trigger, so that no function can
-- forget it.
create table referral.code_changes (
  org_id uuid not null,
  id bigint generated always as identity,
  code_id uuid not null,
  from_status referral.code_status,
  to_status referral.code_status not null,
  actor_id uuid,
  reason text,
  changed_at timestamptz not null default clock_timestamp(),
  constraint code_changes_pkey primary key (org_id, id),
  constraint code_changes_are_of_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict
);

create index code_changes_by_code on referral.code_changes (org_id, code_id, id);

comment on table referral.code_changes is
  'The audit of codes: who changed which status when, and why; no actor is the operator or a job. Read by coordinators
and admins of the organisation. Written by trigger.';

alter table referral.code_changes enable row level security;

create policy code_changes_staff_reads on referral.code_changes
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.code_changes to authenticated, service_role;

-- Writes down that a code was made, that its status changed, or that its grace was cut short.
create function referral_private.record_code_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'INSERT' or new.status <> old.status or new.redeemable_until < old.redeemable_until then
    insert into referral.code_changes (org_id, code_id, from_status, to_status, actor_id, reason)
    values (new.org_id, new.id, case when tg_op = 'UPDATE' then old.status end, new.status, auth.uid(), new.reason);
  end if;
  return null;
end
$$;

create trigger codes_record_their_changes
after insert or update of status, redeemable_until on referral.codes
for each row
execute function referral_private.record_code_change();

-- The states of a code, with their times. Whether a purchase's code was usable is asked for the time at which the
-- purchase carried it, which may be long ago when the purchase is heard of.
create table referral_private.code_states (
  org_id uuid not null,
  code_id uuid not null,
  state_id bigint not null generated always as identity,
  status referral.code_status not null,
  expires_at timestamptz,
  redeemable_until timestamptz,
  since timestamptz not null,
  constraint code_states_pkey primary key (org_id, code_id, state_id),
  constraint code_states_are_of_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict
);

alter table referral_private.code_states enable row level security;

create trigger code_states_are_append_only
before update or delete or truncate on referral_private.code_states
for each statement
execute function referral_private.refuse_change();

alter table referral_private.code_states enable always trigger code_states_are_append_only;

-- Stores the first states of new codes: with one statement, because a batch has thousands.
create function referral_private.record_first_states()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.code_states (org_id, code_id, status, expires_at, redeemable_until, since)
  select m.org_id, m.id, m.status, m.expires_at, m.redeemable_until, m.created_at from made as m;
  return null;
end
$$;

create trigger codes_record_their_first_states
after insert on referral.codes
referencing new table as made
for each statement
execute function referral_private.record_first_states();

-- Stores each state that differs from the one before.
create function referral_private.record_code_state()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.code_states (org_id, code_id, status, expires_at, redeemable_until, since)
  values (new.org_id, new.id, new.status, new.expires_at, new.redeemable_until, clock_timestamp());
  return null;
end
$$;

create trigger codes_record_their_states
after update of status, expires_at, redeemable_until on referral.codes
for each row
when
  (
    (new.status, new.expires_at, new.redeemable_until) is distinct from (
      old.status,
      old.expires_at,
      old.redeemable_until
    )
  )
execute function referral_private.record_code_state();

-- Whether a purchase that carried this code at this time counts: the code was active then, or rotated and in its grace.
-- Clocks differ, so a state counts from a minute before it began to a minute after its end, in whole seconds.
create function referral_private.is_code_usable(p_org_id uuid, p_code_id uuid, p_at timestamptz)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select
    from (
      select s.status, s.redeemable_until, s.since,
        least(
          case s.status when 'active' then s.expires_at else s.redeemable_until end,
          lead(s.since) over (order by s.state_id)
        ) as until
      from referral_private.code_states as s
      where s.org_id = p_org_id and s.code_id = p_code_id
    ) as s
    where (s.status = 'active' or s.status = 'rotated' and s.redeemable_until is not null)
      and date_trunc('second', p_at) >= date_trunc('second', s.since) - interval '60 seconds'
      and date_trunc('second', p_at) <= date_trunc('second', coalesce(s.until, 'infinity')) + interval '60 seconds'
  );
end
$$;

-- Uses of limited codes that sign-ups have reserved: where a code is required to sign up, the limit must bind before
-- anybody redeems. A reservation is of a chain, whose redeemable codes share one quota, and lasts an hour. It is made,
-- and turned into a use, under the lock of the quota row.
create table referral_private.sign_up_reservations (
  user_id uuid not null,
  org_id uuid not null,
  chain_id uuid not null,
  expires_at timestamptz not null,
  constraint sign_up_reservations_pkey primary key (user_id),
  constraint sign_up_reservations_are_of_a_code
    foreign key (org_id, chain_id) references referral.codes (org_id, id)
      on delete restrict
);

create index sign_up_reservations_by_chain on referral_private.sign_up_reservations (org_id, chain_id, expires_at);

create index sign_up_reservations_by_age on referral_private.sign_up_reservations (expires_at);

alter table referral_private.sign_up_reservations enable row level security;

-- How many uses of a chain are reserved for others than this person: none if the person has reserved one, and it
-- matters no more that staff may have lowered the limit since.
create function referral_private.reserved_uses(p_org_id uuid, p_chain_id uuid, p_user_id uuid)
returns bigint
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select case when bool_or(r.user_id = p_user_id) then 0 else count(*) end
    from referral_private.sign_up_reservations as r
    where r.org_id = p_org_id and r.chain_id = p_chain_id and r.expires_at > clock_timestamp()
  );
end
$$;

-- How often a limited code may be used.

-- Makes a quota of 1 use up to the organisation's cap. Raises `invalid_argument`.
create function referral_private.create_quota(p_org_id uuid, p_max_uses int)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_quota_id uuid;
begin
  insert into referral.code_quotas (org_id, max_uses)
  select o.id, p_max_uses from referral.organisations as o where o.id = p_org_id and p_max_uses <= o.max_uses_cap
  returning quota_id into v_quota_id;
  if not found then
    perform referral_private.raise_error('invalid_argument', 'max_uses: 1 to max_uses_cap of the organisation');
  end if;
  return v_quota_id;
end
$$;

-- Locks a code's quota and returns how many of its uses this person can still take, those that are reserved for others
-- left out. The lock comes first: a reservation does not change the quota row.
create function referral_private.lock_uses_left(p_code referral.codes, p_user_id uuid)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_left int;
begin
  select q.max_uses - q.used into strict v_left
  from referral.code_quotas as q
  where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id
  for no key update;
  return v_left - referral_private.reserved_uses(p_code.org_id, coalesce(p_code.chain_id, p_code.id), p_user_id);
end
$$;

-- Whether a limited code has uses, reserved ones too.
create function referral_private.has_uses(p_code referral.codes)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral.code_quotas as q
    where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id and q.used < q.max_uses
  );
end
$$;

-- Says why a limited code has no use for somebody: all are used, or sign-ups have reserved the rest. Raises
-- `code_limit_reached`, `code_uses_reserved`.
create function referral_private.refuse_use(p_code referral.codes)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.has_uses(p_code) then
    perform referral_private.raise_error('code_uses_reserved');
  end if;
  perform referral_private.raise_error('code_limit_reached');
end
$$;

-- Takes one use of a limited code, the one that this person has reserved or another. With one use left and any number
-- of callers, one of them gets it. The update locks the row: what is reserved is read after it, and an error gives the
-- use back. Raises `code_limit_reached`, `code_uses_reserved`.
create function referral_private.use_quota(p_code referral.codes, p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_chain_id constant uuid := coalesce(p_code.chain_id, p_code.id);
  v_left int;
begin
  if p_code.quota_id is null then
    return;
  end if;
  update referral.code_quotas as q
  set used = q.used + 1
  where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id and q.used < q.max_uses
  returning q.max_uses - q.used into v_left;
  if not found then
    perform referral_private.raise_error('code_limit_reached');
  end if;
  if exists (
    select from referral_private.sign_up_reservations as r where r.org_id = p_code.org_id and r.chain_id = v_chain_id
  ) then
    if v_left < referral_private.reserved_uses(p_code.org_id, v_chain_id, p_user_id) then
      perform referral_private.raise_error('code_uses_reserved');
    end if;
    delete from referral_private.sign_up_reservations as r
    where r.user_id = p_user_id and r.org_id = p_code.org_id and r.chain_id = v_chain_id;
  end if;
end
$$;

-- Reserves one use of a limited code for a person who signs up, for an hour, and returns whether there is one. A code
-- without a limit needs none. The code is locked.
create function referral_private.reserve_use(p_code referral.codes, p_user_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_code.quota_id is null then
    return true;
  end if;
  if referral_private.lock_uses_left(p_code, p_user_id) < 1 then
    return false;
  end if;
  insert into referral_private.sign_up_reservations as r (user_id, org_id, chain_id, expires_at)
  values (
    p_user_id, p_code.org_id, coalesce(p_code.chain_id, p_code.id), clock_timestamp() + interval '1 hour'
  )
  on conflict on constraint sign_up_reservations_pkey do update
  set org_id = excluded.org_id, chain_id = excluded.chain_id, expires_at = excluded.expires_at;
  return true;
end
$$;

-- What staff and the operator do to codes is on record, with the limit in place of the quota. What a referrer does to
-- their own code, and the end of a code's time, are in code_changes; a batch is on record as a whole.

-- A code as the record has it.
create function referral_private.recorded_code(p_code referral.codes)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
begin
  return to_jsonb(p_code) - '{id,org_id,code_key,quota_id,created_at,updated_at}'::text[] || jsonb_build_object(
    'max_uses',
    (select q.max_uses from referral.code_quotas as q where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id)
  );
end
$$;

-- Puts on record what staff and the operator do to a code.
create function referral_private.record_code()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.acts_with_role(new.org_id, 'coordinator') then
    perform referral_private.record_difference(
      new.org_id, 'code', new.id, case when tg_op = 'UPDATE' then referral_private.recorded_code(old) end,
      referral_private.recorded_code(new),
      case when new.status <> old.status or new.redeemable_until < old.redeemable_until then 'reason' end
    );
  end if;
  return null;
end
$$;

create trigger codes_made_are_on_record
after insert on referral.codes
for each row
when (new.batch_id is null)
execute function referral_private.record_code();

create trigger codes_changed_are_on_record
after update on referral.codes
for each row
when (new.status != 'expired' or old.status = 'expired')
execute function referral_private.record_code();

-- Puts a new limit of a quota on record as a change of the code in use that has it.
create function referral_private.record_limit()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.record_difference(
    c.org_id, 'code', c.id, jsonb_build_object('max_uses', old.max_uses), jsonb_build_object('max_uses', new.max_uses)
  )
  from referral.codes as c
  where c.org_id = new.org_id and c.quota_id = new.quota_id and c.status in ('active', 'suspended');
  return null;
end
$$;

create trigger code_quotas_limits_are_on_record
after update of max_uses on referral.code_quotas
for each row
execute function referral_private.record_limit();

-- How codes end: past their time, or invalidated by their referrer or staff. (Rotation ends a code and issues the
-- next: 73_commands.) These functions lock the codes first, so that the time of an end is later than any redemption
-- under way.

-- A code as of now. Past its expiry it is `expired`, even if the row does not say so yet. Readers of the table must
-- compare `expires_at`, as the client does.
create function referral_private.as_of_now(p_code referral.codes)
returns referral.codes
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_code.status in ('active', 'suspended') and p_code.expires_at <= clock_timestamp() then
    p_code.status := 'expired';
    p_code.ended_at := p_code.expires_at;
  end if;
  return p_code;
end
$$;

-- Refuses an expiry that has passed, with `invalid_argument`. No expiry is fine.
create function referral_private.require_future_expiry(p_expires_at timestamptz)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_expires_at <= clock_timestamp() then
    perform referral_private.raise_error('invalid_argument', 'expires_at: in the future');
  end if;
end
$$;

-- Expires those of these codes whose time is over, and returns how many.
create function referral_private.expire(p_code_ids uuid[])
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_expired int;
begin
  update referral.codes as c
  set status = 'expired', ended_at = c.expires_at, reason = null, updated_at = clock_timestamp()
  where c.id = any (p_code_ids) and c.status in ('active', 'suspended') and c.expires_at <= clock_timestamp();
  get diagnostics v_expired = row_count;
  return v_expired;
end
$$;

-- Ends those of these codes that are in use for good, and returns them. They may have ended while this waited.
create function referral_private.invalidate(p_code_ids uuid[], p_reason text)
returns setof referral.codes
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from referral.codes as c
  where c.id = any (p_code_ids) and c.status in ('active', 'suspended')
  for no key update;
  return query
  update referral.codes as c
  set status = 'invalidated', ended_at = clock_timestamp(), ended_by = auth.uid(), reason = p_reason,
    updated_at = clock_timestamp()
  where c.id = any (p_code_ids) and c.status in ('active', 'suspended')
  returning c.*;
end
$$;

-- Ends the grace of each of these codes that is in its grace.
create function referral_private.end_grace(p_code_ids uuid[], p_reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from referral.codes as c
  where c.id = any (p_code_ids) and c.redeemable_until > clock_timestamp()
  for no key update;
  update referral.codes as c
  set redeemable_until = clock_timestamp(), ended_by = auth.uid(), reason = p_reason, updated_at = clock_timestamp()
  where c.id = any (p_code_ids) and c.redeemable_until > clock_timestamp();
end
$$;

-- The codes of a referrer that are in use.
create function referral_private.codes_in_use(p_org_id uuid, p_referrer_id uuid)
returns setof referral.codes
language plpgsql
stable
rows 2
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select c.*
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.status in ('active', 'suspended');
end
$$;

-- Ends the grace of a referrer's rotated codes. The member row is locked.
create function referral_private.end_grace_of(p_org_id uuid, p_referrer_id uuid, p_reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.end_grace(
    array(
      select c.id from referral.codes as c
      where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.redeemable_until > clock_timestamp()
    ),
    p_reason
  );
end
$$;

-- Expires a referrer's codes whose time is over. The member row is locked.
create function referral_private.expire_codes_of(p_org_id uuid, p_referrer_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.expire(array(select c.id from referral_private.codes_in_use(p_org_id, p_referrer_id) as c));
end
$$;

-- Ends a referrer's codes of these statuses for good, and every grace. Returns the codes that it ended. The member
-- row is locked.
create function referral_private.end_codes_of(
  p_org_id uuid,
  p_referrer_id uuid,
  p_statuses referral.code_status[],
  p_reason text
)
returns setof referral.codes
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.expire_codes_of(p_org_id, p_referrer_id);
  perform referral_private.end_grace_of(p_org_id, p_referrer_id, p_reason);
  return query
  select c.*
  from referral_private.invalidate(
    array(
      select used.id
      from referral_private.codes_in_use(p_org_id, p_referrer_id) as used
      where used.status = any (p_statuses)
    ),
    p_reason
  ) as c;
end
$$;

-- Skips rows that another transaction has locked.
create function referral_private.expire_codes(p_max_rows int default 1000)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- A constant, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_now constant timestamptz := clock_timestamp();
begin
  return referral_private.expire(
    array(
      select c.id from referral.codes as c
      where c.status in ('active', 'suspended') and c.expires_at <= v_now
      order by c.expires_at
      limit greatest(p_max_rows, 0)
      for no key update skip locked
    )
  );
end
$$;

comment on function referral_private.expire_codes is
  'public: Ends codes that are past their time and returns how many. Call again while that is max_rows.

group: Run jobs
max_rows: how many rows at most in this call
callers: the operator
errors: none
timeout: 10s';

grant execute on function referral_private.expire_codes to service_role;

-- A chain: a code and all codes that it was rotated into. Its id is that of its first code.

-- The chain that a code is in.
create function referral_private.chain_of(p_code_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select coalesce(c.chain_id, c.id) from referral.codes as c where c.id = p_code_id);
end
$$;

-- All codes of a chain.
create function referral_private.codes_of_chain(p_org_id uuid, p_chain_id uuid)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select c.id from referral.codes as c where c.org_id = p_org_id and p_chain_id in (c.id, c.chain_id)
  );
end
$$;

-- The codes whose uses are shown together: to staff a code by itself, to its referrer its chain. With a code for each
-- friend, uses per code would tell a referrer who redeemed.
create function referral_private.codes_shown_with(p_code referral.codes)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.acts_with_role(p_code.org_id, 'coordinator') then
    return array[p_code.id];
  end if;
  return referral_private.codes_of_chain(p_code.org_id, coalesce(p_code.chain_id, p_code.id));
end
$$;

-- What a reader sees of a code: its referrer and staff in any status, everybody else while it can be redeemed.

-- Why a code of this kind cannot be redeemed now, as an error code; null where it can. This is the one rule for links,
-- validation and redemption.
create function referral_private.code_refusal(
  p_status referral.code_status,
  p_expires_at timestamptz,
  p_redeemable_until timestamptz,
  p_switched_on boolean
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when not p_switched_on then 'program_inactive'
    when p_status = 'expired' or p_expires_at <= clock_timestamp() then 'code_expired'
    when p_status = 'active' or p_status = 'rotated' and p_redeemable_until > clock_timestamp() then null
    when p_status = 'suspended' then 'code_suspended'
    else 'code_inactive'
  end;
end
$$;

-- Whether a limited code has a use that is not reserved for others than this person.
create function referral_private.has_free_use(p_org_id uuid, p_quota_id uuid, p_chain_id uuid, p_user_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral.code_quotas as q
    where q.org_id = p_org_id and q.quota_id = p_quota_id
      and q.used + referral_private.reserved_uses(p_org_id, p_chain_id, p_user_id) < q.max_uses
  );
end
$$;

create function referral_private.get_active_code(p_org_id uuid, p_referrer_id uuid default null)
returns setof referral.codes
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
begin
  return query
  select c.*
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = v_referrer_id and c.status = 'active'
    and (referral_private.as_of_now(c)).status = 'active';
end
$$;

comment on function referral_private.get_active_code is
  'public: Returns the active code of a referrer, or no row.

group: Have a code
org_id: the organisation
referrer_id: the caller unless given
callers: the referrer; coordinators, admins and the operator for any member
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.get_active_code to authenticated, service_role;

create function referral_private.find_code(p_code text)
returns setof referral.codes
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.code_key = referral_private.normalise_code(p_code);
  if v_code.referrer_id = auth.uid() or referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    return query select c.* from referral_private.as_of_now(v_code) as c where c.id is not null;
  end if;
end
$$;

comment on function referral_private.find_code is
  'public: Returns a code in any status, in any case, spacing and confusable spelling. No row if the text is no code, or
if the caller is neither its referrer nor staff of its organisation.

group: Have a code
code: the text as typed
callers: the referrer, coordinators, admins and the operator
errors: none
timeout: 5s';

grant execute on function referral_private.find_code to authenticated, service_role;

create type referral.resolved_code as (
  code text,
  organisation_name text,
  program_name text,
  referrer_name text,
  web_destination text,
  ios_destination text,
  android_destination text,
  android_package text,
  link_origin text
);

create function referral_private.resolve_code(p_code text)
returns setof referral.resolved_code
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select c.code, o.name, p.name, m.display_name,
    o.web_destination, o.ios_destination, o.android_destination, o.android_package, o.link_origin
  from referral.codes as c
  join referral.organisations as o on o.id = c.org_id
  join referral.programs as p on p.id = c.program_id
  left join referral.members as m on m.org_id = c.org_id and m.user_id = c.referrer_id and m.public_name
  where c.code_key = referral_private.normalise_code(p_code)
    and referral_private.code_refusal(c.status, c.expires_at, c.redeemable_until, o.active and p.active) is null
    and (
      c.quota_id is null
      or referral_private.has_free_use(c.org_id, c.quota_id, coalesce(c.chain_id, c.id), auth.uid())
    );
end
$$;

comment on function referral_private.resolve_code is
  'public: Returns what anyone may know of a redeemable code: the code as shown, names, destinations, and the
organisation''s own link origin. No row for any other code, whatever the reason.

group: Follow a link
code: the text as typed
callers: anyone
errors: none
timeout: 5s';

grant execute on function referral_private.resolve_code to anon, authenticated, service_role;

-- A code for its referrer, staff and the operator. Raises `code_not_found` for everyone else, `not_signed_in`,
-- `anonymous_user`.
create function referral_private.require_readable_code(p_code_id uuid)
returns referral.codes
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes;
begin
  if not referral_private.is_operator() then
    perform referral_private.require_person();
  end if;
  select * into v_code from referral.codes as c where c.id = p_code_id;
  if v_code.id is null or not (
    referral_private.acts_with_role(v_code.org_id, 'coordinator')
    or v_code.referrer_id is not distinct from auth.uid()
  ) then
    perform referral_private.raise_error('code_not_found');
  end if;
  return v_code;
end
$$;

-- Organisations without a link host share one, where people can take the code of one for that of another.

-- Does a code in use of another organisation on the shared host look like this text? An organisation can have very many
-- codes of one look: its own are passed over by the index, and of others a hundred are looked at.
create function referral_private.looks_like_another(p_org_id uuid, p_code text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key constant text := referral_private.normalise_code(p_code);
  v_look constant text := referral_private.look_of(v_key);
begin
  if (select o.link_origin from referral.organisations as o where o.id = p_org_id) is not null then
    return false;
  end if;
  return exists (
    select
    from (
      (
        select c.org_id, c.code_key
        from referral.codes as c
        where referral_private.look_of(c.code_key) = v_look and c.org_id < p_org_id
          and c.status in ('active', 'suspended')
        limit 100
      )
      union all
      (
        select c.org_id, c.code_key
        from referral.codes as c
        where referral_private.look_of(c.code_key) = v_look and c.org_id > p_org_id
          and c.status in ('active', 'suspended')
        limit 100
      )
    ) as c
    join referral.organisations as o on o.id = c.org_id
    where o.link_origin is null and c.code_key <> v_key
  );
end
$$;

-- The list of an organisation's codes, newest first, in pages: `p_after` is the code that ended the page before.

create function referral_private.list_codes(
  p_org_id uuid,
  p_referrer_id uuid default null,
  p_program_id uuid default null,
  p_batch_id uuid default null,
  p_usable boolean default false,
  p_after uuid default null,
  p_page_size int default 100
)
returns setof referral.codes
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_custom_plan'
-- In the order of an index, up to a page.
set enable_bitmapscan = off
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_is_staff constant boolean := referral_private.acts_with_role(p_org_id, 'coordinator');
  v_referrer_id constant uuid :=
    case when v_is_staff then p_referrer_id else referral_private.require_person() end;
  v_after referral.codes;
  v_code referral.codes;
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id: required');
  elsif v_is_staff then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  if p_after is not null then
    select c.* into v_after
    from referral.codes as c
    where c.org_id = p_org_id and c.id = p_after and (v_is_staff or c.referrer_id = v_referrer_id);
    if not found then
      perform referral_private.raise_error('invalid_argument', 'after: the id of the last row of the page before');
    end if;
  end if;
  for v_code in
    select c.* from referral.codes as c
    where c.org_id = p_org_id and (v_is_staff or c.referrer_id = v_referrer_id)
      and (p_referrer_id is null or c.referrer_id = p_referrer_id)
      and case
        when v_referrer_id is null
          then (p_program_id is null or c.program_id = p_program_id) and (p_batch_id is null or c.batch_id = p_batch_id)
        -- A referrer has few codes: no other index is as good.
        else
          c.program_id is not distinct from coalesce(p_program_id, c.program_id)
          and c.batch_id is not distinct from coalesce(p_batch_id, c.batch_id)
      end
      and (not coalesce(p_usable, false) or c.status = 'active' and coalesce(c.expires_at > v_now, true))
      and c.created_at <= coalesce(v_after.created_at, 'infinity')
      and (v_after.id is null or c.created_at < v_after.created_at or c.id > v_after.id)
    order by c.created_at desc, c.id
    limit referral_private.page_size(p_page_size)
  loop
    -- Past its expiry it is expired, also before the job has stored that.
    if v_code.status in ('active', 'suspended') and v_code.expires_at <= v_now then
      v_code.status := 'expired';
    end if;
    return next v_code;
  end loop;
end
$$;

comment on function referral_private.list_codes is
  'public: Returns codes of an organisation, newest first: all of them to staff, to anybody else their own.

group: Have a code
org_id: the organisation
referrer_id: only this referrer''s
program_id: only this program''s
batch_id: only this batch''s
usable: leaves out codes that are suspended, rotated, ended or expired
after: the last code of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
callers: signed-in people and the operator
errors: not_signed_in, anonymous_user, organisation_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.list_codes to authenticated, service_role;

-- Who clicked, without knowing who: within a day and a code, clicks from one network with one user agent are one
-- visitor's. Neither is stored, only their hash under the key of the day.

-- How many clicks on a code are stored of a visitor: the first one counts. Not logged, as the keys are not: after a
-- crash there is a new key, under which no visitor would be found again.
create unlogged table referral_private.visitors (
  org_id uuid not null,
  visitor bytea not null,
  day date not null,
  clicks int not null,
  constraint visitors_pkey primary key (day, org_id, visitor)
);

alter table referral_private.visitors enable row level security;

-- A visitor of one code has nothing in common with one of another: a person who redeems is known by their click, and
-- must not show on which other links they clicked that day. Without an address nothing tells visitors apart, and each
-- click has a visitor of its own.
create function referral_private.visitor_of(
  p_key bytea,
  p_code_id uuid,
  p_click_id uuid,
  p_address text,
  p_user_agent text
)
returns bytea
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.hash_under(
    p_key,
    p_code_id || ' ' || coalesce(
      referral_private.network_of(p_address, 24) || ' ' || coalesce(p_user_agent, ''), p_click_id::text
    )
  );
end
$$;

-- A click says that somebody followed a code's link. It proves where a redemption came from, and is forgotten after
-- some months; how many there were, per day, is kept.
create type referral.click_platform as enum ('ios', 'android', 'web');

create type referral.click_channel as enum ('qr', 'share', 'email', 'sms', 'whatsapp', 'social', 'web', 'print');

-- By month in UTC. The months' partitions are made and dropped by maintain_clicks; until one is made, the default
-- partition takes its clicks. Codes are never deleted, so that no foreign key is needed, which every click would
-- check.
create table referral_private.clicks (
  org_id uuid not null,
  code_id uuid not null,
  click_id uuid not null,
  clicked_at timestamptz not null,
  counted boolean not null,
  platform referral.click_platform not null,
  channel referral.click_channel,
  utm jsonb,
  constraint clicks_pkey primary key (org_id, click_id, clicked_at)
)
partition by range (clicked_at);

alter table referral_private.clicks enable row level security;

create table referral_private.clicks_default partition of referral_private.clicks default;

alter table referral_private.clicks_default enable row level security;

-- How many clicks a code had on a day in UTC, so that no report scans the clicks: those that count, and all that are
-- stored. Clicks at the same time count in rows of their own, by slot, and readers add them up. A page has room for a
-- row's next version, so that counting again makes no new entry in the index.
create table referral_private.click_days (
  org_id uuid not null,
  code_id uuid not null,
  day date not null,
  platform referral.click_platform not null,
  -- The label of a click_channel, or nothing.
  channel text collate "C" not null,
  clicks int not null,
  stored int not null,
  slot int not null default 0,
  constraint click_days_pkey primary key (org_id, code_id, day, platform, channel, slot),
  constraint click_days_are_of_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict
)
with (fillfactor = 70);

alter table referral_private.click_days enable row level security;

-- The click on this very code that proves a redemption now; null where no id is given. Raises `invalid_click`.
create function referral_private.click_of(p_code referral.codes, p_click_id uuid)
returns referral_private.clicks
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_window interval;
  v_click referral_private.clicks;
begin
  if p_click_id is null then
    return null;
  end if;
  select o.click_window into strict v_window from referral.organisations as o where o.id = p_code.org_id;
  select * into v_click
  from referral_private.clicks as k
  where k.org_id = p_code.org_id and k.click_id = p_click_id
    and k.clicked_at between referral_private.later(v_now, -v_window) and v_now and k.code_id = p_code.id;
  if not found then
    perform referral_private.raise_error('invalid_click');
  end if;
  return v_click;
end
$$;

-- How a click is recorded: one read says what the click meets; then its visitor, the click and the day's count are
-- written. The code's limit comes first, and past it nothing at all is stored; the row that clicks on a code may share
-- is locked last.

-- The campaign parameters among these, each one line of 1 to 100 characters; null where there is none.
create function referral_private.utm_of(p_parameters jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text;
  v_value text;
  v_utm jsonb;
begin
  foreach v_key in array '{utm_source,utm_medium,utm_campaign,utm_term,utm_content}'::text[] loop
    continue when not p_parameters ? v_key or jsonb_typeof(p_parameters -> v_key) <> 'string';
    v_value := p_parameters ->> v_key;
    if length(v_value) between 1 and 100 and referral_private.is_one_line(v_value) then
      v_utm := coalesce(v_utm, '{}') || jsonb_build_object(v_key, v_value);
    end if;
  end loop;
  return v_utm;
end
$$;

-- Stores a click: the click itself, its visitor's count and the day's. Returns whether it counts: a visitor's first
-- click of the day does. False, and nothing is stored, where as many of the visitor's are stored as the organisation
-- keeps. A click takes the code's first count of the day, or one of 15 others while another click has it.
create function referral_private.store_click(
  p_org_id uuid,
  p_code_id uuid,
  p_click_id uuid,
  p_clicked_at timestamptz,
  p_platform referral.click_platform,
  p_channel referral.click_channel,
  p_utm jsonb,
  p_visitor bytea,
  p_clicks_per_visitor int
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_day date := p_clicked_at at time zone 'utc';
  v_channel text := coalesce(p_channel::text, '');
  v_counted boolean;
  v_slot int;
begin
  insert into referral_private.visitors as v (org_id, visitor, day, clicks)
  values (p_org_id, p_visitor, v_day, 1)
  on conflict on constraint visitors_pkey do update
  set clicks = v.clicks + 1
  where v.clicks < p_clicks_per_visitor
  returning v.clicks = 1 into v_counted;
  if not found then
    return false;
  end if;
  insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, counted, platform, channel, utm)
  values (p_org_id, p_code_id, p_click_id, p_clicked_at, v_counted, p_platform, p_channel, p_utm);
  v_slot := case
    when pg_try_advisory_xact_lock(hashtextextended('referral.click_slot:' || p_code_id, 0)) then 0
    else 1 + pg_backend_pid() % 15
  end;
  -- Nearly always there is a row. An update changes it at once, while `on conflict` locks it first.
  update referral_private.click_days as d
  set clicks = d.clicks + v_counted::int, stored = d.stored + 1
  where d.org_id = p_org_id and d.code_id = p_code_id and d.day = v_day
    and d.platform = p_platform and d.channel = v_channel and d.slot = v_slot;
  if not found then
    insert into referral_private.click_days as d (org_id, code_id, day, platform, channel, slot, clicks, stored)
    values (p_org_id, p_code_id, v_day, p_platform, v_channel, v_slot, v_counted::int, 1)
    on conflict on constraint click_days_pkey do update
    set clicks = d.clicks + excluded.clicks, stored = d.stored + 1;
  end if;
  return v_counted;
end
$$;

create function referral_private.record_click(
  p_code text,
  p_click_id uuid,
  p_address text default null,
  p_user_agent text default null,
  p_platform text default 'web',
  p_channel text default null,
  p_utm jsonb default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_channels constant text[] := '{qr,share,email,sms,whatsapp,social,web,print}';
  v_now timestamptz;
  v_org_id uuid;
  v_code_id uuid;
  v_clicks_per_visitor int;
  v_is_full boolean;
  v_counted boolean;
  v_day_key bytea;
begin
  if p_click_id is null then
    perform referral_private.raise_error('invalid_argument', 'click_id: required');
  elsif coalesce(p_platform not in ('ios', 'android', 'web'), true) then
    perform referral_private.raise_error('invalid_argument', 'platform: ios, android or web');
  end if;
  -- The edge function may send a click twice: the lock lets the second call find the first.
  perform pg_advisory_xact_lock(hashtextextended('referral.click:' || p_click_id, 0));
  v_now := clock_timestamp();
  select c.org_id, c.id, o.clicks_per_visitor,
    (
      select coalesce(sum(d.stored), 0) from referral_private.click_days as d
      where d.org_id = c.org_id and d.code_id = c.id and d.day = (v_now at time zone 'utc')::date
    ) >= o.clicks_per_code,
    (
      select k.counted from referral_private.clicks as k
      where k.org_id = c.org_id and k.click_id = p_click_id
        and k.clicked_at between v_now - interval '24 hours' and v_now
    ),
    (select k.key from referral_private.day_keys as k where k.day = (v_now at time zone 'utc')::date)
  into v_org_id, v_code_id, v_clicks_per_visitor, v_is_full, v_counted, v_day_key
  from referral.codes as c
  join referral.organisations as o on o.id = c.org_id
  join referral.programs as p on p.id = c.program_id
  where c.code_key = referral_private.normalise_code(p_code)
    and referral_private.code_refusal(c.status, c.expires_at, c.redeemable_until, o.active and p.active) is null
    and (c.quota_id is null or referral_private.has_free_use(c.org_id, c.quota_id, coalesce(c.chain_id, c.id), null));
  if v_counted is not null or v_is_full or not found then
    return coalesce(v_counted, false);
  end if;
  return referral_private.store_click(
    v_org_id, v_code_id, p_click_id, v_now, p_platform::referral.click_platform,
    case when p_channel = any (v_channels) then p_channel::referral.click_channel end, referral_private.utm_of(p_utm),
    referral_private.visitor_of(
      coalesce(v_day_key, referral_private.day_key((v_now at time zone 'utc')::date)),
      v_code_id, p_click_id, p_address, p_user_agent
    ),
    v_clicks_per_visitor
  );
end
$$;

comment on function referral_private.record_click is
  'public: Records a click on a code, once per click id. True: the click counts. False: the visitor has clicked on this
code before on this day (UTC), or nothing was stored, because the code cannot be redeemed or as many clicks are stored
as the organisation allows. Address and user agent tell visitors apart and are not stored.

group: Follow a link
code: the text as typed
click_id: a UUID that the caller made
address: the visitor''s address
user_agent: the visitor''s user agent
platform: ios, android or web
channel: a value of the enum click_channel; any other is stored as none
utm: utm_source, utm_medium, utm_campaign, utm_term and utm_content, up to 100 printable characters each; other keys
  are left out
callers: the operator
errors: invalid_argument, busy
timeout: 5s';

grant execute on function referral_private.record_click to service_role;

-- How many clicks a code had, from the counts per day.
create type referral.day_clicks as (
  day date,
  platform referral.click_platform,
  channel referral.click_channel,
  clicks int
);

create function referral_private.code_clicks(p_code_id uuid, p_from_day date default null, p_to_day date default null)
returns setof referral.day_clicks
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes := referral_private.require_readable_code(p_code_id);
  v_code_ids uuid[] := referral_private.codes_shown_with(v_code);
  v_to_day date := coalesce(p_to_day, (clock_timestamp() at time zone 'utc')::date);
  v_from_day date := coalesce(p_from_day, v_to_day - 30);
begin
  if v_from_day not between v_to_day - 30 and v_to_day then
    perform referral_private.raise_error('invalid_argument', 'from_day: to_day, or up to 30 days before it');
  end if;
  return query
  select d.day, d.platform, nullif(d.channel, '')::referral.click_channel, sum(d.clicks)::int
  from referral_private.click_days as d
  where d.org_id = v_code.org_id and d.code_id = any (v_code_ids) and d.day between v_from_day and v_to_day
    and d.clicks > 0
  group by d.day, d.platform, d.channel
  order by d.day, d.platform, d.channel;
end
$$;

comment on function referral_private.code_clicks is
  'public: Returns how many clicks on a code counted, per day (UTC), platform and channel, oldest day first; a missing
channel is null. To its referrer the clicks are those of its chain: the code and all that it was rotated from and into.

group: Follow a link
code_id: the code
from_day: 30 days before to_day unless given, and not earlier
to_day: today unless given
callers: the referrer, coordinators, admins and the operator
errors: not_signed_in, anonymous_user, code_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.code_clicks to authenticated, service_role;

-- The job that keeps clicks: makes the partitions of months to come, and deletes what is past.

create type referral.click_maintenance as (
  partitions_made int,
  partitions_dropped int,
  clicks_removed int,
  visitors_removed int
);

-- Makes the partitions of this month and the next two, and drops those of months that ended before this time. The
-- table is locked before its partitions and in its strongest mode at once, so that clicks and redemptions wait and
-- cannot deadlock; not, where there is nothing to make or drop.
create function referral_private.renew_click_partitions(p_kept_from timestamptz)
returns referral.click_maintenance
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_missing constant timestamp[] := referral_private.missing_months('referral_private.clicks', 2);
  v_past constant name[] := array(
    select m.partition from referral_private.months_of('referral_private.clicks') as m
    where (m.month + interval '1 month') at time zone 'utc' <= p_kept_from
  );
  v_month timestamp;
  v_partition name;
  v_done referral.click_maintenance;
begin
  if v_missing <> '{}' or v_past <> '{}' then
    lock table only referral_private.clicks in access exclusive mode;
  end if;
  v_done.partitions_made := 0;
  foreach v_month in array v_missing loop
    v_done.partitions_made := v_done.partitions_made
      + (referral_private.make_month('referral_private.clicks', v_month) is not null)::int;
  end loop;
  foreach v_partition in array v_past loop
    execute format('drop table referral_private.%I', v_partition);
  end loop;
  v_done.partitions_dropped := cardinality(v_past);
  return v_done;
end
$$;

create function referral_private.maintain_clicks(p_retention interval default '120 days', p_max_rows int default 100000)
returns setof referral.click_maintenance
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
-- The statistics of a table that was emptied mislead: rows are found by an index, and deleted by their place.
set enable_seqscan = off
set lock_timeout = '3s'
as $$
declare
  v_today constant date := clock_timestamp() at time zone 'utc';
  v_kept_from constant timestamptz := referral_private.kept_from(p_retention);
  v_done referral.click_maintenance;
begin
  perform pg_advisory_xact_lock(hashtextextended('referral.maintain_clicks', 0));
  v_done := referral_private.renew_click_partitions(v_kept_from);

  delete from referral_private.clicks_default as k
  where k.ctid = any (
    array(
      select d.ctid from referral_private.clicks_default as d
      where d.clicked_at < v_kept_from
      limit greatest(p_max_rows, 0)
    )
  );
  get diagnostics v_done.clicks_removed = row_count;

  perform referral_private.forget_keys_before(v_today);
  delete from referral_private.visitors as v
  where v.ctid = any (
    array(
      select d.ctid from referral_private.visitors as d
      where d.day < v_today
      limit greatest(p_max_rows, 0)
    )
  );
  get diagnostics v_done.visitors_removed = row_count;
  return next v_done;
end
$$;

comment on function referral_private.maintain_clicks is
  'public: Keeps the storage of clicks: makes the partitions of this month and the next two, drops those of months that
ended before the retention began, and deletes visitors and keys of past days. Returns how much it did.

group: Run jobs
retention: an interval of 90 days at least
max_rows: how many clicks and how many visitors at most in this call
callers: the operator
errors: invalid_argument, busy
returns: a row
timeout: 60s';

grant execute on function referral_private.maintain_clicks to service_role;

-- A redemption says that a referee used a code: it is the audit row of the use and the claim to a reward in one. It
-- outlives the code and the referee, and stores the version of the terms it was made under.
create type referral.redemption_status as enum ('pending', 'confirmed', 'reversed', 'expired', 'rejected');

-- What staff may decide on a redemption, whatever the payments say.
create type referral.decision as enum ('confirmed', 'rejected');

-- How the code reached the referee. All but `typed` are proved by a click.
create type referral.provenance as enum ('typed', 'link', 'install_referrer', 'clipboard');

create table referral.redemptions (
  org_id uuid not null,
  id uuid not null default gen_random_uuid(),
  program_id uuid not null,
  terms_version int not null,
  code_id uuid not null,
  referrer_id uuid,
  referee_id uuid not null,
  status referral.redemption_status not null default 'pending',
  provenance referral.provenance not null default 'typed',
  channel text collate "C",
  -- Copied from the click, which is forgotten with its month.
  click_id uuid,
  clicked_at timestamptz,
  redeemed_at timestamptz not null default clock_timestamp(),
  confirmed_at timestamptz,
  decision referral.decision,
  decided_at timestamptz,
  decided_by uuid,
  decision_reason text,
  constraint redemptions_pkey primary key (org_id, id),
  constraint redemptions_one_per_referee unique (org_id, program_id, referee_id),
  constraint redemptions_use_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict,
  constraint redemptions_have_terms
    foreign key (org_id, program_id, terms_version) references referral.program_terms (org_id, program_id, version)
      on delete restrict,
  constraint redemptions_no_self_referral check (referee_id != referrer_id),
  constraint redemptions_channel_is_a_label check (channel ~ '^[a-z0-9_]{1,32}$'),
  constraint redemptions_proved_by_a_click check ((provenance = 'typed') = (click_id is null)),
  constraint redemptions_clicked_say_when check ((click_id is null) = (clicked_at is null)),
  constraint redemptions_decided_say_when check ((decision is null) = (decided_at is null)),
  constraint redemptions_rejected_by_decision check ((status = 'rejected') = coalesce(decision = 'rejected', false)),
  constraint redemptions_decision_reason_is_500_at_most check (length(decision_reason) <= 500),
  constraint redemptions_decision_reason_is_one_line check (referral_private.is_one_line(decision_reason)),
  constraint redemptions_confirmed_say_when check (status != 'confirmed' or confirmed_at is not null),
  constraint redemptions_pending_are_unconfirmed check (status != 'pending' or confirmed_at is null)
);

create unique index redemptions_no_mutual_pair on referral.redemptions (
  org_id,
  program_id,
  least(referrer_id, referee_id),
  greatest(referrer_id, referee_id)
)
where referrer_id is not null;

create unique index redemptions_one_per_click on referral.redemptions (org_id, click_id) where click_id is not null;

create index redemptions_by_referrer on referral.redemptions (referrer_id, org_id, redeemed_at, id);

create index redemptions_by_organisation on referral.redemptions (org_id, redeemed_at desc, id);

create index redemptions_by_id on referral.redemptions (id);

create index redemptions_by_referee on referral.redemptions (referee_id, org_id, redeemed_at, id);

create index redemptions_by_code on referral.redemptions (org_id, code_id, redeemed_at, id);

-- The pending ones of each version of the terms, which says for how long they are.
create index redemptions_pending on referral.redemptions (program_id, terms_version, redeemed_at)
where status = 'pending';

-- For the foreign key alone, with the version first: else a look-up by program and referee could be planned through it.
create index redemptions_by_terms on referral.redemptions (terms_version, program_id, org_id);

comment on table referral.redemptions is
  'Uses of codes. Read by coordinators and admins of the organisation; referrers see theirs without identities through
my_referrals. Written by redeem_code, by decisions of staff, and by payments.';

-- What an argument that a constraint refuses must be.
comment on constraint redemptions_channel_is_a_label on referral.redemptions is
  'channel: 1 to 32 of a to z, 0 to 9 and _';
comment on constraint redemptions_decision_reason_is_500_at_most on referral.redemptions is
  'reason: up to 500 characters';
comment on constraint redemptions_decision_reason_is_one_line on referral.redemptions is
  'reason: one line, without control and bidirectional characters';

alter table referral.redemptions enable row level security;

create policy redemptions_staff_reads on referral.redemptions
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.redemptions to authenticated, service_role;

-- The audit of redemptions: written by trigger, so that no function can forget it. The redemption itself says how it
-- began.
create table referral.redemption_changes (
  org_id uuid not null,
  id bigint generated always as identity,
  redemption_id uuid not null,
  from_status referral.redemption_status not null,
  to_status referral.redemption_status not null,
  actor_id uuid,
  reason text,
  changed_at timestamptz not null default clock_timestamp(),
  constraint redemption_changes_pkey primary key (org_id, id),
  constraint redemption_changes_are_of_a_redemption
    foreign key (org_id, redemption_id) references referral.redemptions (org_id, id)
      on delete restrict
);

create index redemption_changes_by_redemption on referral.redemption_changes (org_id, redemption_id, id);

comment on table referral.redemption_changes is
  'The audit of redemptions: which status changed when; the actor and the reason where staff decided, neither where
payments or a job did. Read by coordinators and admins of the organisation. Written by trigger.';

alter table referral.redemption_changes enable row level security;

create policy redemption_changes_staff_reads on referral.redemption_changes
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.redemption_changes to authenticated, service_role;

-- Writes down that a redemption's status or decision changed.
create function referral_private.record_redemption_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decided constant boolean := new.decision is distinct from old.decision;
begin
  if v_decided or new.status <> old.status then
    insert into referral.redemption_changes (org_id, redemption_id, from_status, to_status, actor_id, reason)
    values (
      new.org_id, new.id, old.status, new.status,
      case when v_decided then auth.uid() end,
      -- Where a withdrawal brings an earlier decision back, that one's reason is not why.
      case when v_decided and new.decided_at > coalesce(old.decided_at, '-infinity') then new.decision_reason end
    );
  end if;
  return null;
end
$$;

create trigger redemptions_record_their_changes
after update of status, decision on referral.redemptions
for each row
execute function referral_private.record_redemption_change();

-- Who reads programs and their terms. Staff may have offered some people more than others, so who enrolled by themself
-- reads what is offered to everybody, and what they take part in.

-- The programs that the caller may read: all of an organisation for its staff and for members whom staff have added;
-- for a member who enrolled by themself those with open enrolment, switched on or off, and those in which they have or
-- had a code, or have redeemed one.
create function referral_private.readable_programs()
returns setof uuid
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id constant uuid := auth.uid();
  v_org_ids constant uuid[] := array(select referral_private.orgs_with_role('member'));
  v_open_org_ids constant uuid[] := array(
    select m.org_id from referral.members as m
    where m.user_id = v_user_id and m.admitted_by = m.user_id
    except
    select referral_private.orgs_with_role('coordinator')
  );
begin
  return query
  select p.id
  from referral.programs as p
  where p.org_id = any (v_org_ids) and (
    p.org_id <> all (v_open_org_ids)
    or referral_private.has_open_enrolment(p.org_id, p.id)
    or exists (
      select from referral.codes as c
      where c.org_id = p.org_id and c.program_id = p.id and c.referrer_id = v_user_id
    )
    or exists (
      select from referral.redemptions as r
      where r.org_id = p.org_id and r.program_id = p.id and r.referee_id = v_user_id
    )
  );
end
$$;

grant execute on function referral_private.readable_programs to authenticated;

create policy programs_members_read on referral.programs
for select
to authenticated
using (id = any (array(select referral_private.readable_programs())));

create policy program_terms_members_read on referral.program_terms
for select
to authenticated
using (program_id = any (array(select referral_private.readable_programs())));

-- What staff decide: a fact with actor, reason and time, which ends what should not earn. A decision stands until it is
-- withdrawn, and then counts as never made. The row is its own audit.
create type referral.decision_kind as enum ('confirm', 'reject', 'forfeit');

create table referral.decisions (
  org_id uuid not null,
  id uuid not null default gen_random_uuid(),
  kind referral.decision_kind not null,
  -- Of a redemption or a referral. The payers of a rejected referral are in decision_payers.
  program_id uuid,
  person_id uuid,
  redemption_id uuid,
  -- Of a forfeit: the member, or the first code of a chain of rotations.
  member_id uuid,
  chain_id uuid,
  -- Whole seconds: payments from `since` on, before `until`; a null `until` is for ever.
  since timestamptz,
  until timestamptz,
  -- Stated by blocking. Unblocking the member sets `until`.
  by_block boolean not null default false,
  reason text,
  decided_by uuid,
  decided_at timestamptz not null default clock_timestamp(),
  withdrawn_at timestamptz,
  withdrawn_by uuid,
  withdrawal_reason text,
  constraint decisions_pkey primary key (org_id, id),
  constraint decisions_are_in_a_program
    foreign key (org_id, program_id) references referral.programs (org_id, id)
      on delete restrict,
  constraint decisions_are_on_a_redemption
    foreign key (org_id, redemption_id) references referral.redemptions (org_id, id)
      on delete restrict,
  constraint decisions_are_on_a_member
    foreign key (org_id, member_id) references referral.members (org_id, user_id)
      on delete restrict,
  constraint decisions_are_on_a_code
    foreign key (org_id, chain_id) references referral.codes (org_id, id)
      on delete restrict,
  constraint decisions_forfeit_of_a_member_or_a_code
    check (num_nonnulls(member_id, chain_id) = (kind = 'forfeit')::int),
  constraint decisions_forfeit_from_a_time check ((kind = 'forfeit') = (since is not null)),
  constraint decisions_forfeit_until_later check (until is null or coalesce(until > since, false)),
  constraint decisions_forfeit_in_whole_seconds
    check (
      isfinite(since)
      and isfinite(until)
      and extract(epoch from since) % 1 = 0
      and extract(epoch from until) % 1 = 0
    ),
  constraint decisions_forfeit_by_block check (kind = 'forfeit' or not by_block),
  constraint decisions_of_a_program_unless_forfeit check ((kind = 'forfeit') = (program_id is null)),
  constraint decisions_confirm_a_redemption check (kind != 'confirm' or redemption_id is not null),
  constraint decisions_name_the_referee check (redemption_id is null or person_id is not null),
  constraint decisions_of_a_person_in_a_program check (person_id is null or program_id is not null),
  constraint decisions_reason_is_500_at_most check (length(reason) <= 500),
  constraint decisions_reason_is_one_line check (referral_private.is_one_line(reason)),
  constraint decisions_withdrawal_reason_is_500_at_most check (length(withdrawal_reason) <= 500),
  constraint decisions_withdrawal_reason_is_one_line check (referral_private.is_one_line(withdrawal_reason)),
  constraint decisions_withdrawn_say_when
    check (withdrawn_at is not null or num_nonnulls(withdrawn_by, withdrawal_reason) = 0)
);

create index decisions_by_person on referral.decisions (org_id, program_id, person_id);

create index decisions_that_reject on referral.decisions (org_id, program_id)
where kind = 'reject' and withdrawn_at is null;

create index decisions_by_redemption on referral.decisions (org_id, redemption_id) where redemption_id is not null;

create index decisions_by_member on referral.decisions (org_id, member_id) where member_id is not null;

create index decisions_by_chain on referral.decisions (org_id, chain_id) where chain_id is not null;

create index decisions_by_id on referral.decisions (id);

create index decisions_by_time on referral.decisions (org_id, decided_at desc, id);

comment on table referral.decisions is
  'Decisions of staff: confirmed and rejected redemptions, rejected referrals, forfeits. No actor is the operator. Rows
are never deleted; a withdrawn one does not count. Read by coordinators and admins of the organisation. Written by
confirm_redemption, reject_redemption, reject_referral, forfeit_from, withdraw_decision, and by blocking.';

-- What an argument that a constraint refuses must be.
comment on constraint decisions_forfeit_until_later on referral.decisions is
  'until: later than since, by a second or more';
comment on constraint decisions_forfeit_in_whole_seconds on referral.decisions is
  'since, until: times, but not infinity';
comment on constraint decisions_reason_is_500_at_most on referral.decisions is 'reason: up to 500 characters';
comment on constraint decisions_reason_is_one_line on referral.decisions is
  'reason: one line, without control and bidirectional characters';
comment on constraint decisions_withdrawal_reason_is_500_at_most on referral.decisions is
  'reason: up to 500 characters';
comment on constraint decisions_withdrawal_reason_is_one_line on referral.decisions is
  'reason: one line, without control and bidirectional characters';

alter table referral.decisions enable row level security;

create policy decisions_staff_reads on referral.decisions
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.decisions to authenticated, service_role;

-- Lets a decision be withdrawn once, and an open forfeit by blocking end once. Everything else is refused.
create function referral_private.guard_decision()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowed referral.decisions := old;
begin
  if tg_op = 'UPDATE' and old.withdrawn_at is null then
    if old.by_block then
      v_allowed.until := coalesce(old.until, new.until);
    end if;
    v_allowed.withdrawn_at := new.withdrawn_at;
    v_allowed.withdrawn_by := new.withdrawn_by;
    v_allowed.withdrawal_reason := new.withdrawal_reason;
  end if;
  if tg_op <> 'UPDATE' or new is distinct from v_allowed then
    raise exception 'decisions can only be withdrawn' using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;

create trigger decisions_keep_what_they_are
before update or delete on referral.decisions
for each row
execute function referral_private.guard_decision();

alter table referral.decisions enable always trigger decisions_keep_what_they_are;

create trigger decisions_are_on_record
after insert or update on referral.decisions
for each row
execute function referral_private.record_change('decision', 'id');

-- The payers that a referral had when it was rejected. No truncation of decisions gets past this table, which refers to
-- them.
create table referral_private.decision_payers (
  org_id uuid not null,
  decision_id uuid not null,
  stripe_account text collate "C" not null,
  livemode boolean not null,
  payer_id text collate "C" not null,
  constraint decision_payers_pkey primary key (org_id, decision_id, stripe_account, livemode, payer_id),
  constraint decision_payers_are_of_a_decision
    foreign key (org_id, decision_id) references referral.decisions (org_id, id)
      on delete restrict,
  constraint decision_payers_payer_is_1_to_500 check (length(payer_id) between 1 and 500)
);

create index decision_payers_by_payer on referral_private.decision_payers (payer_id, stripe_account, livemode);

alter table referral_private.decision_payers enable row level security;

create trigger decision_payers_are_append_only
before update or delete or truncate on referral_private.decision_payers
for each statement
execute function referral_private.refuse_change();

alter table referral_private.decision_payers enable always trigger decision_payers_are_append_only;

-- The decision that a person's redemption in a program shows: the first rejection that stands, else the first
-- confirmation. No row where none stands.
create function referral_private.standing_decision(p_org_id uuid, p_program_id uuid, p_person_id uuid)
returns setof referral.decisions
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select d.*
  from referral.decisions as d
  where d.org_id = p_org_id and d.program_id = p_program_id and d.person_id = p_person_id and d.withdrawn_at is null
  order by d.kind desc, d.decided_at, d.id
  limit 1;
end
$$;

-- Brings the decision columns of a person's redemption to what stands. A redemption on which nothing stands any more
-- is pending, until it is settled.
create function referral_private.project_decision(p_org_id uuid, p_program_id uuid, p_person_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stands referral.decisions;
  v_decision referral.decision;
begin
  select * into v_stands from referral_private.standing_decision(p_org_id, p_program_id, p_person_id);
  v_decision := case v_stands.kind when 'confirm' then 'confirmed' when 'reject' then 'rejected' end;
  update referral.redemptions as r
  set decision = v_decision, decided_at = v_stands.decided_at, decided_by = v_stands.decided_by,
    decision_reason = v_stands.reason, status = coalesce(v_decision::text, 'pending')::referral.redemption_status,
    confirmed_at = case v_decision when 'confirmed' then coalesce(r.confirmed_at, v_stands.decided_at) end
  where r.org_id = p_org_id and r.program_id = p_program_id and r.referee_id = p_person_id;
end
$$;

-- A person whose referral was rejected before they redeemed has a rejected redemption from the beginning.
create function referral_private.take_earlier_decision()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stands referral.decisions;
begin
  if not exists (
    select from referral.decisions as d
    where d.org_id = new.org_id and d.program_id = new.program_id and d.person_id = new.referee_id
  ) then
    return new;
  end if;
  select * into v_stands
  from referral_private.standing_decision(new.org_id, new.program_id, new.referee_id);
  if v_stands.kind = 'reject' then
    new.status := 'rejected';
    new.decision := 'rejected';
    new.decided_at := v_stands.decided_at;
    new.decided_by := v_stands.decided_by;
    new.decision_reason := v_stands.reason;
  end if;
  return new;
end
$$;

create trigger redemptions_take_earlier_decisions
before insert on referral.redemptions
for each row
execute function referral_private.take_earlier_decision();

-- How many redemptions a user, and an address, may make in an hour. Only redemptions that are committed count: a
-- refusal rolls its count back. The buckets are the last rows that a redemption locks.
create table referral_private.rate_limit_buckets (
  org_id uuid not null,
  bucket text collate "C" not null,
  hour timestamptz not null,
  redemptions int not null,
  constraint rate_limit_buckets_pkey primary key (org_id, bucket, hour)
);

create index rate_limit_buckets_by_hour on referral_private.rate_limit_buckets (hour);

alter table referral_private.rate_limit_buckets enable row level security;

-- Takes one of a bucket's uses in this hour, or raises `rate_limited`.
create function referral_private.count_within(p_org_id uuid, p_bucket text, p_limit int)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.rate_limit_buckets as c (org_id, bucket, hour, redemptions)
  values (p_org_id, p_bucket, date_trunc('hour', clock_timestamp(), 'UTC'), 1)
  on conflict on constraint rate_limit_buckets_pkey do update
  set redemptions = c.redemptions + 1
  where c.redemptions < p_limit;
  if not found then
    perform referral_private.raise_error('rate_limited');
  end if;
end
$$;

-- The bucket of an address on a day, in one organisation: a hash under the key of the day. Null without an address.
create function referral_private.address_bucket(p_day date, p_org_id uuid, p_address text)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_network text := referral_private.network_of(p_address, 32);
begin
  if v_network is null then
    return null;
  end if;
  return 'address:' || encode(referral_private.hash_of_day(p_day, p_org_id || ' ' || v_network), 'hex');
end
$$;

-- Counts a redemption by user and by address. The day's first redemption draws a key, for which others wait: before
-- they lock a bucket. Raises `rate_limited`.
create function referral_private.count_redemption(p_org_id uuid, p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_per_user int;
  v_per_address int;
  v_address_bucket text := referral_private.address_bucket(
    (clock_timestamp() at time zone 'utc')::date, p_org_id, referral_private.client_address()
  );
begin
  select o.redemptions_per_user, o.redemptions_per_address into strict v_per_user, v_per_address
  from referral.organisations as o
  where o.id = p_org_id;
  perform referral_private.count_within(p_org_id, 'user:' || p_user_id, v_per_user);
  if v_address_bucket is not null then
    perform referral_private.count_within(p_org_id, v_address_bucket, v_per_address);
  end if;
end
$$;

create function referral_private.purge_rate_limits(p_max_rows int default 1000)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- The statistics of a table that was emptied mislead: rows are found by an index, and deleted by their place.
set enable_seqscan = off
as $$
declare
  -- A constant, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_before constant timestamptz := date_trunc('hour', clock_timestamp(), 'UTC') - interval '1 hour';
  v_removed int;
begin
  perform referral_private.forget_keys_before((clock_timestamp() at time zone 'utc')::date);
  delete from referral_private.rate_limit_buckets as c
  where c.ctid = any (
    array(
      select d.ctid from referral_private.rate_limit_buckets as d
      where d.hour < v_before
      limit greatest(p_max_rows, 0)
      for update skip locked
    )
  );
  get diagnostics v_removed = row_count;
  return v_removed;
end
$$;

comment on function referral_private.purge_rate_limits is
  'public: Deletes rate-limit counts of past hours and returns how many. Call again while that is max_rows. Deletes the
keys of past days too, under which addresses were hashed.

group: Run jobs
max_rows: how many rows at most in this call
callers: the operator
errors: none
timeout: 10s';

grant execute on function referral_private.purge_rate_limits to service_role;

-- Whether a person can redeem a code: the same rules for validating and for redeeming.

-- Where the terms are for new users only, the user must exist and be new enough. Raises `new_users_only`.
create function referral_private.require_new_user(p_user_id uuid, p_terms jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_terms ? 'new_users_only_days' and not exists (
    select from auth.users as u
    where u.id = p_user_id
      and u.created_at >= clock_timestamp() - (p_terms ->> 'new_users_only_days')::int * interval '24 hours'
  ) then
    perform referral_private.raise_error('new_users_only');
  end if;
end
$$;

-- The version of the terms under which this person can redeem the code now. Raises `self_referral`, `new_users_only`,
-- or why nobody can redeem it: `program_inactive`, `code_expired`, `code_suspended`, `code_inactive`.
create function referral_private.require_redeemable(p_code referral.codes, p_user_id uuid)
returns int
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_switched_on boolean;
  v_refusal text;
  v_version int;
  v_terms jsonb;
begin
  if p_user_id in (p_code.referrer_id, p_code.beneficiary_id, p_code.created_by) then
    perform referral_private.raise_error('self_referral');
  end if;
  select o.active and p.active, t.version, t.terms
  into v_switched_on, v_version, v_terms
  from referral.programs as p
  join referral.organisations as o on o.id = p.org_id
  join referral.program_terms as t on t.org_id = p.org_id and t.program_id = p.id and t.valid_to is null
  where p.id = p_code.program_id;
  v_refusal := referral_private.code_refusal(
    p_code.status, p_code.expires_at, p_code.redeemable_until, v_switched_on
  );
  if v_refusal is not null then
    perform referral_private.raise_error(v_refusal);
  end if;
  if v_terms ? 'new_users_only_days' then
    perform referral_private.require_new_user(p_user_id, v_terms);
  end if;
  return v_version;
end
$$;

create function referral_private.validate_code(p_code text)
returns setof referral.resolved_code
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := auth.uid();
  v_code referral.codes;
begin
  if v_user_id is null or referral_private.is_anonymous() then
    return query select r.* from referral_private.resolve_code(p_code) as r;
    return;
  end if;
  if referral_private.normalise_code(p_code) is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  select * into v_code from referral.codes as c where c.code_key = referral_private.normalise_code(p_code);
  if not found then
    perform referral_private.raise_error('code_not_found');
  end if;
  if exists (
    select from referral.redemptions as r
    where r.org_id = v_code.org_id and r.program_id = v_code.program_id and r.referee_id = v_user_id
  ) then
    perform referral_private.raise_error('already_redeemed');
  end if;
  perform referral_private.require_redeemable(v_code, v_user_id);
  return query select r.* from referral_private.resolve_code(p_code) as r;
  if not found then
    perform referral_private.refuse_use(v_code);
  end if;
end
$$;

comment on function referral_private.validate_code is
  'public: Returns what a link shows of a code if the caller could redeem it, and raises the reason if not. A person who
has redeemed this code gets already_redeemed too. Only redeem_code raises mutual_referral: here it would tell who has
redeemed. Without a signed-in person it returns what resolve_code returns.

group: Redeem a code
code: the text as typed
callers: anyone
errors: self_referral, new_users_only, code_not_found, program_inactive, code_suspended, code_inactive, code_expired,
  code_limit_reached, code_uses_reserved, already_redeemed, invalid_code
timeout: 5s';

grant execute on function referral_private.validate_code to anon, authenticated, service_role;

-- What a referee learns of their redemption: nothing of the referrer, the beneficiary or the creator.
create type referral.redeemed_code as (
  redemption_id uuid,
  org_id uuid,
  program_id uuid,
  code text,
  status referral.redemption_status,
  redeemed_at timestamptz
);

create function referral_private.my_redemption(p_org_id uuid, p_program_id uuid default null)
returns setof referral.redeemed_code
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id: required');
  end if;
  return query
  select r.id, r.org_id, r.program_id, c.code, r.status, r.redeemed_at
  from referral.redemptions as r
  join referral.codes as c on c.org_id = r.org_id and c.id = r.code_id
  join referral.programs as p on p.id = r.program_id
  where r.referee_id = v_user_id and r.org_id = p_org_id
    and case when p_program_id is null then p.is_default else p.id = p_program_id end;
end
$$;

comment on function referral_private.my_redemption is
  'public: Returns the caller''s redemption in a program, or no row.

group: Redeem a code
org_id: the organisation
program_id: the default program unless given
callers: signed-in people
errors: not_signed_in, anonymous_user, invalid_argument
timeout: 5s';

grant execute on function referral_private.my_redemption to authenticated;

create function referral_private.has_redeemed(p_code text)
returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  return exists (
    -- A code can have very many redemptions, a person has few.
    select from (
      select r.org_id, r.code_id from referral.redemptions as r
      where r.referee_id = v_user_id
      offset 0
    ) as r
    join referral.codes as c on c.org_id = r.org_id and c.id = r.code_id
    where c.code_key = referral_private.normalise_code(p_code)
  );
end
$$;

comment on function referral_private.has_redeemed is
  'public: Returns whether the caller has redeemed this very code.

group: Redeem a code
code: the text as typed
callers: signed-in people
errors: not_signed_in, anonymous_user
timeout: 5s';

grant execute on function referral_private.has_redeemed to authenticated;

-- Who has used which code. Lists come newest first, in pages: `p_after` is the redemption that ended the page before.

-- Where a page begins: after this redemption.
create type referral_private.page_position as (redeemed_at timestamptz, redemption_id uuid);

-- The position after this redemption of the organisation, or, where a referrer is given, of theirs there; without one,
-- that of the first page. Raises `invalid_argument`.
create function referral_private.position_after(p_org_id uuid, p_after uuid, p_referrer_id uuid default null)
returns referral_private.page_position
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_position referral_private.page_position;
begin
  if p_after is null then
    return ('infinity', null)::referral_private.page_position;
  end if;
  select r.redeemed_at, r.id into v_position
  from referral.redemptions as r
  where r.org_id = p_org_id and r.id = p_after and (p_referrer_id is null or r.referrer_id = p_referrer_id);
  if not found then
    perform referral_private.raise_error('invalid_argument', 'after: the id of the last row of the page before');
  end if;
  return v_position;
end
$$;

create type referral.referral_summary as (
  redemption_id uuid,
  status referral.redemption_status,
  redeemed_at timestamptz,
  confirmed_at timestamptz,
  channel text
);

create function referral_private.my_referrals(p_org_id uuid, p_after uuid default null, p_page_size int default 100)
returns setof referral.referral_summary
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_position referral_private.page_position;
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id: required');
  end if;
  v_position := referral_private.position_after(p_org_id, p_after, v_user_id);
  return query
  select r.id, r.status, r.redeemed_at, r.confirmed_at, r.channel
  from referral.redemptions as r
  where r.referrer_id = v_user_id and r.org_id = p_org_id
    and (r.redeemed_at, r.id) < (v_position.redeemed_at, v_position.redemption_id)
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

comment on function referral_private.my_referrals is
  'public: Returns the caller''s referrals, newest first: redemption, status, times and channel, never who.

group: See referrals and earnings
org_id: the organisation
after: the last redemption of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
callers: signed-in people
errors: not_signed_in, anonymous_user, invalid_argument
timeout: 5s';

grant execute on function referral_private.my_referrals to authenticated;

create function referral_private.usage_for_code(p_code_id uuid, p_after uuid default null, p_page_size int default 100)
returns setof referral.redemptions
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_org_id uuid;
  v_position referral_private.page_position;
begin
  select c.org_id into v_org_id from referral.codes as c where c.id = p_code_id;
  if not coalesce(referral_private.acts_with_role(v_org_id, 'coordinator'), false) or v_org_id is null then
    perform referral_private.raise_error('code_not_found');
  end if;
  v_position := referral_private.position_after(v_org_id, p_after);
  return query
  select r.*
  from referral.redemptions as r
  where r.org_id = v_org_id and r.code_id = p_code_id
    and (r.redeemed_at, r.id) < (v_position.redeemed_at, v_position.redemption_id)
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

comment on function referral_private.usage_for_code is
  'public: Returns the redemptions of a code, newest first.

group: Manage redemptions
code_id: the code
after: the last redemption of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
callers: coordinators, admins and the operator
errors: code_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.usage_for_code to authenticated, service_role;

create function referral_private.usage_for_user(
  p_org_id uuid,
  p_user_id uuid,
  p_after uuid default null,
  p_page_size int default 100
)
returns setof referral.redemptions
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_position referral_private.page_position;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_user_id is null then
    perform referral_private.raise_error('invalid_argument', 'user_id: required');
  end if;
  v_position := referral_private.position_after(p_org_id, p_after);
  return query
  select r.*
  from referral.redemptions as r
  where r.org_id = p_org_id and r.referee_id = p_user_id
    and (r.redeemed_at, r.id) < (v_position.redeemed_at, v_position.redemption_id)
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

comment on function referral_private.usage_for_user is
  'public: Returns the redemptions that a person made in an organisation, newest first.

group: Manage redemptions
org_id: the organisation
user_id: the referee
after: the last redemption of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
callers: coordinators, admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.usage_for_user to authenticated, service_role;

-- How much codes were used. A referrer gets no identities.
create type referral.code_usage as (total_uses bigint, unique_users bigint, last_used timestamptz, recent_users uuid[]);

create function referral_private.code_usage_stats(p_code_id uuid)
returns setof referral.code_usage
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes := referral_private.require_readable_code(p_code_id);
  v_code_ids uuid[] := referral_private.codes_shown_with(v_code);
begin
  return query
  select count(*), count(distinct r.referee_id), max(r.redeemed_at), case
    when referral_private.acts_with_role(v_code.org_id, 'coordinator') then array(
      select recent.referee_id
      from referral.redemptions as recent
      where recent.org_id = v_code.org_id and recent.code_id = any (v_code_ids)
      order by recent.redeemed_at desc, recent.id desc
      limit 10
    )
  end
  from referral.redemptions as r
  where r.org_id = v_code.org_id and r.code_id = any (v_code_ids);
end
$$;

comment on function referral_private.code_usage_stats is
  'public: Returns how often a code was used, by how many people, when last, and by whom lately: ten ids, for staff
only. To its referrer the figures are those of its chain: the code and all that it was rotated from and into.

group: Have a code
code_id: the code
callers: the referrer, coordinators, admins and the operator
errors: not_signed_in, anonymous_user, code_not_found
returns: a row
timeout: 5s';

grant execute on function referral_private.code_usage_stats to authenticated, service_role;

create type referral.code_use_count as (code_id uuid, uses_count bigint, max_uses int);

create function referral_private.code_uses(p_code_ids uuid[])
returns setof referral.code_use_count
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_operator boolean := referral_private.is_operator();
begin
  if coalesce(cardinality(p_code_ids), 0) > 1000 then
    perform referral_private.raise_error('invalid_argument', 'code_ids: up to 1,000 ids');
  end if;
  if not v_is_operator then
    perform referral_private.require_person();
  end if;
  return query
  with
    asked as materialized (
      select c.id, c.org_id, c.quota_id, coalesce(c.chain_id, c.id) as chain_id,
        v_is_operator or c.org_id in (select referral_private.orgs_with_role('coordinator')) as by_staff
      from referral.codes as c
      where c.id = any (p_code_ids)
        and (
          v_is_operator
          or c.referrer_id = auth.uid()
          or c.org_id in (select referral_private.orgs_with_role('coordinator'))
        )
    ),
    -- Each chain once: a referrer may ask for all codes of a long one.
    chains as materialized (
      select a.chain_id, (
        select count(*)
        from referral.codes as c
        join referral.redemptions as r on r.org_id = c.org_id and r.code_id = c.id
        where c.org_id = a.org_id and a.chain_id in (c.id, c.chain_id)
      ) as uses
      from asked as a
      where not a.by_staff
      group by a.org_id, a.chain_id
    )
  select a.id, coalesce(
      chains.uses, (select count(*) from referral.redemptions as r where r.org_id = a.org_id and r.code_id = a.id)
    ), q.max_uses
  from asked as a
  left join chains on not a.by_staff and chains.chain_id = a.chain_id
  left join referral.code_quotas as q on q.org_id = a.org_id and q.quota_id = a.quota_id;
end
$$;

comment on function referral_private.code_uses is
  'public: Returns how often each code was used, and how often it may be used (null: without limit). Rows for the codes
that the caller may see; to its referrer a code''s uses are those of its chain, as in code_usage_stats.

group: Have a code
code_ids: up to 1,000 codes
callers: the referrer, coordinators, admins and the operator
errors: not_signed_in, anonymous_user, invalid_argument
timeout: 10s';

grant execute on function referral_private.code_uses to authenticated, service_role;

-- `expired` is never final: a sale inside the conversion window that is delivered late still confirms the redemption.
create function referral_private.expire_redemptions(p_max_rows int default 1000)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- Without statistics, and with those of a table that was emptied: rows are found by the index in whose order they come,
-- of each version of the terms those whose window is over, and updated by their place.
set enable_seqscan = off
set enable_sort = off
as $$
declare
  -- A constant, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_now constant timestamptz := clock_timestamp();
  v_expired int;
begin
  update referral.redemptions as r
  set status = 'expired'
  where r.ctid = any (
    array(
      select d.ctid
      from referral.program_terms as t
      cross join lateral (
        select r.ctid from referral.redemptions as r
        where r.program_id = t.program_id and r.terms_version = t.version
          and r.status = 'pending'
          and r.redeemed_at < v_now - (t.terms ->> 'conversion_window_days')::int * interval '24 hours'
        order by r.redeemed_at
        offset 0
      ) as d
      limit greatest(p_max_rows, 0)
      for no key update of d skip locked
    )
  );
  get diagnostics v_expired = row_count;
  return v_expired;
end
$$;

comment on function referral_private.expire_redemptions is
  'public: Marks pending redemptions whose conversion window is over and returns how many. Call again while that is
max_rows. A sale within the window that is heard of later still confirms the redemption.

group: Run jobs
max_rows: how many rows at most in this call
callers: the operator
errors: none
timeout: 10s';

grant execute on function referral_private.expire_redemptions to service_role;

-- A code in a text that people paste: a link, a message with a link, or the code alone. It is read as the client's
-- `redeem` reads it, for the texts that reach the database without the client.

-- A part of an address without its percent-encoding; null where that is none, or no text.
create function referral_private.percent_decoded(p_text text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_text ~ '%(?![0-9A-Fa-f]{2})' then
    return null;
  end if;
  return (
    select convert_from(
      string_agg(
        case when starts_with(part.found[1], '%')
          then decode(substr(part.found[1], 2), 'hex') else convert_to(part.found[1], 'UTF8')
        end,
        '' order by part.place
      ),
      'UTF8'
    )
    from regexp_matches(p_text, '%[0-9A-Fa-f]{2}|[^%]+', 'g') with ordinality as part (found, place)
  );
exception
  when character_not_in_repertoire or untranslatable_character then
    return null;
end
$$;

-- The code in an address of any host, with or without its scheme: in the path after `/link/` or `/referbase-link/`, or
-- else the last `ref` of the query. Null without one, and where the address names a user.
create function referral_private.code_in_address(p_address text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts constant text[] := regexp_match(
    translate(p_address, e'\\', '/'),
    '^[^0-9A-Za-z]*(?:[Hh][Tt][Tt][Pp][Ss]?://)?[^/?#@:[:space:]]+(?::[0-5]?[0-9]{1,4})?(/[^?#]*)?'
    || '(?:[?]([^#]*))?(?:#.*)?$'
  );
  v_segment constant text := (regexp_match(v_parts[1], '/(?:referbase-)?link/([^/]+)/?$'))[1];
  v_code text;
begin
  if v_segment is not null then
    v_code := referral_private.percent_decoded(v_segment);
  else
    v_code := (
      select referral_private.percent_decoded(translate(substr(p.text, 5), '+', ' '))
      from string_to_table(v_parts[2], '&') with ordinality as p (text, place)
      where starts_with(p.text, 'ref=')
      order by p.place desc
      limit 1
    );
  end if;
  return case when referral_private.normalise_code(v_code) is not null then v_code end;
end
$$;

-- The code in the first link of a text, or else the text itself, of 128 characters at most. Of a text 8,192 characters
-- are read, and no address of more than 4,096. Words end at white space, brackets, quotes and format characters, which
-- no address contains.
create function referral_private.code_in_text(p_text text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_text constant text := case when length(p_text) <= 8192 then p_text
    else substring(left(p_text, 8192) from '^.*[[:space:]]') end;
  v_whole constant text := btrim(v_text, e' \t\n\r');
  v_word text;
  v_code text;
begin
  foreach v_word in array
    array[v_whole] || regexp_split_to_array(
      v_text, e'[\\s<>()\\[\\]{}"`“”„«»‹›\\u200B-\\u200F\\u202A-\\u202E\\u2060-\\u206F、。〈-】！（），：；？｛｝]+'
    )
  loop
    continue when v_word !~ 'link/|[?&]ref=' or v_word ~ '[[:space:]]' or length(v_word) > 4096;
    v_code := referral_private.code_in_address(rtrim(v_word, '.,;:!?*_~''’…'));
    if v_code is not null then
      return left(v_code, 128);
    end if;
  end loop;
  return left(v_whole, 128);
end
$$;

-- A code given at sign-up, in the user's metadata as `referral_code`: both parts are opt-in, docs/sign-up.md says
-- how. The trigger only notes the claim and can break no sign-up; the claim is redeemed at the person's first call.
create table referral_private.sign_up_claims (
  user_id uuid not null,
  code text not null,
  claimed_at timestamptz not null default clock_timestamp(),
  constraint sign_up_claims_pkey primary key (user_id),
  constraint sign_up_claims_code_is_128_at_most check (length(code) <= 128)
);

create index sign_up_claims_by_age on referral_private.sign_up_claims (claimed_at);

alter table referral_private.sign_up_claims enable row level security;

-- The code in a user's metadata, which may also be a JSON text in a JSON string; null where there is none, and where
-- the text is no JSON that Postgres can hold. A link or a message is read as the client's `redeem` reads it.
create function referral_private.code_in_metadata(p_metadata jsonb)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_metadata jsonb := p_metadata;
begin
  if jsonb_typeof(p_metadata) = 'string' then
    v_metadata := (p_metadata #>> '{}')::jsonb;
  end if;
  return referral_private.code_in_text(
    case when jsonb_typeof(v_metadata) = 'object' then v_metadata ->> 'referral_code' end
  );
exception
  when invalid_text_representation or untranslatable_character or numeric_value_out_of_range
    or statement_too_complex
  then
    return null;
end
$$;

-- For a trigger after insert on auth.users, and after update of is_anonymous: an anonymous user who becomes a permanent
-- one signs up then. The code that they give at that time counts before one that they gave at first.
create function referral_private.note_sign_up_code()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Nested, because older versions of Auth have no anonymous users, and a sign-up must not ask for their column.
  if tg_op = 'UPDATE' then
    if not old.is_anonymous or new.is_anonymous then
      return null;
    end if;
  end if;
  insert into referral_private.sign_up_claims as c (user_id, code)
  select new.id, code
  from referral_private.code_in_metadata(new.raw_user_meta_data) as code
  where code <> ''
  on conflict on constraint sign_up_claims_pkey do update
  set code = excluded.code, claimed_at = clock_timestamp();
  return null;
end
$$;

create function referral_private.purge_sign_up_claims(p_max_rows int default 1000)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- The statistics of a table that was emptied mislead: rows are found by an index, and deleted by their place.
set enable_seqscan = off
as $$
declare
  -- Constants, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_now constant timestamptz := clock_timestamp();
  v_before constant timestamptz := referral_private.later(v_now, interval '-90 days');
  v_claims int;
  v_reservations int;
begin
  delete from referral_private.sign_up_claims as c
  where c.ctid = any (
    array(
      select d.ctid from referral_private.sign_up_claims as d
      where d.claimed_at < v_before
      limit greatest(p_max_rows, 0)
      for update skip locked
    )
  );
  get diagnostics v_claims = row_count;
  delete from referral_private.sign_up_reservations as r
  where r.ctid = any (
    array(
      select d.ctid from referral_private.sign_up_reservations as d
      where d.expires_at <= v_now
      limit greatest(p_max_rows - v_claims, 0)
      for update skip locked
    )
  );
  get diagnostics v_reservations = row_count;
  return v_claims + v_reservations;
end
$$;

comment on function referral_private.purge_sign_up_claims is
  'public: Deletes codes given at sign-up by people who did not come back within 90 days, and uses of limited codes that
sign-ups reserved more than an hour ago, which do not count any more. Returns how many. Call again while that is
max_rows.

group: Run jobs
max_rows: how many rows at most in this call
callers: the operator
errors: none
timeout: 60s';

grant execute on function referral_private.purge_sign_up_claims to service_role;

-- A `before_user_created` hook of Supabase Auth that lets nobody sign up without a redeemable code, and reserves a use
-- of a limited code for the new user's id. People invited through OAuth carry no metadata at sign-up, so with this hook
-- they sign up by e-mail. Auth ends a hook after two seconds.
create function referral_private.require_code_at_sign_up(event jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1500ms'
as $$
declare
  v_key text := referral_private.normalise_code(
    referral_private.code_in_metadata(event -> 'user' -> 'user_metadata')
  );
  v_code referral.codes;
begin
  select c.* into v_code
  from referral.codes as c
  join referral.programs as p on p.id = c.program_id
  join referral.organisations as o on o.id = c.org_id
  where c.code_key = v_key
    and referral_private.code_refusal(c.status, c.expires_at, c.redeemable_until, o.active and p.active) is null
  for share of c;
  if found and referral_private.reserve_use(v_code, (event -> 'user' ->> 'id')::uuid) then
    return '{}';
  end if;
  return jsonb_build_object(
    'error', jsonb_build_object(
      'http_code', 403,
      'message', case
        when found and referral_private.has_uses(v_code)
          then 'Other sign-ups have reserved the uses of this code. Try again in an hour.'
        else 'A valid referral code is needed to sign up.'
      end
    )
  );
exception
  when lock_not_available then
    return jsonb_build_object(
      'error', jsonb_build_object('http_code', 503, 'message', 'The database is busy. Try again.')
    );
end
$$;

-- Facts about payments, as Stripe and other providers state them. Facts are keyed by object, Stripe account ('' is the
-- platform's own) and livemode; they only grow, and hold no personal data. What is owed is a function of facts alone.

-- What an object says was paid: an invoice, a payment intent, the checkout session that made it, or a payment
-- recorded for another provider. Of several versions by one source the greatest (paid, stated_at, stated_by) is kept.
create type referral_private.payment_source as enum ('invoice', 'intent', 'session', 'record');

create table referral_private.payments (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  payment_id text collate "C" not null,
  source referral_private.payment_source not null,
  customer_id text collate "C",
  org_id uuid,
  program_id uuid,
  -- Of an invoice: its subscription, and the organisation that the subscription's metadata names.
  subscription_id text collate "C",
  subscription_org_id uuid,
  names_referral boolean not null,
  currency text collate "C" not null,
  paid bigint not null,
  total bigint not null,
  total_excluding_tax bigint,
  sale_at timestamptz not null,
  paid_at timestamptz not null,
  -- By the object itself; else it is when the object was first stated paid.
  paid_at_is_stated boolean not null default false,
  made_at timestamptz not null,
  stated_at timestamptz not null,
  stated_by text collate "C" not null,
  constraint payments_pkey primary key (payment_id, source, stripe_account, livemode),
  constraint payments_currency_is_a_code check (currency ~ '^[a-z]{3}$'),
  constraint payments_amounts_are_exact_in_javascript
    check (
      paid between 0 and 9007199254740991
      and abs(total) <= 9007199254740991
      and abs(total_excluding_tax) <= 9007199254740991
    )
);

comment on column referral_private.payments.payment_id is
  'An invoice (in_…), a payment intent (pi_…), or a reference of another provider.';

comment on column referral_private.payments.org_id is 'The organisation that the object''s metadata names.';

comment on column referral_private.payments.names_referral is
  'An intent is a sale of its own only if its metadata names a referral, or a session of mode payment names it.';

comment on column referral_private.payments.sale_at is
  'When the invoice was created, else when it was first stated paid; the end of time while nothing is paid.';

comment on column referral_private.payments.paid_at is
  'When the invoice was paid, else when it was first stated paid; the end of time while nothing is paid.';

comment on column referral_private.payments.made_at is 'When the object was created.';

create index payments_by_customer on referral_private.payments (customer_id, stripe_account, livemode)
where paid > 0;

create index payments_by_subscription on referral_private.payments (subscription_id, stripe_account, livemode)
where subscription_id is not null;

alter table referral_private.payments enable row level security;

-- What a checkout session belongs to: its intent, its invoice, its subscription; and the organisation that it names.
create table referral_private.sessions (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  session_id text collate "C" not null,
  made_at timestamptz not null,
  org_id uuid,
  subscription_id text collate "C",
  invoice_id text collate "C",
  intent_id text collate "C",
  constraint sessions_pkey primary key (session_id, stripe_account, livemode)
);

create index sessions_by_subscription on referral_private.sessions (subscription_id, stripe_account, livemode)
where subscription_id is not null;

create index sessions_by_invoice on referral_private.sessions (invoice_id, stripe_account, livemode)
where invoice_id is not null;

create index sessions_by_intent on referral_private.sessions (intent_id, stripe_account, livemode)
where intent_id is not null;

alter table referral_private.sessions enable row level security;

-- Which payment paid which invoice, as an invoice payment or a session says. Many to many: an intent can pay several.
create table referral_private.invoice_payments (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  object_id text collate "C" not null,
  invoice_id text collate "C" not null,
  payment_key text collate "C" not null,
  amount_paid bigint,
  constraint invoice_payments_pkey primary key (object_id, stripe_account, livemode)
);

create index invoice_payments_by_invoice on referral_private.invoice_payments (invoice_id, stripe_account, livemode);

create index invoice_payments_by_payment on referral_private.invoice_payments (payment_key, stripe_account, livemode);

alter table referral_private.invoice_payments enable row level security;

-- Any object that names both says which intent a charge belongs to.
create table referral_private.charges (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  charge_id text collate "C" not null,
  intent_id text collate "C" not null,
  constraint charges_pkey primary key (charge_id, stripe_account, livemode)
);

create index charges_by_intent on referral_private.charges (intent_id, stripe_account, livemode);

alter table referral_private.charges enable row level security;

-- These references and all others that mean the same payments: a charge is its intent's, where that is known.
create function referral_private.payment_keys(p_stripe_account text, p_livemode boolean, p_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select unnest(p_ids)
    union
    select c.intent_id from referral_private.charges as c
    where c.stripe_account = p_stripe_account and c.livemode = p_livemode and c.charge_id = any (p_ids)
    union
    select c.charge_id from referral_private.charges as c
    where c.stripe_account = p_stripe_account and c.livemode = p_livemode and c.intent_id = any (p_ids)
  );
end
$$;

-- The sales that these payments, invoices and charges can touch: themselves, and all invoices that share a payment.
create function referral_private.touched_sales(p_stripe_account text, p_livemode boolean, p_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids text[] := referral_private.payment_keys(p_stripe_account, p_livemode, p_ids);
  v_paying text[] := array(
    select l.payment_key from referral_private.invoice_payments as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.invoice_id = any (v_ids)
  );
begin
  v_ids := v_ids || v_paying;
  if cardinality(v_paying) > 0 then
    v_ids := v_ids || referral_private.payment_keys(p_stripe_account, p_livemode, v_paying);
  end if;
  return array(
    select unnest(v_ids)
    union
    select other.invoice_id
    from referral_private.invoice_payments as other
    where other.stripe_account = p_stripe_account and other.livemode = p_livemode and other.payment_key = any (v_ids)
  );
end
$$;

-- Facts about what was reversed or is held: refunds, disputes, warnings, credit notes.

-- Refunds by id. The rank of a status: 2 failed or canceled, 1 succeeded, 0 every other; it only rises.
create table referral_private.refunds (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  refund_id text collate "C" not null,
  payment_key text collate "C",
  amount bigint not null,
  status_rank smallint not null,
  stated_at timestamptz not null,
  stated_by text collate "C" not null,
  constraint refunds_pkey primary key (refund_id, stripe_account, livemode),
  constraint refunds_amount_is_exact_in_javascript check (amount between 0 and 9007199254740991),
  constraint refunds_status_rank_is_known check (status_rank between 0 and 2)
);

create index refunds_by_payment on referral_private.refunds (payment_key, stripe_account, livemode);

alter table referral_private.refunds enable row level security;

create table referral_private.disputes (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  dispute_id text collate "C" not null,
  payment_key text collate "C" not null,
  amount bigint not null,
  currency text collate "C" not null,
  stated_at timestamptz not null,
  stated_by text collate "C" not null,
  constraint disputes_pkey primary key (dispute_id, stripe_account, livemode),
  constraint disputes_amount_is_exact_in_javascript check (amount between 0 and 9007199254740991)
);

create index disputes_by_payment on referral_private.disputes (payment_key, stripe_account, livemode);

alter table referral_private.disputes enable row level security;

-- What a dispute withdrew and reinstated, in the currency of settlement: the union over its events.
create table referral_private.dispute_transactions (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  dispute_id text collate "C" not null,
  transaction_id text collate "C" not null,
  amount bigint not null,
  currency text collate "C" not null,
  constraint dispute_transactions_pkey
    primary key (dispute_id, transaction_id, amount, currency, stripe_account, livemode)
);

alter table referral_private.dispute_transactions enable row level security;

-- Early fraud warnings and inquiries: they reverse nothing, and hold.
create table referral_private.warnings (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  warning_id text collate "C" not null,
  payment_key text collate "C" not null,
  warned_at timestamptz not null,
  constraint warnings_pkey primary key (warning_id, stripe_account, livemode)
);

create index warnings_by_payment on referral_private.warnings (payment_key, stripe_account, livemode);

alter table referral_private.warnings enable row level security;

-- What a credit note reverses outside of refunds. A void one reverses nothing.
create table referral_private.credit_notes (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  credit_note_id text collate "C" not null,
  invoice_id text collate "C" not null,
  outside bigint not null,
  void boolean not null,
  stated_at timestamptz not null,
  stated_by text collate "C" not null,
  constraint credit_notes_pkey primary key (credit_note_id, stripe_account, livemode),
  constraint credit_notes_outside_is_exact_in_javascript check (outside between 0 and 9007199254740991)
);

create index credit_notes_by_invoice on referral_private.credit_notes (invoice_id, stripe_account, livemode);

alter table referral_private.credit_notes enable row level security;

-- How much of a refund a credit note assigns to its invoice.
create table referral_private.credit_note_refunds (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  credit_note_id text collate "C" not null,
  refund_id text collate "C" not null,
  amount bigint not null,
  constraint credit_note_refunds_pkey primary key (credit_note_id, refund_id, stripe_account, livemode)
);

alter table referral_private.credit_note_refunds enable row level security;

-- Facts about who pays. A carrier is the customer of an object; without one, the invoice or intent itself. Ids are
-- compared byte by byte, whatever the database's collation is: their order decides ties.

-- The users who can be linked to a payer of this Stripe account: people whom the project knows, as users, members or
-- referees. A user id that is none of theirs, such as a shop's own, links nobody. Written when a name is first looked
-- up, and never removed; users can be deleted. `signed_up_at` is for programs for new users.
create table referral_private.known_users (
  stripe_account text collate "C" not null,
  user_id uuid not null,
  signed_up_at timestamptz,
  constraint known_users_pkey primary key (user_id, stripe_account)
);

alter table referral_private.known_users enable row level security;

-- A link: an object of this carrier named this user, first at this time. It is no evidence by itself. Ids that are not
-- known are stored too: they may become known.
create table referral_private.payer_users (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  carrier text collate "C" not null,
  user_id uuid not null,
  linked_at timestamptz not null,
  -- When the project heard of it. It says nothing about money: recent links are looked up again.
  stored_at timestamptz not null default clock_timestamp(),
  constraint payer_users_pkey primary key (carrier, user_id, stripe_account, livemode)
);

create index payer_users_by_user on referral_private.payer_users (user_id, stripe_account, livemode, carrier);

create index payer_users_by_time on referral_private.payer_users (stored_at);

alter table referral_private.payer_users enable row level security;

-- An object named both a customer and an account that acts as one: they are one payer, the customer.
create table referral_private.customer_accounts (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  customer_account text collate "C" not null,
  customer_id text collate "C" not null,
  constraint customer_accounts_pkey primary key (customer_account, stripe_account, livemode)
);

create index customer_accounts_by_customer on referral_private.customer_accounts (
  customer_id,
  stripe_account,
  livemode
);

alter table referral_private.customer_accounts enable row level security;

-- What can credit a referrer, in the order in which it counts among equal times: the redemption of the payer's person,
-- the id of a redemption in metadata, a code in metadata, a promotion code, a code in client_reference_id, and one
-- there behind a payment link, where the buyer can edit it.
create type referral_private.evidence_kind as enum (
  'redemption',
  'redemption_id',
  'metadata_code',
  'promotion_code',
  'client_reference',
  'payment_link'
);

-- Evidence: this object of the carrier's named a redemption, a code or a promotion code.
create table referral_private.payer_evidence (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  carrier text collate "C" not null,
  kind referral_private.evidence_kind not null,
  named text collate "C" not null,
  object_id text collate "C" not null,
  carried_at timestamptz not null,
  constraint payer_evidence_pkey primary key (carrier, kind, named, object_id, stripe_account, livemode),
  constraint payer_evidence_is_carried check (kind != 'redemption')
);

create index payer_evidence_by_name on referral_private.payer_evidence (named, carried_at);

create index payer_evidence_by_object on referral_private.payer_evidence (object_id, stripe_account, livemode);

create index payer_evidence_by_time on referral_private.payer_evidence (carried_at);

alter table referral_private.payer_evidence enable row level security;

-- Which of our codes a promotion code belongs to, as each event says: to none where `code_key` is null. Where the event
-- says that this changed, `previous_key` is what it was before. The statements are a history.
create table referral_private.promotion_code_statements (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  promotion_code_id text collate "C" not null,
  stated_at timestamptz not null,
  stated_by text collate "C" not null,
  code_key text collate "C",
  states_previous boolean not null,
  previous_key text collate "C",
  constraint promotion_code_statements_pkey
    primary key (promotion_code_id, stated_at, stated_by, stripe_account, livemode)
);

create index promotion_code_statements_by_code on referral_private.promotion_code_statements (code_key);

create index promotion_code_statements_by_previous on referral_private.promotion_code_statements (previous_key)
where previous_key is not null;

alter table referral_private.promotion_code_statements enable row level security;

-- Records of payments and refunds of other providers (App Store, Play, RevenueCat, an invoice by post): the app's
-- server makes them, and they become the same facts. The same reference again is the same record; with other content
-- it is a conflict. Test mode and live mode have records of their own.
create table referral_private.recorded_facts (
  org_id uuid not null,
  livemode boolean not null,
  kind text collate "C" not null,
  provider text collate "C" not null,
  ref text collate "C" not null,
  content jsonb not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint recorded_facts_pkey primary key (org_id, livemode, kind, provider, ref),
  constraint recorded_facts_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint recorded_facts_kind_is_known check (kind in ('payment', 'refund', 'refund_reversed')),
  constraint recorded_facts_provider_is_a_label check (provider ~ '^[a-z0-9_]{1,32}$'),
  constraint recorded_facts_ref_is_1_to_255 check (ref ~ '^[!-~]+$' and length(ref) <= 255)
);

alter table referral_private.recorded_facts enable row level security;

create trigger recorded_facts_are_append_only
before update or delete or truncate on referral_private.recorded_facts
for each statement
execute function referral_private.refuse_change();

alter table referral_private.recorded_facts enable always trigger recorded_facts_are_append_only;

-- The Stripe account lock: one per Stripe account, held until the transaction ends. Every function that states facts or
-- settles takes it first, so that no two settlements see different halves of the truth. Finer locks do not suffice:
-- the session of a subscription and its first invoice share neither a payment nor a sale.
create function referral_private.stripe_account_lock_key(p_stripe_account text)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return hashtextextended('referral.account:' || p_stripe_account, 0);
end
$$;

-- Who waited for the lock must see what its last holder committed. A transaction that reads an older snapshot would
-- settle half of the truth, and its lock would prove nothing. Raises `busy`.
create function referral_private.require_read_committed()
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform referral_private.raise_error(
      'busy', 'call again in a transaction of isolation level READ COMMITTED, not '
        || upper(current_setting('transaction_isolation'))
    );
  end if;
end
$$;

-- Locks a Stripe account until the transaction ends. Raises `busy` unless that is READ COMMITTED.
create function referral_private.lock_stripe_account(p_stripe_account text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.require_read_committed();
  perform pg_advisory_xact_lock(referral_private.stripe_account_lock_key(p_stripe_account));
end
$$;

-- The Stripe account of an organisation; '' is the platform's own.
create function referral_private.stripe_account_of(p_org_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select coalesce(o.stripe_account_id, '') from referral.organisations as o where o.id = p_org_id);
end
$$;

-- Locks an organisation's Stripe account and returns it. Raises `busy` if the organisation changed it meanwhile.
create function referral_private.lock_stripe_account_of(p_org_id uuid)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text := referral_private.stripe_account_of(p_org_id);
begin
  perform referral_private.lock_stripe_account(v_stripe_account);
  if referral_private.stripe_account_of(p_org_id) <> v_stripe_account then
    perform referral_private.raise_error('busy');
  end if;
  return v_stripe_account;
end
$$;

-- Shares the lock of an organisation's Stripe account until the transaction ends: this waits for events under way, and
-- later ones wait for it. Raises `busy` if the organisation changed its Stripe account meanwhile.
create function referral_private.share_stripe_account_of(p_org_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text := referral_private.stripe_account_of(p_org_id);
begin
  perform referral_private.require_read_committed();
  perform pg_advisory_xact_lock_shared(referral_private.stripe_account_lock_key(v_stripe_account));
  if referral_private.stripe_account_of(p_org_id) <> v_stripe_account then
    perform referral_private.raise_error('busy');
  end if;
end
$$;

-- How much was reversed: of a payment, and of an invoice that one or several payments paid.

-- What a dispute keeps, at most. In the currency of the sale and of its balance transactions it is what these took and
-- did not give back. Otherwise it is that share of what is disputed, or, where the dispute is in another currency than
-- the sale, of what was paid.
create function referral_private.kept_by_dispute(p_dispute referral_private.disputes, p_currency text, p_paid bigint)
returns numeric
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_net numeric;
  v_withdrawn numeric;
  v_is_same_currency boolean;
begin
  select greatest(0, -sum(t.amount)), max(-t.amount), bool_and(t.currency = p_dispute.currency)
  into v_net, v_withdrawn, v_is_same_currency
  from referral_private.dispute_transactions as t
  where t.stripe_account = p_dispute.stripe_account and t.livemode = p_dispute.livemode
    and t.dispute_id = p_dispute.dispute_id;
  if v_net is null or v_withdrawn <= 0 then
    return 0;
  end if;
  if p_dispute.currency = p_currency and v_is_same_currency then
    return least(v_net, p_dispute.amount);
  end if;
  return round(
    (case when p_dispute.currency = p_currency then p_dispute.amount else p_paid end)
      * least(v_net, v_withdrawn) / v_withdrawn
  );
end
$$;

-- What was reversed of one payment, given as all the references that mean it: refunds that did not fail, and what
-- disputes keep.
create function referral_private.reversed_of_payment(
  p_stripe_account text,
  p_livemode boolean,
  p_keys text[],
  p_currency text,
  p_paid bigint
)
returns numeric
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select coalesce(sum(r.amount), 0) from referral_private.refunds as r
    where r.stripe_account = p_stripe_account and r.livemode = p_livemode and r.payment_key = any (p_keys)
      and r.status_rank < 2
  ) + (
    select coalesce(sum(referral_private.kept_by_dispute(d, p_currency, p_paid)), 0)
    from referral_private.disputes as d
    where d.stripe_account = p_stripe_account and d.livemode = p_livemode and d.payment_key = any (p_keys)
  );
end
$$;

-- Splits an amount by weights: each part gets its share rounded down, and what is left goes to the largest
-- remainders, one unit each, the earlier part first where remainders are equal. Without any weight all parts are 0.
create function referral_private.split_by_weight(p_amount numeric, p_weights numeric[])
returns numeric[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_weight numeric := (select sum(w) from unnest(p_weights) as w);
begin
  if v_weight = 0 then
    return array_fill(0::numeric, array[cardinality(p_weights)]);
  end if;
  return array(
    select s.share + case when s.place <= p_amount - s.shares then 1 else 0 end
    from (
      select w.part, div(p_amount * w.weight, v_weight) as share,
        sum(div(p_amount * w.weight, v_weight)) over () as shares,
        row_number() over (order by mod(p_amount * w.weight, v_weight) desc, w.part) as place
      from unnest(p_weights) with ordinality as w (weight, part)
    ) as s
    order by s.part
  );
end
$$;

-- How much of the refunds of this payment a credit note assigns to this invoice.
create function referral_private.refunded_by_credit_notes(
  p_stripe_account text,
  p_livemode boolean,
  p_invoice_id text,
  p_keys text[]
)
returns numeric
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select coalesce(sum(a.amount), 0)
    from referral_private.credit_notes as n
    join referral_private.credit_note_refunds as a
      on a.stripe_account = n.stripe_account and a.livemode = n.livemode and a.credit_note_id = n.credit_note_id
    join referral_private.refunds as r
      on r.stripe_account = a.stripe_account and r.livemode = a.livemode and r.refund_id = a.refund_id
    where n.stripe_account = p_stripe_account and n.livemode = p_livemode and n.invoice_id = p_invoice_id and not n.void
      and r.payment_key = any (p_keys) and r.status_rank < 2
  );
end
$$;

-- How much of what was reversed of a payment falls on one of the invoices that it paid. What credit notes assign goes
-- to their invoice first; the rest is split once, as a whole, by what is left of each: splitting each refund by
-- itself would reverse too much of some invoice.
create function referral_private.reversed_share_of_invoice(
  p_stripe_account text,
  p_livemode boolean,
  p_invoice_id text,
  p_keys text[],
  p_currency text,
  p_paid bigint
)
returns numeric
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_invoices text[];
  v_paid numeric[];
  v_assigned numeric[];
  v_reversed numeric;
  v_rest numeric[];
  v_place int;
begin
  select array_agg(i.invoice_id order by i.invoice_id collate "C"), array_agg(i.paid order by i.invoice_id collate "C"),
    array_agg(
      least(i.paid, referral_private.refunded_by_credit_notes(p_stripe_account, p_livemode, i.invoice_id, p_keys))
      order by i.invoice_id collate "C"
    )
  into v_invoices, v_paid, v_assigned
  from (
    select l.invoice_id, coalesce(sum(l.amount_paid), (
      select max(p.paid) from referral_private.payments as p
      where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.payment_id = l.invoice_id
    ), 0)::numeric as paid
    from referral_private.invoice_payments as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.payment_key = any (p_keys)
    group by l.invoice_id
  ) as i;
  v_place := array_position(v_invoices, p_invoice_id);
  if v_place is null then
    return 0;
  end if;
  v_reversed := referral_private.reversed_of_payment(
    p_stripe_account, p_livemode, p_keys, p_currency,
    coalesce(nullif((select sum(paid) from unnest(v_paid) as paid), 0), p_paid)::bigint
  );
  if cardinality(v_invoices) = 1 then
    return v_reversed;
  end if;
  v_rest := referral_private.split_by_weight(
    greatest(0, v_reversed - (select sum(assigned) from unnest(v_assigned) as assigned)),
    array(select paid - assigned from unnest(v_paid, v_assigned) as i (paid, assigned))
  );
  return v_assigned[v_place] + v_rest[v_place];
end
$$;

-- What was reversed of an invoice: its shares of the payments that paid it, all references to which are given, and
-- what its credit notes give back outside of refunds.
create function referral_private.reversed_of_invoice(
  p_stripe_account text,
  p_livemode boolean,
  p_invoice_id text,
  p_keys text[],
  p_currency text,
  p_paid bigint
)
returns numeric
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_reversed numeric := (
    select coalesce(sum(n.outside), 0) from referral_private.credit_notes as n
    where n.stripe_account = p_stripe_account and n.livemode = p_livemode and n.invoice_id = p_invoice_id and not n.void
  );
begin
  if exists (
    select from referral_private.refunds as r
    where r.stripe_account = p_stripe_account and r.livemode = p_livemode and r.payment_key = any (p_keys)
  ) or exists (
    select from referral_private.disputes as d
    where d.stripe_account = p_stripe_account and d.livemode = p_livemode and d.payment_key = any (p_keys)
  ) then
    v_reversed := v_reversed + (
      select coalesce(sum(referral_private.reversed_share_of_invoice(
        p_stripe_account, p_livemode, p_invoice_id,
        referral_private.payment_keys(p_stripe_account, p_livemode, array[paying.key]), p_currency, p_paid
      )), 0)
      from (
        select distinct coalesce(c.intent_id, l.payment_key) as key
        from referral_private.invoice_payments as l
        left join referral_private.charges as c
          on c.stripe_account = l.stripe_account and c.livemode = l.livemode and c.charge_id = l.payment_key
        where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.invoice_id = p_invoice_id
      ) as paying
    );
  end if;
  return v_reversed;
end
$$;

-- What the facts state of a sale, before it is known how much of it was reversed: the payments of an invoice or an
-- intent put together, its sessions, its customer, and the organisation that it names.
create type referral_private.stated_sale as (
  payment_id text,
  -- The source that knows best what was paid: an intent's session only where the intent states no payment.
  best referral_private.payments,
  -- Only the session knows the tax of its intent.
  taxed referral_private.payments,
  customer_id text,
  sale_at timestamptz,
  paid_at timestamptz,
  -- All references to the payments behind it.
  keys text[],
  -- The first first.
  session_ids text[]
);

-- The sessions of a sale, the first first: of its invoice, its subscription, its intents.
create function referral_private.sessions_of(
  p_stripe_account text,
  p_livemode boolean,
  p_sale_id text,
  p_subscription_id text,
  p_keys text[]
)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select s.session_id
    from (
      select i.* from referral_private.sessions as i where i.invoice_id = p_sale_id
      union
      select i.* from referral_private.sessions as i where i.subscription_id = p_subscription_id
      union
      select i.* from referral_private.sessions as i where i.intent_id = any (p_keys)
    ) as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode
    order by s.made_at, s.session_id
  );
end
$$;

-- The sales among these intents and invoices: what was paid, and is no part of another sale.
create function referral_private.payments_together(p_stripe_account text, p_livemode boolean, p_ids text[])
returns setof referral_private.stated_sale
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    stated as (
      select p.payment_id,
        (array_agg(p order by p.paid > 0 desc, p.source = 'session', p.source))[1] as best,
        (array_agg(p order by p.source) filter (where p.source = 'session'))[1] as session,
        min(coalesce(a.customer_id, p.customer_id)) as customer_id,
        min(p.sale_at) as sale_at, min(p.paid_at) as paid_at
      from referral_private.payments as p
      left join referral_private.customer_accounts as a
        on a.customer_account = p.customer_id and a.stripe_account = p_stripe_account and a.livemode = p_livemode
      where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.payment_id = any (p_ids)
      group by p.payment_id
    ),
    sold as materialized (
      select s.payment_id, s.best,
        case
          when (s.best).source in ('intent', 'session') and (s.session).payment_id is not null then s.session
          else s.best
        end as taxed,
        s.customer_id, s.sale_at, s.paid_at,
        referral_private.payment_keys(p_stripe_account, p_livemode, case
          when (s.best).source = 'invoice' then array(
            select l.payment_key from referral_private.invoice_payments as l
            where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.invoice_id = s.payment_id
          )
          else array[s.payment_id]
        end) as keys
      from stated as s
      where (s.best).paid > 0
    )
  select s.*, referral_private.sessions_of(
    p_stripe_account, p_livemode, s.payment_id, (s.best).subscription_id, s.keys
  )
  from sold as s
  where not ((s.best).source in ('intent', 'session') and exists (
    select from referral_private.invoice_payments as i
    where i.stripe_account = p_stripe_account and i.livemode = p_livemode and i.payment_key = any (s.keys)
  ));
end
$$;

-- The organisation that a sale's metadata names: the invoice's, else the subscription's, the first session's that
-- names one, the first intent's.
create function referral_private.organisation_named(p_sale referral_private.stated_sale)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account constant text := (p_sale.best).stripe_account;
  v_livemode constant boolean := (p_sale.best).livemode;
  v_org_id uuid := coalesce(
    case when (p_sale.best).source in ('invoice', 'record') then (p_sale.best).org_id end,
    (p_sale.best).subscription_org_id
  );
begin
  if v_org_id is null and cardinality(p_sale.session_ids) > 0 then
    v_org_id := (
      select s.org_id from referral_private.sessions as s
      where s.stripe_account = v_stripe_account and s.livemode = v_livemode
        and s.session_id = any (p_sale.session_ids) and s.org_id is not null
      order by s.made_at, s.session_id
      limit 1
    );
  end if;
  if v_org_id is null and cardinality(p_sale.keys) > 0 then
    v_org_id := (
      select p.org_id from referral_private.payments as p
      where p.stripe_account = v_stripe_account and p.livemode = v_livemode
        and p.payment_id = any (p_sale.keys) and p.source = 'intent' and p.org_id is not null
      order by p.made_at, p.payment_id
      limit 1
    );
  end if;
  return v_org_id;
end
$$;

-- The customer that an account acts as, or the customer itself.
create function referral_private.customer_of(p_stripe_account text, p_livemode boolean, p_customer_id text)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((
    select a.customer_id from referral_private.customer_accounts as a
    where a.customer_account = p_customer_id and a.stripe_account = p_stripe_account and a.livemode = p_livemode
  ), p_customer_id);
end
$$;

-- Sales: what was paid once all versions are put together, and how much of it was reversed. A projection: every row
-- can be made anew from the facts.
create table referral_private.sales (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  sale_id text collate "C" not null,
  payer_id text collate "C" not null,
  is_guest boolean not null,
  org_id uuid,
  program_id uuid,
  subscription_id text collate "C",
  object_ids text[] collate "C" not null,
  currency text collate "C" not null,
  paid bigint not null,
  reversed bigint not null,
  total bigint not null,
  total_excluding_tax bigint,
  sale_at timestamptz not null,
  paid_at timestamptz not null,
  warned_at timestamptz,
  constraint sales_pkey primary key (sale_id, stripe_account, livemode),
  constraint sales_are_of_something check (paid > 0),
  constraint sales_reversed_at_most_paid check (reversed between 0 and paid)
);

create index sales_by_payer on referral_private.sales (payer_id, stripe_account, livemode);

create index sales_by_time on referral_private.sales (paid_at, sale_id);

comment on column referral_private.sales.sale_id is
  'The invoice, or else the payment intent. An intent that pays an invoice is no sale of its own.';

comment on column referral_private.sales.payer_id is 'The customer, or the sale itself where a guest paid.';

comment on column referral_private.sales.org_id is
  'The organisation that the metadata of its objects names: of the invoice, the subscription, a session, an intent.';

comment on column referral_private.sales.object_ids is
  'The invoice, the intents and charges that paid, and the sessions of these and of the subscription.';

alter table referral_private.sales enable row level security;

-- The sales among these intents and invoices, as the facts state them, with what was reversed.
create function referral_private.sales_stated(p_stripe_account text, p_livemode boolean, p_ids text[])
returns setof referral_private.sales
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sale referral_private.sales;
begin
  for v_sale.stripe_account, v_sale.livemode, v_sale.sale_id, v_sale.payer_id, v_sale.is_guest, v_sale.org_id,
    v_sale.program_id, v_sale.subscription_id, v_sale.object_ids, v_sale.currency, v_sale.paid, v_sale.reversed,
    v_sale.total, v_sale.total_excluding_tax, v_sale.sale_at, v_sale.paid_at, v_sale.warned_at in
    select p_stripe_account, p_livemode, t.payment_id,
      coalesce(t.customer_id, t.payment_id), t.customer_id is null, referral_private.organisation_named(t),
      (t.best).program_id, (t.best).subscription_id,
      array(
        select distinct object_id collate "C"
        from unnest(array[t.payment_id] || t.keys || t.session_ids) as object_id
        order by 1
      ),
      (t.best).currency, (t.best).paid,
      least((t.best).paid, case
        when (t.best).source = 'invoice' then referral_private.reversed_of_invoice(
          p_stripe_account, p_livemode, t.payment_id, t.keys, (t.best).currency, (t.best).paid
        )
        else referral_private.reversed_of_payment(
          p_stripe_account, p_livemode, t.keys, (t.best).currency, (t.best).paid
        )
      end)::bigint,
      (t.taxed).total, (t.taxed).total_excluding_tax, t.sale_at, t.paid_at,
      (
        select max(w.warned_at) from referral_private.warnings as w
        where w.stripe_account = p_stripe_account and w.livemode = p_livemode and w.payment_key = any (t.keys)
      )
    from referral_private.payments_together(p_stripe_account, p_livemode, p_ids) as t
  loop
    return next v_sale;
  end loop;
end
$$;

-- Sales that came, changed or went, and the payers that they had and have.
create type referral_private.changed_sales as (sale_ids text[], payer_ids text[]);

-- Whether anything changed by which a sale is settled: another object counts only if it carries something, or if a
-- decision names it.
create function referral_private.is_settled_anew(p_old referral_private.sales, p_new referral_private.sales)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_objects text[] := coalesce(p_new.object_ids, p_old.object_ids);
begin
  p_new.object_ids := p_old.object_ids;
  return p_old is distinct from p_new or exists (
    select from referral_private.payer_evidence as e
    where e.object_id = any (v_objects) and not e.object_id = any (p_old.object_ids)
      and e.stripe_account = p_old.stripe_account and e.livemode = p_old.livemode
  ) or exists (
    select from referral_private.decision_payers as d
    where d.payer_id = any (v_objects) and not d.payer_id = any (p_old.object_ids)
      and d.stripe_account = p_old.stripe_account and d.livemode = p_old.livemode
  );
end
$$;

-- Makes these sales anew from the facts. Returns those that must be settled anew.
create function referral_private.project_sales(p_stripe_account text, p_livemode boolean, p_sale_ids text[])
returns referral_private.changed_sales
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_known referral_private.sales[] := array(
    select s from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_sale_ids)
    order by s.sale_id
  );
  -- Most events touch nothing that could be a sale: an intent is one only where it or a session names a referral.
  v_candidates text[] := array(
    select distinct p.payment_id from referral_private.payments as p
    where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.payment_id = any (p_sale_ids)
      and (p.names_referral or p.source <> 'intent')
  );
  v_made referral_private.sales[] := '{}';
  v_changed text[];
begin
  if cardinality(v_candidates) > 0 then
    v_made := array(
      select s from referral_private.sales_stated(p_stripe_account, p_livemode, v_candidates) as s order by s.sale_id
    );
  end if;
  if v_made = v_known then
    return ('{}'::text[], '{}'::text[])::referral_private.changed_sales;
  elsif v_known = '{}' then
    insert into referral_private.sales select m.* from unnest(v_made) as m;
    return (
      array(select m.sale_id from unnest(v_made) as m), array(select distinct m.payer_id from unnest(v_made) as m)
    )::referral_private.changed_sales;
  end if;
  v_changed := array(
    select coalesce(m.sale_id, k.sale_id)
    from unnest(v_made) as m
    full join unnest(v_known) as k on k.sale_id = m.sale_id
    where m is distinct from k
  );
  delete from referral_private.sales as s
  where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (v_changed);
  insert into referral_private.sales
  select m.* from unnest(v_made) as m where m.sale_id in (select unnest(v_changed));
  v_changed := array(
    select coalesce(m.sale_id, k.sale_id)
    from unnest(v_made) as m
    full join unnest(v_known) as k on k.sale_id = m.sale_id
    where referral_private.is_settled_anew(k, m)
  );
  return (
    v_changed, array(
      select distinct s.payer_id from unnest(v_known || v_made) as s where s.sale_id in (select unnest(v_changed))
    )
  )::referral_private.changed_sales;
end
$$;

-- Which users payers are linked to, and under which carriers their links and evidence are stored.

-- A carrier of a payer's: the payer itself, an account that acts as it, one of its sales, or a payment behind one. A
-- guest's objects carry what they name under the sale or the payment.
create type referral_private.payer_carrier as (payer_id text collate "C", carrier text collate "C");

-- The carriers of these payers.
create function referral_private.carriers_of_payers(p_stripe_account text, p_livemode boolean, p_payer_ids text[])
returns setof referral_private.payer_carrier
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select payer, payer from unnest(p_payer_ids) as payer
  union
  select a.customer_id, a.customer_account
  from referral_private.customer_accounts as a
  where a.stripe_account = p_stripe_account and a.livemode = p_livemode and a.customer_id = any (p_payer_ids)
  union
  select s.payer_id, unnest(s.object_ids)
  from referral_private.sales as s
  where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (p_payer_ids);
end
$$;

-- Stores which of these users are known, for this Stripe account, and returns those that were not before. The Stripe
-- account lock is held.
create function referral_private.know_users(p_stripe_account text, p_user_ids uuid[])
returns uuid[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known uuid[] := array(
    select k.user_id from referral_private.known_users as k
    where k.user_id = any (p_user_ids) and k.stripe_account = p_stripe_account
  );
  v_unknown uuid[] := array(select unnest(p_user_ids) except select unnest(v_known));
begin
  if cardinality(v_unknown) = 0 then
    return '{}';
  end if;
  v_known := array(
    select u.id from auth.users as u where u.id = any (v_unknown)
    union
    select r.referee_id from referral.redemptions as r where r.referee_id = any (v_unknown)
    union
    select m.user_id from referral.members as m where m.user_id = any (v_unknown)
  );
  insert into referral_private.known_users (stripe_account, user_id, signed_up_at)
  select p_stripe_account, id, (select u.created_at from auth.users as u where u.id = known.id)
  from unnest(v_known) as known (id);
  return v_known;
end
$$;

-- A link of a carrier to a user whom the project knows: an object named the user, or a redemption of theirs.
create type referral_private.payer_link as (carrier text collate "C", user_id uuid, linked_at timestamptz);

-- The links of these carriers.
create function referral_private.links_of_carriers(p_stripe_account text, p_livemode boolean, p_carriers text[])
returns referral_private.payer_link[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select (l.carrier, l.user_id, l.linked_at)::referral_private.payer_link
    from referral_private.payer_users as l
    join referral_private.known_users as k on k.user_id = l.user_id and k.stripe_account = l.stripe_account
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.carrier = any (p_carriers)
    union all
    select (e.carrier, r.referee_id, e.carried_at)::referral_private.payer_link
    from referral_private.payer_evidence as e
    join referral.redemptions as r on r.id = e.named::uuid
    where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.carrier = any (p_carriers)
      and e.kind = 'redemption_id'
  );
end
$$;

-- The carriers of users: those that are linked to them, and those whose metadata names a redemption of theirs.
create function referral_private.carriers_of_users(p_stripe_account text, p_livemode boolean, p_user_ids uuid[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_redemptions text[] := array(
    select r.id::text from referral.redemptions as r where r.referee_id = any (p_user_ids)
  );
begin
  return array(
    select l.carrier from referral_private.payer_users as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.user_id = any (p_user_ids)
    union
    select e.carrier from referral_private.payer_evidence as e
    where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.kind = 'redemption_id'
      and e.named = any (v_redemptions)
  );
end
$$;

-- Which payers are one person, and are settled together.

-- The payers to whom these carriers belong: those of the sales that they are part of, else the customer itself, or the
-- payment that is no sale yet.
create function referral_private.payers_of_carriers(p_stripe_account text, p_livemode boolean, p_carriers text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sales text[];
begin
  if cardinality(p_carriers) = 0 then
    return '{}';
  end if;
  v_sales := referral_private.touched_sales(p_stripe_account, p_livemode, p_carriers);
  return array(
    select s.payer_id
    from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (v_sales)
    union
    select coalesce(a.customer_id, other.carrier)
    from (
      select unnest(p_carriers) as carrier
      except
      select unnest(s.object_ids)
      from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (v_sales)
    ) as other
    left join referral_private.customer_accounts as a
      on a.customer_account = other.carrier and a.stripe_account = p_stripe_account and a.livemode = p_livemode
  );
end
$$;

-- The payers that are linked to these users.
create function referral_private.payers_of_users(p_stripe_account text, p_livemode boolean, p_user_ids uuid[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.payers_of_carriers(
    p_stripe_account, p_livemode, referral_private.carriers_of_users(p_stripe_account, p_livemode, p_user_ids)
  );
end
$$;

-- A payer, the person that it is (the first user it was linked to; later links do not count), since when, and when
-- that user signed up. What payers of one group bought is settled together: those of a person, or a payer without one.
create type referral_private.payer as (
  payer_id text collate "C",
  group_id text collate "C",
  person uuid,
  linked_at timestamptz,
  signed_up_at timestamptz
);

-- These carriers' payers, by their links.
create function referral_private.payers_with_people(
  p_stripe_account text,
  p_carriers referral_private.payer_carrier[],
  p_links referral_private.payer_link[]
)
returns setof referral_private.payer
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
-- The planner does not know how long the arrays are.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  select l.payer_id, coalesce(l.user_id::text, l.payer_id), l.user_id, l.linked_at, (
      select k.signed_up_at from referral_private.known_users as k
      where k.user_id = l.user_id and k.stripe_account = p_stripe_account
    )
  from (
    select p.payer_id, first.user_id, first.linked_at
    from (select distinct c.payer_id from unnest(p_carriers) as c) as p
    left join (
      select distinct on (c.payer_id) c.payer_id, link.user_id, link.linked_at
      from unnest(p_carriers) as c
      join unnest(p_links) as link on link.carrier = c.carrier
      order by c.payer_id, link.linked_at, link.user_id
    ) as first on first.payer_id = p.payer_id
  ) as l;
end
$$;

create type referral_private.settled_payers as (
  payers referral_private.payer[],
  carriers referral_private.payer_carrier[],
  -- All links of these carriers, also the later ones; and the users by whom they were found.
  links referral_private.payer_link[],
  user_ids uuid[]
);

-- These payers, and all that are or may have been one person with them: the payers of every user that they are linked
-- to. It goes no further: what is linked to another payer's other users does not matter.
create function referral_private.payers_together(p_stripe_account text, p_livemode boolean, p_payer_ids text[])
returns referral_private.settled_payers
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_carriers referral_private.payer_carrier[] := array(
    select c from referral_private.carriers_of_payers(p_stripe_account, p_livemode, p_payer_ids) as c
  );
  v_links referral_private.payer_link[] := referral_private.links_of_carriers(
    p_stripe_account, p_livemode, array(select c.carrier from unnest(v_carriers) as c)
  );
  v_users uuid[] := array(select distinct l.user_id from unnest(v_links) as l);
  v_others text[];
  v_theirs referral_private.payer_carrier[];
begin
  if cardinality(v_users) > 0 then
    v_others := array(
      select unnest(referral_private.payers_of_users(p_stripe_account, p_livemode, v_users))
      except
      select unnest(p_payer_ids)
    );
    if cardinality(v_others) > 0 then
      v_theirs := array(
        select c from referral_private.carriers_of_payers(p_stripe_account, p_livemode, v_others) as c
      );
      v_carriers := v_carriers || v_theirs;
      v_links := v_links || referral_private.links_of_carriers(
        p_stripe_account, p_livemode, array(select c.carrier from unnest(v_theirs) as c)
      );
    end if;
  end if;
  return (
    array(
      select p from referral_private.payers_with_people(p_stripe_account, v_carriers, v_links) as p
      where p.payer_id in (select unnest(p_payer_ids)) or p.person in (select unnest(v_users))
    ),
    v_carriers, v_links, v_users
  )::referral_private.settled_payers;
end
$$;

-- The payers of these by their carriers. One carrier can be several payers'.
create type referral_private.carried_payer as (carrier text collate "C", payer referral_private.payer);

-- These payers, each under every carrier of theirs.
create function referral_private.payers_by_carrier(p_together referral_private.settled_payers)
returns setof referral_private.carried_payer
language plpgsql
stable
rows 1000
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  select c.carrier, p
  from unnest(p_together.carriers) as c
  join unnest(p_together.payers) as p on p.payer_id = c.payer_id;
end
$$;

-- Whose payers a decision is about: those of a referral, and those that codes reach.

-- A referral: its person, if it has one, and its payers in one mode.
create type referral_private.referral_payers as (person uuid, payer_ids text[]);

-- The referral of a person, or of a payer: the payer's person, and every payer that the referral has. A given person
-- counts before the payer's.
create function referral_private.referral_of(p_stripe_account text, p_livemode boolean, p_person uuid, p_payer_id text)
returns referral_private.referral_payers
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payer_id constant text := referral_private.customer_of(p_stripe_account, p_livemode, p_payer_id);
  v_person uuid := p_person;
begin
  if v_person is null then
    select p.person into v_person
    from unnest(
      (referral_private.payers_together(p_stripe_account, p_livemode, array[v_payer_id])).payers
    ) as p
    where p.payer_id = v_payer_id;
  end if;
  return (
    v_person,
    array(
      select p.payer_id
      from unnest((referral_private.payers_together(
        p_stripe_account, p_livemode, referral_private.payers_of_users(p_stripe_account, p_livemode, array[v_person])
      )).payers) as p
      where p.person = v_person
      union
      select v_payer_id where v_payer_id is not null
    )
  )::referral_private.referral_payers;
end
$$;

-- The codes of a program that the objects of these payers carry, as themselves, as promotion codes, or by the id of a
-- redemption.
create function referral_private.codes_carried(
  p_stripe_account text,
  p_livemode boolean,
  p_program_id uuid,
  p_payer_ids text[]
)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select k.id
    from referral_private.payer_evidence as e
    left join referral_private.promotion_code_statements as p
      on e.kind = 'promotion_code' and p.promotion_code_id = e.named
      and p.stripe_account = p_stripe_account and p.livemode = p_livemode
    left join referral.redemptions as r
      on e.kind = 'redemption_id' and r.id = referral_private.as_uuid(e.named)
    cross join lateral (
      select c.id, c.program_id from referral.codes as c where c.id = r.code_id
      union
      select c.id, c.program_id from referral.codes as c where c.code_key in (p.code_key, p.previous_key, e.named)
    ) as k
    where k.program_id = p_program_id and e.stripe_account = p_stripe_account and e.livemode = p_livemode
      and e.carrier = any (array(
        select c.carrier from referral_private.carriers_of_payers(p_stripe_account, p_livemode, p_payer_ids) as c
      ))
  );
end
$$;

-- The payers with sales whom these codes of an organisation reach: by redemptions, and by what their objects carry.
create function referral_private.payers_of_codes(
  p_stripe_account text,
  p_livemode boolean,
  p_org_id uuid,
  p_code_ids uuid[]
)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_keys text[] := array(select c.code_key from referral.codes as c where c.id = any (p_code_ids));
  v_referees uuid[] := array(
    select distinct r.referee_id from referral.redemptions as r
    where r.org_id = p_org_id and r.code_id = any (p_code_ids)
  );
  v_names text[] := v_keys || array(
    select p.promotion_code_id from referral_private.promotion_code_statements as p
    where p.stripe_account = p_stripe_account and p.livemode = p_livemode
      and (p.code_key = any (v_keys) or p.previous_key = any (v_keys))
  );
begin
  return referral_private.payers_of_carriers(p_stripe_account, p_livemode, array(
    select unnest(referral_private.carriers_of_users(p_stripe_account, p_livemode, v_referees))
    union
    select e.carrier from referral_private.payer_evidence as e
    where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.kind >= 'metadata_code'
      and e.named = any (v_names)
  ));
end
$$;

-- What objects carry: the ids of redemptions, codes, and promotion codes, each with the time of its object.

-- What a payer's object carries. Of a guest the same can be stored under several carriers.
create type referral_private.carried_evidence as (
  payer referral_private.payer,
  carried referral_private.payer_evidence
);

-- What the objects of these payers carry, each statement once for each payer.
create function referral_private.evidence_carried(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers
)
returns setof referral_private.carried_evidence
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select distinct on ((c.payer).payer_id, e.kind, e.named, e.object_id) c.payer, e
  from referral_private.payer_evidence as e
  join referral_private.payers_by_carrier(p_together) as c on c.carrier = e.carrier
  where e.stripe_account = p_stripe_account and e.livemode = p_livemode
    and e.carrier = any (array(select given.carrier from unnest(p_together.carriers) as given));
end
$$;

-- The code that a promotion code belonged to at a time, by the statement in force then. Before the first statement
-- that is known, it is what that one says was before; where it says nothing of that, what it says.
create function referral_private.promotion_key_at(
  p_stripe_account text,
  p_livemode boolean,
  p_promotion_code_id text,
  p_at timestamptz
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_statement referral_private.promotion_code_statements;
begin
  select s.* into v_statement
  from referral_private.promotion_code_statements as s
  where s.promotion_code_id = p_promotion_code_id and s.stripe_account = p_stripe_account and s.livemode = p_livemode
    and s.stated_at <= p_at
  order by s.stated_at desc, s.stated_by desc
  limit 1;
  if found then
    return v_statement.code_key;
  end if;
  select s.* into v_statement
  from referral_private.promotion_code_statements as s
  where s.promotion_code_id = p_promotion_code_id and s.stripe_account = p_stripe_account and s.livemode = p_livemode
  order by s.stated_at, s.stated_by
  limit 1;
  return case when v_statement.states_previous then v_statement.previous_key else v_statement.code_key end;
end
$$;

-- The code that this evidence named at its time, as a key; null for a redemption.
create function referral_private.key_carried(p_carried referral_private.payer_evidence)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_carried.kind = 'promotion_code' then referral_private.promotion_key_at(
      p_carried.stripe_account, p_carried.livemode, p_carried.named, p_carried.carried_at
    )
    when p_carried.kind >= 'metadata_code' then p_carried.named
  end;
end
$$;

-- The codes with these keys of the organisations of a Stripe account.
create function referral_private.codes_by_keys(p_stripe_account text, p_keys text[])
returns setof referral.codes
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  return query
  select c.* from referral.codes as c
  where c.code_key = any (p_keys) and referral_private.stripe_account_of(c.org_id) = p_stripe_account;
end
$$;

-- Evidence: what can credit a referrer for the sales of a group of payers. It comes from the redemptions of the person,
-- and from what the payers' objects carry. Each carrying is judged by itself, at its own time.
create type referral_private.evidence as (
  -- The group whose sales it can win, and the payer that carried it (null: the person's redemption), linked since.
  group_id text collate "C",
  payer_id text collate "C",
  linked_at timestamptz,
  kind referral_private.evidence_kind,
  evidence_id uuid,
  object_id text collate "C",
  carried_at timestamptz,
  -- Its own time, in whole seconds.
  at timestamptz,
  org_id uuid,
  program_id uuid,
  terms_version int,
  terms jsonb,
  redemption_id uuid,
  code_id uuid,
  chain_id uuid,
  referrer_id uuid,
  earner_id uuid,
  referee_id uuid,
  is_confirmed boolean,
  -- Why it can never win a sale; null where it can.
  refusal text
);

-- Evidence by redemptions: of the person, and by their ids in metadata.
create function referral_private.evidence_by_redemption(
  p_stripe_account text,
  p_payers referral_private.payer[],
  p_carried referral_private.carried_evidence[]
)
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    claims as (
      select distinct p.group_id, null::text as payer_id, null::timestamptz as linked_at, p.person,
        'redemption'::referral_private.evidence_kind as kind, r.id as redemption_id, null::text as object_id,
        null::timestamptz as carried_at
      from unnest(p_payers) as p
      join referral.redemptions as r on r.referee_id = p.person
      union all
      select (c.payer).group_id, (c.payer).payer_id, (c.payer).linked_at, (c.payer).person, (c.carried).kind,
        (c.carried).named::uuid, (c.carried).object_id, (c.carried).carried_at
      from unnest(p_carried) as c
      where (c.carried).kind = 'redemption_id'
    )
  select n.group_id, n.payer_id, n.linked_at, n.kind, r.id, n.object_id, n.carried_at,
    date_trunc('second', r.redeemed_at), r.org_id, r.program_id, r.terms_version, t.terms, r.id, r.code_id,
    coalesce(c.chain_id, c.id), c.referrer_id, coalesce(c.beneficiary_id, c.referrer_id), r.referee_id,
    coalesce(r.decision = 'confirmed', false),
    case
      when array[n.person, r.referee_id] && array[c.referrer_id, c.beneficiary_id, c.created_by]
        then 'self_referral'
    end
  from claims as n
  -- Looked up one by one: without statistics, Postgres takes many redemptions to have the same id, and would read all.
  cross join lateral (select d.* from referral.redemptions as d where d.id = n.redemption_id offset 0) as r
  cross join lateral (
    select k.* from referral.codes as k where k.org_id = r.org_id and k.id = r.code_id offset 0
  ) as c
  cross join lateral (
    select v.terms from referral.program_terms as v
    where v.org_id = r.org_id and v.program_id = r.program_id and v.version = r.terms_version
    offset 0
  ) as t
  where referral_private.stripe_account_of(r.org_id) = p_stripe_account;
end
$$;

-- Whether the referrer of a code was referred, by this time, by this person in the same program.
create function referral_private.is_mutual(p_code referral.codes, p_person uuid, p_at timestamptz)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral.redemptions as r
    where r.org_id = p_code.org_id and r.program_id = p_code.program_id
      and r.referee_id = p_code.referrer_id and r.referrer_id = p_person
      and date_trunc('second', r.redeemed_at) <= p_at
  );
end
$$;

-- Why a code that a payer carried can never win; null where it can. The program, the terms and the code must have been
-- good at that time, and nobody earns by their own purchase, nor two people by each other's.
create function referral_private.evidence_refusal(
  p_code referral.codes,
  p_payer referral_private.payer,
  p_at timestamptz,
  p_terms jsonb,
  p_is_usable boolean
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_terms is null then 'program_inactive'
    when not p_is_usable then 'code_unusable'
    when p_payer.person in (p_code.referrer_id, p_code.beneficiary_id, p_code.created_by) then 'self_referral'
    when p_payer.person is not null and referral_private.is_mutual(p_code, p_payer.person, p_at)
      then 'mutual_referral'
    when coalesce(p_payer.signed_up_at, '-infinity')
      < p_at - (p_terms ->> 'new_users_only_days')::int * interval '24 hours' then 'new_users_only'
  end;
end
$$;

-- Evidence by codes, under the terms that were in force when they were carried. A code that was made later was not
-- usable. What holds of a code at a time is asked once.
create function referral_private.evidence_by_code(p_stripe_account text, p_carried referral_private.carried_evidence[])
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
-- The planner does not know how long the arrays are.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with
    keyed as materialized (
      select c.payer, c.carried, (c.carried).carried_at as at, referral_private.key_carried(c.carried) as key
      from unnest(p_carried) as c
    ),
    known as materialized (
      select d as code, d.id as code_id, d.code_key, d.org_id, d.program_id
      from referral_private.codes_by_keys(p_stripe_account, array(select k.key from keyed as k)) as d
    ),
    timed as materialized (
      select c.*, referral_private.terms_at(c.org_id, c.program_id, c.at) as version,
        referral_private.is_code_usable(c.org_id, c.code_id, c.at) as is_usable
      from (
        select distinct d.code_id, k.at, d.org_id, d.program_id
        from keyed as k
        join known as d on d.code_key = k.key
      ) as c
    ),
    agreed as (
      select a.code_id, a.at, a.version, a.is_usable, (
          select t.terms from referral.program_terms as t
          where t.org_id = a.org_id and t.program_id = a.program_id and t.version = a.version
        ) as terms
      from timed as a
    )
  select (k.payer).group_id, (k.payer).payer_id, (k.payer).linked_at, (k.carried).kind, d.code_id,
    (k.carried).object_id, k.at, k.at, d.org_id, d.program_id, a.version, a.terms, null::uuid, d.code_id,
    coalesce((d.code).chain_id, d.code_id), (d.code).referrer_id,
    coalesce((d.code).beneficiary_id, (d.code).referrer_id), (k.payer).person, false,
    referral_private.evidence_refusal(d.code, k.payer, k.at, a.terms, a.is_usable)
  from keyed as k
  join known as d on d.code_key = k.key
  join agreed as a on a.code_id = d.code_id and a.at = k.at;
end
$$;

-- All evidence of these payers: whom it credits, under which terms, and the reason if it can never win.
create function referral_private.evidence_of(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers
)
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_carried referral_private.carried_evidence[] := array(
    select c from referral_private.evidence_carried(p_stripe_account, p_livemode, p_together) as c
  );
begin
  if exists (select from unnest(p_together.payers) as p where p.person is not null)
    or exists (select from unnest(v_carried) as c where (c.carried).kind = 'redemption_id')
  then
    return query
    select e.* from referral_private.evidence_by_redemption(p_stripe_account, p_together.payers, v_carried) as e;
  end if;
  if exists (select from unnest(v_carried) as c where (c.carried).kind >= 'metadata_code') then
    return query select e.* from referral_private.evidence_by_code(p_stripe_account, v_carried) as e;
  end if;
end
$$;

-- The texts that purchases carry: a new code cannot have them.

-- Those of these keys that a purchase carries from a time on.
create function referral_private.keys_carried_since(p_keys text[], p_since timestamptz)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  return array(
    select key
    from unnest(p_keys) as key
    where exists (
      select from referral_private.payer_evidence as e
      where e.named = key and e.kind >= 'metadata_code' and e.kind <> 'promotion_code' and e.carried_at >= p_since
    ) or exists (
      select from referral_private.promotion_code_statements as p
      cross join lateral (
        select from referral_private.payer_evidence as e
        where e.named = p.promotion_code_id and e.kind = 'promotion_code'
          and e.stripe_account = p.stripe_account and e.livemode = p.livemode and e.carried_at >= p_since
        limit 1
      ) as carried
      where key in (p.code_key, p.previous_key)
    )
  );
end
$$;

-- Those of these keys that a new code cannot have: a purchase of the last 400 days carries it, or one with a future
-- date, as those of test clocks have. Renewals carry the text again, and the code would be credited for customers whom
-- it did not bring.
create function referral_private.carried_keys(p_keys text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.keys_carried_since(p_keys, clock_timestamp() - 400 * interval '24 hours');
end
$$;

-- The evidence of objects that carry one of these keys from a time on, by themselves or by a promotion code.
create function referral_private.evidence_of_keys(
  p_stripe_account text,
  p_livemode boolean,
  p_keys text[],
  p_since timestamptz
)
returns setof referral_private.payer_evidence
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select e.* from referral_private.payer_evidence as e
  where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.carried_at >= p_since
    and e.named = any (p_keys) and e.kind >= 'metadata_code' and e.kind <> 'promotion_code'
  union
  select e.*
  from referral_private.promotion_code_statements as p
  join referral_private.payer_evidence as e
    on e.named = p.promotion_code_id and e.kind = 'promotion_code'
    and e.stripe_account = p.stripe_account and e.livemode = p.livemode
  where p.stripe_account = p_stripe_account and p.livemode = p_livemode and e.carried_at >= p_since
    and (p.code_key = any (p_keys) or p.previous_key = any (p_keys));
end
$$;

-- Whose sale it is can be said by an object of another payer's.

-- The payments that sessions with this evidence name, their own, the invoices that their intent pays, or those of their
-- subscription, and that are another payer's: what an object carries says whose sale it is, whoever pays.
create function referral_private.payments_of_others(p_evidence referral_private.payer_evidence[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select distinct p.payment_id
    from unnest(p_evidence) as e
    join referral_private.sessions as s
      on s.session_id = e.object_id and s.stripe_account = e.stripe_account and s.livemode = e.livemode
    cross join lateral (
      select named.* from referral_private.payments as named
      where named.payment_id in (s.intent_id, s.invoice_id) and named.stripe_account = e.stripe_account
        and named.livemode = e.livemode
      union all
      select invoiced.*
      from referral_private.invoice_payments as l
      join referral_private.payments as invoiced
        on invoiced.payment_id = l.invoice_id and invoiced.stripe_account = l.stripe_account
        and invoiced.livemode = l.livemode
      where l.payment_key = s.intent_id and l.stripe_account = e.stripe_account and l.livemode = e.livemode
      union all
      select renewed.* from referral_private.payments as renewed
      where renewed.subscription_id = s.subscription_id and renewed.stripe_account = e.stripe_account
        and renewed.livemode = e.livemode
    ) as p
    where p.customer_id is distinct from e.carrier
  );
end
$$;

-- Whose sale it is: the organisation that its objects name. Only that organisation's evidence can win it.

-- A code that an object names, itself, by a promotion code or by a redemption, and its organisation.
create type referral_private.named_code as (
  object_id text collate "C",
  kind referral_private.evidence_kind,
  carried_at timestamptz,
  named_id uuid,
  code_id uuid,
  org_id uuid,
  made_at timestamptz
);

-- The codes that these objects name, whoever their payers are.
create function referral_private.codes_named(p_stripe_account text, p_livemode boolean, p_object_ids text[])
returns setof referral_private.named_code
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_carried referral_private.payer_evidence[] := array(
    select e from referral_private.payer_evidence as e
    where e.object_id = any (p_object_ids) and e.stripe_account = p_stripe_account and e.livemode = p_livemode
  );
begin
  if cardinality(v_carried) = 0 then
    return;
  end if;
  return query
  with
    keyed as materialized (
      select e.object_id, e.kind, e.carried_at, referral_private.key_carried(e) as key from unnest(v_carried) as e
    )
  select e.object_id, e.kind, e.carried_at, c.id, c.id, c.org_id, c.created_at
  from keyed as e
  join referral_private.codes_by_keys(p_stripe_account, array(select k.key from keyed as k)) as c
    on c.code_key = e.key
  union
  select e.object_id, e.kind, e.carried_at, r.id, r.code_id, r.org_id, r.redeemed_at
  from unnest(v_carried) as e
  join referral.redemptions as r on r.id = e.named::uuid
  where e.kind = 'redemption_id' and referral_private.stripe_account_of(r.org_id) = p_stripe_account;
end
$$;

-- A sale with its payer, the organisation that it names, and the codes that its objects carry. A person can have very
-- many: rows in rows would take longer to unpack than to judge.
create type referral_private.named_sale as (
  sale_id text collate "C",
  payer_id text collate "C",
  group_id text collate "C",
  person uuid,
  linked_at timestamptz,
  is_guest boolean,
  org_id uuid,
  program_id uuid,
  subscription_id text collate "C",
  object_ids text[] collate "C",
  code_ids uuid[],
  currency text collate "C",
  paid bigint,
  reversed bigint,
  total bigint,
  total_excluding_tax bigint,
  sale_at timestamptz,
  paid_at timestamptz,
  warned_at timestamptz
);

-- The sales of these payers in the order in which they were paid. A sale names the organisation of its metadata, else
-- of the redemption, the code or the promotion code that its objects carry, usable or not, if it was made by then; what
-- a buyer can edit names none. What the first sale of a subscription names that names one holds for its later sales.
create function referral_private.name_sales(
  p_stripe_account text,
  p_livemode boolean,
  p_codes referral_private.named_code[],
  p_payers referral_private.payer[]
)
returns setof referral_private.named_sale
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
    sold as materialized (
      select s.* from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode
        and s.payer_id = any (array(select p.payer_id from unnest(p_payers) as p))
    ),
    carried as (
      select s.sale_id, array_agg(n.code_id) as code_ids,
        (array_agg(n.org_id order by n.kind, n.carried_at, n.object_id, n.named_id) filter (
          where n.kind <> 'payment_link' and date_trunc('second', n.made_at) - interval '1 minute' <= n.carried_at
        ))[1] as org_id
      from (select sold.sale_id, unnest(sold.object_ids) as part from sold where p_codes <> '{}') as s
      join unnest(p_codes) as n on n.object_id = s.part
      group by s.sale_id
    ),
    named as (
      select s.*, coalesce(s.org_id, c.org_id) as named_org_id, coalesce(c.code_ids, '{}') as code_ids
      from sold as s
      left join carried as c on c.sale_id = s.sale_id
    ),
    firsts as (
      select distinct on (n.subscription_id) n.subscription_id, n.paid_at, n.sale_id, n.named_org_id
      from named as n
      where n.subscription_id is not null and n.named_org_id is not null
      order by n.subscription_id, n.paid_at, n.sale_id
    )
  select n.sale_id, n.payer_id, p.group_id, p.person, p.linked_at, n.is_guest, coalesce(n.named_org_id, f.named_org_id),
    n.program_id, n.subscription_id, n.object_ids, n.code_ids, n.currency, n.paid, n.reversed, n.total,
    n.total_excluding_tax, n.sale_at, n.paid_at, n.warned_at
  from named as n
  join unnest(p_payers) as p on p.payer_id = n.payer_id
  left join firsts as f
    on f.subscription_id = n.subscription_id and (f.paid_at, f.sale_id) <= (n.paid_at, n.sale_id)
  order by n.paid_at, n.sale_id;
end
$$;

-- The sales of these payers, in the order in which they were paid.
create function referral_private.sales_named(
  p_stripe_account text,
  p_livemode boolean,
  p_payers referral_private.payer[]
)
returns referral_private.named_sale[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_codes referral_private.named_code[] := array(
    select c from referral_private.codes_named(p_stripe_account, p_livemode, array(
      select unnest(s.object_ids) from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode
        and s.payer_id = any (array(select p.payer_id from unnest(p_payers) as p))
    )) as c
  );
begin
  return array(
    select n from referral_private.name_sales(p_stripe_account, p_livemode, v_codes, p_payers) as n
  );
end
$$;

-- Payments of these payers before a time that are no sales: intents that name no referral and pay no invoice. They are
-- returned as sales that name nothing.
create function referral_private.other_payments(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers,
  p_before timestamptz
)
returns setof referral_private.named_sale
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_customers constant text[] := array(select c.carrier from unnest(p_together.carriers) as c);
  v_payments constant referral_private.payments[] := array(
    select p from referral_private.payments as p
    where p.customer_id = any (v_customers) and p.stripe_account = p_stripe_account and p.livemode = p_livemode
      and p.paid > 0 and p.paid_at < p_before and p.source = 'intent' and not exists (
        select from referral_private.sales as s
        where s.sale_id = p.payment_id and s.stripe_account = p_stripe_account and s.livemode = p_livemode
      ) and not exists (
        select from referral_private.invoice_payments as i
        where i.stripe_account = p_stripe_account and i.livemode = p_livemode
          and i.payment_key = any (referral_private.payment_keys(p_stripe_account, p_livemode, array[p.payment_id]))
      )
  );
  v_sale referral_private.named_sale;
begin
  if cardinality(v_payments) = 0 then
    return;
  end if;
  v_sale.code_ids := '{}';
  for v_sale.sale_id, v_sale.paid_at, v_sale.payer_id, v_sale.group_id, v_sale.linked_at in
    select distinct on (p.payment_id) p.payment_id, p.paid_at, (c.payer).payer_id, (c.payer).group_id,
      (c.payer).linked_at
    from unnest(v_payments) as p
    join referral_private.payers_by_carrier(p_together) as c on c.carrier = p.customer_id
  loop
    return next v_sale;
  end loop;
end
$$;

-- What payers carry again and again.

-- The numbers of the evidence that a sale keeps open of which its object is part: the sale is within the conversion
-- window, and fits it.
create function referral_private.evidence_kept_open(
  p_sales referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof bigint
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
    sold as materialized (
      select s.payer_id, object_id, date_trunc('second', s.paid_at) as paid_in, s.sale_at, s.org_id, s.program_id
      from unnest(p_sales) as s
      cross join lateral unnest(s.object_ids) as object_id
    ),
    numbered as materialized (
      select row_number() over () as n, e.payer_id, e.refusal, e.object_id, e.at, e.org_id, e.program_id,
        e.at + (e.terms ->> 'conversion_window_days')::int * interval '24 hours' as ends_at
      from unnest(p_evidence) as e
    )
  select distinct n.n
  from numbered as n
  join sold as s on s.object_id = n.object_id and s.payer_id = n.payer_id
  where n.refusal is null and n.at <= s.paid_in and s.sale_at <= n.ends_at
    and (s.org_id is null or s.org_id = n.org_id) and (s.program_id is null or s.program_id = n.program_id);
end
$$;

-- This evidence without repetitions: what a payer carried that the same payer carried before, and what then was kept
-- open comes first everywhere; so does, of what can never win, the first. Renewals carry the same code each month.
create function referral_private.distinct_evidence(
  p_sales referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns referral_private.evidence[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return array(
    with
      numbered as (
        select row_number() over () as n, e.payer_id, e.kind, e.evidence_id, e.terms_version, e.at,
          e.refusal is not null as is_refused
        from unnest(p_evidence) as e
      ),
      repeated as (
        select n.n, n.kind in ('metadata_code', 'promotion_code', 'client_reference') and (
            bool_or(k.n is not null) over before or n.is_refused and bool_or(n.is_refused) over before
          ) as is_repeated
        from numbered as n
        left join referral_private.evidence_kept_open(p_sales, p_evidence) as k (n) on k.n = n.n
        window before as (
          partition by n.payer_id, n.kind, n.evidence_id, n.terms_version
          order by n.at, n.n
          rows between unbounded preceding and 1 preceding
        )
      )
    select p_evidence[r.n] from repeated as r where r.is_repeated is not true order by r.n
  );
end
$$;

-- The numbers of the evidence that only its own payer's sales need: for those of the person's other payers, another
-- payer's evidence of the same code comes first, is bound as early, and counts wherever this does. Both are kept open
-- by sales of their own, or can never win. Where a forfeit stands it matters which sale was open first: all is kept.
create function referral_private.evidence_for_own_payers(
  p_sales referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof bigint
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
  v_forfeited constant uuid[] := array(
    select distinct c.code_id
    from (
      select distinct e.org_id, e.code_id, e.chain_id, array[e.earner_id, e.referrer_id] as member_ids
      from unnest(p_evidence) as e
    ) as c
    -- An array, for which the forfeits of each code are looked up: a join would read all decisions.
    where array(
      select d.id from referral.decisions as d
      where d.org_id = c.org_id and d.kind = 'forfeit' and d.withdrawn_at is null
        and (d.member_id = any (c.member_ids) or d.chain_id = c.chain_id)
    ) <> '{}'
  );
begin
  return query
  with
    numbered as (
      select row_number() over () as n, e.group_id, e.kind, e.evidence_id, e.terms_version, e.at,
        greatest(e.at, e.linked_at) as reaches_at, e.refusal is not null as is_refused
      from unnest(p_evidence) as e
    ),
    compared as (
      select n.n, n.reaches_at, min(n.reaches_at) over (
          partition by n.group_id, n.kind, n.evidence_id, n.terms_version, n.is_refused
          order by n.at, n.reaches_at, n.n
          rows between unbounded preceding and 1 preceding
        ) as others_reach_at
      from numbered as n
      left join referral_private.evidence_kept_open(p_sales, p_evidence) as k (n) on k.n = n.n
      where (k.n is not null or n.is_refused) and n.kind in ('metadata_code', 'promotion_code', 'client_reference')
        and not n.evidence_id in (select unnest(v_forfeited))
    )
  select c.n from compared as c where c.others_reach_at <= c.reaches_at;
end
$$;

-- The evidence that a sale could be won by.

-- The mth sale and the nth evidence that it could be won by: since when that is bound to the sale's payer, and why it
-- is passed over, where it is.
create type referral_private.candidate as (
  m bigint,
  n bigint,
  org_id uuid,
  kind referral_private.evidence_kind,
  evidence_id uuid,
  at timestamptz,
  bound_at timestamptz,
  is_forfeited boolean,
  passed_over text
);

-- Since when the nth evidence is bound to a payer of its group, and whether the payer was a customer before.
create type referral_private.binding as (
  n bigint,
  payer_id text collate "C",
  bound_at timestamptz,
  is_existing boolean
);

-- The bindings of this evidence to payers with sales. Evidence is bound at its own time, or by the last link through
-- which it reaches the payer; the id of a redemption is a link to the referee, too. An existing customer is one who, or
-- another payer that was linked to the same person by the time of the evidence, had paid before it. Payments that carry
-- the same code, or name another organisation, do not count. Times of evidence are whole seconds.
create function referral_private.bindings(
  p_sales referral_private.named_sale[],
  p_history referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof referral_private.binding
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
begin
  return query
  with
    payers as materialized (select s.payer_id, s.group_id, s.linked_at from unnest(p_sales) as s group by 1, 2, 3),
    own as materialized (
      select n from referral_private.evidence_for_own_payers(p_sales, p_evidence) as n
      where (select count(*) from payers) > 2
    ),
    numbered as materialized (
      select row_number() over () as n, e.group_id, e.payer_id as carried_by, e.kind, e.carried_at,
        e.linked_at as carrier_linked_at, e.at, e.org_id, e.code_id,
        e.refusal is null and e.terms ->> 'customers' <> 'any' as is_for_new
      from unnest(p_evidence) as e
    ),
    bound as materialized (
      select n.*, p.payer_id, p.linked_at
      from numbered as n join payers as p on p.payer_id = n.carried_by
      where n.n in (select own.n from own)
      union all
      select n.*, p.payer_id, p.linked_at
      from numbered as n join payers as p on p.group_id = n.group_id
      where not n.n in (select own.n from own)
    ),
    paid as materialized (
      select p.group_id, p.payer_id, p.linked_at, p.org_id, p.code_ids, date_trunc('second', min(p.paid_at)) as paid_at
      from unnest(p_history) as p group by 1, 2, 3, 4, 5
    ),
    known as (
      select distinct n.n
      from numbered as n
      join (
        select p.group_id, p.org_id, p.code_ids, min(greatest(p.paid_at + interval '1 second', p.linked_at)) as since
        from paid as p where p.linked_at is not null group by 1, 2, 3
      ) as h on h.group_id = n.group_id
      where n.is_for_new and h.since <= n.at and (h.org_id is null or h.org_id = n.org_id)
        and not n.code_id = any (h.code_ids)
    ),
    paying as (
      select distinct b.n, b.payer_id
      from bound as b
      join paid as h on h.payer_id = b.payer_id
      where b.is_for_new and h.paid_at < b.at and (h.org_id is null or h.org_id = b.org_id)
        and not b.code_id = any (h.code_ids)
    )
  select b.n, b.payer_id, greatest(
      b.at, case when b.kind = 'redemption_id' then b.carried_at end,
      case when b.carried_by is distinct from b.payer_id then b.linked_at end,
      case when b.carried_by <> b.payer_id then b.carrier_linked_at end
    ), k.n is not null or e.n is not null
  from bound as b left join known as k on k.n = b.n
  left join paying as e on e.n = b.n and e.payer_id = b.payer_id;
end
$$;

-- A sale is open to evidence that is not later than its payment and that its organisation and its program fit. Evidence
-- wins beyond its conversion window only where a sale within it was open. A forfeit from before the first sale that was
-- open to it is passed over.
create function referral_private.fits(
  p_sales referral_private.named_sale[],
  p_history referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof referral_private.candidate
language plpgsql
stable
rows 1000
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
      select row_number() over () as n, e.at, e.org_id, e.program_id, e.kind, e.evidence_id, e.is_confirmed, e.refusal,
        array(
          select d.id from referral.decisions as d
          where d.org_id = e.org_id and d.kind = 'forfeit' and d.withdrawn_at is null
            and (d.member_id in (e.earner_id, e.referrer_id) or d.chain_id = e.chain_id)
        ) as forfeit_ids,
        e.at + (e.terms ->> 'conversion_window_days')::int * interval '24 hours' as ends_at
      from unnest(p_evidence) as e
    ),
    fitting as materialized (
      select n.*, s.ordinality as m, b.bound_at, b.is_existing, s.sale_at <= n.ends_at as is_in_window, s.paid_at,
        date_trunc('second', s.paid_at) as paid_in
      from numbered as n
      join referral_private.bindings(p_sales, p_history, p_evidence) as b on b.n = n.n
      join unnest(p_sales) with ordinality as s on s.payer_id = b.payer_id
      where n.at <= date_trunc('second', s.paid_at) and (s.org_id is null or s.org_id = n.org_id)
        and (s.program_id is null or s.program_id = n.program_id)
    ),
    opened as (
      select o.n, min(o.bound_at) filter (where o.is_in_window) as in_window, array_agg(o.bound_at) as bound_at,
        array_agg(o.paid_in) as paid_in
      from (
        select f.n, f.bound_at, min(f.paid_in) as paid_in, bool_or(f.is_in_window) as is_in_window
        from fitting as f
        group by f.n, f.bound_at
      ) as o
      group by o.n
    )
  select f.m, f.n, f.org_id, f.kind, f.evidence_id, f.at, f.bound_at, coalesce(forfeit.is_forfeited, false), case
      when f.refusal is not null then f.refusal
      when f.is_existing then 'existing_customer'
      when not (f.is_in_window or f.is_confirmed or coalesce(o.in_window <= f.paid_at, false)) then 'conversion_window'
      when forfeit.is_early then 'forfeited'
    end
  from fitting as f
  join opened as o on o.n = f.n
  left join lateral (
    select true as is_forfeited, bool_or(d.since <= least(f.paid_in, (
        select min(open.paid_in) from unnest(o.bound_at, o.paid_in) as open (bound_at, paid_in)
        where open.bound_at <= f.paid_in
      ))) as is_early
    from referral.decisions as d
    where f.forfeit_ids <> '{}' and d.org_id = f.org_id and d.id = any (f.forfeit_ids)
      and d.since <= f.paid_in and (d.until is null or f.paid_in < d.until)
    having count(*) > 0
  ) as forfeit on true;
end
$$;

-- The candidates of these sales: of an organisation's evidence that counts, and of that which is passed over, the
-- first. What a buyer can edit counts or not by its time: each is kept.
create function referral_private.candidates(
  p_sales referral_private.named_sale[],
  p_history referral_private.named_sale[],
  p_evidence referral_private.evidence[]
)
returns setof referral_private.candidate
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select distinct on (f.m, f.org_id, f.passed_over is null, case when f.kind = 'payment_link' then f.at end) f.*
  from referral_private.fits(p_sales, p_history, p_evidence) as f
  order by f.m, f.org_id, f.passed_over is null, case when f.kind = 'payment_link' then f.at end, f.bound_at, f.kind,
    f.evidence_id, f.at;
end
$$;

-- Which organisation a sale goes to that names none.

-- When a Stripe account got its second organisation; the end of time where it has one or none. From then on an address
-- that a buyer can edit cannot say whose sale it is.
create function referral_private.shared_since(p_stripe_account text)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((
    select o.stripe_account_since from referral.organisations as o
    where coalesce(o.stripe_account_id, '') = p_stripe_account
    order by o.stripe_account_since
    offset 1
    limit 1
  ), 'infinity');
end
$$;

-- Where the mth sale goes that names no organisation.
create type referral_private.destination as (m bigint, org_id uuid, is_unknown boolean);

-- They go where the first sale of their subscription went that went to one, else to the organisation of the evidence
-- that was bound when they were paid. Without any, later evidence says so in the same way. Where it is of several
-- organisations, nobody knows.
create function referral_private.destinations(
  p_sales referral_private.named_sale[],
  p_candidates referral_private.candidate[],
  p_shared_since timestamptz
)
returns setof referral_private.destination
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
begin
  return query
  with
    sold as materialized (
      select s.ordinality as m, s.subscription_id, s.paid_at, s.org_id as named
      from unnest(p_sales) with ordinality as s
    ),
    pointed as (
      select c.m, s.subscription_id, s.named, min(c.org) filter (where c.counts and c.bound_at <= s.paid_at) as bound,
        max(c.org) filter (where c.counts and c.bound_at <= s.paid_at) as last_bound,
        min(c.org) filter (where c.counts) as late, max(c.org) filter (where c.counts) as last_late
      from (
        select c.m, c.org_id::text as org, c.bound_at, c.passed_over is null
          and not (c.kind = 'payment_link' and c.at >= p_shared_since) as counts
        from unnest(p_candidates) as c
      ) as c
      join sold as s on s.m = c.m
      group by 1, 2, 3
    ),
    gone as (
      select p.*, coalesce(p.named, case when p.bound = p.last_bound then p.bound::uuid end) as org_id,
        case when p.late = p.last_late then p.late::uuid end as late_org_id
      from pointed as p
    ),
    firsts as (
      select distinct on (is_late, g.subscription_id) is_late, g.subscription_id, g.m,
        case when is_late then g.late_org_id else g.org_id end as org_id
      from gone as g
      cross join (values (false), (true)) as which (is_late)
      where g.subscription_id is not null and case when is_late then g.late_org_id else g.org_id end is not null
      order by is_late, g.subscription_id, g.m
    )
  select g.m, coalesce(g.named, f.org_id, g.org_id, l.org_id, g.late_org_id),
    coalesce(g.named, f.org_id, g.org_id, l.org_id) is null
      and coalesce(g.bound, g.late) <> coalesce(g.last_bound, g.last_late)
  from gone as g
  left join firsts as f on not f.is_late and f.subscription_id = g.subscription_id and f.m <= g.m
  left join firsts as l
    on l.is_late and l.subscription_id = g.subscription_id and l.m <= g.m and g.bound is null;
end
$$;

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

-- Which won sales staff have rejected.

-- A rejection that stands, in a program: of what a person buys, or of what names one of a referral's payers.
create type referral_private.rejection as (org_id uuid, program_id uuid, person_id uuid, payer_id text collate "C");

-- The rejections that can be about sales of these payers, or about the referees of their evidence. One that named a
-- payer's account is the payer's.
create function referral_private.rejections_of(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers,
  p_evidence referral_private.evidence[]
)
returns referral_private.rejection[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_org_ids constant uuid[] := array(select distinct e.org_id from unnest(p_evidence) as e);
  v_program_ids constant uuid[] := array(select distinct e.program_id from unnest(p_evidence) as e);
  v_people uuid[];
  v_names text[];
begin
  if not exists (
    select from referral.decisions as d
    where d.org_id = any (v_org_ids) and d.program_id = any (v_program_ids) and d.kind = 'reject'
      and d.withdrawn_at is null
  ) then
    return '{}';
  end if;
  v_people := array(
    select p.person from unnest(p_together.payers) as p where p.person is not null
    union
    select e.referee_id from unnest(p_evidence) as e where e.redemption_id is not null
  );
  v_names := array(select distinct c.carrier from unnest(p_together.carriers) as c);
  return array(
    select (d.org_id, d.program_id, d.person_id, null)::referral_private.rejection
    from referral.decisions as d
    where d.org_id = any (v_org_ids) and d.program_id = any (v_program_ids) and d.person_id = any (v_people)
      and d.kind = 'reject' and d.withdrawn_at is null
    union all
    select (d.org_id, d.program_id, null, name)::referral_private.rejection
    from referral_private.decision_payers as w
    join referral.decisions as d on d.org_id = w.org_id and d.id = w.decision_id
    left join referral_private.customer_accounts as a
      on a.customer_account = w.payer_id and a.stripe_account = w.stripe_account and a.livemode = w.livemode
    cross join lateral unnest(array[w.payer_id, a.customer_id]) as name
    where w.payer_id = any (v_names) and w.stripe_account = p_stripe_account and w.livemode = p_livemode
      and w.org_id = any (v_org_ids) and d.program_id = any (v_program_ids) and d.kind = 'reject'
      and d.withdrawn_at is null and name is not null
  );
end
$$;

-- These won sales, of which those do not qualify whose referrals, by the evidence that won them, staff rejected.
create function referral_private.without_rejected(
  p_sales referral_private.named_sale[],
  p_evidence referral_private.evidence[],
  p_won referral_private.won_sale[],
  p_rejections referral_private.rejection[]
)
returns setof referral_private.won_sale
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
    won as materialized (
      select w.sale_id, e.org_id, e.program_id, w.person,
        case when e.redemption_id is not null then e.referee_id end as referee_id
      from unnest(p_won) as w
      join unnest(p_evidence) with ordinality as e on e.ordinality = w.n
      where w.is_won
    ),
    rejected as (
      select w.sale_id
      from (
        select won.sale_id, won.org_id, won.program_id, unnest(array[won.person, won.referee_id]) as person_id from won
      ) as w
      join unnest(p_rejections) as r
        on r.person_id = w.person_id and r.program_id = w.program_id and r.org_id = w.org_id
      union all
      select w.sale_id
      from (
        -- A rejection may have named a guest's payment that has become a customer's.
        select s.sale_id, unnest(s.object_ids || s.payer_id) as payer_id from unnest(p_sales) as s
      ) as named
      join unnest(p_rejections) as r on r.payer_id = named.payer_id
      join won as w on w.sale_id = named.sale_id and w.program_id = r.program_id and w.org_id = r.org_id
    )
  select w.sale_id, w.payer_id, w.group_id, w.person, w.is_guest, w.currency, w.paid, w.reversed, w.total,
    w.total_excluding_tax, w.sale_at, w.paid_at, w.warned_at, w.n, w.is_won, w.is_forfeited,
    case when w.sale_id in (select r.sale_id from rejected as r) then 'rejected' else w.refusal end
  from unnest(p_won) as w;
end
$$;

-- What payers have bought that evidence has won.

-- Everything that payers have bought and were credited by. Their won sales are in the order in which they were paid,
-- and name their evidence by its number.
create type referral_private.settlement as (
  stripe_account text collate "C",
  livemode boolean,
  together referral_private.settled_payers,
  evidence referral_private.evidence[],
  won referral_private.won_sale[]
);

-- The settlement of these payers, as the facts say now. Of the evidence that counts, the first wins a sale, by the time
-- since which it is bound, its kind, and its id.
create function referral_private.settlement_of(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers
)
returns referral_private.settlement
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sales referral_private.named_sale[];
  v_evidence referral_private.evidence[] := array(
    select e from referral_private.evidence_of(p_stripe_account, p_livemode, p_together) as e
  );
  v_candidates referral_private.candidate[];
  v_shared_since timestamptz := 'infinity';
  v_won referral_private.won_sale[] := '{}';
  v_rejections referral_private.rejection[];
begin
  if cardinality(v_evidence) = 0 then
    return (p_stripe_account, p_livemode, p_together, v_evidence, v_won)::referral_private.settlement;
  end if;
  -- Asked only where it matters: it reads all organisations of the Stripe account.
  if exists (select from unnest(v_evidence) as e where e.kind = 'payment_link') then
    v_shared_since := referral_private.shared_since(p_stripe_account);
  end if;
  v_sales := referral_private.sales_named(p_stripe_account, p_livemode, p_together.payers);
  v_evidence := referral_private.distinct_evidence(v_sales, v_evidence);
  v_candidates := array(
    select c from referral_private.candidates(v_sales, v_sales || array(
      select o from referral_private.other_payments(
        p_stripe_account, p_livemode, p_together, (select max(e.at) from unnest(v_evidence) as e)
      ) as o
    ), v_evidence) as c
  );
  v_won := array(select w from referral_private.winners_of(v_sales, v_evidence, v_candidates, v_shared_since) as w);
  v_rejections := referral_private.rejections_of(p_stripe_account, p_livemode, p_together, v_evidence);
  if cardinality(v_rejections) > 0 then
    v_won := array(
      select w from referral_private.without_rejected(v_sales, v_evidence, v_won, v_rejections) as w
    );
  end if;
  return (p_stripe_account, p_livemode, p_together, v_evidence, v_won)::referral_private.settlement;
end
$$;

-- A referral: what one person, or payer without one, bought in a program, as far as one earner is credited. A
-- projection, kept because the rank of a referral among its earner's decides tiers and the number of commissions.
create table referral_private.referrals (
  org_id uuid not null,
  program_id uuid not null,
  earner_id uuid not null,
  person text collate "C" not null,
  stripe_account text collate "C" not null,
  livemode boolean not null,
  payer_id text collate "C" not null,
  first_paid_at timestamptz not null,
  first_sale_id text collate "C" not null,
  constraint referrals_pkey primary key (org_id, program_id, earner_id, livemode, person),
  constraint referrals_are_of_a_program
    foreign key (org_id, program_id) references referral.programs (org_id, id)
      on delete restrict
);

create index referrals_by_rank on referral_private.referrals (
  org_id,
  program_id,
  earner_id,
  livemode,
  first_paid_at,
  first_sale_id,
  person
);

create index referrals_by_payer on referral_private.referrals (payer_id, stripe_account, livemode);

alter table referral_private.referrals enable row level security;

-- A referral's place among its earner's in the program, by the first qualifying sale that the earner won in it.
create function referral_private.rank_of(
  p_org_id uuid,
  p_program_id uuid,
  p_earner_id uuid,
  p_livemode boolean,
  p_person text
)
returns int
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select count(*) + 1
    from referral_private.referrals as own
    join referral_private.referrals as f
      on f.org_id = own.org_id and f.program_id = own.program_id and f.earner_id = own.earner_id
        and f.livemode = own.livemode
        and (f.first_paid_at, f.first_sale_id, f.person) < (own.first_paid_at, own.first_sale_id, own.person)
    where own.org_id = p_org_id and own.program_id = p_program_id and own.earner_id = p_earner_id
      and own.livemode = p_livemode and own.person = p_person
  );
end
$$;

-- A referral's rank among its earner's.
create type referral_private.ranked_referral as (program_id uuid, earner_id uuid, person text, rank int);

-- The ranks of the referrals of these sales, where the terms make them count. Where many of an earner's are asked for,
-- all of the earner's are numbered once.
create function referral_private.ranks_of(p_settled referral_private.settlement)
returns setof referral_private.ranked_referral
language plpgsql
stable
rows 1000
security invoker
set search_path = pg_catalog, pg_temp
-- Callers that join long arrays turn it off.
set enable_nestloop = on
as $$
declare
  v_ranked constant bigint[] := array(
    select e.ordinality from unnest(p_settled.evidence) with ordinality as e
    where e.terms ?| '{tiers,max_commissions_per_referrer}'
  );
begin
  if cardinality(v_ranked) = 0 then
    return;
  end if;
  return query
  with
    asked as materialized (
      select r.*, count(*) over (partition by r.org_id, r.program_id, r.earner_id) > 2 as are_many
      from (
        select distinct e.org_id, e.program_id, e.earner_id, w.group_id as person
        from (
          select distinct w.n, w.group_id from unnest(p_settled.won) as w
          where w.refusal is null and w.n in (select unnest(v_ranked))
        ) as w
        join unnest(p_settled.evidence) with ordinality as e on e.ordinality = w.n
      ) as r
    )
  select a.program_id, a.earner_id, a.person,
    referral_private.rank_of(a.org_id, a.program_id, a.earner_id, p_settled.livemode, a.person)
  from asked as a
  where not a.are_many
  union all
  select f.program_id, f.earner_id, f.person, row_number() over (
      partition by f.program_id, f.earner_id order by f.first_paid_at, f.first_sale_id, f.person
    )::int
  from (select distinct a.org_id, a.program_id, a.earner_id from asked as a where a.are_many) as many
  join referral_private.referrals as f
    on f.org_id = many.org_id and f.program_id = many.program_id and f.earner_id = many.earner_id
      and f.livemode = p_settled.livemode;
end
$$;

-- The ranks at which something changes, in any version of a program's terms.
create function referral_private.boundaries_of(p_org_id uuid, p_program_id uuid)
returns setof int
language plpgsql
stable
rows 5
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select distinct b.boundary
  from referral.program_terms as t
  cross join lateral (
    select (tier ->> 'from')::int as boundary from jsonb_array_elements(t.terms -> 'tiers') as tier
    union all
    select (t.terms ->> 'max_commissions_per_referrer')::int + 1
  ) as b
  where t.org_id = p_org_id and t.program_id = p_program_id and b.boundary > 1;
end
$$;

-- How many referrals of an earner's came, went or moved.
create type referral_private.rank_change as (org_id uuid, program_id uuid, earner_id uuid, referrals int);

-- The payers of the referrals that may have crossed a boundary by such changes: with n of them, the n on either side
-- of each boundary.
create function referral_private.payers_near_boundaries(p_livemode boolean, p_changes referral_private.rank_change[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- Callers that join long arrays turn it off.
set enable_nestloop = on
as $$
begin
  return array(
    select distinct near.payer_id
    from (
      select p.*, b.boundary
      from (select distinct c.org_id, c.program_id from unnest(p_changes) as c) as p
      cross join lateral referral_private.boundaries_of(p.org_id, p.program_id) as b (boundary)
    ) as b
    join unnest(p_changes) as c on c.org_id = b.org_id and c.program_id = b.program_id
    cross join lateral (
      select f.payer_id from referral_private.referrals as f
      where f.org_id = c.org_id and f.program_id = c.program_id and f.earner_id = c.earner_id
        and f.livemode = p_livemode
      order by f.first_paid_at, f.first_sale_id, f.person
      offset greatest(b.boundary - 1 - c.referrals, 0)
      limit 2 * c.referrals
    ) as near
  );
end
$$;

-- Brings the referrals of these payers up to the facts. Where rank decides, returns the payers whose commissions may
-- change by it.
create function referral_private.rank_referrals(p_payer_ids text[], p_settled referral_private.settlement)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- The planner does not know how many sales are won.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_changes referral_private.rank_change[];
begin
  with
    current as (
      select f.org_id, f.program_id, f.earner_id, f.person, w.payer_id, w.paid_at as first_paid_at,
        w.sale_id as first_sale_id
      from (
        select e.org_id, e.program_id, e.earner_id, w.group_id as person, min(w.ordinality) as first
        from unnest(p_settled.won) with ordinality as w
        join unnest(p_settled.evidence) with ordinality as e on e.ordinality = w.n
        where w.refusal is null
        group by 1, 2, 3, 4
      ) as f
      join unnest(p_settled.won) with ordinality as w on w.ordinality = f.first
    ),
    gone as (
      delete from referral_private.referrals as f
      where f.stripe_account = p_settled.stripe_account and f.livemode = p_settled.livemode
        and f.payer_id = any (p_payer_ids)
        and not exists (
          select from current as c
          where c.org_id = f.org_id and c.program_id = f.program_id and c.earner_id = f.earner_id
            and c.person = f.person
        )
      returning f.org_id, f.program_id, f.earner_id
    ),
    made as (
      insert into referral_private.referrals as f (
        org_id, program_id, earner_id, person, stripe_account, livemode, payer_id, first_paid_at, first_sale_id
      )
      select c.org_id, c.program_id, c.earner_id, c.person, p_settled.stripe_account, p_settled.livemode, c.payer_id,
        c.first_paid_at, c.first_sale_id
      from current as c
      on conflict on constraint referrals_pkey do update
      set payer_id = excluded.payer_id, first_paid_at = excluded.first_paid_at, first_sale_id = excluded.first_sale_id
      where (f.payer_id, f.first_paid_at, f.first_sale_id)
        is distinct from (excluded.payer_id, excluded.first_paid_at, excluded.first_sale_id)
      returning f.org_id, f.program_id, f.earner_id
    )
  select array_agg(changed::referral_private.rank_change) into v_changes
  from (
    select c.org_id, c.program_id, c.earner_id, count(*)::int
    from (select * from gone union all select * from made) as c
    group by 1, 2, 3
  ) as changed;
  if v_changes is null then
    return '{}';
  end if;
  return referral_private.payers_near_boundaries(p_settled.livemode, v_changes);
end
$$;

-- Sales of guests under terms that limit how many of a code earn in a day. A projection, kept because a sale's place
-- among those of its code and UTC day decides whether it earns.
create table referral_private.guest_sales (
  code_id uuid not null,
  livemode boolean not null,
  paid_on date not null,
  paid_at timestamptz not null,
  sale_id text collate "C" not null,
  stripe_account text collate "C" not null,
  constraint guest_sales_pkey primary key (sale_id, stripe_account, livemode),
  constraint guest_sales_are_by_a_code
    foreign key (code_id) references referral.codes (id)
      on delete restrict
);

create index guest_sales_by_place on referral_private.guest_sales (code_id, livemode, paid_on, paid_at, sale_id);

alter table referral_private.guest_sales enable row level security;

-- Whether so many guests' sales of a code and day, or more, come before this one. Not more than these are read.
create function referral_private.is_beyond_guests(
  p_stripe_account text,
  p_livemode boolean,
  p_sale_id text,
  p_guests_per_day int
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral_private.guest_sales as own
    cross join lateral (
      select from referral_private.guest_sales as g
      where g.code_id = own.code_id and g.livemode = own.livemode and g.paid_on = own.paid_on
        and (g.paid_at, g.sale_id) < (own.paid_at, own.sale_id)
      order by g.paid_at, g.sale_id
      offset p_guests_per_day - 1
      limit 1
    ) as earlier
    where own.sale_id = p_sale_id and own.stripe_account = p_stripe_account and own.livemode = p_livemode
  );
end
$$;

-- How many sales of a code and day came, went or moved, and the numbers at which a place matters.
create type referral_private.guest_change as (code_id uuid, paid_on date, sales int, limits int[]);

-- The payers of the sales that such changes may have moved across a limit: with n of them, the n on either side.
create function referral_private.guests_near_limits(p_livemode boolean, p_changes referral_private.guest_change[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- Callers that join long arrays turn it off.
set enable_nestloop = on
as $$
begin
  return array(
    select distinct s.payer_id
    from unnest(p_changes) as c
    cross join lateral unnest(c.limits) as near_limit
    cross join lateral (
      select g.sale_id, g.stripe_account from referral_private.guest_sales as g
      where g.code_id = c.code_id and g.livemode = p_livemode and g.paid_on = c.paid_on
      order by g.paid_at, g.sale_id
      offset greatest(near_limit - c.sales, 0)
      limit 2 * c.sales
    ) as near
    join referral_private.sales as s
      on s.sale_id = near.sale_id and s.stripe_account = near.stripe_account and s.livemode = p_livemode
  );
end
$$;

-- Brings the guests' sales among these up to the facts. Returns the payers whose commissions may change by it.
create function referral_private.place_guest_sales(p_sale_ids text[], p_settled referral_private.settlement)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- The planner does not know how many sales are won.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_stripe_account constant text := p_settled.stripe_account;
  v_livemode constant boolean := p_settled.livemode;
  v_changes referral_private.guest_change[];
begin
  if not exists (select from unnest(p_settled.won) as w where w.is_guest) and not exists (
    select from referral_private.guest_sales as g
    where g.sale_id = any (p_sale_ids) and g.stripe_account = v_stripe_account and g.livemode = v_livemode
  ) then
    return '{}';
  end if;
  with
    current as (
      select e.code_id, (w.paid_at at time zone 'UTC')::date as paid_on, w.paid_at, w.sale_id
      from unnest(p_settled.won) as w
      join unnest(p_settled.evidence) with ordinality as e on e.ordinality = w.n
      where w.refusal is null and w.is_guest and e.terms ? 'guests_per_day'
    ),
    gone as (
      delete from referral_private.guest_sales as g
      where g.stripe_account = v_stripe_account and g.livemode = v_livemode and g.sale_id = any (p_sale_ids)
        and not exists (
          select from current as c
          where c.sale_id = g.sale_id and c.code_id = g.code_id and c.paid_at = g.paid_at
        )
      returning g.code_id, g.paid_on
    ),
    made as (
      insert into referral_private.guest_sales (code_id, livemode, paid_on, paid_at, sale_id, stripe_account)
      select c.code_id, v_livemode, c.paid_on, c.paid_at, c.sale_id, v_stripe_account
      from current as c
      where not exists (
        select from referral_private.guest_sales as g
        where g.sale_id = c.sale_id and g.stripe_account = v_stripe_account and g.livemode = v_livemode
          and g.code_id = c.code_id and g.paid_at = c.paid_at
      )
      returning code_id, paid_on
    )
  select array_agg((c.code_id, c.paid_on, c.sales, array(
    select distinct (t.terms ->> 'guests_per_day')::int
    from referral.codes as d
    join referral.program_terms as t on t.org_id = d.org_id and t.program_id = d.program_id
    where d.id = c.code_id and t.terms ? 'guests_per_day'
  ))::referral_private.guest_change) into v_changes
  from (
    select x.code_id, x.paid_on, count(*)::int as sales
    from (select * from gone union all select * from made) as x
    group by 1, 2
  ) as c;
  if v_changes is null then
    return '{}';
  end if;
  return referral_private.guests_near_limits(v_livemode, v_changes);
end
$$;

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

-- The ledger: debits and credits in pairs, which are never changed. Each earner has accounts per kind and currency
-- with a stored balance; the organisation's expense is the other side. Currencies never mix, nor do test mode and
-- live mode.
create table referral_private.ledger_accounts (
  org_id uuid not null,
  account_id bigint generated always as identity,
  livemode boolean not null,
  earner_id uuid,
  kind referral.account_kind not null,
  currency text collate "C" not null,
  balance bigint not null default 0,
  constraint ledger_accounts_pkey primary key (org_id, account_id),
  constraint ledger_accounts_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint ledger_accounts_expense_is_the_organisations check ((earner_id is null) = (kind = 'expense')),
  constraint ledger_accounts_expense_is_not_summed check (kind != 'expense' or balance = 0),
  constraint ledger_accounts_currency_is_a_code check (currency ~ '^[a-z]{3}$'),
  constraint ledger_accounts_balance_is_exact_in_javascript check (abs(balance) <= 9007199254740991)
);

create unique index ledger_accounts_one_per_earner_and_kind on referral_private.ledger_accounts (
  org_id,
  livemode,
  coalesce(earner_id, '00000000-0000-0000-0000-000000000000'),
  kind,
  currency
);

create index ledger_accounts_by_earner on referral_private.ledger_accounts (org_id, earner_id, currency, livemode);

alter table referral_private.ledger_accounts enable row level security;

-- An entry belongs to a sale, or to what is paid out or adjusted.
create table referral_private.ledger_entries (
  org_id uuid not null,
  entry_id bigint generated always as identity,
  debit_account_id bigint not null,
  credit_account_id bigint not null,
  amount bigint not null,
  currency text collate "C" not null,
  reason_key text collate "C" not null,
  livemode boolean not null,
  stripe_account text collate "C",
  sale_id text collate "C",
  payout_id uuid,
  adjustment_id uuid,
  caused_by text collate "C" not null,
  posted_at timestamptz not null default clock_timestamp(),
  constraint ledger_entries_pkey primary key (org_id, entry_id),
  constraint ledger_entries_reason_is_unique unique (org_id, reason_key),
  constraint ledger_entries_debit_an_account
    foreign key (org_id, debit_account_id) references referral_private.ledger_accounts (org_id, account_id)
      on delete restrict,
  constraint ledger_entries_credit_an_account
    foreign key (org_id, credit_account_id) references referral_private.ledger_accounts (org_id, account_id)
      on delete restrict,
  constraint ledger_entries_belong_to_one_thing check (num_nonnulls(sale_id, payout_id, adjustment_id) = 1),
  constraint ledger_entries_sales_have_a_stripe_account check ((sale_id is null) = (stripe_account is null)),
  constraint ledger_entries_are_between_two check (debit_account_id != credit_account_id),
  constraint ledger_entries_amount_is_positive check (amount > 0 and amount <= 9007199254740991)
);

create index ledger_entries_by_debit on referral_private.ledger_entries (org_id, debit_account_id, entry_id);

create index ledger_entries_by_credit on referral_private.ledger_entries (org_id, credit_account_id, entry_id);

-- Nearly every entry has the organisation's account on one side, which tells nothing about those of earners: with this
-- the planner looks them up by these indexes, and does not walk through all of the organisation.
alter table referral_private.ledger_entries
alter column debit_account_id set (n_distinct = -0.1),
alter column credit_account_id set (n_distinct = -0.1);

create index ledger_entries_by_sale on referral_private.ledger_entries (sale_id, stripe_account, livemode);

alter table referral_private.ledger_entries enable row level security;

-- What is posted of each sale to each earner and kind: the sum of its entries. The next posting is the difference to
-- what the sale's target says then.
create table referral_private.postings (
  org_id uuid not null,
  stripe_account text collate "C" not null,
  livemode boolean not null,
  sale_id text collate "C" not null,
  earner_id uuid not null,
  kind referral.account_kind not null,
  currency text collate "C" not null,
  amount bigint not null,
  entries int not null,
  -- When what is on hold becomes available, as the facts stand.
  due_at timestamptz,
  constraint postings_pkey primary key (org_id, sale_id, earner_id, kind, currency, stripe_account, livemode),
  constraint postings_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint postings_are_exact_in_javascript check (amount between 0 and 9007199254740991)
);

create index postings_due on referral_private.postings (due_at)
where kind in ('pending', 'reward_pending') and amount > 0;

create index postings_by_sale on referral_private.postings (sale_id, stripe_account, livemode);

alter table referral_private.postings enable row level security;

create trigger ledger_entries_are_append_only
before update or delete or truncate on referral_private.ledger_entries
for each statement
execute function referral_private.refuse_change();

alter table referral_private.ledger_entries enable always trigger ledger_entries_are_append_only;

-- The account of an earner, or, for the expense, of the organisation.
create type referral_private.account_name as (
  org_id uuid,
  livemode boolean,
  earner_id uuid,
  kind referral.account_kind,
  currency text
);

-- These accounts, each made if it does not exist yet. Those of earners are locked, in one order.
create function referral_private.lock_ledger_accounts(p_names referral_private.account_name[])
returns referral_private.ledger_accounts[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_org_ids constant uuid[] := array(select distinct n.org_id from unnest(p_names) as n order by 1);
  v_earner_ids constant uuid[] := array(select distinct n.earner_id from unnest(p_names) as n);
  v_org_id uuid;
  v_accounts referral_private.ledger_accounts[];
  v_missing referral_private.account_name[];
begin
  loop
    v_accounts := '{}';
    -- One by one: with two lists, and without statistics, all accounts of the organisations would be read.
    foreach v_org_id in array v_org_ids loop
      v_accounts := v_accounts || array(
        select a from referral_private.ledger_accounts as a
        where a.org_id = v_org_id and a.earner_id = any (v_earner_ids)
        order by a.account_id
        for no key update
      ) || array(
        select a from referral_private.ledger_accounts as a where a.org_id = v_org_id and a.earner_id is null
      );
    end loop;
    v_missing := array(
      select n from unnest(p_names) as n
      except
      select (a.org_id, a.livemode, a.earner_id, a.kind, a.currency)::referral_private.account_name
      from unnest(v_accounts) as a
    );
    if cardinality(v_missing) = 0 then
      return v_accounts;
    end if;
    insert into referral_private.ledger_accounts (org_id, livemode, earner_id, kind, currency)
    select n.org_id, n.livemode, n.earner_id, n.kind, n.currency from unnest(v_missing) as n order by 1, 2, 3, 4, 5;
  end loop;
end
$$;

-- Posting: the ledger gets the difference between what the facts say is owed and what it has.

-- The difference between a target and what is posted, per sale and earner, and when what is on hold will be due.
create type referral_private.difference as (
  org_id uuid,
  stripe_account text,
  livemode boolean,
  sale_id text,
  earner_id uuid,
  currency text,
  pending bigint,
  available bigint,
  reward_pending bigint,
  reward_available bigint,
  due_at timestamptz
);

-- So many differences of these sales, in one order. The sales must be all of the payers whose settlement is given.
create function referral_private.differences(p_sale_ids text[], p_settled referral_private.settlement, p_max int)
returns setof referral_private.difference
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
-- The planner does not know how many sales are owed.
set enable_mergejoin = off
set jit = off
as $$
declare
  v_stripe_account constant text := p_settled.stripe_account;
  v_livemode constant boolean := p_settled.livemode;
begin
  return query
  with
    owed as (
      select t.org_id, t.sale_id, t.earner_id, t.currency, t.kind, t.amount,
        case when t.kind in ('pending', 'reward_pending') and t.amount > 0 then t.available_at end as due_at
      from referral_private.targets_of(p_settled, clock_timestamp()) as t
      where t.earner_id is not null
    ),
    posted as (
      select p.org_id, p.sale_id, p.earner_id, p.currency, p.kind, p.amount,
        case when p.amount > 0 then p.due_at end as due_at
      from referral_private.postings as p
      where p.stripe_account = v_stripe_account and p.livemode = v_livemode and p.sale_id = any (p_sale_ids)
    ),
    changes as (
      select org_id, sale_id, earner_id, currency, kind, coalesce(o.amount, 0) - coalesce(p.amount, 0) as change,
        o.due_at, p.due_at as posted_due_at
      from owed as o
      full join posted as p using (org_id, sale_id, earner_id, currency, kind)
      where coalesce(o.amount, 0) <> coalesce(p.amount, 0) or o.due_at is distinct from p.due_at
    ),
    summed as (
      select c.org_id, c.sale_id, c.earner_id, c.currency,
        coalesce(sum(c.change) filter (where c.kind = 'pending'), 0)::bigint as pending,
        coalesce(sum(c.change) filter (where c.kind = 'available'), 0)::bigint as available,
        coalesce(sum(c.change) filter (where c.kind = 'reward_pending'), 0)::bigint as reward_pending,
        coalesce(sum(c.change) filter (where c.kind = 'reward_available'), 0)::bigint as reward_available,
        max(c.due_at) as due_at, max(c.posted_due_at) as posted_due_at
      from changes as c
      group by 1, 2, 3, 4
    )
  select s.org_id, v_stripe_account, v_livemode, s.sale_id, s.earner_id, s.currency,
    s.pending, s.available, s.reward_pending, s.reward_available, s.due_at
  from summed as s
  where num_nonnulls(
    nullif(s.pending, 0), nullif(s.available, 0), nullif(s.reward_pending, 0), nullif(s.reward_available, 0)
  ) > 0 or s.due_at is distinct from s.posted_due_at
  order by s.org_id, s.earner_id, s.currency, s.sale_id
  limit p_max;
end
$$;

-- An amount of a sale that goes from one account to another: `expense` is the organisation's, the others are the
-- earner's.
create type referral_private.movement as (
  org_id uuid,
  sale_id text,
  earner_id uuid,
  currency text,
  place int,
  from_kind referral.account_kind,
  to_kind referral.account_kind,
  amount bigint,
  due_at timestamptz
);

-- The movements that make up for these differences. An amount that leaves the hold and becomes available moves between
-- the two, and the reverse. The rest comes from, or returns to, the expense.
create function referral_private.movements_of(p_differences referral_private.difference[])
returns setof referral_private.movement
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    pairs as (
      select row_number() over () as n, d.org_id, d.sale_id, d.earner_id, d.currency, d.due_at, p.*
      from unnest(p_differences) as d
      cross join lateral (
        select 1, 'pending'::referral.account_kind, 'available'::referral.account_kind, d.pending, d.available
        union all
        select 4, 'reward_pending', 'reward_available', d.reward_pending, d.reward_available
      ) as p (place, held_kind, free_kind, held, free)
    ),
    released as (
      select p.*, case
          when p.free > 0 then least(p.free, greatest(-p.held, 0))
          else greatest(p.free, -greatest(p.held, 0))
        end as release
      from pairs as p
    )
  select r.org_id, r.sale_id, r.earner_id, r.currency, c.place,
    case when c.change > 0 then c.from_kind else c.to_kind end,
    case when c.change > 0 then c.to_kind else c.from_kind end,
    abs(c.change), r.due_at
  from released as r
  cross join lateral (
    select r.place, r.held_kind, r.free_kind, r.release
    union all
    select r.place + 1, 'expense', r.free_kind, r.free - r.release
    union all
    select r.place + 2, 'expense', r.held_kind, r.held + r.release
  ) as c (place, from_kind, to_kind, change)
  where c.change <> 0
  order by r.n, c.place;
end
$$;

-- Brings what is posted of sales up to these movements, and returns, per posting, how many entries there are of it.
create function referral_private.change_postings(
  p_stripe_account text,
  p_livemode boolean,
  p_movements referral_private.movement[]
)
returns setof referral_private.postings
language plpgsql
volatile
rows 10
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_sale_ids constant text[] := array(select distinct m.sale_id from unnest(p_movements) as m);
begin
  return query
  with
    changes as materialized (
      select m.org_id, m.sale_id, m.earner_id, c.kind, m.currency, sum(c.change)::bigint as amount,
        count(*)::int as entries,
        case when c.kind in ('pending', 'reward_pending') then max(m.due_at) end as due_at
      from unnest(p_movements) as m
      cross join lateral (
        select m.from_kind, -m.amount union all select m.to_kind, m.amount
      ) as c (kind, change)
      where c.kind <> 'expense'
      group by 1, 2, 3, 4, 5
    ),
    changed as (
      update referral_private.postings as p
      set amount = p.amount + c.amount, entries = p.entries + c.entries, due_at = c.due_at
      from changes as c
      where p.org_id = c.org_id and p.sale_id = c.sale_id and p.earner_id = c.earner_id and p.kind = c.kind
        and p.currency = c.currency and p.stripe_account = p_stripe_account and p.livemode = p_livemode
        and p.sale_id = any (v_sale_ids)
      returning p.*
    ),
    made as (
      insert into referral_private.postings as p (
        org_id, stripe_account, livemode, sale_id, earner_id, kind, currency, amount, entries, due_at
      )
      select c.org_id, p_stripe_account, p_livemode, c.sale_id, c.earner_id, c.kind, c.currency, c.amount, c.entries,
        c.due_at
      from changes as c
      where not exists (
        select from changed as p
        where p.org_id = c.org_id and p.sale_id = c.sale_id and p.earner_id = c.earner_id and p.kind = c.kind
          and p.currency = c.currency
      )
      returning p.*
    )
  select * from changed
  union all
  select * from made;
end
$$;

-- Stores when what is on hold of these sales will be due, where only that changed.
create function referral_private.change_due_times(p_differences referral_private.difference[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sale_ids constant text[] := array(select distinct d.sale_id from unnest(p_differences) as d);
begin
  update referral_private.postings as p
  set due_at = due.due_at
  from (
    select d.*, kind
    from unnest(p_differences) as d
    cross join unnest('{pending,reward_pending}'::referral.account_kind[]) as kind
  ) as due
  where p.org_id = due.org_id and p.sale_id = due.sale_id and p.earner_id = due.earner_id and p.kind = due.kind
    and p.currency = due.currency and p.stripe_account = due.stripe_account and p.livemode = due.livemode
    and p.due_at is distinct from due.due_at and p.sale_id = any (v_sale_ids);
end
$$;

-- Entries: each movement is written once, with the balances of the accounts that it changes.

-- An entry of a sale, between two accounts.
create type referral_private.sale_entry as (
  org_id uuid,
  debit_account_id bigint,
  credit_account_id bigint,
  amount bigint,
  currency text,
  reason_key text,
  sale_id text
);

-- The entries of these movements, in one order. The reason of an entry is the account that it changes and its number
-- among the entries of the sale there: it can be written once only.
create function referral_private.entries_of(
  p_stripe_account text,
  p_livemode boolean,
  p_movements referral_private.movement[],
  p_postings referral_private.postings[],
  p_accounts referral_private.ledger_accounts[]
)
returns setof referral_private.sale_entry
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
    -- The expense is under the organisation's id: a null does not join.
    accounts as (
      select a.account_id, a.org_id, a.kind, a.currency, coalesce(a.earner_id, a.org_id) as owner_id
      from unnest(p_accounts) as a
      where a.livemode = p_livemode
    ),
    numbered as (
      select m.*, f.account_id as from_id, t.account_id as to_id,
        case m.to_kind when 'expense' then m.from_kind else m.to_kind end as keyed_kind
      from unnest(p_movements) as m
      join accounts as f
        on f.org_id = m.org_id and f.kind = m.from_kind and f.currency = m.currency
        and f.owner_id = case m.from_kind when 'expense' then m.org_id else m.earner_id end
      join accounts as t
        on t.org_id = m.org_id and t.kind = m.to_kind and t.currency = m.currency
        and t.owner_id = case m.to_kind when 'expense' then m.org_id else m.earner_id end
    )
  select n.org_id, n.from_id, n.to_id, n.amount, n.currency, concat_ws(
      ' ', p_stripe_account, p_livemode, n.sale_id, case n.to_kind when 'expense' then n.from_id else n.to_id end,
      p.entries - row_number() over (
        partition by n.org_id, n.sale_id, n.earner_id, n.currency, n.keyed_kind order by n.place desc
      ) + 1
    ), n.sale_id
  from numbered as n
  join unnest(p_postings) as p
    on p.org_id = n.org_id and p.sale_id = n.sale_id and p.earner_id = n.earner_id and p.currency = n.currency
    and p.kind = n.keyed_kind
  order by n.org_id, n.earner_id, n.currency, n.sale_id, n.place;
end
$$;

-- The event that caused what is posted of a sale, where several are settled together.
create type referral_private.cause as (sale_id text collate "C", event_id text collate "C");

-- Writes these movements into the ledger, and updates each balance once. A sale has the cause that is named for it, or
-- else the first, which is that of all.
create function referral_private.post_movements(
  p_stripe_account text,
  p_livemode boolean,
  p_movements referral_private.movement[],
  p_accounts referral_private.ledger_accounts[],
  p_causes referral_private.cause[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_postings referral_private.postings[] := array(
    select p from referral_private.change_postings(p_stripe_account, p_livemode, p_movements) as p
  );
begin
  with
    written as (
      insert into referral_private.ledger_entries (
        org_id, debit_account_id, credit_account_id, amount, currency, reason_key, stripe_account, livemode, sale_id,
        caused_by
      )
      select e.org_id, e.debit_account_id, e.credit_account_id, e.amount, e.currency, e.reason_key, p_stripe_account,
        p_livemode, e.sale_id, coalesce(c.event_id, (p_causes[1]).event_id)
      from referral_private.entries_of(p_stripe_account, p_livemode, p_movements, v_postings, p_accounts) as e
      left join unnest(p_causes[2:]) as c on c.sale_id = e.sale_id
      returning org_id, debit_account_id, credit_account_id, amount
    )
  update referral_private.ledger_accounts as a
  set balance = a.balance + c.change
  from (
    select w.org_id, side.account_id, sum(side.change)::bigint as change
    from written as w
    cross join lateral (
      select w.debit_account_id, -w.amount union all select w.credit_account_id, w.amount
    ) as side (account_id, change)
    group by w.org_id, side.account_id
  ) as c
  where a.org_id = c.org_id and a.account_id = c.account_id and a.kind <> 'expense';
end
$$;

-- Posts the differences between what won sales are owed and what is posted of these sales: all sales of the payers
-- that are settled, and those that may have become another payer's, or no sale. At most so many at once: true if some
-- are left.
create function referral_private.post_differences(
  p_sale_ids text[],
  p_settled referral_private.settlement,
  p_causes referral_private.cause[],
  p_max int
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_differences referral_private.difference[] := array(
    select d from referral_private.differences(p_sale_ids, p_settled, p_max + 1) as d
  );
  v_are_left constant boolean := cardinality(v_differences) > p_max;
  v_movements referral_private.movement[];
  v_accounts referral_private.ledger_accounts[];
begin
  if cardinality(v_differences) = 0 then
    return false;
  end if;
  v_differences := v_differences[:p_max];
  v_movements := array(select m from referral_private.movements_of(v_differences) as m);
  if cardinality(v_movements) > 0 then
    -- The accounts of old and new winners.
    v_accounts := referral_private.lock_ledger_accounts(array(
      select (m.org_id, p_settled.livemode, case when kind <> 'expense' then m.earner_id end, kind, m.currency)
        ::referral_private.account_name
      from unnest(v_movements) as m
      cross join lateral unnest(array[m.from_kind, m.to_kind]) as kind
    ));
    perform referral_private.post_movements(
      p_settled.stripe_account, p_settled.livemode, v_movements, v_accounts, p_causes
    );
  end if;
  if exists (select from unnest(v_differences) as d where d.pending = 0 and d.reward_pending = 0) then
    perform referral_private.change_due_times(v_differences);
  end if;
  return v_are_left;
end
$$;

-- Work that is too large for one transaction: payers that wait to be settled. Whoever settles them reads the facts as
-- they are then, so it does not matter when.
create table referral_private.to_settle (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  -- A payer; or a sale that may be gone, which was its payer's.
  payer_id text collate "C" not null,
  caused_by text collate "C" not null,
  queued_at timestamptz not null default clock_timestamp(),
  -- When it was queued, or failed last: who failed comes after the others.
  tried_at timestamptz not null default clock_timestamp(),
  -- In how many calls it was when time ran out. Those of more calls come later, and fewer together.
  tries int not null default 0,
  -- With which error it could not be settled; then only `run_maintenance` tries again.
  error text,
  constraint to_settle_pkey primary key (payer_id, stripe_account, livemode)
);

create index to_settle_by_age on referral_private.to_settle (stripe_account, tries, tried_at, payer_id);

-- Whether anything of a mode waits, however much of the other does.
create index to_settle_by_mode on referral_private.to_settle (stripe_account, livemode);

alter table referral_private.to_settle enable row level security;

-- How many payers, and how many differences of sales, are settled in one transaction at most. The Stripe account lock
-- is held meanwhile, for a quarter of a second or so.
create function referral_private.settled_at_once()
returns int
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return 250;
end
$$;

-- Makes payers wait to be settled. The Stripe account lock is held.
create function referral_private.settle_later(
  p_stripe_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
begin
  insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by, queued_at, tried_at)
  select p_stripe_account, p_livemode, payer_id, p_cause, v_now, v_now
  from (select distinct unnest(p_payer_ids) as payer_id) as waiting
  on conflict on constraint to_settle_pkey do update
  set error = null
  where to_settle.error is not null;
end
$$;

-- Whether an error lies in the data of an event, and does not go away by trying again.
create function referral_private.is_data_error(p_sqlstate text)
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- data_exception; cannot_coerce, not_null_violation, check_violation
  return left(p_sqlstate, 2) = '22' or p_sqlstate in ('42846', '23502', '23514');
end
$$;

-- Whether an error lies in the moment: a lock, a deadlock, a time-out, a lack of resources, a shutdown.
create function referral_private.is_passing_error(p_sqlstate text)
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return left(p_sqlstate, 2) in ('40', '53', '55', '57', '58');
end
$$;

-- Settling: what the facts say is brought into redemptions, ranks and the ledger. A function that states a fact, or
-- decides something, settles in the same transaction, under the Stripe account lock.

-- Brings redemptions to what the facts say: confirmed by the first sale that they win, reversed once all of what they
-- won was reversed. A redemption that staff decided on is left as it is.
create function referral_private.settle_redemptions(
  p_stripe_account text,
  p_livemode boolean,
  p_settled referral_private.settlement
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_ids constant uuid[] := (p_settled.together).user_ids || array(
    select e.referee_id from unnest(p_settled.evidence) as e where e.redemption_id is not null
  );
  v_redeemed uuid[] := array(
    select r.id from referral.redemptions as r
    where r.referee_id = any (v_user_ids) and referral_private.stripe_account_of(r.org_id) = p_stripe_account
  );
  v_settled referral_private.settlement[] := array[p_settled];
  v_others text[];
  v_mode boolean;
begin
  if cardinality(v_redeemed) = 0 then
    return;
  end if;
  -- A redemption has one status, whichever mode its sales are of, and whoever's sales name it.
  foreach v_mode in array '{true,false}'::boolean[] loop
    v_others := array(
      select unnest(referral_private.payers_of_users(p_stripe_account, v_mode, v_user_ids))
      except
      select p.payer_id from unnest((p_settled.together).payers) as p where v_mode = p_livemode
    );
    if cardinality(v_others) > 0 then
      v_settled := v_settled || referral_private.settlement_of(
        p_stripe_account, v_mode, referral_private.payers_together(p_stripe_account, v_mode, v_others)
      );
    end if;
  end loop;
  update referral.redemptions as r
  set confirmed_at = settled.confirmed_at, status = settled.status
  from (
    select d.org_id, d.id, won.first_at as confirmed_at, (case
      when won.first_at is null and d.status = 'expired' then 'expired'
      when won.first_at is null then 'pending'
      when won.net = 0 then 'reversed'
      else 'confirmed'
    end)::referral.redemption_status as status
    from unnest(v_redeemed) as named
    join referral.redemptions as d on d.id = named
    left join (
      select e.redemption_id, min(w.paid_at) as first_at, sum(w.paid - w.reversed) as net
      from unnest(v_settled) as s
      cross join lateral unnest(s.won) as w
      join lateral unnest(s.evidence) with ordinality as e on e.ordinality = w.n
      where w.is_won
      group by 1
    ) as won on won.redemption_id = d.id
    where d.decision is null
  ) as settled
  where r.org_id = settled.org_id and r.id = settled.id
    and (r.confirmed_at, r.status) is distinct from (settled.confirmed_at, settled.status);
end
$$;

-- Takes from those that wait the payers that were asked for and settled, and of the payers settled together with them
-- those that are linked to nobody else: of the others, more must be settled. These are all sales of all of them.
create function referral_private.settled_now(
  p_stripe_account text,
  p_livemode boolean,
  p_asked text[],
  p_together referral_private.settled_payers,
  p_sale_ids text[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_settled text[] := p_asked || p_sale_ids || array(select p.payer_id from unnest(p_together.payers) as p);
  v_linked text[];
  v_elsewhere text[];
begin
  if not exists (select from referral_private.to_settle as q where q.stripe_account = p_stripe_account) then
    return;
  end if;
  v_linked := array(
    select distinct c.payer_id
    from unnest(p_together.links) as l
    join unnest(p_together.carriers) as c on c.carrier = l.carrier
    where l.user_id <> all (p_together.user_ids)
    except
    select unnest(p_asked)
  );
  v_elsewhere := array(
    select q.payer_id from referral_private.to_settle as q
    where q.payer_id = any (v_linked) and q.stripe_account = p_stripe_account and q.livemode = p_livemode
  );
  if cardinality(v_elsewhere) > 0 then
    v_settled := array(
      select unnest(v_settled)
      except
      select unnest(v_elsewhere)
      except
      select s.sale_id from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (v_elsewhere)
    );
  end if;
  delete from referral_private.to_settle as q
  where q.stripe_account = p_stripe_account and q.livemode = p_livemode and q.payer_id = any (v_settled);
end
$$;

-- Settles these payers, the payers whose commissions change by it, and these sales, whose old and new payers they are.
-- What is too much for one transaction waits in `to_settle`; so does all, if it may wait and the payers have many
-- sales. The Stripe account lock is held exclusively.
create function referral_private.settle_at_once(
  p_stripe_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_sale_ids text[],
  p_causes referral_private.cause[],
  p_may_wait boolean
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
-- A young project has no statistics yet, and its sessions keep the plans of small tables.
set enable_seqscan = off
-- Of many sales it sorts and joins wide rows.
set work_mem = '64MB'
set jit = off
as $$
declare
  v_max constant int := referral_private.settled_at_once();
  v_cause constant text := (p_causes[1]).event_id;
  -- Who must be settled: those asked for, and those whose commissions change by it. A sale that is gone may have been
  -- all that linked its payer to a person: what it carries is settled too.
  v_asked text[] := p_payer_ids || p_sale_ids;
  v_payers text[];
  v_sales text[];
  v_moved text[];
  v_together referral_private.settled_payers;
  v_settled referral_private.settlement;
begin
  loop
    v_together := referral_private.payers_together(p_stripe_account, p_livemode, v_asked);
    v_payers := array(select p.payer_id from unnest(v_together.payers) as p);
    v_sales := p_sale_ids || array(
      select s.sale_id from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (v_payers)
    );
    if cardinality(v_sales) = 0 then
      perform referral_private.settled_now(p_stripe_account, p_livemode, v_asked, v_together, v_sales);
      return;
    elsif p_may_wait and cardinality(v_sales) > 4 * v_max then
      perform referral_private.settle_later(p_stripe_account, p_livemode, v_asked, v_cause);
      return;
    end if;
    v_settled := referral_private.settlement_of(p_stripe_account, p_livemode, v_together);
    v_moved := referral_private.rank_referrals(v_payers, v_settled)
      || referral_private.place_guest_sales(v_sales, v_settled);
    exit when v_moved <@ v_payers;
    if cardinality(v_moved) + cardinality(v_payers) > v_max then
      perform referral_private.settle_later(
        p_stripe_account, p_livemode, array(select unnest(v_moved) except select unnest(v_payers)), v_cause
      );
      exit;
    end if;
    v_asked := v_asked || v_moved;
  end loop;
  perform referral_private.settled_now(p_stripe_account, p_livemode, v_asked, v_together, v_sales);
  perform referral_private.settle_redemptions(p_stripe_account, p_livemode, v_settled);
  -- All of one person is computed anew for each piece: of very many sales the pieces are an eighth.
  if referral_private.post_differences(
    v_sales, v_settled, p_causes, greatest(v_max, cardinality(v_sales) / 8)
  ) then
    perform referral_private.settle_later(p_stripe_account, p_livemode, v_asked, v_cause);
  end if;
end
$$;

-- Settles payers and sales as `settle_at_once` does, if they are not too many; else they wait. The first cause is that
-- of all, others are those of their sales.
create function referral_private.settle(
  p_stripe_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_sale_ids text[],
  p_cause text,
  p_causes referral_private.cause[] default '{}'
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if cardinality(p_payer_ids) > referral_private.settled_at_once() then
    perform referral_private.settle_later(p_stripe_account, p_livemode, p_payer_ids || p_sale_ids, p_cause);
    return;
  end if;
  perform referral_private.settle_at_once(
    p_stripe_account, p_livemode, p_payer_ids, p_sale_ids, array[(null, p_cause)::referral_private.cause] || p_causes,
    true
  );
end
$$;

-- Settles what redemptions of these people touch, in both modes.
create function referral_private.settle_users(p_stripe_account text, p_user_ids uuid[], p_cause text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle(
    p_stripe_account, livemode, referral_private.payers_of_users(p_stripe_account, livemode, p_user_ids), '{}',
    p_cause
  )
  from unnest('{true,false}'::boolean[]) as livemode;
end
$$;

-- What is settled when an organisation, a program or a code changes.

-- Settles payers whose code came from an address that a buyer can edit, from a time on: it counts on an account of one
-- organisation only.
create function referral_private.settle_payment_links(p_stripe_account text, p_since timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle(
    p_stripe_account, carrying.livemode,
    referral_private.payers_of_carriers(p_stripe_account, carrying.livemode, carrying.carriers), '{}',
    'Stripe account changed'
  )
  from (
    select e.livemode, array_agg(distinct e.carrier) as carriers
    from referral_private.payer_evidence as e
    where e.stripe_account = p_stripe_account and e.kind = 'payment_link'
      and e.carried_at >= date_trunc('second', p_since)
    group by e.livemode
  ) as carrying;
end
$$;

-- Settles the payers with this evidence, and the sales of others that it says something about.
create function referral_private.settle_evidence(
  p_stripe_account text,
  p_livemode boolean,
  p_evidence referral_private.payer_evidence[],
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_of_others constant text[] := referral_private.payments_of_others(p_evidence);
begin
  perform referral_private.settle(
    p_stripe_account, p_livemode,
    referral_private.payers_of_carriers(
      p_stripe_account, p_livemode, array(select distinct e.carrier from unnest(p_evidence) as e)
    ) || array(
      select s.payer_id from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (v_of_others)
    ), '{}', p_cause
  );
end
$$;

-- Settles what a change of an organisation's Stripe account touches, on either account: users who redeemed, objects
-- that name a redemption, and what came by a payment link.
create function referral_private.settle_organisation(p_org_id uuid, p_stripe_accounts text[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle_users(
    stripe_account, array(select r.referee_id from referral.redemptions as r where r.org_id = p_org_id),
    'Stripe account changed'
  )
  from unnest(p_stripe_accounts) as stripe_account;
  perform referral_private.settle_evidence(stripe_account, livemode, array(
    select e
    from referral.redemptions as r
    join referral_private.payer_evidence as e on e.named = r.id::text and e.kind = 'redemption_id'
    where r.org_id = p_org_id and e.stripe_account = account.stripe_account and e.livemode = mode.livemode
  ), 'Stripe account changed')
  from unnest(p_stripe_accounts) as account (stripe_account)
  cross join unnest('{true,false}'::boolean[]) as mode (livemode);
  perform referral_private.settle_payment_links(stripe_account, '-infinity')
  from unnest(p_stripe_accounts) as stripe_account;
end
$$;

-- Settles payers whose evidence names a code of the program and is later than a change of the program: clocks of test
-- mode run ahead.
create function referral_private.settle_program(p_stripe_account text, p_program_id uuid, p_since timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle(
    p_stripe_account, ahead.livemode,
    referral_private.payers_of_carriers(p_stripe_account, ahead.livemode, ahead.carriers), '{}', 'terms changed'
  )
  from (
    select e.livemode, array_agg(distinct e.carrier) as carriers
    from referral_private.payer_evidence as e
    left join referral_private.promotion_code_statements as p
      on e.kind = 'promotion_code' and p.promotion_code_id = e.named
      and p.stripe_account = e.stripe_account and p.livemode = e.livemode
    join referral.codes as c on c.code_key in (p.code_key, p.previous_key, e.named)
    where e.stripe_account = p_stripe_account and e.kind >= 'metadata_code' and c.program_id = p_program_id
      and e.carried_at >= date_trunc('second', p_since)
    group by e.livemode
  ) as ahead;
end
$$;

-- Settles payers whose objects carry one of these keys from a time on, and the sales of others that these are about.
create function referral_private.settle_keys(p_stripe_account text, p_keys text[], p_since timestamptz, p_cause text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle_evidence(p_stripe_account, livemode, array(
    select e from referral_private.evidence_of_keys(p_stripe_account, livemode, p_keys, p_since) as e
  ), p_cause)
  from unnest('{true,false}'::boolean[]) as livemode;
end
$$;

-- Settles purchases that carry a code and are dated ahead, as those of test clocks are, when the code's state changes:
-- an earlier purchase was judged by the state of its own time. The code is locked already, so the Stripe account lock
-- is not waited for: that could deadlock. Raises `busy`.
create function referral_private.settle_ahead_of_code()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text;
  -- Where a code becomes usable, purchases of the last minute count as well.
  v_since timestamptz := date_trunc('second', clock_timestamp())
    - case when new.status = 'active' then interval '1 minute' else '0' end;
begin
  if referral_private.keys_carried_since(array[new.code_key], v_since) = '{}' then
    return null;
  end if;
  perform referral_private.require_read_committed();
  v_stripe_account := referral_private.stripe_account_of(new.org_id);
  if not pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stripe_account)) then
    perform referral_private.raise_error('busy');
  end if;
  perform referral_private.settle_keys(
    v_stripe_account, array[new.code_key], v_since, 'code ' || new.id
  );
  return null;
end
$$;

create trigger codes_settle_purchases_ahead
after update of status, expires_at, redeemable_until on referral.codes
for each row
when
  (
    (new.status, new.expires_at, new.redeemable_until) is distinct from (
      old.status,
      old.expires_at,
      old.redeemable_until
    )
  )
execute function referral_private.settle_ahead_of_code();

-- Payers that wait are settled piece by piece, each in a transaction of its own.

-- Settles these payers that waited, those that are sales by their payers too, and returns how many could be settled.
-- One that cannot be, because of an error that does not pass, waits on with it, and stops no other. All wait on if time
-- runs out.
create function referral_private.settle_each(
  p_stripe_account text,
  p_livemode boolean,
  p_ids text[],
  p_cause text,
  p_tries int
)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count constant int := cardinality(p_ids);
  v_error text;
  v_sold referral_private.sales[] := array(
    select s from referral_private.sales as s
    where s.sale_id = any (p_ids) and s.stripe_account = p_stripe_account and s.livemode = p_livemode
  );
begin
  begin
    perform referral_private.settle_at_once(
      p_stripe_account, p_livemode, p_ids || array(select s.payer_id from unnest(v_sold) as s),
      array(select unnest(p_ids) except select s.sale_id from unnest(v_sold) as s),
      array[(null, p_cause)::referral_private.cause], false
    );
    return v_count;
  exception
    when query_canceled or others then
      v_error := sqlstate;
      if v_error <> '57014' and referral_private.is_passing_error(v_error) then
        raise;
      end if;
      raise warning 'referral: % payers wait: %: %', v_count, v_error, sqlerrm;
  end;
  if v_count = 1 or v_error = '57014' then
    insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by, tries, error)
    select p_stripe_account, p_livemode, id, p_cause, least(p_tries + (v_error = '57014')::int, 4),
      case when v_error <> '57014' or p_tries >= 3 then v_error end
    from unnest(p_ids) as id
    on conflict on constraint to_settle_pkey do update
    set error = excluded.error, tries = excluded.tries, tried_at = excluded.tried_at;
    return 0;
  end if;
  return referral_private.settle_each(p_stripe_account, p_livemode, p_ids[:v_count / 2], p_cause, p_tries)
    + referral_private.settle_each(p_stripe_account, p_livemode, p_ids[v_count / 2 + 1:], p_cause, p_tries);
end
$$;

-- The payers of a Stripe account that have waited longest, of those that were tried so often.
create function referral_private.longest_waiting(p_stripe_account text, p_retry boolean, p_tries int, p_max_rows int)
returns setof referral_private.to_settle
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
-- In the order of the index, however many wait.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return query
  select q.* from referral_private.to_settle as q
  where q.stripe_account = p_stripe_account and (p_retry or q.error is null) and q.tries = p_tries
  order by q.tried_at, q.payer_id, q.livemode
  limit p_max_rows;
end
$$;

-- Settles those that have waited longest, on an account whose lock is held. At least one payer is settled, and not many
-- sales together; those that failed before, where that is asked for. Returns how many were settled.
create function referral_private.settle_waiting(p_stripe_account text, p_retry boolean)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_tries constant int := (
    select q.tries from referral_private.to_settle as q
    where q.stripe_account = p_stripe_account and (p_retry or q.error is null)
    order by q.tries
    limit 1
  );
  v_max constant int := greatest(referral_private.settled_at_once() >> (3 * v_tries), 1);
  v_piece record;
  v_settled int := 0;
begin
  for v_piece in
    with
      oldest as materialized (
        select * from referral_private.longest_waiting(p_stripe_account, p_retry, v_tries, v_max)
      ),
      counted as (
        select o.*, sold.sales, sum(sold.sales) over (order by o.tried_at, o.payer_id, o.livemode) as sum
        from oldest as o
        cross join lateral (
          select count(*) as sales from referral_private.sales as s
          where s.payer_id = o.payer_id and s.stripe_account = o.stripe_account and s.livemode = o.livemode
        ) as sold
      ),
      taken as (
        delete from referral_private.to_settle as q
        using counted as c
        where q.payer_id = c.payer_id and q.stripe_account = c.stripe_account and q.livemode = c.livemode
          and c.sum - c.sales < v_max
        returning q.livemode, q.payer_id, q.caused_by
      )
    select t.livemode, array_agg(t.payer_id) as ids, min(t.caused_by) as caused_by
    from taken as t
    group by t.livemode
  loop
    v_settled := v_settled + referral_private.settle_each(
      p_stripe_account, v_piece.livemode, v_piece.ids, v_piece.caused_by, v_tries
    );
  end loop;
  return v_settled;
end
$$;

-- Release: commissions and rewards whose hold is over go from pending to available. A call handles one Stripe account
-- and few sales, so that the Stripe account lock is held shortly. Payers that wait to be settled are released then.

-- Payers of a mode of which so many sales are due.
create type referral_private.due_payers as (livemode boolean, payers text[], sales int);

-- The payers of the sales of a Stripe account that have been due longest, of those that do not wait to be settled.
create function referral_private.due_payers(p_stripe_account text, p_now timestamptz, p_max_rows int)
returns setof referral_private.due_payers
language plpgsql
stable
rows 2
security invoker
set search_path = pg_catalog, pg_temp
-- However many are due, those that have been longest are looked up one by one.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
  select due.livemode, array_agg(distinct due.payer_id), count(distinct due.sale_id)::int
  from (
    select p.livemode, p.sale_id, s.payer_id
    from referral_private.postings as p
    join referral_private.sales as s
      on s.stripe_account = p.stripe_account and s.livemode = p.livemode and s.sale_id = p.sale_id
    where p.stripe_account = p_stripe_account and p.kind in ('pending', 'reward_pending') and p.amount > 0
      and p.due_at <= p_now
      and not exists (
        select from referral_private.to_settle as q
        where q.payer_id = s.payer_id and q.stripe_account = s.stripe_account and q.livemode = s.livemode
      )
    order by p.due_at
    limit p_max_rows
  ) as due
  group by due.livemode;
end
$$;

create function referral_private.release_due_commissions(p_max_rows int default 250)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  -- A constant, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_now constant timestamptz := clock_timestamp();
  v_max_rows constant int := least(greatest(p_max_rows, 0), referral_private.settled_at_once());
  v_stripe_account text;
  v_passed text[] := '{}';
  v_due referral_private.due_payers;
  v_released int := 0;
begin
  perform referral_private.require_read_committed();
  loop
    select p.stripe_account into v_stripe_account
    from referral_private.postings as p
    where p.kind in ('pending', 'reward_pending') and p.amount > 0 and p.due_at <= v_now
      and p.stripe_account <> all (v_passed)
    order by p.due_at
    limit 1;
    exit when not found;
    v_passed := v_passed || v_stripe_account;
    -- A Stripe account that is busy is left for the next call.
    continue when not pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stripe_account));
    for v_due in
      select d.* from referral_private.due_payers(v_stripe_account, v_now, v_max_rows) as d
    loop
      begin
        perform referral_private.settle(v_stripe_account, v_due.livemode, v_due.payers, '{}', 'release');
      exception
        when others then
          if referral_private.is_passing_error(sqlstate) then
            raise;
          end if;
          -- Who waits is settled apart from who cannot be.
          perform referral_private.settle_later(v_stripe_account, v_due.livemode, v_due.payers, 'release');
      end;
      v_released := v_released + v_due.sales;
    end loop;
    exit when v_released > 0;
  end loop;
  return v_released;
end
$$;

comment on function referral_private.release_due_commissions is
  'public: Makes commissions and rewards available whose hold is over, of one Stripe account, and returns how many sales
it looked at. Call again until it returns 0.

group: Run jobs
max_rows: how many sales at most, 250 at most
callers: the operator
errors: busy
timeout: 60s';

grant execute on function referral_private.release_due_commissions to service_role;

-- Users who become known after objects named them: they sign up, redeem, or become members.

-- Makes a user known who becomes a member or redeems, on every Stripe account where an object named them, and settles
-- the payers that are linked to them. It takes Stripe account locks, so it comes before all other locks.
create function referral_private.recognise_user(p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text;
begin
  perform referral_private.require_read_committed();
  for v_stripe_account in
    select distinct l.stripe_account
    from referral_private.payer_users as l
    where l.user_id = p_user_id and not exists (
      select from referral_private.known_users as k
      where k.user_id = l.user_id and k.stripe_account = l.stripe_account
    )
    order by 1
  loop
    perform referral_private.lock_stripe_account(v_stripe_account);
    insert into referral_private.known_users (stripe_account, user_id, signed_up_at)
    select v_stripe_account, p_user_id, (select u.created_at from auth.users as u where u.id = p_user_id)
    on conflict do nothing;
    perform referral_private.settle_users(v_stripe_account, array[p_user_id], 'member ' || p_user_id);
  end loop;
end
$$;

-- Users of a Stripe account.
create type referral_private.account_users as (stripe_account text, user_ids uuid[]);

-- The users whom an event named that came since this time, and who have become known only after it.
create function referral_private.users_to_recognise(p_since timestamptz)
returns setof referral_private.account_users
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
-- Each of those who are named is looked up, and by subqueries of which no table is made: of users and redemptions there
-- can be many more.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
  select l.stripe_account, array_agg(l.user_id)
  from (
    select distinct u.stripe_account, u.user_id
    from referral_private.payer_users as u
    where u.stored_at >= p_since
      and not exists (
        select from referral_private.known_users as k
        where k.user_id = u.user_id and k.stripe_account = u.stripe_account
      )
      and coalesce(
        (select true from auth.users as a where a.id = u.user_id),
        (select true from referral.redemptions as r where r.referee_id = u.user_id limit 1),
        (select true from referral.members as m where m.user_id = u.user_id limit 1)
      )
  ) as l
  group by l.stripe_account
  order by l.stripe_account;
end
$$;

create function referral_private.recognise_users(p_max_rows int default 500)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_unknown referral_private.account_users;
  v_user_id uuid;
  v_recognised int := 0;
begin
  perform referral_private.require_read_committed();
  for v_unknown in
    select u.* from referral_private.users_to_recognise(clock_timestamp() - interval '720 hours') as u
  loop
    exit when v_recognised >= p_max_rows;
    -- A Stripe account that is busy is left for the next call.
    continue when not pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_unknown.stripe_account));
    foreach v_user_id in array referral_private.know_users(
      v_unknown.stripe_account, v_unknown.user_ids[1:p_max_rows - v_recognised]
    ) loop
      perform referral_private.settle_users(v_unknown.stripe_account, array[v_user_id], 'user ' || v_user_id);
      v_recognised := v_recognised + 1;
    end loop;
  end loop;
  return v_recognised;
end
$$;

comment on function referral_private.recognise_users is
  'public: Links payers to users who signed up after an event named them that came in the last 30 days, and returns how
many users that were. Call again while that is max_rows.

group: Run jobs
max_rows: how many users at most in this call
callers: the operator
errors: busy
timeout: 60s';

grant execute on function referral_private.recognise_users to service_role;

-- What Stripe events state, and which customer acts as which account. functions/stripe-webhook has reduced each object
-- to the fields that are read here. Of several versions of a fact the greatest is kept:
-- `from unnest(array[known, excluded])`. What most events say is stored of all events together, which are of one Stripe
-- account and mode.

-- What an event touched: invoices, intents and charges whose sales it may change, and the carriers that got a link to
-- a user, or evidence, which they did not have.
create type referral_private.touched as (payment_ids text[], carriers text[]);

create type referral_private.stated_event as (
  stripe_account text,
  livemode boolean,
  event_id text,
  event_at timestamptz,
  object jsonb,
  -- What changed in the object, as far as it is read: only of promotion codes.
  previous jsonb
);

-- An event that states facts, in an object of this kind.
create type referral_private.accepted_event as (kind text, stated referral_private.stated_event);

-- A charge is its intent's, wherever both are named. Returns those of the two that are named.
create function referral_private.relate_charge(p_stated referral_private.stated_event, p_charge text, p_intent text)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_charge is not null and p_intent is not null then
    insert into referral_private.charges (stripe_account, livemode, charge_id, intent_id)
    values (p_stated.stripe_account, p_stated.livemode, p_charge, p_intent)
    on conflict do nothing;
  end if;
  return array_remove(array[p_charge, p_intent], null);
end
$$;

-- Stores which customer an account acts as, where an object names both; of several customers the least. Returns both
-- where that is new, and the customer before: what was stored under the account is the customer's.
create function referral_private.state_customer_account(p_stated referral_private.stated_event)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_customer text := p_stated.object ->> 'customer';
  v_account text := p_stated.object ->> 'customer_account';
  v_before text;
begin
  if v_customer is null or v_account is null then
    return '{}';
  end if;
  select a.customer_id into v_before
  from referral_private.customer_accounts as a
  where a.customer_account = v_account and a.stripe_account = p_stated.stripe_account
    and a.livemode = p_stated.livemode;
  insert into referral_private.customer_accounts as a (stripe_account, livemode, customer_account, customer_id)
  values (p_stated.stripe_account, p_stated.livemode, v_account, v_customer)
  on conflict on constraint customer_accounts_pkey do update
  set customer_id = excluded.customer_id
  where excluded.customer_id < a.customer_id;
  return case when found then array_remove(array[v_customer, v_account, v_before], null) else '{}' end;
end
$$;

-- Stores the users to whom Stripe events link payers.

-- A carrier that got a link to a user, or evidence, which it did not have, and the event by which.
create type referral_private.touched_carrier as (carrier text collate "C", event_id text);

-- What an object says of its payer: under which carriers, in which metadata, and the users that it links them to.
create type referral_private.named_payer as (
  event_id text,
  object jsonb,
  made_at timestamptz,
  carriers text[],
  metadata jsonb,
  user_ids uuid[],
  names_evidence boolean
);

-- What the object of an event says of its payer. A subscription's metadata is its invoices', too. What a buyer can edit
-- (`client_reference_id` behind a payment link) never names a user.
create function referral_private.payer_named(p_kind text, p_stated referral_private.stated_event)
returns referral_private.named_payer
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object jsonb := p_stated.object;
  v_customer text := coalesce(v_object ->> 'customer', v_object ->> 'customer_account');
  v_metadata jsonb := v_object -> 'metadata';
begin
  if p_kind = 'invoice' then
    v_metadata := coalesce(nullif(v_object -> 'parent' -> 'subscription_details' -> 'metadata', 'null'), '{}')
      || coalesce(nullif(v_metadata, 'null'), '{}');
  end if;
  return (
    p_stated.event_id, v_object, to_timestamp((v_object ->> 'created')::bigint),
    case
      when v_customer is not null then array[v_customer]
      when p_kind = 'session' then array_remove(array[v_object ->> 'invoice', v_object ->> 'payment_intent'], null)
      else array[v_object ->> 'id']
    end,
    v_metadata,
    array_remove(array[
      referral_private.as_uuid(v_metadata ->> 'referral_user_id'),
      case
        when v_object ->> 'payment_link' is null then referral_private.as_uuid(v_object ->> 'client_reference_id')
      end
    ], null),
    v_object -> 'client_reference_id' is not null or v_object -> 'discounts' is not null
      or coalesce(v_metadata ?| '{referral_redemption_id,referral_code}'::text[], false)
  )::referral_private.named_payer;
end
$$;

-- Stores the users that objects link their carriers to, each with the earliest time. Returns the carriers whose links
-- changed.
create function referral_private.state_users(
  p_stripe_account text,
  p_livemode boolean,
  p_named referral_private.named_payer[]
)
returns referral_private.touched_carrier[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_touched referral_private.touched_carrier[];
begin
  with
    named as (
      select distinct on (carrier, user_id) carrier, user_id, n.made_at, n.event_id
      from unnest(p_named) with ordinality as n (
        event_id, object, made_at, carriers, metadata, user_ids, names_evidence, place
      )
      cross join lateral unnest(n.carriers) as carrier
      cross join lateral unnest(n.user_ids) as user_id
      order by carrier, user_id, n.made_at, n.place
    ),
    linked as (
      insert into referral_private.payer_users as l (stripe_account, livemode, carrier, user_id, linked_at)
      select p_stripe_account, p_livemode, n.carrier, n.user_id, n.made_at from named as n
      on conflict on constraint payer_users_pkey do update
      set linked_at = excluded.linked_at
      where excluded.linked_at < l.linked_at
      returning l.carrier, l.user_id
    )
  select array_agg((l.carrier, n.event_id)::referral_private.touched_carrier) into v_touched
  from linked as l
  join named as n on n.carrier = l.carrier and n.user_id = l.user_id;
  return coalesce(v_touched, '{}');
end
$$;

-- Stores the evidence that Stripe events give payers, and all that they say of payers.

-- Evidence that an object gives a carrier.
create type referral_private.named_evidence as (
  carrier text collate "C",
  kind referral_private.evidence_kind,
  named text collate "C",
  object_id text collate "C",
  carried_at timestamptz
);

-- The evidence that objects give their carriers: a redemption, a code, promotion codes.
create function referral_private.evidence_named(p_named referral_private.named_payer[])
returns referral_private.named_evidence[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select (carrier, e.kind, e.named, n.object ->> 'id', n.made_at)::referral_private.named_evidence
    from unnest(p_named) as n
    cross join lateral (
      select 'redemption_id'::referral_private.evidence_kind as kind,
        referral_private.as_uuid(n.metadata ->> 'referral_redemption_id')::text as named
      where n.metadata ? 'referral_redemption_id'
      union all
      select 'metadata_code', referral_private.normalise_code(n.metadata ->> 'referral_code')
      where n.metadata ? 'referral_code'
      union all
      select 'promotion_code', d.discount ->> 'promotion_code'
      from jsonb_array_elements(coalesce(nullif(n.object -> 'discounts', 'null'), '[]')) as d (discount)
      union all
      select
        (case when n.object ->> 'payment_link' is null then 'client_reference' else 'payment_link' end)
          ::referral_private.evidence_kind,
        referral_private.normalise_code(n.object ->> 'client_reference_id')
      where n.object ? 'client_reference_id'
        and referral_private.as_uuid(n.object ->> 'client_reference_id') is null
    ) as e
    cross join lateral unnest(n.carriers) as carrier
    where e.named is not null
  );
end
$$;

-- Stores this evidence. Returns the carriers that did not have it, each by the object that gives it.
create function referral_private.state_evidence(
  p_stripe_account text,
  p_livemode boolean,
  p_evidence referral_private.named_evidence[],
  p_named referral_private.named_payer[]
)
returns referral_private.touched_carrier[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_touched referral_private.touched_carrier[];
begin
  with
    evident as (
      insert into referral_private.payer_evidence as e (
        stripe_account, livemode, carrier, kind, named, object_id, carried_at
      )
      select p_stripe_account, p_livemode, g.carrier, g.kind, g.named, g.object_id, g.carried_at
      from unnest(p_evidence) as g
      on conflict do nothing
      returning e.carrier, e.object_id
    )
  select array_agg((e.carrier, n.event_id)::referral_private.touched_carrier) into v_touched
  from evident as e
  join unnest(p_named) as n on n.object ->> 'id' = e.object_id;
  return coalesce(v_touched, '{}');
end
$$;

-- Looks up whether the users that objects name, themselves or by a redemption, are known. Returns the carriers to whom
-- those are linked that became known, each by the first event that names the user; in the other mode that event settles
-- their payers at once.
create function referral_private.state_known_users(
  p_stripe_account text,
  p_livemode boolean,
  p_named referral_private.named_payer[],
  p_evidence referral_private.named_evidence[]
)
returns referral_private.touched_carrier[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_named constant uuid[] := array(
    select unnest(n.user_ids) from unnest(p_named) as n
    union
    select r.referee_id from referral.redemptions as r
    where r.id = any (array(select e.named::uuid from unnest(p_evidence) as e where e.kind = 'redemption_id'))
  );
  v_known uuid[];
  v_first record;
  v_touched referral_private.touched_carrier[] := '{}';
begin
  if cardinality(v_named) = 0 then
    return '{}';
  end if;
  v_known := referral_private.know_users(p_stripe_account, v_named);
  if cardinality(v_known) = 0 then
    return '{}';
  end if;
  for v_first in
    select n.event_id, array_agg(user_id) as user_ids
    from unnest(v_known) as user_id
    cross join lateral (
      select named.event_id, named.place
      from unnest(p_named) with ordinality as named (
        event_id, object, made_at, carriers, metadata, user_ids, names_evidence, place
      )
      where user_id = any (named.user_ids) or referral_private.as_uuid(
        named.metadata ->> 'referral_redemption_id'
      ) in (select r.id from referral.redemptions as r where r.referee_id = user_id)
      order by named.place
      limit 1
    ) as n
    group by n.event_id
    order by min(n.place)
  loop
    perform referral_private.settle(
      p_stripe_account, not p_livemode,
      referral_private.payers_of_users(p_stripe_account, not p_livemode, v_first.user_ids), '{}', v_first.event_id
    );
    v_touched := v_touched || array(
      select (carrier, v_first.event_id)::referral_private.touched_carrier
      from unnest(
        referral_private.carriers_of_users(p_stripe_account, p_livemode, v_first.user_ids)
      ) as carrier
    );
  end loop;
  return v_touched;
end
$$;

-- Stores what the objects of these events say of their payers. Returns the carriers for which any of it is new.
create function referral_private.state_payers(
  p_stripe_account text,
  p_livemode boolean,
  p_events referral_private.accepted_event[]
)
returns referral_private.touched_carrier[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event referral_private.accepted_event;
  v_payer referral_private.named_payer;
  v_named referral_private.named_payer[] := '{}';
  v_evidence referral_private.named_evidence[];
  v_touched referral_private.touched_carrier[] := '{}';
begin
  foreach v_event in array p_events loop
    if v_event.kind in ('session', 'intent', 'invoice') then
      v_payer := referral_private.payer_named(v_event.kind, v_event.stated);
      if v_payer.user_ids <> '{}' or v_payer.names_evidence then
        v_named := v_named || v_payer;
      end if;
    end if;
  end loop;
  if cardinality(v_named) = 0 then
    return '{}';
  end if;
  v_evidence := referral_private.evidence_named(v_named);
  if exists (select from unnest(v_named) as n where n.user_ids <> '{}') then
    v_touched := referral_private.state_users(p_stripe_account, p_livemode, v_named);
  end if;
  if cardinality(v_evidence) > 0 then
    v_touched := v_touched || referral_private.state_evidence(
      p_stripe_account, p_livemode, v_evidence, v_named
    );
  end if;
  return v_touched || referral_private.state_known_users(p_stripe_account, p_livemode, v_named, v_evidence);
end
$$;

-- Stores what a Stripe event says about promotion codes.

-- A discount that a customer, or an account, got by a promotion code is evidence from then on.
create function referral_private.state_discount(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_discount jsonb := p_stated.object;
  v_carrier text := coalesce(v_discount ->> 'customer', v_discount ->> 'customer_account');
  v_touched referral_private.touched := ('{}'::text[], referral_private.state_customer_account(p_stated));
begin
  if v_carrier is null or v_discount ->> 'promotion_code' is null then
    return v_touched;
  end if;
  insert into referral_private.payer_evidence (stripe_account, livemode, carrier, kind, named, object_id, carried_at)
  values (
    p_stated.stripe_account, p_stated.livemode, v_carrier, 'promotion_code',
    v_discount ->> 'promotion_code', v_discount ->> 'id', to_timestamp((v_discount ->> 'start')::bigint)
  )
  on conflict do nothing;
  if found then
    v_touched.carriers := v_touched.carriers || v_carrier;
  end if;
  return v_touched;
end
$$;

-- Which of our codes a promotion code belongs to. Payers who used it are settled too, unless the event states what is
-- known: Stripe does so with every use. Before a statement of the same second it can say something else of the time
-- before.
create function referral_private.state_promotion_code(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_evidence referral_private.payer_evidence[];
  v_promotion jsonb := p_stated.object;
  v_previous jsonb := p_stated.previous -> 'metadata';
  v_key text := referral_private.normalise_code(v_promotion -> 'metadata' ->> 'referral_code');
  v_known text := referral_private.promotion_key_at(
    p_stated.stripe_account, p_stated.livemode, v_promotion ->> 'id', p_stated.event_at
  );
begin
  insert into referral_private.promotion_code_statements (
    stripe_account, livemode, promotion_code_id, stated_at, stated_by, code_key, states_previous, previous_key
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_promotion ->> 'id', p_stated.event_at, p_stated.event_id, v_key,
    coalesce(v_previous ? 'referral_code', false), referral_private.normalise_code(v_previous ->> 'referral_code')
  )
  on conflict do nothing;
  v_evidence := array(
    select e from referral_private.payer_evidence as e
    where e.stripe_account = p_stated.stripe_account and e.livemode = p_stated.livemode
      and e.kind = 'promotion_code' and e.named = v_promotion ->> 'id'
      and (
        v_key is distinct from v_known
        or v_previous ? 'referral_code'
        or exists (
          select from referral_private.promotion_code_statements as s
          where s.promotion_code_id = e.named and s.stripe_account = p_stated.stripe_account
            and s.livemode = p_stated.livemode and s.stated_at = p_stated.event_at
            and s.stated_by > p_stated.event_id
        )
      )
  );
  return (
    referral_private.payments_of_others(v_evidence), array(select distinct e.carrier from unnest(v_evidence) as e)
  )::referral_private.touched;
end
$$;

-- Stores what a Stripe event says about checkout sessions, their money aside.

-- Stores what a checkout session belongs to; of versions that contradict each other the least counts. Returns the ids
-- whose sales that touches: of a subscription, those of all its invoices.
create function referral_private.state_belongings(p_stated referral_private.stated_event)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session referral_private.sessions;
begin
  v_session.stripe_account := p_stated.stripe_account;
  v_session.livemode := p_stated.livemode;
  v_session.session_id := p_stated.object ->> 'id';
  v_session.made_at := to_timestamp((p_stated.object ->> 'created')::bigint);
  v_session.org_id := referral_private.as_uuid(p_stated.object -> 'metadata' ->> 'referral_org_id');
  v_session.subscription_id := p_stated.object ->> 'subscription';
  v_session.invoice_id := p_stated.object ->> 'invoice';
  v_session.intent_id := p_stated.object ->> 'payment_intent';
  insert into referral_private.sessions as s
  select v_session.*
  on conflict on constraint sessions_pkey do update
  set org_id = least(s.org_id, excluded.org_id),
    subscription_id = least(s.subscription_id, excluded.subscription_id),
    invoice_id = least(s.invoice_id, excluded.invoice_id), intent_id = least(s.intent_id, excluded.intent_id);
  if v_session.intent_id is not null and v_session.invoice_id is not null then
    insert into referral_private.invoice_payments (stripe_account, livemode, object_id, invoice_id, payment_key)
    values (
      v_session.stripe_account, v_session.livemode, v_session.session_id, v_session.invoice_id, v_session.intent_id
    )
    on conflict do nothing;
  end if;
  return array_remove(array[v_session.intent_id, v_session.invoice_id], null) || array(
    select p.payment_id from referral_private.payments as p
    where p.subscription_id = v_session.subscription_id and p.stripe_account = v_session.stripe_account
      and p.livemode = v_session.livemode
  );
end
$$;

-- Stores what Stripe events say about payments.

-- A payment as an event states it, when this much was paid. A payment of nothing is no sale and has no time.
create function referral_private.payment_stated(
  p_stated referral_private.stated_event,
  p_payment_id text,
  p_source referral_private.payment_source,
  p_metadata jsonb,
  p_paid bigint
)
returns referral_private.payments
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payment referral_private.payments;
begin
  v_payment.stripe_account := p_stated.stripe_account;
  v_payment.livemode := p_stated.livemode;
  v_payment.payment_id := p_payment_id;
  v_payment.source := p_source;
  v_payment.customer_id := coalesce(p_stated.object ->> 'customer', p_stated.object ->> 'customer_account');
  v_payment.org_id := referral_private.as_uuid(p_metadata ->> 'referral_org_id');
  v_payment.names_referral := p_source <> 'intent'
    or p_metadata ?| '{referral_redemption_id,referral_user_id,referral_org_id,referral_code}'::text[];
  v_payment.currency := p_stated.object ->> 'currency';
  v_payment.paid := p_paid;
  v_payment.total := p_paid;
  v_payment.sale_at := case when p_paid > 0 then p_stated.event_at else 'infinity' end;
  v_payment.paid_at := v_payment.sale_at;
  v_payment.paid_at_is_stated := false;
  v_payment.made_at := to_timestamp((p_stated.object ->> 'created')::bigint);
  v_payment.stated_at := p_stated.event_at;
  v_payment.stated_by := p_stated.event_id;
  return v_payment;
end
$$;

-- The money of a checkout session counts in mode `payment` only: that of a subscription comes with the invoices. Null
-- where it has none.
create function referral_private.payment_by_session(p_stated referral_private.stated_event)
returns referral_private.payments
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jsonb := p_stated.object;
  v_payment referral_private.payments;
begin
  if v_session ->> 'payment_intent' is null or v_session ->> 'mode' is distinct from 'payment' then
    return null;
  end if;
  v_payment := referral_private.payment_stated(
    p_stated, v_session ->> 'payment_intent', 'session', v_session -> 'metadata',
    case when v_session ->> 'payment_status' = 'paid' then (v_session ->> 'amount_total')::bigint else 0 end
  );
  v_payment.total := v_session ->> 'amount_total';
  v_payment.total_excluding_tax := v_payment.total - (v_session -> 'total_details' ->> 'amount_tax')::bigint;
  return v_payment;
end
$$;

-- A payment intent says what was received, and its tax.
create function referral_private.payment_by_intent(p_stated referral_private.stated_event)
returns referral_private.payments
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_intent jsonb := p_stated.object;
  v_payment referral_private.payments := referral_private.payment_stated(
    p_stated, v_intent ->> 'id', 'intent', v_intent -> 'metadata', (v_intent ->> 'amount_received')::bigint
  );
begin
  v_payment.total_excluding_tax := v_payment.total
    - (v_intent -> 'amount_details' -> 'tax' ->> 'total_tax_amount')::bigint;
  return v_payment;
end
$$;

-- An invoice is sold when it was created, and paid when it says so.
create function referral_private.payment_by_invoice(p_stated referral_private.stated_event)
returns referral_private.payments
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_invoice jsonb := p_stated.object;
  v_subscription jsonb := v_invoice -> 'parent' -> 'subscription_details';
  v_paid bigint := v_invoice ->> 'amount_paid';
  v_payment referral_private.payments := referral_private.payment_stated(
    p_stated, v_invoice ->> 'id', 'invoice', v_invoice -> 'metadata', case when v_paid < 0 then 0 else v_paid end
  );
begin
  v_payment.total := v_invoice ->> 'total';
  v_payment.total_excluding_tax := v_invoice ->> 'total_excluding_tax';
  v_payment.sale_at := v_payment.made_at;
  if v_paid > 0 and v_invoice -> 'status_transitions' ->> 'paid_at' is not null then
    v_payment.paid_at := to_timestamp((v_invoice -> 'status_transitions' ->> 'paid_at')::bigint);
    v_payment.paid_at_is_stated := true;
  end if;
  v_payment.subscription_id := v_subscription ->> 'subscription';
  v_payment.subscription_org_id := referral_private.as_uuid(v_subscription -> 'metadata' ->> 'referral_org_id');
  return v_payment;
end
$$;

-- Stores these payments, each once: of each the greatest version is kept, and the earliest times at which it was sold
-- and paid.
create function referral_private.store_payments(p_payments referral_private.payments[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.payments as p
  select s.* from unnest(p_payments) as s
  on conflict on constraint payments_pkey do update
  set (org_id, subscription_org_id, currency, paid, total, total_excluding_tax, stated_at, stated_by) = (
      select g.org_id, g.subscription_org_id, g.currency, g.paid, g.total, g.total_excluding_tax, g.stated_at,
        g.stated_by
      from unnest(array[p, excluded]) as g
      order by g.paid desc, g.stated_at desc, g.stated_by desc
      limit 1
    ),
    sale_at = least(p.sale_at, excluded.sale_at),
    paid_at = case
      when p.paid_at_is_stated = excluded.paid_at_is_stated then least(p.paid_at, excluded.paid_at)
      when p.paid_at_is_stated then p.paid_at
      else excluded.paid_at
    end,
    paid_at_is_stated = p.paid_at_is_stated or excluded.paid_at_is_stated,
    names_referral = p.names_referral or excluded.names_referral,
    customer_id = least(p.customer_id, excluded.customer_id),
    subscription_id = least(p.subscription_id, excluded.subscription_id);
end
$$;

-- Stores the payments that these events state.
create function referral_private.state_payments(p_events referral_private.accepted_event[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event referral_private.accepted_event;
  v_payment referral_private.payments;
  v_payments referral_private.payments[] := '{}';
begin
  foreach v_event in array p_events loop
    v_payment := case v_event.kind
      when 'session' then referral_private.payment_by_session(v_event.stated)
      when 'intent' then referral_private.payment_by_intent(v_event.stated)
      when 'invoice' then referral_private.payment_by_invoice(v_event.stated)
    end;
    if v_payment.source is not null then
      v_payments := v_payments || v_payment;
    end if;
  end loop;
  if cardinality(v_payments) = 1 then
    perform referral_private.store_payments(v_payments);
  else
    -- One statement cannot change a row twice: the second version of a payment comes in a second round.
    perform referral_private.store_payments(array_agg(r.payment))
    from (
      select s as payment, row_number() over (partition by s.payment_id, s.source) as round
      from unnest(v_payments) as s
    ) as r
    group by r.round;
  end if;
end
$$;

-- An invoice payment says which payment paid how much of an invoice. One without a payment says nothing of money.
create function referral_private.state_invoice_payment(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_link jsonb := p_stated.object;
  v_intent text := v_link -> 'payment' ->> 'payment_intent';
  v_charge text := v_link -> 'payment' ->> 'charge';
  v_key text := coalesce(v_intent, v_charge);
begin
  if v_key is null then
    return (array[v_link ->> 'invoice'], '{}'::text[])::referral_private.touched;
  end if;
  insert into referral_private.invoice_payments as l (
    stripe_account, livemode, object_id, invoice_id, payment_key, amount_paid
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_link ->> 'id', v_link ->> 'invoice', v_key,
    (v_link ->> 'amount_paid')::bigint
  )
  on conflict on constraint invoice_payments_pkey do update
  set amount_paid = greatest(l.amount_paid, excluded.amount_paid);
  perform referral_private.relate_charge(p_stated, v_charge, v_intent);
  return (array[v_link ->> 'invoice', v_key], '{}'::text[])::referral_private.touched;
end
$$;

-- Stores what a Stripe event says about reversals and holds: refunds, disputes, warnings, credit notes.

-- A refund counts until it is known to have failed: its greatest version is the last one of the highest rank.
create function referral_private.state_refund(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refund jsonb := p_stated.object;
  v_key text;
begin
  insert into referral_private.refunds as r (
    stripe_account, livemode, refund_id, payment_key, amount, status_rank, stated_at, stated_by
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_refund ->> 'id',
    coalesce(v_refund ->> 'payment_intent', v_refund ->> 'charge'), (v_refund ->> 'amount')::bigint,
    case
      when v_refund ->> 'status' in ('failed', 'canceled') then 2
      when v_refund ->> 'status' = 'succeeded' then 1
      else 0
    end,
    p_stated.event_at, p_stated.event_id
  )
  on conflict on constraint refunds_pkey do update
  set (amount, status_rank, stated_at, stated_by) = (
      select g.amount, g.status_rank, g.stated_at, g.stated_by
      from unnest(array[r, excluded]) as g
      order by g.status_rank desc, g.stated_at desc, g.stated_by desc
      limit 1
    ),
    payment_key = greatest(r.payment_key, excluded.payment_key)
  returning r.payment_key into v_key;
  return (
    referral_private.relate_charge(p_stated, v_refund ->> 'charge', v_refund ->> 'payment_intent') || v_key,
    '{}'::text[]
  )::referral_private.touched;
end
$$;

-- A fraud warning holds what its payment earns, from the latest time that it states.
create function referral_private.state_warning(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_warning jsonb := p_stated.object;
begin
  insert into referral_private.warnings as w (stripe_account, livemode, warning_id, payment_key, warned_at)
  values (
    p_stated.stripe_account, p_stated.livemode, v_warning ->> 'id',
    coalesce(v_warning ->> 'payment_intent', v_warning ->> 'charge'), to_timestamp((v_warning ->> 'created')::bigint)
  )
  on conflict on constraint warnings_pkey do update
  set payment_key = greatest(w.payment_key, excluded.payment_key),
    warned_at = greatest(w.warned_at, excluded.warned_at);
  return (
    referral_private.relate_charge(p_stated, v_warning ->> 'charge', v_warning ->> 'payment_intent'), '{}'::text[]
  )::referral_private.touched;
end
$$;

-- A dispute reverses what its balance transactions say, whatever its status. An inquiry reverses nothing, and holds.
create function referral_private.state_dispute(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_dispute jsonb := p_stated.object;
  v_key text := coalesce(v_dispute ->> 'payment_intent', v_dispute ->> 'charge');
begin
  if starts_with(v_dispute ->> 'status', 'warning_') then
    perform referral_private.state_warning(p_stated);
  end if;
  insert into referral_private.disputes as d (
    stripe_account, livemode, dispute_id, payment_key, amount, currency, stated_at, stated_by
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_dispute ->> 'id', v_key, (v_dispute ->> 'amount')::bigint,
    v_dispute ->> 'currency', p_stated.event_at, p_stated.event_id
  )
  on conflict on constraint disputes_pkey do update
  set (amount, currency, stated_at, stated_by) = (
      select g.amount, g.currency, g.stated_at, g.stated_by
      from unnest(array[d, excluded]) as g
      order by g.stated_at desc, g.stated_by desc
      limit 1
    ),
    payment_key = greatest(d.payment_key, excluded.payment_key)
  returning d.payment_key into v_key;
  insert into referral_private.dispute_transactions (
    stripe_account, livemode, dispute_id, transaction_id, amount, currency
  )
  select p_stated.stripe_account, p_stated.livemode, v_dispute ->> 'id', t.moved ->> 'id',
    (t.moved ->> 'amount')::bigint, t.moved ->> 'currency'
  from jsonb_array_elements(v_dispute -> 'balance_transactions') as t (moved)
  on conflict do nothing;
  return (
    referral_private.relate_charge(p_stated, v_dispute ->> 'charge', v_dispute ->> 'payment_intent') || v_key,
    '{}'::text[]
  )::referral_private.touched;
end
$$;

-- A credit note reverses what it pays out of band or through payment records. Ordinary refunds arrive as events of
-- their own; the credit note only names their invoice. Credit to the customer's balance lowers a later payment
-- instead.
create function referral_private.state_credit_note(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_note jsonb := p_stated.object;
  v_outside bigint := coalesce((v_note ->> 'out_of_band_amount')::bigint, 0) + coalesce((
    select sum((r.refund ->> 'amount_refunded')::bigint)
    from jsonb_array_elements(v_note -> 'refunds') as r (refund)
    where r.refund ->> 'type' = 'payment_record_refund'
  ), 0);
begin
  insert into referral_private.credit_notes as n (
    stripe_account, livemode, credit_note_id, invoice_id, outside, void, stated_at, stated_by
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_note ->> 'id', v_note ->> 'invoice', v_outside,
    v_note ->> 'status' = 'void', p_stated.event_at, p_stated.event_id
  )
  on conflict on constraint credit_notes_pkey do update
  set (outside, stated_at, stated_by) = (
      select g.outside, g.stated_at, g.stated_by
      from unnest(array[n, excluded]) as g
      order by g.stated_at desc, g.stated_by desc
      limit 1
    ),
    void = n.void or excluded.void;
  insert into referral_private.credit_note_refunds as a (stripe_account, livemode, credit_note_id, refund_id, amount)
  select p_stated.stripe_account, p_stated.livemode, v_note ->> 'id', r.refund ->> 'refund',
    (r.refund ->> 'amount_refunded')::bigint
  from jsonb_array_elements(v_note -> 'refunds') as r (refund)
  where r.refund ->> 'refund' is not null
  on conflict on constraint credit_note_refunds_pkey do update set amount = greatest(a.amount, excluded.amount);
  return (array[v_note ->> 'invoice'], '{}'::text[])::referral_private.touched;
end
$$;

-- The inbox: every event of Stripe's that was delivered. Nothing here expires or changes: a delivery is recognised as a
-- duplicate however late it comes. The time at which Stripe made the event is the first column of the key, so that
-- deliveries of one time are stored beside each other; the same event always has the same time. By month of that time,
-- in UTC: maintain_events makes the partitions; until one is made, the default partition takes the month's events.
create type referral.event_status as enum ('applied', 'stored', 'duplicate', 'ignored', 'parked');

create table referral_private.stripe_events (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  event_id text collate "C" not null,
  type text not null,
  status referral.event_status not null,
  created_at timestamptz not null,
  received_at timestamptz not null default clock_timestamp(),
  body_sha256 text not null,
  event jsonb not null,
  constraint stripe_events_pkey primary key (created_at, event_id, stripe_account, livemode),
  -- A length in a regular expression makes it a hundred times slower.
  constraint stripe_events_stripe_account_is_an_id
    check (stripe_account ~ '^(acct_[A-Za-z0-9]+)?$' and length(stripe_account) <= 69),
  constraint stripe_events_have_an_id check (event_id ~ '^evt_[A-Za-z0-9_]+$' and length(event_id) <= 259),
  constraint stripe_events_body_is_hashed check (body_sha256 ~ '^[0-9a-f]+$' and length(body_sha256) = 64)
)
partition by range (created_at);

alter table referral_private.stripe_events enable row level security;

create table referral_private.stripe_events_default partition of referral_private.stripe_events default;

alter table referral_private.stripe_events_default enable row level security;

create trigger stripe_events_are_append_only
before update or delete or truncate on referral_private.stripe_events
for each statement
execute function referral_private.refuse_change();

alter table referral_private.stripe_events enable always trigger stripe_events_are_append_only;

create trigger stripe_events_are_append_only
before update or delete or truncate on referral_private.stripe_events_default
for each statement
execute function referral_private.refuse_change();

alter table referral_private.stripe_events_default enable always trigger stripe_events_are_append_only;

-- Events of the inbox that are not applied yet. Whoever has the Stripe account lock applies them, and deletes their
-- rows.
create table referral_private.unapplied_events (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  event_id text collate "C" not null,
  event_created_at timestamptz not null,
  stored_at timestamptz not null default clock_timestamp(),
  -- When it was stored, or failed last: what failed comes after the others.
  tried_at timestamptz not null default clock_timestamp(),
  -- In how many calls it was when time ran out. Those of more calls come later, and fewer together.
  tries int not null default 0,
  -- With which error of ours it could not be applied; then only `run_maintenance` tries again.
  error text,
  constraint unapplied_events_pkey primary key (event_id, event_created_at, stripe_account, livemode),
  constraint unapplied_events_are_in_the_inbox
    foreign key (event_created_at, event_id, stripe_account, livemode) references referral_private.stripe_events (
      created_at,
      event_id,
      stripe_account,
      livemode
    )
      on delete restrict
);

create index unapplied_events_by_age on referral_private.unapplied_events (stripe_account, tries, tried_at);

alter table referral_private.unapplied_events enable row level security;

-- Events that carry money or identity in a form that is not known yet, until a later version of referbase can read
-- them: the names that the webhook reads, with values of a known form, and nothing personal.
create table referral_private.parked_events (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  event_id text collate "C" not null,
  event_created_at timestamptz not null,
  reason text not null,
  event jsonb not null,
  constraint parked_events_pkey primary key (event_id, event_created_at, stripe_account, livemode),
  constraint parked_events_are_in_the_inbox
    foreign key (event_created_at, event_id, stripe_account, livemode) references referral_private.stripe_events (
      created_at,
      event_id,
      stripe_account,
      livemode
    )
      on delete restrict
);

alter table referral_private.parked_events enable row level security;

-- The form in which a parked event was applied. It is kept, because the inbox has the event as parked for ever. Without
-- a foreign key, which would keep the event's month in the inbox.
create table referral_private.resolved_events (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  event_id text collate "C" not null,
  event_created_at timestamptz not null,
  event jsonb not null,
  resolved_at timestamptz not null default clock_timestamp(),
  constraint resolved_events_pkey primary key (event_id, event_created_at, stripe_account, livemode)
);

alter table referral_private.resolved_events enable row level security;

create trigger resolved_events_are_append_only
before update or delete or truncate on referral_private.resolved_events
for each statement
execute function referral_private.refuse_change();

alter table referral_private.resolved_events enable always trigger resolved_events_are_append_only;

-- `unsettled`: something of the Stripe account waits to be settled.
create type referral.event_result as (event_id text, status referral.event_status, unsettled boolean);

-- What an event states, as the webhook reduces it. Raises `invalid_event`.
create function referral_private.stated_event_of(p_event jsonb)
returns referral_private.stated_event
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(jsonb_typeof(p_event), '') <> 'object'
    or jsonb_typeof(p_event -> 'data' -> 'object') is distinct from 'object'
  then
    perform referral_private.raise_error('invalid_event');
  end if;
  return (
    coalesce(p_event ->> 'account', ''), (p_event -> 'livemode')::boolean, p_event ->> 'id',
    to_timestamp((p_event -> 'created')::bigint), p_event -> 'data' -> 'object',
    p_event -> 'data' -> 'previous_attributes'
  )::referral_private.stated_event;
end
$$;

-- Takes a parked event in the form in which it can be read now. False if it is not parked.
create function referral_private.unpark(p_stated referral_private.stated_event, p_event jsonb)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from referral_private.parked_events as p
  where p.stripe_account = p_stated.stripe_account and p.livemode = p_stated.livemode
    and p.event_id = p_stated.event_id and p.event_created_at = p_stated.event_at;
  if not found then
    return false;
  end if;
  insert into referral_private.resolved_events (stripe_account, livemode, event_id, event_created_at, event)
  values (
    p_stated.stripe_account, p_stated.livemode, p_stated.event_id, p_stated.event_at, p_event - 'body_sha256'
  );
  return true;
end
$$;

-- Months of the inbox that are past can be taken out of it, where the operator wants that: their tables can be kept
-- elsewhere. The keys of their events stay, so that a delivery is recognised as a duplicate however late it comes.
create table referral_private.archived_events (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  event_id text collate "C" not null,
  event_created_at timestamptz not null,
  constraint archived_events_pkey primary key (event_created_at, event_id, stripe_account, livemode)
);

alter table referral_private.archived_events enable row level security;

create trigger archived_events_are_append_only
before update or delete or truncate on referral_private.archived_events
for each statement
execute function referral_private.refuse_change();

alter table referral_private.archived_events enable always trigger archived_events_are_append_only;

-- Months that are being taken out: their keys are copied in the order of time, up to this one.
create table referral_private.archived_months (
  month date not null,
  copied_until timestamptz not null default '-infinity',
  -- When its partition was taken out; null until then.
  archived_at timestamptz,
  constraint archived_months_pkey primary key (month)
);

alter table referral_private.archived_months enable row level security;

-- Keeps the key of an event that comes into a month while its keys are copied.
create function referral_private.archive_key()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.archived_events (stripe_account, livemode, event_id, event_created_at)
  values (new.stripe_account, new.livemode, new.event_id, new.created_at)
  on conflict on constraint archived_events_pkey do nothing;
  return null;
end
$$;

-- Makes the partitions of these months of the inbox. The table is locked before its partitions and in its strongest
-- mode at once, so that deliveries wait and cannot deadlock.
create function referral_private.make_event_months(p_months timestamp[])
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_month timestamp;
  v_partition name;
  v_made int := 0;
begin
  if p_months <> '{}' then
    lock table only referral_private.stripe_events in access exclusive mode;
  end if;
  foreach v_month in array p_months loop
    v_partition := referral_private.make_month('referral_private.stripe_events', v_month);
    continue when v_partition is null;
    -- That of the whole table is not one of its partitions.
    execute format(
      'create trigger stripe_events_are_append_only before update or delete or truncate on referral_private.%I
       for each statement execute function referral_private.refuse_change()',
      v_partition
    );
    execute format(
      'alter table referral_private.%I enable always trigger stripe_events_are_append_only', v_partition
    );
    v_made := v_made + 1;
  end loop;
  return v_made;
end
$$;

-- Whether an event of this month waits, or could not be read: then the month stays in the inbox.
create function referral_private.has_open_events(p_month timestamp)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from constant timestamptz := p_month at time zone 'utc';
  v_to constant timestamptz := (p_month + interval '1 month') at time zone 'utc';
begin
  return exists (
    select from referral_private.unapplied_events as u where u.event_created_at >= v_from and u.event_created_at < v_to
  ) or exists (
    select from referral_private.parked_events as p where p.event_created_at >= v_from and p.event_created_at < v_to
  );
end
$$;

-- Begins to take a month out: from now on it keeps the key of every event that still comes into it. False if it had
-- begun. It waits for the deliveries that are writing to the month.
create function referral_private.begin_archiving(p_month date, p_partition name)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.archived_months (month) values (p_month)
  on conflict on constraint archived_months_pkey do nothing;
  if not found then
    return false;
  end if;
  execute format(
    'create trigger archive_keys after insert on referral_private.%I
     for each row execute function referral_private.archive_key()',
    p_partition
  );
  return true;
end
$$;

-- Copies the keys of so many events of a month, and with them those of the same second. False once all are copied.
create function referral_private.copy_keys(p_month date, p_partition name, p_max_rows int)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- Each call reads its part of the month, and not the month.
set enable_seqscan = off
as $$
declare
  v_from timestamptz;
  v_until timestamptz;
begin
  select m.copied_until into strict v_from from referral_private.archived_months as m where m.month = p_month;
  execute format(
    'select max(e.created_at)
     from (
       select p.created_at from referral_private.%I as p where p.created_at > $1 order by p.created_at limit $2
     ) as e',
    p_partition
  )
  into v_until
  using v_from, p_max_rows;
  execute format(
    'insert into referral_private.archived_events (stripe_account, livemode, event_id, event_created_at)
     select p.stripe_account, p.livemode, p.event_id, p.created_at
     from referral_private.%I as p
     where p.created_at > $1 and p.created_at <= $2
     on conflict on constraint archived_events_pkey do nothing',
    p_partition
  )
  using v_from, v_until;
  update referral_private.archived_months as m
  set copied_until = v_until
  where m.month = p_month and v_until is not null;
  return v_until is not null;
end
$$;

-- Takes a month out of the inbox whose keys are all copied, unless an event of it waits by now. Its table stays, under
-- a name of its own. The inbox is locked first, so that deliveries wait and cannot deadlock.
create function referral_private.take_month_out(p_month date, p_partition name)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  lock table only referral_private.stripe_events in access exclusive mode;
  if referral_private.has_open_events(p_month) then
    return false;
  end if;
  execute format(
    'alter table referral_private.stripe_events detach partition referral_private.%I', p_partition
  );
  execute format(
    'alter table referral_private.%I rename to %I', p_partition,
    replace(p_partition, 'stripe_events', 'archived_events')
  );
  update referral_private.archived_months as m
  set archived_at = clock_timestamp()
  where m.month = p_month;
  return true;
end
$$;

-- Whom an event touches.

-- A customer, and when it first paid by the intents that were touched.
create type referral_private.paying_customer as (payer_id text collate "C", paid_at timestamptz);

-- The customers of these payments to whom it may matter that they had paid before: they have later evidence, or are
-- linked to a user who has other payers, or redeemed later.
create function referral_private.payers_with_history(p_stripe_account text, p_livemode boolean, p_touched text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_intents constant referral_private.payments[] := array(
    select p from referral_private.payments as p
    where p.payment_id = any (p_touched) and p.source = 'intent' and p.stripe_account = p_stripe_account
      and p.livemode = p_livemode and p.paid > 0 and p.customer_id is not null
  );
  v_paying referral_private.paying_customer[];
  v_first_at timestamptz;
  v_carriers referral_private.payer_carrier[];
  v_ids text[];
  v_links referral_private.payer_link[];
  v_payers text[] := '{}';
begin
  if cardinality(v_intents) = 0 then
    return '{}';
  end if;
  v_paying := array(
    select (payer, min(p.paid_at))::referral_private.paying_customer
    from unnest(v_intents) as p
    cross join lateral referral_private.customer_of(p_stripe_account, p_livemode, p.customer_id) as payer
    group by payer
  );
  v_first_at := (select min(p.paid_at) from unnest(v_paying) as p);
  v_carriers := array(
    select c from referral_private.carriers_of_payers(
      p_stripe_account, p_livemode, array(select p.payer_id from unnest(v_paying) as p)
    ) as c
  );
  v_ids := array(select c.carrier from unnest(v_carriers) as c);
  -- Most have no later evidence, and no links.
  if exists (
    select from referral_private.payer_evidence as e
    where e.carrier = any (v_ids) and e.stripe_account = p_stripe_account and e.livemode = p_livemode
      and e.carried_at > v_first_at
  ) then
    v_payers := array(
      select distinct p.payer_id
      from referral_private.payer_evidence as e
      join unnest(v_carriers) as c on c.carrier = e.carrier
      join unnest(v_paying) as p on p.payer_id = c.payer_id
      where e.carrier = any (v_ids) and e.stripe_account = p_stripe_account and e.livemode = p_livemode
        and e.carried_at > p.paid_at
    );
  end if;
  v_links := referral_private.links_of_carriers(p_stripe_account, p_livemode, v_ids);
  if cardinality(v_links) > 0 then
    v_payers := v_payers || array(
      select distinct p.payer_id
      from unnest(v_links) as l
      join unnest(v_carriers) as c on c.carrier = l.carrier
      join unnest(v_paying) as p on p.payer_id = c.payer_id
      where exists (
        select from referral.redemptions as r where r.referee_id = l.user_id and r.redeemed_at > p.paid_at
      ) or not (
        referral_private.carriers_of_users(p_stripe_account, p_livemode, array[l.user_id])
          <@ array(select o.carrier from unnest(v_carriers) as o where o.payer_id = p.payer_id)
      )
    );
  end if;
  return v_payers;
end
$$;

-- The payers who must be settled because an event changed who they are, what evidence they have, or whether they had
-- paid before: those of the carriers with a new link or new evidence, and those of the touched sales, where a touched
-- id is linked to somebody. (A sale with another object that carries evidence has changed by itself.)
create function referral_private.payers_touched(
  p_stripe_account text,
  p_livemode boolean,
  p_carriers text[],
  p_touched text[]
)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payers text[] := referral_private.payers_of_carriers(p_stripe_account, p_livemode, p_carriers)
    || referral_private.payers_with_history(p_stripe_account, p_livemode, p_touched);
begin
  if cardinality(p_carriers) > 0 or exists (
    select from referral_private.payer_users as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.carrier = any (p_touched)
  ) then
    v_payers := v_payers || array(
      select s.payer_id from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_touched)
    );
  end if;
  return v_payers;
end
$$;

-- Whether something waits: events to be applied, payers to be settled, parked events to be resolved.

-- Whether an event waits to be applied.
create function referral_private.is_unapplied(p_stripe_account text, p_event_id text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral_private.unapplied_events as u
    where u.event_id = p_event_id and u.stripe_account = p_stripe_account
  );
end
$$;

-- Whether events of a Stripe account are stored and wait, other than those that failed.
create function referral_private.has_stored_events(p_stripe_account text)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return exists (
    select from referral_private.unapplied_events as u where u.stripe_account = p_stripe_account and u.error is null
  );
end
$$;

-- Whether events, or payers, of a Stripe account, or of any, wait. Those that failed before wait for run_maintenance
-- alone.
create function referral_private.is_unsettled(p_stripe_account text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- The planner knows nothing of tables that are empty most of the time. One row is enough, and a bitmap takes all.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  if p_stripe_account is null then
    return exists (select from referral_private.unapplied_events as u where u.error is null)
      or exists (select from referral_private.to_settle as q where q.error is null);
  end if;
  return exists (
    select from referral_private.unapplied_events as u where u.stripe_account = p_stripe_account and u.error is null
  ) or exists (
    select from referral_private.to_settle as q where q.stripe_account = p_stripe_account and q.error is null
  );
end
$$;

-- Whether amounts of an organisation may change, because something of its Stripe account waits.
create function referral_private.is_settlement_pending(p_org_id uuid, p_livemode boolean)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_stripe_account constant text := referral_private.stripe_account_of(p_org_id);
begin
  return exists (
    select from referral_private.unapplied_events as u
    where u.stripe_account = v_stripe_account and u.livemode = p_livemode
  ) or exists (
    select from referral_private.to_settle as q
    where q.stripe_account = v_stripe_account and q.livemode = p_livemode
  );
end
$$;

-- Whether an event is parked.
create function referral_private.is_parked(p_stated referral_private.stated_event)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral_private.parked_events as p
    where p.stripe_account = p_stated.stripe_account and p.livemode = p_stated.livemode
      and p.event_id = p_stated.event_id and p.event_created_at = p_stated.event_at
  );
end
$$;

-- Events become facts, and what the facts touch is settled: once for all events that are applied together.

-- The kind of object in which a type of event states facts; null where it states none.
create function referral_private.object_kind_of(p_type text)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_type in ('checkout.session.completed', 'checkout.session.async_payment_succeeded') then 'session'
    when p_type = 'payment_intent.succeeded' then 'intent'
    when p_type = 'invoice.paid' then 'invoice'
    when p_type = 'invoice_payment.paid' then 'invoice_payment'
    when p_type in ('refund.created', 'refund.updated', 'refund.failed') then 'refund'
    when p_type = 'charge.refunded' then 'charge'
    when p_type in (
      'charge.dispute.created', 'charge.dispute.updated', 'charge.dispute.closed',
      'charge.dispute.funds_withdrawn', 'charge.dispute.funds_reinstated'
    ) then 'dispute'
    when p_type in ('radar.early_fraud_warning.created', 'radar.early_fraud_warning.updated') then 'warning'
    when p_type in ('credit_note.created', 'credit_note.updated', 'credit_note.voided') then 'credit_note'
    when p_type = 'customer.discount.created' then 'discount'
    when p_type in ('promotion_code.created', 'promotion_code.updated') then 'promotion_code'
  end;
end
$$;

-- States what an event alone states: what belongs together, and what was reversed. Payments, links to users and
-- evidence are stated of all events together. Returns what that touched.
create function referral_private.state_event(p_kind text, p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object jsonb := p_stated.object;
begin
  return case p_kind
    when 'invoice' then (
      array[v_object ->> 'id'], referral_private.state_customer_account(p_stated)
    )::referral_private.touched
    when 'intent' then (
      referral_private.relate_charge(p_stated, v_object ->> 'latest_charge', v_object ->> 'id'),
      referral_private.state_customer_account(p_stated)
    )::referral_private.touched
    when 'session' then (
      referral_private.state_belongings(p_stated), referral_private.state_customer_account(p_stated)
    )::referral_private.touched
    when 'charge' then (
      referral_private.relate_charge(p_stated, v_object ->> 'id', v_object ->> 'payment_intent'), '{}'::text[]
    )::referral_private.touched
    when 'invoice_payment' then referral_private.state_invoice_payment(p_stated)
    when 'refund' then referral_private.state_refund(p_stated)
    when 'dispute' then referral_private.state_dispute(p_stated)
    when 'warning' then referral_private.state_warning(p_stated)
    when 'credit_note' then referral_private.state_credit_note(p_stated)
    when 'discount' then referral_private.state_discount(p_stated)
    when 'promotion_code' then referral_private.state_promotion_code(p_stated)
  end;
end
$$;

-- What events touched together, and which event touched what.
create type referral_private.touched_together as (touched referral_private.touched, causes referral_private.cause[]);

-- States the facts of these events, of one Stripe account and mode, and returns what they touched. What a session or a
-- promotion code asks about others is stored before.
create function referral_private.state_events(
  p_stripe_account text,
  p_livemode boolean,
  p_events referral_private.accepted_event[]
)
returns referral_private.touched_together
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event referral_private.accepted_event;
  v_touched referral_private.touched;
  v_payment_ids text[] := '{}';
  v_carriers text[] := '{}';
  v_ids text[] := '{}';
  v_by text[] := '{}';
  v_payers referral_private.touched_carrier[];
  v_causes referral_private.cause[] := '{}';
begin
  perform referral_private.state_payments(p_events);
  v_payers := referral_private.state_payers(p_stripe_account, p_livemode, p_events);
  foreach v_event in array p_events loop
    v_touched := referral_private.state_event(v_event.kind, v_event.stated);
    v_payment_ids := v_payment_ids || v_touched.payment_ids;
    v_carriers := v_carriers || v_touched.carriers;
    v_ids := v_ids || v_touched.payment_ids || v_touched.carriers;
    v_by := v_by || array_fill((v_event.stated).event_id, array[cardinality(v_ids) - cardinality(v_by)]);
  end loop;
  if cardinality(v_payers) > 0 then
    v_carriers := v_carriers || array(select p.carrier from unnest(v_payers) as p);
  end if;
  if cardinality(p_events) > 1 then
    v_causes := array(
      select (t.id, t.event_id)::referral_private.cause
      from (
        select id, event_id from unnest(v_ids, v_by) as t (id, event_id)
        union all
        select p.carrier, p.event_id from unnest(v_payers) as p
      ) as t
      join unnest(p_events) with ordinality as e (kind, stated, place) on (e.stated).event_id = t.event_id
      order by e.place
    );
  end if;
  return ((v_payment_ids, v_carriers)::referral_private.touched, v_causes)::referral_private.touched_together;
end
$$;

-- Which of the events touched each of these sales last: one of its objects, or its payer.
create function referral_private.causes_of_sales(
  p_stripe_account text,
  p_livemode boolean,
  p_sale_ids text[],
  p_touched referral_private.cause[]
)
returns referral_private.cause[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  if cardinality(p_touched) = 0 then
    return '{}';
  end if;
  return array(
    with
      sold as materialized (
        select s.sale_id, id
        from referral_private.sales as s
        cross join lateral unnest(s.object_ids || s.payer_id) as id
        where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_sale_ids)
      )
    select distinct on (s.sale_id) (s.sale_id, t.event_id)::referral_private.cause
    from sold as s
    join unnest(p_touched) with ordinality as t (id, event_id, place) on t.id = s.id
    order by s.sale_id, t.place desc
  );
end
$$;

-- The sales to accounts among these carriers that are now a customer's: what was sold to the account is.
create function referral_private.sales_of_accounts(p_stripe_account text, p_livemode boolean, p_carriers text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from referral_private.customer_accounts as a
    where a.customer_account = any (p_carriers) and a.stripe_account = p_stripe_account and a.livemode = p_livemode
  ) then
    return '{}';
  end if;
  return array(
    select s.sale_id from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (p_carriers)
      and exists (
        select from referral_private.payments as p
        where p.payment_id = any (s.object_ids) and p.stripe_account = p_stripe_account and p.livemode = p_livemode
          and referral_private.customer_of(p_stripe_account, p_livemode, p.customer_id) <> s.payer_id
      )
  );
end
$$;

-- States the facts of events of one Stripe account and mode, and settles what they touch. The Stripe account lock is
-- held.
create function referral_private.apply_together(p_events referral_private.accepted_event[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
-- A young project has no statistics yet, and its sessions keep the plans of small tables.
set enable_seqscan = off
set jit = off
as $$
declare
  v_last constant referral_private.stated_event := (p_events[cardinality(p_events)]).stated;
  v_stripe_account constant text := v_last.stripe_account;
  v_livemode constant boolean := v_last.livemode;
  v_together constant referral_private.touched_together := referral_private.state_events(
    v_stripe_account, v_livemode, p_events
  );
  v_touched constant referral_private.touched := v_together.touched;
  v_sales text[] := referral_private.touched_sales(
    v_stripe_account, v_livemode, v_touched.payment_ids || v_touched.carriers
  );
  v_changed referral_private.changed_sales;
  v_payers text[];
begin
  if cardinality(v_touched.carriers) > 0 then
    v_sales := v_sales || referral_private.sales_of_accounts(v_stripe_account, v_livemode, v_touched.carriers);
  end if;
  v_changed := referral_private.project_sales(v_stripe_account, v_livemode, v_sales);
  v_payers := referral_private.payers_touched(v_stripe_account, v_livemode, v_touched.carriers, v_sales);
  v_payers := case
    when cardinality(v_payers) = 0 then v_changed.payer_ids
    else array(select distinct unnest(v_changed.payer_ids || v_payers))
  end;
  -- Events that change no sale, no link, no evidence and no history change nothing that is owed.
  if cardinality(v_payers) > 0 then
    perform referral_private.settle(
      v_stripe_account, v_livemode, v_payers, v_changed.sale_ids, v_last.event_id,
      referral_private.causes_of_sales(v_stripe_account, v_livemode, v_sales, v_together.causes)
    );
  end if;
end
$$;

-- Applies events that are in the inbox: together, and, where that fails, each by itself, so that none stops another.

-- Makes an event wait to be applied; with an error, or if time ran out for it alone, until `run_maintenance` tries
-- again.
create function referral_private.apply_later(p_stated referral_private.stated_event, p_error text default null)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_slow constant boolean := coalesce(p_error = '57014', false);
begin
  insert into referral_private.unapplied_events as u (
    stripe_account, livemode, event_id, event_created_at, tries, error
  )
  values (
    p_stated.stripe_account, p_stated.livemode, p_stated.event_id, p_stated.event_at, v_is_slow::int,
    case when not v_is_slow then p_error end
  )
  on conflict on constraint unapplied_events_pkey do update
  set error = case when not v_is_slow or u.tries >= 3 then p_error end, tried_at = excluded.tried_at,
    tries = least(u.tries + excluded.tries, 4)
  where p_error is not null or u.error is not null;
end
$$;

-- Parks an event of the inbox that the database refuses to apply.
create function referral_private.park(p_stated referral_private.stated_event)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.parked_events (stripe_account, livemode, event_id, event_created_at, reason, event)
  select e.stripe_account, e.livemode, e.event_id, e.created_at, 'refused by the database', e.event
  from referral_private.stripe_events as e
  where e.stripe_account = p_stated.stripe_account and e.livemode = p_stated.livemode
    and e.event_id = p_stated.event_id and e.created_at = p_stated.event_at;
end
$$;

-- Takes events from those that wait.
create function referral_private.applied_now(p_events referral_private.accepted_event[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  delete from referral_private.unapplied_events as u
  using unnest(p_events) as e
  where u.event_id = (e.stated).event_id and u.event_created_at = (e.stated).event_at
    and u.stripe_account = (e.stated).stripe_account and u.livemode = (e.stated).livemode;
end
$$;

-- Applies events of one Stripe account and mode, and returns the ids of those that it could not apply: those that are
-- parked, those that wait with an error of ours, and, after an error of the moment, all. The Stripe account lock is
-- held.
create function referral_private.apply_events(p_events referral_private.accepted_event[])
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count constant int := cardinality(p_events);
  v_sqlstate text;
  v_message text;
begin
  begin
    perform referral_private.apply_together(p_events);
    return '{}';
  exception
    when query_canceled or others then
      v_sqlstate := sqlstate;
      v_message := sqlerrm;
  end;
  if referral_private.is_passing_error(v_sqlstate) then
    raise warning 'referral: % events wait: %: %', v_count, v_sqlstate, v_message;
    perform referral_private.apply_later((e).stated, case v_sqlstate when '57014' then v_sqlstate end)
    from unnest(p_events) as e;
    return array(select ((e).stated).event_id from unnest(p_events) as e);
  elsif v_count > 1 then
    return referral_private.apply_events(p_events[:v_count / 2])
      || referral_private.apply_events(p_events[v_count / 2 + 1:]);
  elsif referral_private.is_data_error(v_sqlstate) then
    perform referral_private.park((p_events[1]).stated);
    perform referral_private.applied_now(p_events);
  else
    raise warning 'referral: event % waits: %: %', ((p_events[1]).stated).event_id, v_sqlstate, v_message;
    perform referral_private.apply_later((p_events[1]).stated, v_sqlstate);
  end if;
  return array[((p_events[1]).stated).event_id];
end
$$;

-- Parked events: counted, listed, and applied once a later version can read them.
create type referral.parked_event as (
  stripe_account text,
  livemode boolean,
  event_id text,
  type text,
  reason text,
  received_at timestamptz,
  event jsonb
);

create type referral.parked_event_count as (
  livemode boolean,
  type text,
  api_version text,
  reason text,
  events bigint,
  stripe_accounts bigint,
  first_at timestamptz,
  last_at timestamptz
);

create function referral_private.count_parked_events(p_livemode boolean default null)
returns setof referral.parked_event_count
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select p.livemode, p.event ->> 'type', p.event ->> 'api_version', p.reason, count(*),
    count(distinct p.stripe_account), min(p.event_created_at), max(p.event_created_at)
  from referral_private.parked_events as p
  where p_livemode is null or p.livemode = p_livemode
  group by 1, 2, 3, 4
  order by 5 desc, 2, 4, 3, 1
  limit 1000;
end
$$;

comment on function referral_private.count_parked_events is
  'public: Counts the events that could not be read when they came, by mode, type, API version and reason, most
first. They earn nothing until they are resolved. api_version is null if the event had none of a known form. first_at
and last_at are the times at which Stripe made the first and the last of them, and stripe_accounts counts the Stripe
accounts.

group: Take payments
livemode: true for live events, false for those of test mode; both unless given
callers: the operator
errors: none
timeout: 20s';

grant execute on function referral_private.count_parked_events to service_role;

create function referral_private.list_parked_events(p_max_rows int default 100, p_after_event text default null)
returns setof referral.parked_event
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Few are parked of very many events.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  -- The row of the page before may be resolved by now.
  v_after timestamptz := coalesce(
    (
      select min(e.received_at)
      from (
        select p.event_created_at, p.stripe_account, p.livemode from referral_private.parked_events as p
        where p.event_id = p_after_event
        union all
        select r.event_created_at, r.stripe_account, r.livemode from referral_private.resolved_events as r
        where r.event_id = p_after_event
      ) as known
      join referral_private.stripe_events as e
        on e.created_at = known.event_created_at and e.event_id = p_after_event
        and e.stripe_account = known.stripe_account and e.livemode = known.livemode
    ),
    case when p_after_event is null then '-infinity'::timestamptz end
  );
begin
  if v_after is null then
    perform referral_private.raise_error('invalid_argument', 'after_event: the last event_id of the page before');
  end if;
  return query
  select p.stripe_account, p.livemode, p.event_id, e.type, p.reason, e.received_at, p.event
  from referral_private.parked_events as p
  join referral_private.stripe_events as e
    on e.created_at = p.event_created_at and e.event_id = p.event_id
    and e.stripe_account = p.stripe_account and e.livemode = p.livemode
  where (e.received_at, p.event_id) > (v_after, coalesce(p_after_event, ''))
  order by e.received_at, p.event_id
  limit referral_private.page_size(p_max_rows);
end
$$;

comment on function referral_private.list_parked_events is
  'public: Returns events that could not be read when they came, oldest first, without what is personal.

group: Take payments
max_rows: 1 to 1,000
after_event: the last event_id of the page before; none for the first page
callers: the operator
errors: invalid_argument
timeout: 10s';

grant execute on function referral_private.list_parked_events to service_role;

create function referral_private.resolve_parked_event(p_event jsonb)
returns setof referral.event_result
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stated referral_private.stated_event;
  v_kind constant text := referral_private.object_kind_of(p_event ->> 'type');
  v_status referral.event_status := 'duplicate';
begin
  v_stated := referral_private.stated_event_of(p_event);
  perform referral_private.lock_stripe_account(v_stated.stripe_account);
  if referral_private.unpark(v_stated, p_event) then
    v_status := case when v_kind is null then 'ignored' else 'applied' end;
  end if;
  if v_status = 'applied' then
    perform referral_private.apply_together(array[(v_kind, v_stated)::referral_private.accepted_event]);
  end if;
  return query select v_stated.event_id, v_status, referral_private.is_unsettled(v_stated.stripe_account);
exception
  when data_exception or cannot_coerce or check_violation or not_null_violation then
    perform referral_private.raise_error('invalid_event');
end
$$;

comment on function referral_private.resolve_parked_event is
  'public: Applies a parked event that can be read now, and deletes what was parked. Status: applied; duplicate if it is
not parked any more.

group: Take payments
event: the event as functions/stripe-webhook reduces it
callers: the operator
errors: invalid_event, busy
returns: a row
timeout: 10s';

grant execute on function referral_private.resolve_parked_event to service_role;

-- Receiving deliveries: into the inbox, and, where nobody else has the Stripe account lock, at once into facts and
-- ledger. A crowd of deliveries is stored, and settled together by whoever gets the lock next.

-- Stores an event in the inbox, and makes it wait to be applied where that is asked for. False if it came before.
create function referral_private.receive(
  p_stated referral_private.stated_event,
  p_status referral.event_status,
  p_event jsonb,
  p_waits boolean
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_new boolean;
begin
  with
    received as (
      insert into referral_private.stripe_events (
        stripe_account, livemode, event_id, type, status, created_at, body_sha256, event
      )
      select
        p_stated.stripe_account, p_stated.livemode, p_stated.event_id, p_event ->> 'type', p_status, p_stated.event_at,
        p_event ->> 'body_sha256',
        case
          when p_status = 'parked' then jsonb_build_object('parked', p_event -> 'parked')
          else p_event - 'body_sha256'
        end
      where not exists (
        select from referral_private.archived_events as a
        where a.event_created_at = p_stated.event_at and a.event_id = p_stated.event_id
          and a.stripe_account = p_stated.stripe_account and a.livemode = p_stated.livemode
      )
      on conflict on constraint stripe_events_pkey do nothing
      returning stripe_account, livemode, event_id, created_at
    ),
    waiting as (
      insert into referral_private.unapplied_events (stripe_account, livemode, event_id, event_created_at)
      select r.stripe_account, r.livemode, r.event_id, r.created_at from received as r where p_waits
    )
  select true into v_is_new from received;
  if v_is_new is null then
    return false;
  end if;
  if p_status = 'parked' then
    insert into referral_private.parked_events (
      stripe_account, livemode, event_id, event_created_at, reason, event
    )
    values (
      p_stated.stripe_account, p_stated.livemode, p_stated.event_id, p_stated.event_at, p_event ->> 'parked',
      p_event - 'parked'
    );
  end if;
  return true;
end
$$;

-- How many events were tried, and the ids of those that could not be applied.
create type referral_private.applied_events as (tried int, unapplied text[]);

-- Applies these new events, and with them those of the Stripe account that have waited longest, so many at most, and
-- fewer each time that time ran out. Those that failed before are tried where that is asked for. The Stripe account
-- lock is held.
create function referral_private.apply_waiting(
  p_stripe_account text,
  p_new referral_private.accepted_event[],
  p_retry boolean default false,
  p_max int default 200
)
returns referral_private.applied_events
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- The planner knows nothing of a table that is empty most of the time.
set enable_seqscan = off
as $$
declare
  -- A new event is applied with those only for which time never ran out.
  v_tries constant int := case
    when cardinality(p_new) > 0 then 0
    else (
      select u.tries from referral_private.unapplied_events as u
      where u.stripe_account = p_stripe_account and (p_retry or u.error is null)
      order by u.tries
      limit 1
    )
  end;
  v_waiting referral_private.accepted_event[];
  v_livemode boolean;
  v_unapplied text[] := '{}';
begin
  if cardinality(p_new) > 0 and not exists (
    select from referral_private.unapplied_events as u
    where u.stripe_account = p_stripe_account and u.tries = 0 and u.error is null
  ) then
    return (cardinality(p_new), referral_private.apply_events(p_new))::referral_private.applied_events;
  end if;
  v_waiting := array(
    select (
      referral_private.object_kind_of(e.type), referral_private.stated_event_of(e.event)
    )::referral_private.accepted_event
    from (
      select u.* from referral_private.unapplied_events as u
      where u.stripe_account = p_stripe_account and (p_retry or u.error is null)
        and u.tries = v_tries
      order by u.tried_at
      limit greatest(p_max >> (3 * v_tries), 1)
    ) as u
    join referral_private.stripe_events as e
      on e.created_at = u.event_created_at and e.event_id = u.event_id
      and e.stripe_account = u.stripe_account and e.livemode = u.livemode
  );
  for v_livemode in
    select distinct (e.stated).livemode from unnest(p_new || v_waiting) as e
  loop
    v_unapplied := v_unapplied || referral_private.apply_events(array(
      select e from unnest(p_new || v_waiting) as e
      where (e.stated).livemode = v_livemode
      order by (e.stated).event_at, (e.stated).event_id
    ));
  end loop;
  perform referral_private.applied_now(array(
    select e from unnest(v_waiting) as e where not (e.stated).event_id = any (v_unapplied)
  ));
  return (cardinality(p_new || v_waiting), v_unapplied)::referral_private.applied_events;
end
$$;

create function referral_private.ingest_stripe_event(p_event jsonb)
returns setof referral.event_result
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stated referral_private.stated_event;
  v_kind constant text := referral_private.object_kind_of(p_event ->> 'type');
  v_status referral.event_status;
  v_is_new boolean;
  v_has_lock boolean := false;
begin
  v_stated := referral_private.stated_event_of(p_event);
  v_status := case
    when p_event ->> 'parked' is not null then 'parked'
    when v_kind is not null then 'applied'
    else 'ignored'
  end;
  perform referral_private.require_read_committed();
  -- It is not waited for: another delivery of this event could hold the lock, and wait for what is stored here.
  if v_status = 'applied' then
    v_has_lock := pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stated.stripe_account));
  end if;
  v_is_new := referral_private.receive(v_stated, v_status, p_event, v_status = 'applied' and not v_has_lock);
  if v_is_new and v_status = 'applied' and not v_has_lock then
    return query select v_stated.event_id, 'stored'::referral.event_status, true;
    return;
  elsif not v_is_new and v_status = 'applied' and referral_private.is_parked(v_stated) then
    -- A parked event can come again in a form that can be read: from an endpoint of another API version.
    begin
      select r.status into v_status from referral_private.resolve_parked_event(p_event) as r;
    exception
      when sqlstate 'PGRST' then
        v_status := 'duplicate';
    end;
  elsif not v_is_new then
    v_status := 'duplicate';
  end if;
  if v_has_lock and v_stated.event_id = any ((referral_private.apply_waiting(
    v_stated.stripe_account,
    case when v_is_new then array[(v_kind, v_stated)::referral_private.accepted_event] else '{}' end
  )).unapplied) then
    v_status := case
      when referral_private.is_unapplied(v_stated.stripe_account, v_stated.event_id) then 'stored'
      else 'parked'
    end;
  elsif v_status = 'duplicate' and referral_private.is_unapplied(v_stated.stripe_account, v_stated.event_id) then
    v_status := 'stored';
  end if;
  return query
  select v_stated.event_id, v_status, referral_private.is_unsettled(v_stated.stripe_account);
exception
  when data_exception or cannot_coerce or check_violation or not_null_violation then
    perform referral_private.raise_error('invalid_event');
end
$$;

comment on function referral_private.ingest_stripe_event is
  'public: Takes one delivery of a verified Stripe event, reduced to what is needed. Status: applied; stored if it is in
the inbox and waits to be applied, because another call has the Stripe account; duplicate if it came before; ignored for
types that state no fact; parked for what the webhook could not read, or the database refuses. A parked event that comes
again in a form that can be read is applied. unsettled: something of the Stripe account waits, then call
settle_stripe_events; if nobody does, run_maintenance settles it.

group: Take payments
event: the event as functions/stripe-webhook reduces it
callers: the operator
errors: invalid_event, busy
returns: a row
timeout: 20s';

grant execute on function referral_private.ingest_stripe_event to service_role;

-- Settling what waits: by the webhook after a delivery, and by run_maintenance.

-- What a call settled: how many events or payers it took, and whether something is left for another call.
create type referral.settled_events as (done int, more boolean);

-- A Stripe account of which something waits, since this time.
create type referral_private.waiting_account as (stripe_account text, since timestamptz);

-- The Stripe accounts of which events, or payers, wait, and since when: of each the oldest of each number of tries is
-- looked at, so that it does not matter how many wait.
create function referral_private.waiting_accounts()
returns setof referral_private.waiting_account
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return query
  with recursive
    events as (
      (
        select u.stripe_account, u.tries, u.tried_at from referral_private.unapplied_events as u
        order by u.stripe_account, u.tries, u.tried_at
        limit 1
      )
      union all
      select next.* from events as e
      cross join lateral (
        select u.stripe_account, u.tries, u.tried_at from referral_private.unapplied_events as u
        where (u.stripe_account, u.tries) > (e.stripe_account, e.tries)
        order by u.stripe_account, u.tries, u.tried_at
        limit 1
      ) as next
    ),
    payers as (
      (
        select q.stripe_account, q.tries, q.tried_at from referral_private.to_settle as q
        order by q.stripe_account, q.tries, q.tried_at
        limit 1
      )
      union all
      select next.* from payers as p
      cross join lateral (
        select q.stripe_account, q.tries, q.tried_at from referral_private.to_settle as q
        where (q.stripe_account, q.tries) > (p.stripe_account, p.tries)
        order by q.stripe_account, q.tries, q.tried_at
        limit 1
      ) as next
    )
  select w.stripe_account, min(w.tried_at)
  from (select * from events union all select * from payers) as w
  group by 1;
end
$$;

-- The Stripe account whose events, or payers, have waited longest, of those that nobody has locked. It is locked; null
-- where none waits.
create function referral_private.lock_longest_waiting()
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text;
begin
  for v_stripe_account in
    select w.stripe_account from referral_private.waiting_accounts() as w order by w.since
  loop
    if pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stripe_account)) then
      return v_stripe_account;
    end if;
  end loop;
  return null;
end
$$;

-- Applies events that wait, or, where none does, settles payers that wait. The Stripe account lock is held.
create function referral_private.settle_piece(p_stripe_account text, p_retry boolean)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_applied referral_private.applied_events :=
    referral_private.apply_waiting(p_stripe_account, '{}', p_retry);
begin
  if v_applied.tried > cardinality(v_applied.unapplied) then
    return v_applied.tried - cardinality(v_applied.unapplied);
  end if;
  return referral_private.settle_waiting(p_stripe_account, p_retry);
end
$$;

create function referral_private.settle_stripe_events(p_stripe_account text default null, p_event_id text default null)
returns setof referral.settled_events
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text := p_stripe_account;
  v_done int := 0;
begin
  perform referral_private.require_read_committed();
  if p_stripe_account is null then
    v_stripe_account := referral_private.lock_longest_waiting();
  elsif p_event_id is null or referral_private.is_unapplied(p_stripe_account, p_event_id) then
    perform referral_private.lock_stripe_account(p_stripe_account);
  else
    v_stripe_account := null;
  end if;
  -- The event may have been applied while the lock was waited for.
  if v_stripe_account is not null and (
    p_event_id is null or referral_private.is_unapplied(v_stripe_account, p_event_id)
  ) then
    v_done := referral_private.settle_piece(v_stripe_account, p_stripe_account is null);
  end if;
  return query select v_done, referral_private.is_unsettled(p_stripe_account);
end
$$;

comment on function referral_private.settle_stripe_events is
  'public: Applies events that are stored and wait, up to 200 together, or, where none waits, settles up to 250 payers
that wait because there was too much to do at once. Returns how many it took, and whether more is left. Call it when
ingest_stripe_event says unsettled, and again while there is more; run_maintenance does it too.

group: Run jobs
stripe_account: its id, the empty text for the platform''s own account; the one that has waited longest unless given
event_id: nothing is done if this event of the account does not wait any more
callers: the operator
errors: busy
returns: a row
timeout: 20s';

grant execute on function referral_private.settle_stripe_events to service_role;

-- Commands whose answer depends on purchases see every purchase that was acknowledged: also one that is stored and
-- waits to be applied.

-- Applies what is stored of a Stripe account whose lock is held exclusively. Raises `busy` where more is stored than
-- one transaction takes: it is applied meanwhile by deliveries and jobs. What has failed waits for `run_maintenance`.
create function referral_private.drain_events(p_stripe_account text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.has_stored_events(p_stripe_account) then
    perform referral_private.apply_waiting(p_stripe_account, '{}');
    if referral_private.has_stored_events(p_stripe_account) then
      perform referral_private.raise_error('busy');
    end if;
  end if;
end
$$;

-- Locks the Stripe account of an organisation, as `lock_stripe_account_of`, and applies what is stored of it.
create function referral_private.lock_drained_account_of(p_org_id uuid)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account constant text := referral_private.lock_stripe_account_of(p_org_id);
begin
  perform referral_private.drain_events(v_stripe_account);
  return v_stripe_account;
end
$$;

-- The text of an event as the normal form of codes has it, without all that is not part of one.
create function referral_private.letters_of(p_event jsonb)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return regexp_replace(
    translate(
      normalize(p_event::text, NFKC) collate "C", 'abcdefghijklmnopqrstuvwxyzOIL', 'ABCDEFGH1JK1MN0PQRSTUVWXYZ011'
    ),
    '[^0-9A-Z]+', '', 'g'
  );
end
$$;

-- Whether an event that is stored and waits may carry one of these texts. Where many wait, or many texts are asked for,
-- any may. It can say yes of a text that is no code there: ask again when nothing waits.
create function referral_private.may_be_carried(p_stripe_account text, p_keys text[])
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_letters text[];
begin
  if cardinality(p_keys) = 0 then
    return false;
  end if;
  v_letters := array(
    select referral_private.letters_of(e.event)
    from (
      select u.* from referral_private.unapplied_events as u
      where u.stripe_account = p_stripe_account
      limit 1000
    ) as w
    join referral_private.stripe_events as e
      on e.stripe_account = w.stripe_account and e.livemode = w.livemode and e.event_id = w.event_id
      and e.created_at = w.event_created_at
  );
  return cardinality(v_letters) >= 1000 or cardinality(v_letters) * cardinality(p_keys) > 100000 or exists (
    select from unnest(v_letters) as l, unnest(p_keys) as k where position(k in l) > 0
  );
end
$$;

-- Payments that did not go through Stripe: recorded by the app's server, they become the same facts.
create type referral.recorded_fact as (ref text, status referral.event_status);

-- What an argument that a constraint refuses must be.
comment on constraint recorded_facts_provider_is_a_label on referral_private.recorded_facts is
  'provider: 1 to 32 of a to z, 0 to 9 and _';

comment on constraint recorded_facts_ref_is_1_to_255 on referral_private.recorded_facts is
  'payment_ref, refund_ref: 1 to 255 visible characters of ASCII';

comment on constraint postings_are_exact_in_javascript on referral_private.postings is
  'amount: small enough that no sum exceeds 9,007,199,254,740,991';

comment on constraint ledger_accounts_balance_is_exact_in_javascript on referral_private.ledger_accounts is
  'amount: small enough that no sum exceeds 9,007,199,254,740,991';

-- The mode that the options of a record say; live unless they do. Raises `invalid_argument` for an unknown option.
create function referral_private.livemode_of(p_options jsonb)
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(jsonb_typeof(p_options), '') <> 'object' or p_options - 'livemode' <> '{}'
    or coalesce(jsonb_typeof(p_options -> 'livemode'), 'boolean') <> 'boolean'
  then
    perform referral_private.raise_error('invalid_argument', 'options: an object such as {"livemode": false}');
  end if;
  return coalesce((p_options -> 'livemode')::boolean, true);
end
$$;

-- Stores a record under the Stripe account lock. Returns `applied`, or `duplicate` where it is stored already. Raises
-- `record_conflict` where it is stored with other content.
create function referral_private.store_record(
  p_org_id uuid,
  p_livemode boolean,
  p_kind text,
  p_provider text,
  p_ref text,
  p_content jsonb
)
returns referral.event_status
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known jsonb;
begin
  if p_provider is null then
    perform referral_private.raise_error('invalid_argument', 'provider: required');
  end if;
  if p_ref is null then
    perform referral_private.raise_error(
      'invalid_argument', case p_kind when 'payment' then 'payment_ref: required' else 'refund_ref: required' end
    );
  end if;
  perform referral_private.require_role(p_org_id, 'admin');
  perform referral_private.lock_stripe_account_of(p_org_id);
  insert into referral_private.recorded_facts (org_id, livemode, kind, provider, ref, content)
  values (p_org_id, p_livemode, p_kind, p_provider, p_ref, p_content)
  on conflict on constraint recorded_facts_pkey do nothing;
  if found then
    return 'applied';
  end if;
  select f.content into strict v_known
  from referral_private.recorded_facts as f
  where f.org_id = p_org_id and f.livemode = p_livemode and f.kind = p_kind and f.provider = p_provider
    and f.ref = p_ref;
  if v_known <> p_content then
    perform referral_private.raise_error('record_conflict');
  end if;
  return 'duplicate';
end
$$;

-- The id of a provider's reference among the facts.
create function referral_private.recorded_id(p_org_id uuid, p_provider text, p_ref text)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return concat_ws(':', p_provider, p_org_id, p_ref);
end
$$;

-- Refuses an amount that is no whole number of minor units, with `invalid_argument`.
create function referral_private.require_amount(p_amount bigint)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_amount is null or p_amount not between 1 and 9007199254740991 then
    perform referral_private.raise_error('invalid_argument', 'amount: 1 to 9,007,199,254,740,991, in minor units');
  end if;
end
$$;

-- Settles what a recorded payment touches.
create function referral_private.settle_recorded(p_stripe_account text, p_livemode boolean, p_payment_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed referral_private.changed_sales := referral_private.project_sales(
    p_stripe_account, p_livemode, array[p_payment_id]
  );
begin
  perform referral_private.settle(
    p_stripe_account, p_livemode, v_changed.payer_ids, v_changed.sale_ids, p_payment_id
  );
end
$$;

-- States a recorded payment and who made it, and settles. The payer is the user, in the organisation.
create function referral_private.state_recorded_payment(p_payment referral_private.payments, p_referee_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  p_payment.source := 'record';
  p_payment.customer_id := concat_ws(':', 'user', p_payment.org_id, p_referee_id);
  p_payment.names_referral := true;
  p_payment.total := p_payment.paid;
  p_payment.sale_at := p_payment.paid_at;
  p_payment.stated_at := p_payment.paid_at;
  p_payment.stated_by := p_payment.payment_id;
  p_payment.made_at := p_payment.paid_at;
  p_payment.paid_at_is_stated := true;
  insert into referral_private.payments select p_payment.*;
  insert into referral_private.known_users (stripe_account, user_id, signed_up_at)
  values (
    p_payment.stripe_account, p_referee_id, (select u.created_at from auth.users as u where u.id = p_referee_id)
  )
  on conflict do nothing;
  if found then
    perform referral_private.settle_users(p_payment.stripe_account, array[p_referee_id], p_payment.payment_id);
  end if;
  insert into referral_private.payer_users (stripe_account, livemode, carrier, user_id, linked_at)
  values (p_payment.stripe_account, p_payment.livemode, p_payment.customer_id, p_referee_id, '-infinity')
  on conflict do nothing;
  perform referral_private.settle_recorded(p_payment.stripe_account, p_payment.livemode, p_payment.payment_id);
end
$$;

create function referral_private.record_payment(
  p_org_id uuid,
  p_provider text,
  p_payment_ref text,
  p_referee_id uuid,
  p_amount bigint,
  p_currency text,
  p_tax bigint default null,
  p_paid_at timestamptz default null,
  p_program_id uuid default null,
  p_options jsonb default '{}'
)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_livemode constant boolean := referral_private.livemode_of(p_options);
  v_status referral.event_status;
  v_payment referral_private.payments;
begin
  perform referral_private.require_amount(p_amount);
  if p_currency is null or p_currency !~ '^[a-z]{3}$' then
    perform referral_private.raise_error('invalid_argument', 'currency: three lower-case letters, such as usd');
  end if;
  if p_tax not between 0 and p_amount then
    perform referral_private.raise_error('invalid_argument', 'tax: 0 to amount');
  end if;
  if p_referee_id is null then
    perform referral_private.raise_error('invalid_argument', 'referee_id: required');
  end if;
  if p_paid_at is null or not isfinite(p_paid_at) then
    perform referral_private.raise_error('invalid_argument', 'paid_at: required, the time at which it was paid');
  end if;
  v_status := referral_private.store_record(
    p_org_id, v_livemode, 'payment', p_provider, p_payment_ref,
    jsonb_build_object(
      'referee_id', p_referee_id, 'amount', p_amount, 'currency', p_currency, 'tax', p_tax,
      'paid_at', extract(epoch from p_paid_at), 'program_id', p_program_id
    )
  );
  if v_status = 'applied' then
    if p_program_id is not null and not exists (
      select from referral.programs as p where p.org_id = p_org_id and p.id = p_program_id
    ) then
      perform referral_private.raise_error('program_not_found');
    end if;
    v_payment.stripe_account := referral_private.stripe_account_of(p_org_id);
    v_payment.livemode := v_livemode;
    v_payment.payment_id := referral_private.recorded_id(p_org_id, p_provider, p_payment_ref);
    v_payment.org_id := p_org_id;
    v_payment.program_id := p_program_id;
    v_payment.currency := p_currency;
    v_payment.paid := p_amount;
    v_payment.total_excluding_tax := p_amount - p_tax;
    v_payment.paid_at := p_paid_at;
    perform referral_private.state_recorded_payment(v_payment, p_referee_id);
  end if;
  return query select p_payment_ref, v_status;
end
$$;

comment on function referral_private.record_payment is
  'public: Records a payment that did not go through Stripe. The same content again returns duplicate.

group: Take payments
org_id: the organisation
provider: a lower-case label
payment_ref: the provider''s reference, up to 255 printable characters
referee_id: the user who paid
amount: minor units, as Stripe counts them: ISK and UGX with two decimals, MGA without
currency: lower-case, such as usd
tax: minor units contained in the amount; unknown unless given
paid_at: required; when it was paid
program_id: every program of the organisation unless given
options: an object: {"livemode": false} records in test mode, where the reference can be used once more
callers: the operator
errors: organisation_not_found, program_not_found, record_conflict, invalid_argument, busy
returns: a row
timeout: 10s';

grant execute on function referral_private.record_payment to service_role;

-- Refunds that did not go through Stripe, and refunds that failed after all.

create function referral_private.record_refund(
  p_org_id uuid,
  p_provider text,
  p_refund_ref text,
  p_payment_ref text,
  p_amount bigint,
  p_options jsonb default '{}'
)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_livemode constant boolean := referral_private.livemode_of(p_options);
  v_status referral.event_status;
  v_stripe_account text;
  v_payment_id text := referral_private.recorded_id(p_org_id, p_provider, p_payment_ref);
begin
  perform referral_private.require_amount(p_amount);
  if p_payment_ref is null then
    perform referral_private.raise_error('invalid_argument', 'payment_ref: required');
  end if;
  v_status := referral_private.store_record(
    p_org_id, v_livemode, 'refund', p_provider, p_refund_ref,
    jsonb_build_object('payment_ref', p_payment_ref, 'amount', p_amount)
  );
  if v_status = 'applied' then
    v_stripe_account := referral_private.stripe_account_of(p_org_id);
    insert into referral_private.refunds as r (
      stripe_account, livemode, refund_id, payment_key, amount, status_rank, stated_at, stated_by
    )
    values (
      v_stripe_account, v_livemode, referral_private.recorded_id(p_org_id, p_provider, p_refund_ref), v_payment_id,
      p_amount, 1, 'epoch', v_payment_id
    )
    on conflict on constraint refunds_pkey do update
    set payment_key = excluded.payment_key, amount = excluded.amount;
    perform referral_private.settle_recorded(v_stripe_account, v_livemode, v_payment_id);
  end if;
  return query select p_refund_ref, v_status;
end
$$;

comment on function referral_private.record_refund is
  'public: Records a refund of a recorded payment. The refund may be recorded before its payment.

group: Take payments
org_id: the organisation
provider: a lower-case label
refund_ref: the provider''s reference, up to 255 printable characters
payment_ref: the reference of the payment
amount: minor units
options: as record_payment; a refund is of a payment of its mode
callers: the operator
errors: organisation_not_found, record_conflict, invalid_argument, busy
returns: a row
timeout: 10s';

grant execute on function referral_private.record_refund to service_role;

-- The failure may be recorded before its refund.
create function referral_private.record_refund_reversed(
  p_org_id uuid,
  p_provider text,
  p_refund_ref text,
  p_options jsonb default '{}'
)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_livemode constant boolean := referral_private.livemode_of(p_options);
  v_status referral.event_status;
  v_stripe_account text;
  v_payment_id text;
begin
  v_status := referral_private.store_record(
    p_org_id, v_livemode, 'refund_reversed', p_provider, p_refund_ref, '{}'
  );
  if v_status = 'applied' then
    v_stripe_account := referral_private.stripe_account_of(p_org_id);
    insert into referral_private.refunds as r (
      stripe_account, livemode, refund_id, amount, status_rank, stated_at, stated_by
    )
    values (
      v_stripe_account, v_livemode, referral_private.recorded_id(p_org_id, p_provider, p_refund_ref), 0, 2, 'epoch',
      p_refund_ref
    )
    on conflict on constraint refunds_pkey do update
    set status_rank = 2
    returning r.payment_key into v_payment_id;
    if v_payment_id is not null then
      perform referral_private.settle_recorded(v_stripe_account, v_livemode, v_payment_id);
    end if;
  end if;
  return query select p_refund_ref, v_status;
end
$$;

comment on function referral_private.record_refund_reversed is
  'public: Records that a refund failed after all.

group: Take payments
org_id: the organisation
provider: a lower-case label
refund_ref: the reference of the refund
options: as record_payment
callers: the operator
errors: organisation_not_found, record_conflict, invalid_argument, busy
returns: a row
timeout: 10s';

grant execute on function referral_private.record_refund_reversed to service_role;

-- Commands on organisations.

create function referral_private.create_organisation(p_name text, p_slug text, p_admin_id uuid)
returns referral.organisations
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_organisation referral.organisations;
begin
  if p_admin_id is null then
    perform referral_private.raise_error('invalid_argument', 'admin_id: required');
  end if;
  -- The organisation starts on the platform's own account, which it may be the second to join.
  if (
    select count(*)
    from (select from referral.organisations as o where o.stripe_account_id is null limit 2) as sharing
  ) < 2 then
    perform referral_private.lock_stripe_account('');
  end if;
  perform referral_private.recognise_user(p_admin_id);
  insert into referral.organisations (name, slug) values (p_name, p_slug) returning * into v_organisation;
  insert into referral.members (org_id, user_id, role) values (v_organisation.id, p_admin_id, 'admin');
  if referral_private.shared_since('') = v_organisation.stripe_account_since then
    -- Purchases can be dated ahead.
    perform referral_private.settle_payment_links('', v_organisation.stripe_account_since);
  end if;
  return v_organisation;
end
$$;

comment on function referral_private.create_organisation is
  'public: Creates an organisation and its first admin.

group: Set up organisations and programs
name: one line of 1 to 120 characters
slug: a lower-case label, unique
admin_id: the user who becomes admin
callers: the operator
errors: organisation_exists, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.create_organisation to service_role;

-- The Stripe account decides which payments can confirm the organisation's redemptions, so it is fixed once there are
-- any. Both accounts are settled anew: the organisation's redemptions join one and leave the other.
create function referral_private.change_stripe_account(p_org_id uuid, p_stripe_account_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old text := referral_private.stripe_account_of(p_org_id);
  v_new text := coalesce(p_stripe_account_id, '');
begin
  perform referral_private.lock_stripe_account(least(v_old collate "C", v_new));
  perform referral_private.lock_stripe_account(greatest(v_old collate "C", v_new));
  if v_old = v_new then
    return;
  end if;
  if referral_private.stripe_account_of(p_org_id) <> v_old then
    perform referral_private.raise_error('busy');
  end if;
  -- What is acknowledged is settled first: it may be owed by this organisation, on the account that it had.
  perform referral_private.drain_events(v_old);
  perform referral_private.drain_events(v_new);
  if referral_private.is_unsettled(v_old) or referral_private.is_unsettled(v_new) then
    perform referral_private.raise_error('busy');
  end if;

  if v_old <> '' and exists (select from referral_private.payments as p where p.stripe_account = v_old)
    or exists (select from referral.redemptions as r where r.org_id = p_org_id and r.confirmed_at is not null)
    or exists (select from referral_private.postings as p where p.org_id = p_org_id)
    or exists (select from referral_private.recorded_facts as f where f.org_id = p_org_id)
    or exists (
      select from referral.codes as c
      join referral_private.payer_evidence as e on e.named = c.code_key
      where c.org_id = p_org_id and e.stripe_account in (v_old, v_new)
    )
    or exists (
      select from referral.codes as c
      join referral_private.promotion_code_statements as p on c.code_key in (p.code_key, p.previous_key)
      where c.org_id = p_org_id and p.stripe_account in (v_old, v_new)
    )
  then
    perform referral_private.raise_error('stripe_account_fixed');
  end if;
  update referral.organisations as o
  set stripe_account_id = p_stripe_account_id, stripe_account_since = clock_timestamp()
  where o.id = p_org_id;
  perform referral_private.settle_organisation(p_org_id, array[v_old, v_new]);
end
$$;

-- An organisation with these changes, not stored. Raises `invalid_argument` for a value that its column cannot have.
create function referral_private.changed_organisation(p_organisation referral.organisations, p_changes jsonb)
returns referral.organisations
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
as $$
begin
  return jsonb_populate_record(p_organisation, p_changes);
exception
  when data_exception then
    perform referral_private.raise_error('invalid_argument', 'changes: ' || sqlerrm);
end
$$;

-- Refuses a time zone that is not one of the database's names, with `invalid_argument`.
create function referral_private.require_time_zone(p_name text)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pg_timezone_names as z where z.name = p_name) then
    perform referral_private.raise_error('invalid_argument', 'time_zone: a name such as Europe/Berlin');
  end if;
end
$$;

-- Only the operator sets the Stripe account, which decides whose events the organisation receives, the link host, which
-- decides which apps open its links, and the rows of batches, by which one organisation can fill the database of all.
create function referral_private.update_organisation(p_org_id uuid, p_changes jsonb)
returns referral.organisations
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_of_operator constant text[] := '{stripe_account_id,link_origin,batch_rows_per_day}';
  v_settings constant text[] := array[
    'name', 'active', 'web_destination', 'ios_destination', 'android_destination', 'android_package', 'ios_app_ids',
    'android_fingerprints', 'code_length', 'codes_per_member', 'max_uses_cap', 'rotation_grace', 'rotations_per_day',
    'redemptions_per_user', 'redemptions_per_address', 'click_window', 'clicks_per_visitor', 'clicks_per_code',
    'time_zone', 'refuse_look_alikes'
  ];
  v_old referral.organisations;
  v_new referral.organisations;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  perform referral_private.require_changes(p_changes, v_settings || v_of_operator);
  if p_changes ?| v_of_operator and not referral_private.is_operator() then
    perform referral_private.raise_error(
      'not_allowed', array_to_string(v_of_operator, ', ') || ' are set by the operator, with the secret key'
    );
  end if;
  if p_changes ? 'time_zone' then
    perform referral_private.require_time_zone(p_changes ->> 'time_zone');
  end if;
  if p_changes ? 'stripe_account_id' then
    perform referral_private.change_stripe_account(p_org_id, p_changes ->> 'stripe_account_id');
  elsif p_changes ? 'active' then
    -- So that no redemption under way commits after this call has returned.
    perform referral_private.lock_stripe_account_of(p_org_id);
  end if;

  select * into strict v_old from referral.organisations as o where o.id = p_org_id for no key update;
  -- The caller may have lost the role while this waited.
  perform referral_private.require_role(p_org_id, 'admin');
  v_new := referral_private.changed_organisation(v_old, p_changes);
  update referral.organisations as o
  set name = v_new.name, active = v_new.active, link_origin = v_new.link_origin,
    web_destination = v_new.web_destination, ios_destination = v_new.ios_destination,
    android_destination = v_new.android_destination, android_package = v_new.android_package,
    ios_app_ids = v_new.ios_app_ids, android_fingerprints = v_new.android_fingerprints,
    code_length = v_new.code_length, codes_per_member = v_new.codes_per_member,
    batch_rows_per_day = v_new.batch_rows_per_day,
    max_uses_cap = v_new.max_uses_cap, rotation_grace = v_new.rotation_grace,
    rotations_per_day = v_new.rotations_per_day,
    redemptions_per_user = v_new.redemptions_per_user, redemptions_per_address = v_new.redemptions_per_address,
    click_window = v_new.click_window, clicks_per_visitor = v_new.clicks_per_visitor,
    clicks_per_code = v_new.clicks_per_code, time_zone = v_new.time_zone,
    refuse_look_alikes = v_new.refuse_look_alikes, updated_at = clock_timestamp()
  where o.id = p_org_id
  returning * into v_new;
  if v_new.active <> v_old.active then
    perform referral_private.settle_program(referral_private.stripe_account_of(p_org_id), p.id, v_new.updated_at)
    from referral.programs as p
    where p.org_id = p_org_id;
  end if;
  return v_new;
end
$$;

comment on function referral_private.update_organisation is
  'public: Changes settings of an organisation: name, active, web_destination, ios_destination, android_destination
(https; web_destination also http://localhost and http://127.0.0.1, for the local stack), android_package, ios_app_ids
(TEAMID.bundle.id), android_fingerprints (SHA-256, AB:CD:…), code_length, codes_per_member
(codes in their grace included), max_uses_cap, rotation_grace, rotations_per_day (codes that a member
may replace themself within 24 hours); redemptions_per_user, redemptions_per_address (per hour); click_window
(an interval of up to 90 days in which a click proves a redemption), clicks_per_visitor, clicks_per_code (kept of a
code and day in UTC); time_zone (a name such as Europe/Berlin; a code that expires on a date ends with that day there);
refuse_look_alikes (true: staff cannot choose a code that looks like one of another organisation on the shared link
host); and, operator only, stripe_account_id, batch_rows_per_day (of codes that staff generate, import or try to, in 24
hours) and link_origin (https, lower case, of one organisation only).

group: Set up organisations and programs
org_id: the organisation
changes: an object with these keys; unknown keys are refused
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, stripe_account_taken,
  link_origin_taken, stripe_account_fixed, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.update_organisation to authenticated, service_role;

-- Whom and what a decision is about, and that nobody decides who is interested. The Stripe account lock is held.

-- The payers that a rejected referral had when it was rejected, by what they are called now.
create function referral_private.payers_written_down(
  p_stripe_account text,
  p_livemode boolean,
  p_decision referral.decisions
)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.payers_of_carriers(p_stripe_account, p_livemode, array(
    select w.payer_id from referral_private.decision_payers as w
    where w.org_id = p_decision.org_id and w.decision_id = p_decision.id
      and w.stripe_account = p_stripe_account and w.livemode = p_livemode
  ));
end
$$;

-- The payers that a rejected referral has now, in one mode: those written down, and all payers of its people. Payers
-- and people may have become known since it was rejected.
create function referral_private.payers_rejected(
  p_stripe_account text,
  p_livemode boolean,
  p_decision referral.decisions
)
returns setof referral_private.payer
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_written text[] := referral_private.payers_written_down(p_stripe_account, p_livemode, p_decision);
  v_payers referral_private.payer[] := (referral_private.payers_together(
    p_stripe_account, p_livemode, v_written || referral_private.payers_of_users(
      p_stripe_account, p_livemode, array_remove(array[p_decision.person_id], null)
    )
  )).payers;
begin
  return query
  select p.*
  from unnest(v_payers) as p
  where p.payer_id = any (v_written) or p.person = p_decision.person_id or p.person in (
    select w.person from unnest(v_payers) as w where w.payer_id = any (v_written)
  );
end
$$;

-- The people whom a decision is about: the member, or everybody whose referral is rejected or confirmed.
create function referral_private.people_of_decision(p_stripe_account text, p_decision referral.decisions)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_remove(array[p_decision.member_id, p_decision.person_id], null) || array(
    select p.person
    from unnest('{true,false}'::boolean[]) as livemode
    cross join lateral referral_private.payers_rejected(p_stripe_account, livemode, p_decision) as p
    where p_decision.kind = 'reject' and p.person is not null
  );
end
$$;

-- The codes whose sales a decision is about.
create function referral_private.codes_of_decision(p_stripe_account text, p_decision referral.decisions)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_people uuid[] := referral_private.people_of_decision(p_stripe_account, p_decision);
begin
  if p_decision.chain_id is not null then
    return referral_private.codes_of_chain(p_decision.org_id, p_decision.chain_id);
  elsif p_decision.member_id is not null then
    return array(
      select c.id from referral.codes as c
      where c.org_id = p_decision.org_id and c.referrer_id = p_decision.member_id
      union
      select c.id from referral.codes as c
      where c.org_id = p_decision.org_id and c.beneficiary_id = p_decision.member_id
    );
  end if;
  return array(
    select r.code_id from referral.redemptions as r
    where r.org_id = p_decision.org_id and r.program_id = p_decision.program_id and r.referee_id = any (v_people)
    union
    select unnest(referral_private.codes_carried(p_stripe_account, livemode, p_decision.program_id, array(
      select p.payer_id from referral_private.payers_rejected(p_stripe_account, livemode, p_decision) as p
    )))
    from unnest('{true,false}'::boolean[]) as livemode
    where p_decision.kind = 'reject'
  );
end
$$;

-- Nobody decides on a code that is theirs, benefits them, or was made by them. Raises `not_allowed`.
create function referral_private.require_no_interest_in(p_code_ids uuid[])
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if auth.uid() is not null and exists (
    select from referral.codes as c
    where c.id = any (p_code_ids) and auth.uid() in (c.referrer_id, c.beneficiary_id, c.created_by)
  ) then
    perform referral_private.raise_error(
      'not_allowed',
      'you decide on a code that is yours, benefits you or was made by you: ask somebody else, or the operator'
    );
  end if;
end
$$;

-- Nobody decides on themself, either. Raises `not_allowed`.
create function referral_private.require_no_interest(p_stripe_account text, p_decision referral.decisions)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if auth.uid() = any (referral_private.people_of_decision(p_stripe_account, p_decision)) then
    perform referral_private.raise_error(
      'not_allowed', 'you decide on yourself: ask somebody else, or the operator'
    );
  end if;
  perform referral_private.require_no_interest_in(
    referral_private.codes_of_decision(p_stripe_account, p_decision)
  );
end
$$;

-- The payers whose sales a decision is about, in one mode.
create function referral_private.payers_of_decision(
  p_stripe_account text,
  p_livemode boolean,
  p_decision referral.decisions
)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_decision.kind = 'forfeit' then
    return referral_private.payers_of_codes(
      p_stripe_account, p_livemode, p_decision.org_id,
      referral_private.codes_of_decision(p_stripe_account, p_decision)
    );
  end if;
  return referral_private.payers_of_users(
    p_stripe_account, p_livemode, array_remove(array[p_decision.person_id], null)
  ) || referral_private.payers_written_down(p_stripe_account, p_livemode, p_decision);
end
$$;

-- What follows from a decision: redemptions and the ledger are brought to what then stands, and nobody gains by what
-- they decided. Blocking states decisions of its own. The Stripe account lock is held.

-- What a user is owed in an organisation in one currency and mode, whether it is on hold, available or paid out.
create type referral_private.owed_amount as (livemode boolean, currency text, amount numeric);

-- Everything that a user is owed in an organisation.
create function referral_private.amounts_owed(p_org_id uuid, p_user_id uuid)
returns setof referral_private.owed_amount
language plpgsql
stable
rows 2
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select a.livemode, a.currency, sum(a.balance)
  from referral_private.ledger_accounts as a
  where a.org_id = p_org_id and a.earner_id = p_user_id
  group by a.livemode, a.currency;
end
$$;

-- Whether a decision waits to be settled, and somebody may earn by it: payers whom it is about are theirs, or carry
-- codes of theirs. What a block ends begins now, and stays the winner's.
create function referral_private.may_earn_later(p_stripe_account text, p_decision referral.decisions, p_user_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select
    from unnest('{true,false}'::boolean[]) as mode
    cross join lateral referral_private.payers_of_decision(p_stripe_account, mode, p_decision) as payer_ids
    where p_user_id is not null and not p_decision.by_block and exists (
      select from referral_private.to_settle as q
      where q.stripe_account = p_stripe_account and q.livemode = mode and q.payer_id = any (payer_ids)
    ) and payer_ids && (
      referral_private.payers_of_users(p_stripe_account, mode, array[p_user_id])
      || referral_private.payers_of_codes(p_stripe_account, mode, p_decision.org_id, array(
        select c.id from referral.codes as c
        where c.org_id = p_decision.org_id and p_user_id in (c.referrer_id, c.beneficiary_id)
      ))
    )
  );
end
$$;

-- Brings the redemption and all sales that a decision is about to what the decisions say now. One pass per mode: a
-- forfeit of a referrer with many payers holds the Stripe account lock for all of them. Raises `not_allowed` where the
-- caller, other than the operator, is owed more by it.
create function referral_private.settle_decision(p_stripe_account text, p_decision referral.decisions)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before referral_private.owed_amount[] := array(
    select o from referral_private.amounts_owed(p_decision.org_id, auth.uid()) as o
  );
begin
  perform referral_private.project_decision(p_decision.org_id, p_decision.program_id, p_decision.person_id);
  perform referral_private.settle(
    p_stripe_account, livemode, referral_private.payers_of_decision(p_stripe_account, livemode, p_decision), '{}',
    'decision ' || p_decision.id
  )
  from unnest('{true,false}'::boolean[]) as livemode;
  if exists (
    select from referral_private.amounts_owed(p_decision.org_id, auth.uid()) as o
    left join unnest(v_before) as b on b.livemode = o.livemode and b.currency = o.currency
    where o.amount > coalesce(b.amount, 0)
  ) or referral_private.may_earn_later(p_stripe_account, p_decision, auth.uid()) then
    perform referral_private.raise_error(
      'not_allowed', 'you would earn more by what you decide: ask somebody else, or the operator'
    );
  end if;
end
$$;

-- States a forfeit of a member or a chain from this second on, because they are blocked, unless one is open.
create function referral_private.forfeit_by_block(
  p_stripe_account text,
  p_org_id uuid,
  p_member_id uuid,
  p_chain_id uuid,
  p_reason text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision referral.decisions;
begin
  if exists (
    select from referral.decisions as d
    where d.org_id = p_org_id and (d.member_id = p_member_id or d.chain_id = p_chain_id) and d.by_block
      and d.until is null and d.withdrawn_at is null
  ) then
    return;
  end if;
  insert into referral.decisions (org_id, kind, member_id, chain_id, since, by_block, reason, decided_by)
  values (
    p_org_id, 'forfeit', p_member_id, p_chain_id, date_trunc('second', clock_timestamp()), true, p_reason, auth.uid()
  )
  returning * into v_decision;
  perform referral_private.settle_decision(p_stripe_account, v_decision);
end
$$;

-- Ends the open forfeits that blocking a member stated. Each lasts a second at least. Raises `not_allowed` where the
-- caller has an interest in it.
create function referral_private.end_forfeits_by_block(p_stripe_account text, p_org_id uuid, p_member_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision referral.decisions;
begin
  for v_decision in
    update referral.decisions as d
    set until = greatest(date_trunc('second', clock_timestamp()), d.since + interval '1 second')
    where d.org_id = p_org_id and d.member_id = p_member_id and d.by_block and d.until is null
      and d.withdrawn_at is null
    returning d.*
  loop
    perform referral_private.require_no_interest(p_stripe_account, v_decision);
    perform referral_private.settle_decision(p_stripe_account, v_decision);
  end loop;
end
$$;

-- Commands on members: who is let in, with which role, and under which name.

-- Lets the name of a role pass. Raises `invalid_argument`.
create function referral_private.require_role_name(p_role text)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_role is null or p_role <> all (enum_range(null::referral.member_role)::text[]) then
    perform referral_private.raise_error('invalid_argument', 'role: member, coordinator or admin');
  end if;
end
$$;

-- Coordinators add members, admins add anyone. Raises `not_allowed`.
create function referral_private.require_may_add(p_org_id uuid, p_role text)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.require_role(
    p_org_id, (case when p_role = 'member' then 'coordinator' else 'admin' end)::referral.member_role
  );
end
$$;

-- An existing role is never changed here. A member who enrolled by themself counts as invited from then on.
create function referral_private.add_member(p_org_id uuid, p_user_id uuid, p_role text default 'member')
returns referral.members
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_user_id is null then
    perform referral_private.raise_error('invalid_argument', 'user_id: required');
  end if;
  perform referral_private.require_role_name(p_role);
  perform referral_private.require_may_add(p_org_id, p_role);

  perform referral_private.recognise_user(p_user_id);
  insert into referral.members (org_id, user_id, role, admitted_by)
  values (p_org_id, p_user_id, p_role::referral.member_role, auth.uid())
  on conflict on constraint members_pkey do update
  set admitted_by = auth.uid()
  where members.admitted_by = members.user_id;
  -- The insert waits for others who change the same member.
  perform referral_private.require_may_add(p_org_id, p_role);

  select * into strict v_member from referral.members as m where m.org_id = p_org_id and m.user_id = p_user_id;
  if v_member.role::text <> p_role then
    perform referral_private.raise_error('member_exists', v_member.role::text);
  end if;
  if v_member.deactivated_at is not null then
    perform referral_private.raise_error('member_deactivated');
  end if;
  return v_member;
end
$$;

comment on function referral_private.add_member is
  'public: Adds a person with a role. Adding the same again changes nothing; an existing role is never changed.

group: Manage members
org_id: the organisation
user_id: the person
role: member, coordinator or admin
callers: coordinators for members; admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_deactivated, organisation_not_found,
  member_exists, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.add_member to authenticated, service_role;

-- Coordinators manage members, admins manage everyone. Raises what `require_role` does.
create function referral_private.require_role_over(p_org_id uuid, p_user_ids uuid[])
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.require_role(p_org_id, (case
    when exists (
      select from referral.members as m
      where m.org_id = p_org_id and m.user_id = any (p_user_ids) and m.role <> 'member'
    ) then 'admin'
    else 'coordinator'
  end)::referral.member_role);
end
$$;

-- Locks the organisation, whose number of admins must not change, then the member. The
-- caller's role is that after the locks. Raises `not_allowed`, `member_not_found`.
create function referral_private.lock_member_to_manage(p_org_id uuid, p_user_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  perform from referral.organisations as o where o.id = p_org_id for no key update;
  select * into v_member
  from referral.members as m
  where m.org_id = p_org_id and m.user_id = p_user_id
  for no key update;
  if not found then
    perform referral_private.raise_error('member_not_found');
  end if;
  perform referral_private.require_role_over(p_org_id, array[p_user_id]);
  return v_member;
end
$$;

-- Refuses to take the last admin from an organisation, with `last_admin`. The organisation's row is locked.
create function referral_private.require_other_admin(p_member referral.members)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_member.role = 'admin' and p_member.deactivated_at is null and not exists (
    select from referral.members as m
    where m.org_id = p_member.org_id and m.user_id <> p_member.user_id and m.role = 'admin' and m.deactivated_at is null
  ) then
    perform referral_private.raise_error('last_admin');
  end if;
end
$$;

create function referral_private.set_member_role(p_org_id uuid, p_user_id uuid, p_role text)
returns referral.members
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  perform referral_private.require_role_name(p_role);
  v_member := referral_private.lock_member_to_manage(p_org_id, p_user_id);
  perform referral_private.require_role(p_org_id, 'admin');
  if p_role <> 'admin' then
    perform referral_private.require_other_admin(v_member);
  end if;
  update referral.members as m
  set role = p_role::referral.member_role, reason = null
  where m.org_id = p_org_id and m.user_id = p_user_id
  returning * into v_member;
  return v_member;
end
$$;

comment on function referral_private.set_member_role is
  'public: Changes a member''s role.

group: Manage members
org_id: the organisation
user_id: the member
role: member, coordinator or admin
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
  last_admin, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.set_member_role to authenticated, service_role;

-- Refuses more than 50 changes of a public name in 24 hours, with `rate_limited`: each stays on record. The member row
-- is locked, and this change is among them.
create function referral_private.require_name_allowance(p_member referral.members)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if (
    select count(*) from referral_private.changes as c
    where c.org_id = p_member.org_id and c.subject_id = p_member.user_id
      and c.before ?| '{display_name,public_name}'::text[]
      and c.changed_at > clock_timestamp() - interval '24 hours'
  ) > 50 then
    perform referral_private.raise_error('rate_limited', '50 changes of a public name in 24 hours');
  end if;
end
$$;

-- Members set their own names; nobody does it for them.
create function referral_private.set_my_name(p_org_id uuid, p_display_name text, p_public_name boolean default false)
returns referral.members
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'member');
  update referral.members as m
  set display_name = p_display_name, public_name = coalesce(p_public_name, false)
  where m.org_id = p_org_id and m.user_id = v_user_id
  returning * into v_member;
  -- The update waits for staff who deactivate the member.
  perform referral_private.require_role(p_org_id, 'member');
  perform referral_private.require_name_allowance(v_member);
  return v_member;
end
$$;

comment on function referral_private.set_my_name is
  'public: Sets how the caller is called in an organisation, and whether people who open the caller''s link read it.
Names that they read are on record (list_changes), and can be changed 50 times in 24 hours.

group: Manage members
org_id: the organisation
display_name: one line of 1 to 80 characters, or null
public_name: true: the link shows the name
callers: members, for themselves
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, invalid_argument, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.set_my_name to authenticated;

-- A member loses their rights, and gets them back.

-- Locks a member as `lock_member_to_manage` does, and the Stripe account before, which is returned: where the member is
-- blocked or unblocked (`p_settles`), for this alone; where codes end (`p_ends_codes`) it is shared, as purchases that
-- carry them may be under way.
create function referral_private.lock_member_to_block(
  p_org_id uuid,
  p_user_id uuid,
  p_settles boolean,
  p_ends_codes boolean
)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_settles and p_user_id = auth.uid() then
    perform referral_private.raise_error(
      'not_allowed', 'you decide on yourself: ask somebody else, or the operator'
    );
  end if;
  if p_settles then
    v_stripe_account := referral_private.lock_drained_account_of(p_org_id);
  elsif p_ends_codes then
    perform referral_private.share_stripe_account_of(p_org_id);
  end if;
  perform referral_private.lock_member_to_manage(p_org_id, p_user_id);
  return v_stripe_account;
end
$$;

create function referral_private.deactivate_member(
  p_org_id uuid,
  p_user_id uuid,
  p_reason text default null,
  p_block boolean default false
)
returns referral.members
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text := referral_private.lock_member_to_block(p_org_id, p_user_id, p_block, true);
  v_member referral.members;
begin
  select * into strict v_member from referral.members as m where m.org_id = p_org_id and m.user_id = p_user_id;
  perform referral_private.require_other_admin(v_member);
  update referral.members as m
  set deactivated_at = coalesce(m.deactivated_at, clock_timestamp()), reason = p_reason,
    blocked_at = case when p_block then coalesce(m.blocked_at, clock_timestamp()) else m.blocked_at end
  where m.org_id = p_org_id and m.user_id = p_user_id
  returning * into v_member;
  perform referral_private.end_codes_of(p_org_id, p_user_id, '{active,suspended}', p_reason);
  if p_block then
    perform referral_private.forfeit_by_block(v_stripe_account, p_org_id, p_user_id, null, p_reason);
  end if;
  return v_member;
end
$$;

comment on function referral_private.deactivate_member is
  'public: Takes a member''s rights and ends their codes. What was redeemed before still earns for them, unless block is
true.

group: Manage members
org_id: the organisation
user_id: the member
reason: one line of up to 500 characters, kept in the audit
block: true: the member gets no code again, and what is paid from now on earns nothing for them, and by their codes
  nothing for others; nobody blocks themself
callers: coordinators for members; admins and the operator for anyone but the last admin; with block nobody who
  earns more by it, now or once what waits is settled
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
  last_admin, invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.deactivate_member to authenticated, service_role;

create function referral_private.reactivate_member(
  p_org_id uuid,
  p_user_id uuid,
  p_unblock boolean default false,
  p_reason text default null
)
returns referral.members
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text := referral_private.lock_member_to_block(
    p_org_id, p_user_id, p_unblock, false
  );
  v_member referral.members;
begin
  if p_unblock then
    perform referral_private.require_role(p_org_id, 'admin');
  end if;
  update referral.members as m
  set deactivated_at = null, blocked_at = case when not p_unblock then m.blocked_at end, reason = p_reason
  where m.org_id = p_org_id and m.user_id = p_user_id
  returning * into v_member;
  if p_unblock then
    perform referral_private.end_forfeits_by_block(v_stripe_account, p_org_id, p_user_id);
  end if;
  return v_member;
end
$$;

comment on function referral_private.reactivate_member is
  'public: Gives a deactivated member their role back; ended codes stay ended.

group: Manage members
org_id: the organisation
user_id: the member
unblock: true, for admins: the member may have codes again, and what is paid from now on earns again; nobody unblocks
  themself, a member with a code that benefits them or was made by them, or where they earn more by it, now or once
  what waits is settled
reason: one line of up to 500 characters, kept in the audit
callers: coordinators for members; admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
  invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.reactivate_member to authenticated, service_role;

-- Commands on programs.

create function referral_private.create_program(p_org_id uuid, p_key text, p_name text, p_terms jsonb default '{}')
returns referral.programs
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_program referral.programs;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  -- The organisation's row decides who comes first, and so which program is the default. The caller may have lost the
  -- role while this waited.
  perform from referral.organisations as o where o.id = p_org_id for no key update;
  perform referral_private.require_role(p_org_id, 'admin');

  insert into referral.programs (org_id, key, name, is_default)
  values (p_org_id, p_key, p_name, not exists (select from referral.programs as p where p.org_id = p_org_id))
  returning * into v_program;

  insert into referral.program_terms (org_id, program_id, version, terms)
  values (p_org_id, v_program.id, 1, referral_private.complete_terms(p_terms));
  return v_program;
end
$$;

comment on function referral_private.create_program is
  'public: Creates a program with version 1 of its terms. The organisation''s first program is its default.

group: Set up organisations and programs
org_id: the organisation
key: a lower-case label, unique in the organisation
name: one line of 1 to 120 characters
terms: see docs/terms.md; unknown keys are refused
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_exists,
  invalid_argument, invalid_terms, busy
timeout: 10s';

grant execute on function referral_private.create_program to authenticated, service_role;

-- Refuses more than 50 versions of a program's terms in 24 hours, with `rate_limited`: each is kept for ever, and is
-- settled under the Stripe account lock, for which others wait.
create function referral_private.require_terms_allowance(p_program referral.programs)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if (
    select count(*) from referral.program_terms as t
    where t.org_id = p_program.org_id and t.program_id = p_program.id
      and t.valid_from > clock_timestamp() - interval '24 hours'
  ) >= 50 then
    perform referral_private.raise_error('rate_limited', '50 versions of terms in 24 hours');
  end if;
end
$$;

-- Puts changed terms in force from a time on, as the next version; changes that change nothing make none. The Stripe
-- account and the organisation's row are locked.
create function referral_private.replace_terms(p_program referral.programs, p_changes jsonb, p_from timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old referral.program_terms := referral_private.terms_in_force(p_program.org_id, p_program.id);
  v_terms jsonb := referral_private.changed_terms(v_old.terms, p_changes);
begin
  if v_terms = v_old.terms then
    return;
  end if;
  perform referral_private.require_terms_allowance(p_program);
  update referral.program_terms as t
  set valid_to = p_from
  where t.org_id = p_program.org_id and t.program_id = p_program.id and t.version = v_old.version;
  insert into referral.program_terms (org_id, program_id, version, terms, valid_from)
  values (p_program.org_id, p_program.id, v_old.version + 1, v_terms, p_from);
end
$$;

-- The Stripe account lock keeps redemptions from reading terms that are being replaced.
create function referral_private.update_program(p_program_id uuid, p_changes jsonb)
returns referral.programs
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_program referral.programs;
  v_active boolean;
  v_now timestamptz;
begin
  select * into v_program from referral.programs as p where p.id = p_program_id;
  if v_program.id is null or not (
    referral_private.is_operator() or v_program.id in (select referral_private.readable_programs())
  ) then
    perform referral_private.raise_error('program_not_found');
  end if;
  perform referral_private.require_role(v_program.org_id, 'admin');
  perform referral_private.require_changes(p_changes, '{name,active,is_default,terms}');
  if p_changes -> 'is_default' <> 'true' then
    perform referral_private.raise_error('invalid_argument', 'is_default: true only');
  end if;
  v_active := p_changes ->> 'active';
  if p_changes ? 'terms' then
    -- Checked before the lock, for which all purchases wait.
    perform referral_private.require_terms(p_changes -> 'terms', true);
    perform referral_private.require_terms_allowance(v_program);
  end if;

  perform referral_private.lock_stripe_account_of(v_program.org_id);
  perform from referral.organisations as o where o.id = v_program.org_id for no key update;
  -- The caller may have lost the role while this waited.
  perform referral_private.require_role(v_program.org_id, 'admin');
  select * into strict v_program from referral.programs as p where p.id = p_program_id;
  v_now := clock_timestamp();
  if p_changes ? 'terms' then
    perform referral_private.replace_terms(v_program, p_changes -> 'terms', v_now);
  end if;
  if p_changes ? 'is_default' then
    update referral.programs as p set is_default = false where p.org_id = v_program.org_id and p.is_default;
  end if;
  update referral.programs as p
  set name = case when p_changes ? 'name' then p_changes ->> 'name' else p.name end,
    active = case when p_changes ? 'active' then v_active else p.active end,
    is_default = p.is_default or p_changes ? 'is_default'
  where p.id = p_program_id
  returning * into v_program;
  if p_changes ?| '{terms,active}'::text[] then
    perform referral_private.settle_program(
      referral_private.stripe_account_of(v_program.org_id), p_program_id, v_now
    );
  end if;
  return v_program;
exception
  when invalid_text_representation then
    perform referral_private.raise_error('invalid_argument', 'active: true or false');
end
$$;

comment on function referral_private.update_program is
  'public: Changes a program: name, active, is_default (true only) and terms. Of the terms, keys that are not given
stay, and a key that is null gets its default. Changed terms become a new version: what was redeemed keeps the terms it
was made under, and a code that a payment carries counts under the terms of that time. A program gets at most 50
versions in 24 hours.

group: Set up organisations and programs
program_id: the program
changes: an object with these keys; unknown keys are refused
callers: admins and the operator
errors: not_allowed, program_not_found, invalid_argument, invalid_terms, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.update_program to authenticated, service_role;

-- Who may have a new code, in which program, and with which text. A command that changes a referrer's codes
-- locks the member row first, so that concurrent changes queue up instead of failing on the unique index.

-- Prepares a referrer for a new code: locks the member and stores the end of codes past their time. Raises
-- `member_deactivated`, `member_blocked`, `code_suspended`.
create function referral_private.ready_for_code(p_org_id uuid, p_referrer_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_member referral.members := referral_private.lock_member(p_org_id, p_referrer_id);
begin
  if v_member.deactivated_at is not null then
    perform referral_private.raise_error('member_deactivated');
  end if;
  if v_member.blocked_at is not null then
    perform referral_private.raise_error('member_blocked');
  end if;
  perform referral_private.expire_codes_of(p_org_id, p_referrer_id);
  if exists (
    select from referral_private.codes_in_use(p_org_id, p_referrer_id) as c where c.status = 'suspended'
  ) then
    perform referral_private.raise_error('code_suspended');
  end if;
  return v_member;
end
$$;

-- Lets somebody enrol by themself in the given program, or else in the organisation's default. Raises `not_invited`,
-- which does not tell whether there is such an organisation or program, is switched off, or takes invited members only.
create function referral_private.require_open_program(p_org_id uuid, p_program_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_program referral.programs := referral_private.named_program(p_org_id, p_program_id);
begin
  perform referral_private.require_open_enrolment(
    p_org_id, case when referral_private.is_switched_on(v_program) then v_program.id end
  );
end
$$;

-- The program of a referrer's code: the given one, or else the organisation's default. A member who enrolled by
-- themself is refused where enrolment is not open, and does not learn whether there is such a program. Raises
-- `program_not_found`, `program_inactive`, `not_invited`.
create function referral_private.program_for_member(p_member referral.members, p_program_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_member.admitted_by = p_member.user_id then
    perform referral_private.require_open_enrolment(
      p_member.org_id, (referral_private.named_program(p_member.org_id, p_program_id)).id
    );
  end if;
  return (referral_private.program_for_code(p_member.org_id, p_program_id)).id;
end
$$;

-- Refuses one more code than the organisation allows a member, counting what can still be redeemed or is suspended:
-- their own, those in their grace included, and the campaign codes they made. The member row is locked. Raises
-- `too_many_codes`.
create function referral_private.require_code_allowance(p_org_id uuid, p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if (
    select count(*)
    from (
      select c.expires_at from referral.codes as c
      where c.org_id = p_org_id and c.referrer_id = p_user_id and c.status in ('active', 'suspended')
      union all
      select c.expires_at from referral.codes as c
      where c.org_id = p_org_id and c.referrer_id = p_user_id and c.redeemable_until > clock_timestamp()
      union all
      select c.expires_at from referral.codes as c
      where c.org_id = p_org_id and c.created_by = p_user_id and c.referrer_id is null and c.batch_id is null
        and c.status in ('active', 'suspended')
    ) as c
    where c.expires_at is null or c.expires_at > clock_timestamp()
  ) >= (select o.codes_per_member from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('too_many_codes');
  end if;
end
$$;

-- Refuses a member who acts for themself a new code, if within 24 hours more of their codes were rotated or invalidated
-- than the organisation allows: to end a code and create another is a rotation, too. Staff who act for a member are not
-- bound. The member row is locked. Raises `rate_limited`.
create function referral_private.require_rotation_allowance(p_org_id uuid, p_referrer_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit int;
begin
  if coalesce(p_referrer_id <> auth.uid(), true) then
    return;
  end if;
  select o.rotations_per_day into strict v_limit from referral.organisations as o where o.id = p_org_id;
  if (
    select count(*) from referral.codes as c
    where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.status in ('rotated', 'invalidated')
      and c.ended_at > clock_timestamp() - interval '24 hours'
  ) > v_limit then
    perform referral_private.raise_error('rate_limited', format('rotations_per_day: %s within 24 hours', v_limit));
  end if;
end
$$;

-- How long a drawn code is: the organisation's length, and 12 characters at least where enrolment is by invitation or
-- the code is limited, so that such a code is not found by trying.
create function referral_private.drawn_length(p_org_id uuid, p_program_id uuid, p_limited boolean)
returns int
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_length int := (select o.code_length from referral.organisations as o where o.id = p_org_id);
begin
  if p_limited or not referral_private.has_open_enrolment(p_org_id, p_program_id) then
    return greatest(12, v_length);
  end if;
  return v_length;
end
$$;

-- Draws this many texts, and returns those that can be codes: no reserved word, and carried by no purchase.
create function referral_private.draw_texts(p_count int, p_length int)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_texts text[] := array(select referral_private.draw_code(p_length) from generate_series(1, p_count));
  v_carried text[] := referral_private.carried_keys(
    array(select referral_private.normalise_code(t) from unnest(v_texts) as t)
  );
begin
  return array(
    select d.text
    from (select t as text, referral_private.normalise_code(t) as key from unnest(v_texts) as t offset 0) as d
    where d.key <> all (v_carried) and not referral_private.is_reserved(d.key)
  );
end
$$;

-- Lets staff choose the texts of codes. The shared Stripe account lock, held until the transaction ends, makes this
-- call wait for an event that is applied, and a later event wait for the codes. Raises `busy` if the organisation
-- changed its Stripe account meanwhile, or an event that is stored and not applied yet may carry one of the texts, and
-- what `require_role` raises, also of a caller who lost the role meanwhile.
create function referral_private.ready_to_choose(p_org_id uuid, p_keys text[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  perform referral_private.share_stripe_account_of(p_org_id);
  perform referral_private.require_role(p_org_id, 'coordinator');
  if referral_private.may_be_carried(referral_private.stripe_account_of(p_org_id), array_remove(p_keys, null)) then
    perform referral_private.raise_error('busy');
  end if;
end
$$;

-- How a code begins: drawn, chosen by staff, or made for the person who asks for theirs.

-- Stores a new code with the chosen text, or, where `p_code.code` is null, with one that is drawn. Raises
-- `rate_limited`, `invalid_code`, `code_reserved`, `code_taken`, `code_looks_alike`.
create function referral_private.insert_code(p_code referral.codes)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_chosen constant boolean := p_code.code is not null;
  v_key constant text := referral_private.normalise_code(p_code.code);
  v_word text;
  v_new referral.codes;
  v_length int;
  v_text text;
begin
  perform referral_private.require_rotation_allowance(p_code.org_id, p_code.referrer_id);
  if v_is_chosen and v_key is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  v_word := referral_private.reserved_word_in(p_code.org_id, p_code.code);
  if v_word is not null then
    perform referral_private.raise_error('code_reserved', v_word);
  end if;
  if v_is_chosen and referral_private.carried_keys(array[v_key]) <> '{}' then
    perform referral_private.raise_error('code_taken');
  end if;
  p_code.looks_like_another := v_is_chosen and referral_private.looks_like_another(p_code.org_id, p_code.code);
  if p_code.looks_like_another
    and (select o.refuse_look_alikes from referral.organisations as o where o.id = p_code.org_id)
  then
    perform referral_private.raise_error('code_looks_alike');
  end if;
  v_length := referral_private.drawn_length(p_code.org_id, p_code.program_id, p_code.quota_id is not null);
  for attempt in 1..20 loop
    v_text := coalesce(referral_private.show_code(p_code.code), (referral_private.draw_texts(1, v_length))[1]);
    continue when v_text is null;
    insert into referral.codes (
      id, org_id, program_id, code, referrer_id, beneficiary_id, description, expires_at, quota_id, rotation, chain_id,
      batch_id, created_by, looks_like_another
    )
    values (
      p_code.id, p_code.org_id, p_code.program_id, v_text, p_code.referrer_id, p_code.beneficiary_id,
      p_code.description, p_code.expires_at, p_code.quota_id, p_code.rotation, p_code.chain_id,
      p_code.batch_id, coalesce(p_code.created_by, auth.uid()), p_code.looks_like_another
    )
    on conflict on constraint codes_key_is_unique do nothing
    returning * into v_new;
    if found then
      return v_new;
    end if;
    if v_is_chosen then
      perform referral_private.raise_error('code_taken');
    end if;
  end loop;
  perform referral_private.raise_error('busy');
end
$$;

create function referral_private.create_code(
  p_org_id uuid,
  p_referrer_id uuid default null,
  p_code text default null,
  p_program_id uuid default null,
  p_max_uses int default null,
  p_expires_at timestamptz default null,
  p_description text default null
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_member referral.members;
begin
  v_code.id := gen_random_uuid();
  v_code.org_id := p_org_id;
  v_code.referrer_id := referral_private.acting_for(p_org_id, p_referrer_id);
  v_code.code := p_code;
  v_code.expires_at := p_expires_at;
  v_code.description := p_description;
  v_code.rotation := 0;
  if num_nonnulls(p_code, p_max_uses, p_expires_at) > 0 then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  perform referral_private.require_future_expiry(p_expires_at);
  if p_code is not null then
    perform referral_private.ready_to_choose(p_org_id, array[referral_private.normalise_code(p_code)]);
  end if;

  v_member := referral_private.ready_for_code(p_org_id, v_code.referrer_id);
  if num_nonnulls(p_code, p_max_uses, p_expires_at) > 0 then
    -- The caller may have lost the role while this waited.
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  v_code.program_id := referral_private.program_for_member(v_member, p_program_id);
  perform referral_private.require_code_allowance(p_org_id, v_code.referrer_id);
  if p_max_uses is not null then
    v_code.quota_id := referral_private.create_quota(p_org_id, p_max_uses);
  end if;
  return referral_private.insert_code(v_code);
end
$$;

comment on function referral_private.create_code is
  'public: Creates a code of a referrer. A chosen code, a limit and an expiry are for staff. Of a chosen code
looks_like_another warns that one of another organisation on the shared link host looks like it.

group: Have a code
org_id: the organisation
referrer_id: the caller unless given
code: the text of the code, 3 to 32 letters and digits; drawn unless given
program_id: the default program unless given
max_uses: redemptions at most, not purchases that carry the code; no limit unless given
expires_at: when the code ends; never unless given
description: one line of up to 500 characters
callers: the referrer; coordinators, admins and the operator for any member
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_deactivated, member_blocked, not_invited,
  organisation_not_found, member_not_found, program_not_found, program_inactive, active_code_exists, too_many_codes,
  code_suspended, code_taken, code_reserved, code_looks_alike, invalid_argument, invalid_code, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.create_code to authenticated, service_role;

-- A deactivated member does not become active by this call.
create function referral_private.get_or_create_code(p_org_id uuid, p_program_id uuid default null)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_code referral.codes;
  v_member referral.members;
begin
  select * into v_code from referral_private.get_active_code(p_org_id, null);
  if v_code.id is null then
    if not exists (select from referral.members as m where m.org_id = p_org_id and m.user_id = v_user_id) then
      perform referral_private.require_open_program(p_org_id, p_program_id);
      perform referral_private.recognise_user(v_user_id);
      insert into referral.members (org_id, user_id, admitted_by) values (p_org_id, v_user_id, v_user_id)
      on conflict on constraint members_pkey do nothing;
    end if;
    v_member := referral_private.ready_for_code(p_org_id, v_user_id);
    -- Under the lock: another connection of the same person may have been faster.
    select * into v_code from referral_private.get_active_code(p_org_id, null);
  end if;

  if v_code.id is not null then
    if v_code.program_id <> p_program_id then
      perform referral_private.raise_error('active_in_other_program');
    end if;
    return v_code;
  end if;
  v_code.id := gen_random_uuid();
  v_code.org_id := p_org_id;
  v_code.referrer_id := v_user_id;
  v_code.program_id := referral_private.program_for_member(v_member, p_program_id);
  v_code.rotation := 0;
  perform referral_private.require_code_allowance(p_org_id, v_user_id);
  return referral_private.insert_code(v_code);
end
$$;

comment on function referral_private.get_or_create_code is
  'public: Returns the caller''s active code, or makes one. In a program with open enrolment the caller becomes a
member. A person who cannot enrol gets not_invited, whether or not the organisation and the program exist.

group: Have a code
org_id: the organisation
program_id: the default program unless given
callers: signed-in people
errors: not_signed_in, anonymous_user, member_deactivated, member_blocked, not_invited, program_not_found,
  program_inactive, active_in_other_program, too_many_codes, code_suspended, invalid_argument, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.get_or_create_code to authenticated;

-- A referrer's active code ends: rotated into the next, or invalidated.

create function referral_private.rotate_code(
  p_org_id uuid,
  p_referrer_id uuid default null,
  p_code text default null,
  p_grace interval default null,
  p_reason text default null
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
  v_grace interval := coalesce(p_grace, interval '0');
  v_now timestamptz := clock_timestamp();
  v_new referral.codes;
  v_old_id uuid;
  v_member referral.members;
begin
  if p_code is not null then
    perform referral_private.ready_to_choose(p_org_id, array[referral_private.normalise_code(p_code)]);
  end if;
  perform referral_private.require_member(p_org_id, v_referrer_id);
  perform referral_private.share_stripe_account_of(p_org_id);
  v_member := referral_private.ready_for_code(p_org_id, v_referrer_id);
  if p_code is not null then
    -- The caller may have lost the role while this waited.
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  -- Compares times, not intervals: as an interval, 1000 years less 359,993 days equals a week.
  if referral_private.later(v_now, v_grace) not between v_now and (
    select referral_private.later(v_now, o.rotation_grace) from referral.organisations as o where o.id = p_org_id
  ) then
    perform referral_private.raise_error('invalid_argument', 'grace: up to rotation_grace of the organisation');
  end if;

  select * into v_new
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = v_referrer_id and c.status = 'active'
  for no key update;
  if not found then
    perform referral_private.raise_error('no_active_code');
  end if;
  perform referral_private.program_for_member(v_member, v_new.program_id);
  if v_grace <> interval '0' then
    perform referral_private.require_code_allowance(p_org_id, v_referrer_id);
  end if;

  -- What is left is inherited: program, expiry, beneficiary, description and the quota, which both codes share.
  v_old_id := v_new.id;
  v_new.id := gen_random_uuid();
  v_new.code := p_code;
  v_new.rotation := v_new.rotation + 1;
  v_new.chain_id := coalesce(v_new.chain_id, v_old_id);
  update referral.codes as c
  set status = 'rotated', replaced_by = v_new.id, ended_at = clock_timestamp(), ended_by = auth.uid(),
    redeemable_until = referral_private.later(clock_timestamp(), nullif(v_grace, interval '0')),
    reason = p_reason, updated_at = clock_timestamp()
  where c.id = v_old_id;
  return referral_private.insert_code(v_new);
exception
  when datetime_field_overflow then
    perform referral_private.raise_error('invalid_argument', 'grace: up to rotation_grace of the organisation');
end
$$;

comment on function referral_private.rotate_code is
  'public: Retires the active code of a referrer and issues the next, in one step. The new code inherits program,
expiry, description and remaining uses. The old one stays redeemable for the grace period, and counts as one of the
member''s codes until then. Members rotate their own code up to rotations_per_day times within 24 hours; a code that
was ended and created anew counts, too. For staff who act for a member there is no such limit.

group: Have a code
org_id: the organisation
referrer_id: the caller unless given
code: the text of the new code, for staff; drawn unless given
grace: an interval from 0 to the organisation''s rotation_grace; 0 unless given
reason: one line of up to 500 characters, kept in the audit
callers: the referrer; coordinators, admins and the operator for any member
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_deactivated, member_blocked, not_invited,
  organisation_not_found, member_not_found, program_not_found, no_active_code, program_inactive, too_many_codes,
  code_suspended, code_taken, code_reserved, code_looks_alike, invalid_argument, invalid_code, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.rotate_code to authenticated, service_role;

create function referral_private.deactivate_code(
  p_org_id uuid,
  p_referrer_id uuid default null,
  p_reason text default null
)
returns setof referral.codes
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
begin
  -- Before the lock, by whose wait a stranger would learn that the organisation exists.
  perform referral_private.require_member(p_org_id, v_referrer_id);
  perform referral_private.share_stripe_account_of(p_org_id);
  perform referral_private.lock_member(p_org_id, v_referrer_id);
  return query select c.* from referral_private.end_codes_of(p_org_id, v_referrer_id, '{active}', p_reason) as c;
end
$$;

comment on function referral_private.deactivate_code is
  'public: Ends the active code of a referrer for good, and the grace of earlier ones. No active code is not an error:
no row.

group: Have a code
org_id: the organisation
referrer_id: the caller unless given
reason: one line of up to 500 characters, kept in the audit
callers: the referrer; coordinators, admins and the operator for any member
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
  invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.deactivate_code to authenticated, service_role;

-- What staff do with a code: suspend, reactivate, end. Codes are named by id, so that campaign codes and codes in
-- their grace period can be reached too.

-- Locks a code for staff: the Stripe account is shared first, as purchases that carry the code may be under way, then
-- the referrer's member row is locked, then the code. Raises `code_not_found` for everyone else.
create function referral_private.lock_code_for_staff(p_code_id uuid)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.id = p_code_id;
  if v_code.id is null or not referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    perform referral_private.raise_error('code_not_found');
  end if;
  perform referral_private.share_stripe_account_of(v_code.org_id);
  if v_code.referrer_id is not null then
    perform referral_private.lock_member(v_code.org_id, v_code.referrer_id);
  end if;
  perform referral_private.expire(array[p_code_id]);
  select * into strict v_code from referral.codes as c where c.id = p_code_id for no key update;
  -- The caller may have lost the role while this waited.
  if not referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    perform referral_private.raise_error('code_not_found');
  end if;
  return v_code;
end
$$;

-- Gives a code that is in use this status: active or suspended. The code is locked. Raises `code_ended`.
create function referral_private.set_code_status(p_code referral.codes, p_status referral.code_status, p_reason text)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_code.status not in ('active', 'suspended') then
    perform referral_private.raise_error('code_ended', p_code.status::text);
  end if;
  if p_code.status <> p_status then
    update referral.codes as c
    set status = p_status, reason = p_reason, updated_at = clock_timestamp()
    where c.id = p_code.id
    returning * into p_code;
  end if;
  return p_code;
end
$$;

create function referral_private.suspend_code(p_code_id uuid, p_reason text default null)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes := referral_private.lock_code_for_staff(p_code_id);
begin
  v_code := referral_private.set_code_status(v_code, 'suspended', p_reason);
  perform referral_private.end_grace_of(v_code.org_id, v_code.referrer_id, p_reason);
  return v_code;
end
$$;

comment on function referral_private.suspend_code is
  'public: Suspends an active code: it cannot be redeemed, and its referrer gets no other code. The grace of the
referrer''s earlier codes ends for good. What was redeemed before still earns.

group: Manage codes
code_id: the code
reason: one line of up to 500 characters, kept in the audit
callers: coordinators, admins and the operator
errors: not_a_member, not_allowed, code_not_found, code_ended, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.suspend_code to authenticated, service_role;

create function referral_private.reactivate_code(p_code_id uuid, p_reason text default null)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
begin
  return referral_private.set_code_status(referral_private.lock_code_for_staff(p_code_id), 'active', p_reason);
end
$$;

comment on function referral_private.reactivate_code is
  'public: Makes a suspended code active again.

group: Manage codes
code_id: the code
reason: one line of up to 500 characters, kept in the audit
callers: coordinators, admins and the operator
errors: not_a_member, not_allowed, code_not_found, code_ended, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.reactivate_code to authenticated, service_role;

-- Locks the Stripe account of a code that staff end with `block`. Raises `code_not_found`.
create function referral_private.lock_to_block(p_code_id uuid)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.id = p_code_id;
  if v_code.id is null or not referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    perform referral_private.raise_error('code_not_found');
  end if;
  return referral_private.lock_stripe_account_of(v_code.org_id);
end
$$;

-- An ended code is returned as it is; one in its grace loses that.
create function referral_private.end_code(p_code_id uuid, p_reason text default null, p_block boolean default false)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text := case when p_block then referral_private.lock_to_block(p_code_id) end;
  v_code referral.codes := referral_private.lock_code_for_staff(p_code_id);
begin
  if p_block then
    perform referral_private.require_role_over(v_code.org_id, array[v_code.referrer_id, v_code.beneficiary_id]);
    perform referral_private.require_no_interest_in(
      referral_private.codes_of_chain(v_code.org_id, referral_private.chain_of(p_code_id))
    );
    update referral.members as m
    set blocked_at = coalesce(m.blocked_at, clock_timestamp()), reason = p_reason
    where m.org_id = v_code.org_id and m.user_id = v_code.referrer_id;
  end if;
  if v_code.status in ('active', 'suspended') then
    perform referral_private.end_grace_of(v_code.org_id, v_code.referrer_id, p_reason);
    perform referral_private.invalidate(array[p_code_id], p_reason);
  else
    perform referral_private.end_grace(array[p_code_id], p_reason);
  end if;
  if p_block then
    perform referral_private.forfeit_by_block(
      v_stripe_account, v_code.org_id, v_code.referrer_id,
      case when v_code.referrer_id is null then referral_private.chain_of(p_code_id) end, p_reason
    );
  end if;
  select * into strict v_code from referral.codes as c where c.id = p_code_id;
  return v_code;
end
$$;

comment on function referral_private.end_code is
  'public: Ends any code for good, campaign codes included, and the grace of the referrer''s earlier ones. An ended code
is returned as it is. What was redeemed before still earns, unless block is true.

group: Manage codes
code_id: the code
reason: one line of up to 500 characters, kept in the audit
block: true: the referrer gets no code again, and what is paid from now on earns nothing for them, and by their codes
  nothing for others; of a campaign code: by this code nobody
callers: coordinators, admins and the operator; with block, who may forfeit_from the code
errors: not_a_member, not_allowed, code_not_found, invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.end_code to authenticated, service_role;

-- What staff edit of a code: its description, expiry and limit.

-- The quota of a code whose limit changes: none without a limit, the one it has with the new limit, or a new one that
-- counts the redemptions of the code and of those that were rotated into it. A predecessor in its grace shares it.
-- Raises `invalid_argument` for a limit above the cap or below what is used.
create function referral_private.change_quota(p_code referral.codes, p_max_uses int)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_quota_id uuid;
  v_predecessor_ids uuid[];
begin
  if p_code.quota_id is not null and p_max_uses is not null then
    update referral.code_quotas as q
    set max_uses = p_max_uses
    from referral.organisations as o
    where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id and o.id = q.org_id
      and p_max_uses <= o.max_uses_cap;
    if not found then
      perform referral_private.raise_error('invalid_argument', 'max_uses: 1 to max_uses_cap of the organisation');
    end if;
    return p_code.quota_id;
  end if;

  with recursive
    predecessors as (
      select c.id from referral.codes as c where c.org_id = p_code.org_id and c.replaced_by = p_code.id
      union
      select c.id from predecessors as p join referral.codes as c on c.org_id = p_code.org_id and c.replaced_by = p.id
    )
  select coalesce(array_agg(p.id), '{}') into v_predecessor_ids from predecessors as p;
  -- Locked, so that no redemption of theirs is under way while they are counted.
  perform from referral.codes as c
  where c.id = any (v_predecessor_ids) and c.redeemable_until > clock_timestamp()
  for no key update;
  if p_max_uses is not null then
    v_quota_id := referral_private.create_quota(p_code.org_id, p_max_uses);
    update referral.code_quotas as q
    set used = (
      select count(*) from referral.redemptions as r
      where r.org_id = p_code.org_id and r.code_id = any (v_predecessor_ids || p_code.id)
    )
    where q.org_id = p_code.org_id and q.quota_id = v_quota_id;
  end if;
  update referral.codes as c
  set quota_id = v_quota_id
  where c.id = any (v_predecessor_ids) and c.redeemable_until > clock_timestamp();
  return v_quota_id;
end
$$;

-- A new limit counts earlier redemptions. The row lock keeps other redemptions out.
create function referral_private.update_code(p_code_id uuid, p_changes jsonb)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
begin
  v_code := referral_private.lock_code_for_staff(p_code_id);
  perform referral_private.require_changes(p_changes, '{description,expires_at,max_uses}');
  if v_code.status not in ('active', 'suspended') and p_changes ?| '{expires_at,max_uses}'::text[] then
    perform referral_private.raise_error('code_ended', v_code.status::text);
  end if;

  if p_changes ? 'description' then
    if jsonb_typeof(p_changes -> 'description') not in ('string', 'null') then
      perform referral_private.raise_error('invalid_argument', 'description: a text, or null');
    end if;
    v_code.description := p_changes ->> 'description';
  end if;
  if p_changes ? 'expires_at' then
    v_code.expires_at := referral_private.end_time(
      p_changes ->> 'expires_at',
      (select o.time_zone from referral.organisations as o where o.id = v_code.org_id)
    );
    if (v_code.expires_at is null) <> (p_changes -> 'expires_at' = 'null') then
      perform referral_private.raise_error('invalid_argument', 'expires_at: ISO 8601, such as 2030-12-31, or null');
    end if;
    perform referral_private.require_future_expiry(v_code.expires_at);
  end if;
  if p_changes ? 'max_uses' then
    v_code.quota_id := referral_private.change_quota(v_code, (p_changes ->> 'max_uses')::int);
  end if;
  update referral.codes as c
  set description = v_code.description, expires_at = v_code.expires_at, quota_id = v_code.quota_id,
    updated_at = clock_timestamp()
  where c.id = p_code_id
  returning * into v_code;
  return v_code;
exception
  when data_exception then
    perform referral_private.raise_error('invalid_argument', 'max_uses: a whole number, or null');
end
$$;

comment on function referral_private.update_code is
  'public: Changes description, expires_at and max_uses (null: no limit); of an ended code the description only.

group: Manage codes
code_id: the code
changes: an object with these keys; expires_at in ISO 8601: a date is its end, and a time without an offset one, in the
  organisation''s time_zone
callers: coordinators, admins and the operator
errors: not_a_member, not_allowed, code_not_found, code_ended, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.update_code to authenticated, service_role;

-- Batches of codes: one at a time in an organisation, and so many rows a day. A batch makes thousands of rows, and it
-- says which texts are taken.

create table referral_private.code_batches (
  org_id uuid not null,
  batch_id uuid not null default gen_random_uuid(),
  asked int not null,
  asked_by uuid,
  asked_at timestamptz not null default clock_timestamp(),
  constraint code_batches_pkey primary key (org_id, batch_id),
  constraint code_batches_are_of_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict
);

create index code_batches_by_time on referral_private.code_batches (org_id, asked_at) include (asked, asked_by);

alter table referral_private.code_batches enable row level security;

comment on table referral_private.code_batches is
  'Batches of codes that were asked for: drawn, imported, refused or tried. asked is the number of rows; asked_by is
null for the operator.';

-- Begins a batch of so many rows, and returns its id. The operator has no limit of rows. A call that fails later takes
-- its count back. Raises `busy` while another batch of the organisation is under way, and `rate_limited`.
create function referral_private.begin_batch(p_org_id uuid, p_rows int)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch_id uuid;
  v_limit int := (select o.batch_rows_per_day from referral.organisations as o where o.id = p_org_id);
begin
  perform referral_private.require_read_committed();
  if not pg_try_advisory_xact_lock(hashtextextended('referral.batch:' || p_org_id, 0)) then
    perform referral_private.raise_error('busy', 'another batch of the organisation is under way');
  end if;
  if not referral_private.is_operator() and p_rows + (
    select coalesce(sum(b.asked), 0) from referral_private.code_batches as b
    where b.org_id = p_org_id and b.asked_by is not null and b.asked_at > clock_timestamp() - 24 * interval '1 hour'
  ) > v_limit then
    perform referral_private.raise_error(
      'rate_limited', v_limit || ' rows of batches in 24 hours; the operator can raise batch_rows_per_day'
    );
  end if;
  insert into referral_private.code_batches (org_id, asked, asked_by)
  values (p_org_id, p_rows, auth.uid())
  returning batch_id into v_batch_id;
  return v_batch_id;
end
$$;

-- Campaign codes: codes of the organisation, without a referrer, one at a time or in thousands.

create function referral_private.create_campaign_code(
  p_org_id uuid,
  p_code text default null,
  p_program_id uuid default null,
  p_beneficiary_id uuid default null,
  p_max_uses int default null,
  p_expires_at timestamptz default null,
  p_description text default null
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  perform referral_private.require_future_expiry(p_expires_at);
  if p_code is not null then
    perform referral_private.ready_to_choose(p_org_id, array[referral_private.normalise_code(p_code)]);
  end if;
  if auth.uid() is not null then
    perform referral_private.lock_member(p_org_id, auth.uid());
    perform referral_private.require_role(p_org_id, 'coordinator');
    perform referral_private.require_code_allowance(p_org_id, auth.uid());
  end if;
  v_code.id := gen_random_uuid();
  v_code.org_id := p_org_id;
  v_code.code := p_code;
  v_code.program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
  v_code.beneficiary_id := p_beneficiary_id;
  v_code.expires_at := p_expires_at;
  v_code.description := p_description;
  v_code.rotation := 0;
  if p_max_uses is not null then
    v_code.quota_id := referral_private.create_quota(p_org_id, p_max_uses);
  end if;
  return referral_private.insert_code(v_code);
end
$$;

comment on function referral_private.create_campaign_code is
  'public: Creates a code of the organisation, without a referrer; a beneficiary may earn from it. It counts against its
maker''s allowance. looks_like_another is as in create_code.

group: Manage codes
org_id: the organisation
code: the text of the code, 3 to 32 letters and digits; drawn unless given
program_id: the default program unless given
beneficiary_id: the user who earns; nobody unless given
max_uses: redemptions at most, not purchases that carry the code; no limit unless given
expires_at: when the code ends; never unless given
description: one line of up to 500 characters
callers: coordinators, admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
  program_inactive, too_many_codes, code_taken, code_reserved, code_looks_alike, invalid_argument, invalid_code,
  busy
timeout: 10s';

grant execute on function referral_private.create_campaign_code to authenticated, service_role;

create type referral_private.new_campaign_code as (
  code text,
  max_uses int,
  expires_at timestamptz,
  description text,
  beneficiary_id uuid,
  looks_like_another boolean
);

-- Stores campaign codes of a batch and returns how many; a code whose text is taken is left out. They are inserted in
-- the order of their normal form: two batches in different orders would deadlock.
create function referral_private.insert_campaign_codes(
  p_org_id uuid,
  p_program_id uuid,
  p_batch_id uuid,
  p_codes referral_private.new_campaign_code[]
)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_made int;
begin
  with
    given as materialized (
      select c.*, case when c.max_uses is not null then gen_random_uuid() end as quota_id from unnest(p_codes) as c
    ),
    quotas as (
      insert into referral.code_quotas (org_id, quota_id, max_uses)
      select p_org_id, g.quota_id, g.max_uses from given as g where g.quota_id is not null
    )
  insert into referral.codes (
    org_id, program_id, code, description, expires_at, quota_id, beneficiary_id, batch_id, created_by,
    looks_like_another
  )
  select p_org_id, p_program_id, g.code, g.description, g.expires_at, g.quota_id, g.beneficiary_id, p_batch_id,
    auth.uid(), g.looks_like_another
  from given as g
  order by referral_private.normalise_code(g.code)
  on conflict on constraint codes_key_is_unique do nothing;
  get diagnostics v_made = row_count;
  return v_made;
end
$$;

create type referral.code_batch as (batch_id uuid, made int);

create function referral_private.generate_codes(
  p_org_id uuid,
  p_count int,
  p_program_id uuid default null,
  p_max_uses int default null,
  p_expires_at timestamptz default null,
  p_description text default null
)
returns setof referral.code_batch
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
set timezone = 'UTC'
as $$
declare
  v_program_id uuid;
  v_batch_id uuid;
  v_length int;
  v_made int := 0;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_count is null or p_count not between 1 and 10000 then
    perform referral_private.raise_error('invalid_argument', 'count: 1 to 10,000');
  end if;
  perform referral_private.require_future_expiry(p_expires_at);
  if p_max_uses not between 1 and (select o.max_uses_cap from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('invalid_argument', 'max_uses: 1 to max_uses_cap of the organisation');
  end if;
  v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
  v_length := referral_private.drawn_length(p_org_id, v_program_id, p_max_uses is not null);
  v_batch_id := referral_private.begin_batch(p_org_id, p_count);

  for attempt in 1..20 loop
    v_made := v_made + referral_private.insert_campaign_codes(
      p_org_id, v_program_id, v_batch_id,
      array(
        select (t, p_max_uses, p_expires_at, p_description, null, false)::referral_private.new_campaign_code
        from unnest(referral_private.draw_texts(p_count - v_made, v_length)) as t
      )
    );
    if v_made = p_count then
      perform referral_private.record_difference(
        p_org_id, 'code_batch', v_batch_id, null,
        jsonb_build_object(
          'made', v_made, 'program_id', v_program_id, 'max_uses', p_max_uses, 'expires_at', p_expires_at,
          'description', p_description
        )
      );
      return query select v_batch_id, v_made;
      return;
    end if;
  end loop;
  perform referral_private.raise_error('busy');
end
$$;

comment on function referral_private.generate_codes is
  'public: Draws campaign codes and returns their batch_id, to list them by. Staff draw one batch at a time, and
batch_rows_per_day codes in 24 hours.

group: Manage codes
org_id: the organisation
count: 1 to 10,000
program_id: the default program unless given
max_uses: redemptions of each code at most; no limit unless given
expires_at: when the codes end; never unless given
description: one line of up to 500 characters
callers: coordinators, admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
  program_inactive, invalid_argument, rate_limited, busy
returns: a row
timeout: 60s';

grant execute on function referral_private.generate_codes to authenticated, service_role;

-- The rows of an import: what is wrong with each, and which code it makes.

-- What is wrong in a row: the column, null for the row as a whole, the error code, and what is expected instead.
create type referral_private.row_fault as (place bigint, column_name text, code text, details text);

-- What is wrong with a row by itself. Rows are checked before a lock is taken.
create function referral_private.faults_of_row(p_organisation referral.organisations, p_place bigint, p_row jsonb)
returns setof referral_private.row_fault
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_columns constant text[] := '{code,max_uses,expires_at,description,beneficiary_id}';
  v_code constant text := case when jsonb_typeof(p_row -> 'code') in ('string', 'number') then p_row ->> 'code' end;
  v_word text;
  v_end timestamptz;
begin
  if jsonb_typeof(p_row) <> 'object' then
    return next (p_place, null, 'invalid_argument', 'not an object')::referral_private.row_fault;
    return;
  end if;
  return query
  select p_place, left(key, 100), 'invalid_argument', 'unknown column'
  from jsonb_object_keys(p_row) as key
  where key <> all (v_columns)
  limit 10;
  if referral_private.normalise_code(v_code) is null then
    return next (p_place, 'code', 'invalid_code', '3 to 32 letters and digits')::referral_private.row_fault;
  else
    v_word := referral_private.reserved_word_in(p_organisation.id, v_code);
    if v_word is not null then
      return next (p_place, 'code', 'code_reserved', v_word)::referral_private.row_fault;
    end if;
  end if;
  if not coalesce(
    referral_private.is_whole(nullif(p_row -> 'max_uses', 'null'), 1, p_organisation.max_uses_cap), true
  ) then
    return next (
      p_place, 'max_uses', 'invalid_argument', 'a whole number from 1 to ' || p_organisation.max_uses_cap
    )::referral_private.row_fault;
  end if;
  if jsonb_typeof(p_row -> 'expires_at') <> 'null' then
    v_end := case when jsonb_typeof(p_row -> 'expires_at') = 'string'
      then referral_private.end_time(p_row ->> 'expires_at', p_organisation.time_zone) end;
    if v_end is null then
      return next (
        p_place, 'expires_at', 'invalid_argument', 'ISO 8601, such as 2030-12-31'
      )::referral_private.row_fault;
    elsif v_end <= clock_timestamp() then
      return next (p_place, 'expires_at', 'invalid_argument', 'in the past')::referral_private.row_fault;
    end if;
  end if;
  if jsonb_typeof(p_row -> 'description') not in ('string', 'null') or length(p_row ->> 'description') > 500
    or not referral_private.is_one_line(p_row ->> 'description')
  then
    return next (
      p_place, 'description', 'invalid_argument',
      'one line of up to 500 characters, without control and bidirectional characters'
    )::referral_private.row_fault;
  end if;
  if jsonb_typeof(p_row -> 'beneficiary_id') <> 'null' and referral_private.as_uuid(p_row ->> 'beneficiary_id') is null
  then
    return next (p_place, 'beneficiary_id', 'invalid_argument', 'the id of a user')::referral_private.row_fault;
  end if;
end
$$;

-- The normal forms of the texts in these rows.
create function referral_private.keys_of_rows(p_rows jsonb)
returns text[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select referral_private.normalise_code(r.value ->> 'code') from jsonb_array_elements(p_rows) as r (value)
  );
end
$$;

-- What is wrong with the rows, without a look at other organisations' codes.
create function referral_private.faults_of_rows(p_organisation referral.organisations, p_rows jsonb, p_keys text[])
returns referral_private.row_fault[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select f
    from jsonb_array_elements(p_rows) with ordinality as r (value, place)
    cross join lateral referral_private.faults_of_row(p_organisation, r.place, r.value) as f
    union all
    select (k.place, 'code', 'code_taken', 'the same as row ' || k.first)::referral_private.row_fault
    from (
      select k.place, k.key, min(k.place) over (partition by k.key) as first
      from unnest(p_keys) with ordinality as k (key, place)
      where k.key is not null
    ) as k
    where k.place > k.first
  );
end
$$;

-- The rows whose text is taken: by a code, or, except to the operator, by purchases that carry it. And those that the
-- organisation refuses because they look like another organisation's.
create function referral_private.taken_rows(p_organisation referral.organisations, p_keys text[])
returns referral_private.row_fault[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_carried constant text[] := case when referral_private.is_operator() then '{}'
    else referral_private.carried_keys(p_keys) end;
begin
  return array(
    select (k.place, 'code', k.refusal, null)::referral_private.row_fault
    from (
      select k.place, case
        when k.key = any (v_carried) or exists (select from referral.codes as c where c.code_key = k.key)
          then 'code_taken'
        when p_organisation.refuse_look_alikes and referral_private.looks_like_another(p_organisation.id, k.key)
          then 'code_looks_alike'
      end as refusal
      from unnest(p_keys) with ordinality as k (key, place)
    ) as k
    where k.refusal is not null
  );
end
$$;

-- A row with a fault: what is wrong in it, a list of {column, code, details}.
create type referral_private.faulty_row as (place bigint, faults jsonb);

-- What is wrong in each row with a fault.
create function referral_private.faults_by_row(p_faults referral_private.row_fault[])
returns setof referral_private.faulty_row
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select f.place,
    jsonb_agg(
      jsonb_build_object('column', f.column_name, 'code', f.code, 'details', f.details)
      order by f.column_name nulls first
    )
  from unnest(p_faults) as f
  group by f.place;
end
$$;

-- The first 1,000 rows with a fault, with what is wrong in each.
create function referral_private.faulty_rows(p_rows jsonb, p_faults referral_private.row_fault[])
returns jsonb
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_agg(
      jsonb_build_object('row', f.place, 'code', p_rows -> (f.place::int - 1) -> 'code', 'faults', f.faults)
      order by f.place
    )
    from (select * from referral_private.faults_by_row(p_faults) as f order by f.place limit 1000) as f
  );
end
$$;

-- The code that a row without a fault makes.
create function referral_private.code_of_row(p_organisation referral.organisations, p_row jsonb)
returns referral_private.new_campaign_code
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    referral_private.show_code(p_row ->> 'code'), (p_row ->> 'max_uses')::int,
    referral_private.end_time(p_row ->> 'expires_at', p_organisation.time_zone), p_row ->> 'description',
    referral_private.as_uuid(p_row ->> 'beneficiary_id'),
    referral_private.looks_like_another(p_organisation.id, p_row ->> 'code')
  )::referral_private.new_campaign_code;
end
$$;

-- What each row would do: the code that it makes, and what is wrong with it.
create function referral_private.plan_of_rows(
  p_organisation referral.organisations,
  p_rows jsonb,
  p_faults referral_private.row_fault[]
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_agg(
      jsonb_build_object('row', r.place, 'faults', coalesce(f.faults, '[]'))
      || case when f.faults is null then to_jsonb(referral_private.code_of_row(p_organisation, r.value))
        else jsonb_build_object('code', r.value -> 'code') end
      order by r.place
    )
    from jsonb_array_elements(p_rows) with ordinality as r (value, place)
    left join referral_private.faults_by_row(p_faults) as f on f.place = r.place
  );
end
$$;

-- The rows whose codes look like one of another organisation, as a plan shows them; null without any.
create function referral_private.alike_rows(p_codes referral_private.new_campaign_code[])
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_agg(
      to_jsonb(c) - 'place' || jsonb_build_object('row', c.place, 'faults', '[]'::jsonb) order by c.place
    )
    from unnest(p_codes) with ordinality as c (
      code, max_uses, expires_at, description, beneficiary_id, looks_like_another, place
    )
    where c.looks_like_another
  );
end
$$;

-- Campaign codes from rows of a file: all of them, or none.

create type referral.code_import as (batch_id uuid, made int, rows jsonb);

-- Refuses rows that are too many or too large to be checked, with `invalid_argument`.
create function referral_private.require_rows(p_rows jsonb)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_rows) is distinct from 'array' or jsonb_array_length(p_rows) not between 1 and 50000 then
    perform referral_private.raise_error('invalid_argument', 'rows: an array of 1 to 50,000 objects');
  end if;
  if pg_column_size(p_rows) > 33554432 then
    perform referral_private.raise_error('invalid_argument', 'rows: up to 32 MiB');
  end if;
end
$$;

-- Stores an import's codes, and then takes the Stripe account lock: events wait for the commit alone, and not for
-- thousands of rows. Purchases under way may carry the texts of the codes. Those of the operator's codes, which come
-- from elsewhere, are settled; staff may not choose such a text, and are told at the next try. Raises `busy`.
create function referral_private.store_import(
  p_org_id uuid,
  p_program_id uuid,
  p_batch_id uuid,
  p_codes referral_private.new_campaign_code[],
  p_keys text[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Another session can take one of the texts meanwhile.
  if referral_private.insert_campaign_codes(p_org_id, p_program_id, p_batch_id, p_codes) < cardinality(p_codes) then
    perform referral_private.raise_error('busy');
  end if;
  perform referral_private.record_difference(
    p_org_id, 'code_batch', p_batch_id, null,
    jsonb_build_object('made', cardinality(p_codes), 'program_id', p_program_id)
  );
  if referral_private.is_operator() then
    perform referral_private.settle_keys(
      referral_private.lock_drained_account_of(p_org_id), p_keys, now() - interval '2 minutes', 'codes imported'
    );
    return;
  end if;
  perform referral_private.ready_to_choose(p_org_id, p_keys);
  if referral_private.carried_keys(p_keys) <> '{}' then
    perform referral_private.raise_error('busy');
  end if;
end
$$;

-- Which texts are taken is said only where nothing else is wrong. A refusal is returned and not raised, because an
-- error would undo the count of its rows.
create function referral_private.import_codes(
  p_org_id uuid,
  p_rows jsonb,
  p_program_id uuid default null,
  p_dry_run boolean default false
)
returns setof referral.code_import
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
set timezone = 'UTC'
as $$
declare
  v_organisation referral.organisations;
  v_program_id uuid;
  v_batch_id uuid;
  v_keys text[];
  v_faults referral_private.row_fault[];
  v_codes referral_private.new_campaign_code[];
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  perform referral_private.require_rows(p_rows);
  v_batch_id := referral_private.begin_batch(p_org_id, jsonb_array_length(p_rows));
  select * into strict v_organisation from referral.organisations as o where o.id = p_org_id;
  v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
  v_keys := referral_private.keys_of_rows(p_rows);
  v_faults := referral_private.faults_of_rows(v_organisation, p_rows, v_keys);
  if v_faults = '{}' then
    v_faults := referral_private.taken_rows(v_organisation, v_keys);
  end if;
  if p_dry_run then
    return query
    select null::uuid, case when v_faults = '{}' then cardinality(v_keys) else 0 end,
      referral_private.plan_of_rows(v_organisation, p_rows, v_faults);
    return;
  end if;
  if v_faults <> '{}' then
    return query select null::uuid, 0, referral_private.faulty_rows(p_rows, v_faults);
    return;
  end if;
  v_codes := array(
    select referral_private.code_of_row(v_organisation, r.value) from jsonb_array_elements(p_rows) as r (value)
  );
  perform referral_private.store_import(p_org_id, v_program_id, v_batch_id, v_codes, v_keys);
  return query select v_batch_id, cardinality(v_codes), referral_private.alike_rows(v_codes);
end
$$;

comment on function referral_private.import_codes is
  'public: Takes campaign codes from rows: all, or none where a row has a fault. Then made is 0, batch_id is null, and
rows has the first 1,000 rows with a fault. That a text is taken is said only where no row has another fault. A text
that a purchase of the last 400 days carries is code_taken; the operator''s import takes it, and settles these
purchases. An organisation imports one file at a time, and the rows that staff ask for in 24 hours, dry runs and
refused ones too, are up to batch_rows_per_day.

group: Manage codes
org_id: the organisation
rows: up to 50,000 objects {code, max_uses, expires_at, description, beneficiary_id} of 32 MiB at most; expires_at in
  ISO 8601: a date is its end, and a time without an offset one, in the organisation''s time_zone
program_id: the default program unless given
dry_run: true stores nothing: made is how many codes an import would make, rows what each row would do: {row, code,
  max_uses, expires_at, description, beneficiary_id, looks_like_another, faults}, or with faults {row, code, faults}
callers: coordinators, admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
  program_inactive, invalid_argument, rate_limited, busy
returns: a row; after an import rows has the rows that look like another''s, or is null
timeout: 60s';

grant execute on function referral_private.import_codes to authenticated, service_role;

-- The operator allows an organisation a word that is reserved, such as a surname.

create function referral_private.allow_word(p_org_id uuid, p_word text, p_allowed boolean default true)
returns text[]
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_word constant text := (
    select r.word from referral_private.reserved_words as r where r.key = referral_private.normalise_code(p_word)
  );
begin
  if not exists (select from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('organisation_not_found');
  end if;
  if v_word is null then
    perform referral_private.raise_error('invalid_argument', 'word: one of the reserved words');
  end if;
  if p_allowed is null then
    perform referral_private.raise_error('invalid_argument', 'allowed: true or false');
  end if;
  if p_allowed then
    insert into referral_private.allowed_words (org_id, word) values (p_org_id, v_word) on conflict do nothing;
  else
    delete from referral_private.allowed_words as a where a.org_id = p_org_id and a.word = v_word;
  end if;
  return array(select a.word from referral_private.allowed_words as a where a.org_id = p_org_id order by a.word);
end
$$;

comment on function referral_private.allow_word is
  'public: Allows an organisation a reserved word in the codes that its staff choose, or takes that back. Codes that
exist stay. Returns the words that the organisation is allowed.

group: Set up organisations and programs
org_id: the organisation
word: the word that details of code_reserved names, in any spelling
allowed: false takes it back
callers: the operator
errors: organisation_not_found, invalid_argument, busy
timeout: 5s';

grant execute on function referral_private.allow_word to service_role;

-- From a code to a redemption, in one transaction.

-- Takes the Stripe account lock in the mode that a redemption needs, and returns whether to settle: if the referee or
-- the referrer is known as a payer, the redemption may change what their sales earn, and the lock is exclusive. Locks
-- are never upgraded: the shared one is given back with the inner block before the exclusive one is taken.
create function referral_private.lock_stripe_account_to_redeem(p_stripe_account text, p_user_ids uuid[])
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- While `redemptions` has no statistics, all of it would be read for one person's.
set enable_seqscan = off
as $$
begin
  perform referral_private.require_read_committed();
  perform pg_advisory_xact_lock_shared(referral_private.stripe_account_lock_key(p_stripe_account));
  if exists (
    select from referral_private.payer_users as l
    where l.user_id = any (p_user_ids) and l.stripe_account = p_stripe_account
  ) or exists (
    select from referral_private.payer_evidence as e
    where e.named = any (array(select r.id::text from referral.redemptions as r where r.referee_id = any (p_user_ids)))
      and e.kind = 'redemption_id' and e.stripe_account = p_stripe_account
  ) then
    raise sqlstate 'RB001';
  end if;
  return false;
exception
  when sqlstate 'RB001' then
    perform referral_private.lock_stripe_account(p_stripe_account);
    return true;
end
$$;

-- Locks a code, shared, and returns it: no redemption commits after a call that ends the code has returned. Raises
-- `busy` where the organisation has another Stripe account by now than the one that is locked.
create function referral_private.lock_code_to_redeem(p_code_id uuid, p_stripe_account text)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_code referral.codes;
begin
  select c.* into v_code
  from referral.codes as c
  join referral.organisations as o on o.id = c.org_id
  where c.id = p_code_id and coalesce(o.stripe_account_id, '') = p_stripe_account
  for share of c;
  if not found then
    perform referral_private.raise_error('busy');
  end if;
  return v_code;
end
$$;

-- A client may say `typed` freely; every other provenance is proved by a click. Raises `invalid_argument`,
-- `invalid_click`.
create function referral_private.require_provenance(p_provenance text, p_click_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(p_provenance <> all (enum_range(null::referral.provenance)::text[]), true) then
    perform referral_private.raise_error('invalid_argument', 'provenance: typed, link, install_referrer or clipboard');
  end if;
  if (p_provenance = 'typed') <> (p_click_id is null) then
    perform referral_private.raise_error('invalid_click');
  end if;
end
$$;

-- Stores a redemption, unless another session was faster: then nothing is returned. The code is locked.
create function referral_private.insert_redemption(
  p_code referral.codes,
  p_terms_version int,
  p_user_id uuid,
  p_click referral_private.clicks,
  p_provenance text,
  p_channel text
)
returns referral.redemptions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_redemption referral.redemptions;
begin
  insert into referral.redemptions (
    org_id, program_id, terms_version, code_id, referrer_id, referee_id, provenance, channel, click_id, clicked_at
  )
  values (
    p_code.org_id, p_code.program_id, p_terms_version, p_code.id, p_code.referrer_id, p_user_id,
    p_provenance::referral.provenance, coalesce(p_click.channel::text, p_channel), p_click.click_id, p_click.clicked_at
  )
  on conflict do nothing
  returning * into v_redemption;
  return v_redemption;
end
$$;

-- The person's redemption in the program of this code, which another session made first. Raises `invalid_click` if a
-- redemption has used the click, and `mutual_referral` if the referrer has redeemed a code of this person.
create function referral_private.require_earlier_redemption(p_code referral.codes, p_user_id uuid, p_click_id uuid)
returns referral.redemptions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_redemption referral.redemptions;
begin
  select * into v_redemption
  from referral.redemptions as r
  where r.org_id = p_code.org_id and r.program_id = p_code.program_id and r.referee_id = p_user_id;
  if found then
    return v_redemption;
  end if;
  perform referral_private.raise_error(
    case
      when exists (select from referral.redemptions as r where r.org_id = p_code.org_id and r.click_id = p_click_id)
        then 'invalid_click'
      else 'mutual_referral'
    end
  );
end
$$;

-- Settles what a redemption of a known payer changes, and returns the redemption as it is then. Purchases of the
-- referrer that carry a code of this person may be mutual now. The Stripe account lock is held exclusively.
create function referral_private.settle_redemption(p_stripe_account text, p_redemption referral.redemptions)
returns referral.redemptions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cause constant text := 'redemption ' || p_redemption.id;
begin
  perform referral_private.know_users(p_stripe_account, array[p_redemption.referee_id]);
  perform referral_private.settle_users(p_stripe_account, array[p_redemption.referee_id], v_cause);
  perform referral_private.settle_users(p_stripe_account, array[p_redemption.referrer_id], v_cause);
  select * into strict p_redemption
  from referral.redemptions as r
  where r.org_id = p_redemption.org_id and r.id = p_redemption.id;
  return p_redemption;
end
$$;

create function referral_private.redeem_code(
  p_code text,
  p_click_id uuid default null,
  p_provenance text default 'typed',
  p_channel text default null
)
returns setof referral.redeemed_code
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_key text := referral_private.normalise_code(p_code);
  v_stripe_account text;
  v_has_paid boolean;
  v_is_payer boolean;
  v_code referral.codes;
  v_redemption referral.redemptions;
begin
  if v_key is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  if p_provenance is distinct from 'typed' or p_click_id is not null then
    perform referral_private.require_provenance(p_provenance, p_click_id);
  end if;
  select c.id, c.referrer_id, coalesce(o.stripe_account_id, ''),
    exists (select from referral_private.payer_users as l where l.user_id = v_user_id)
  into v_code.id, v_code.referrer_id, v_stripe_account, v_has_paid
  from referral.codes as c join referral.organisations as o on o.id = c.org_id
  where c.code_key = v_key;
  if not found then
    perform referral_private.raise_error('code_not_found');
  end if;
  if v_has_paid then
    perform referral_private.recognise_user(v_user_id);
  end if;
  v_is_payer := referral_private.lock_stripe_account_to_redeem(v_stripe_account, array[v_user_id, v_code.referrer_id]);
  v_code := referral_private.lock_code_to_redeem(v_code.id, v_stripe_account);
  select * into v_redemption
  from referral.redemptions as r
  where r.org_id = v_code.org_id and r.program_id = v_code.program_id and r.referee_id = v_user_id;
  if not found then
    v_redemption := referral_private.insert_redemption(
      v_code, referral_private.require_redeemable(v_code, v_user_id), v_user_id,
      referral_private.click_of(v_code, p_click_id), p_provenance, p_channel
    );
    if v_redemption.id is null then
      v_redemption := referral_private.require_earlier_redemption(v_code, v_user_id, p_click_id);
    else
      if v_is_payer then
        v_redemption := referral_private.settle_redemption(v_stripe_account, v_redemption);
      end if;
      -- The rows that many redemptions share are locked last.
      perform referral_private.use_quota(v_code, v_user_id);
      perform referral_private.count_redemption(v_code.org_id, v_user_id);
    end if;
  end if;
  if v_redemption.code_id <> v_code.id then
    perform referral_private.raise_error('already_redeemed');
  end if;
  return next (v_redemption.id, v_redemption.org_id, v_redemption.program_id, v_code.code, v_redemption.status,
    v_redemption.redeemed_at)::referral.redeemed_code;
end
$$;

comment on function referral_private.redeem_code is
  'public: Redeems a code for the caller, once per program. The same code again returns the same redemption.

group: Redeem a code
code: the text as typed
click_id: a click on this very code, not older than the organisation''s click_window, that proves no other redemption
provenance: typed without a click; link, install_referrer or clipboard with one
channel: a lower-case label of up to 32 characters; the click''s own channel counts instead, where it has one
callers: signed-in people
errors: not_signed_in, anonymous_user, self_referral, new_users_only, code_not_found, program_inactive,
  code_suspended, code_inactive, code_expired, code_limit_reached, code_uses_reserved, already_redeemed,
  mutual_referral, invalid_argument, invalid_code, invalid_click, rate_limited, busy
returns: a row
timeout: 10s';

grant execute on function referral_private.redeem_code to authenticated;

-- The code given at sign-up is redeemed at the person's first call.

-- A refusal that may pass is raised as redeem_code raises it, and the claim is kept for another try; a final refusal
-- ends the claim, and there is no row.
create function referral_private.redeem_sign_up_code()
returns setof referral.redeemed_code
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_code text;
  v_refusal text;
begin
  select c.code into v_code from referral_private.sign_up_claims as c where c.user_id = v_user_id for update;
  if v_code is null then
    return;
  end if;
  begin
    return query select r.* from referral_private.redeem_code(v_code, null, 'typed', 'sign_up') as r;
  exception
    when sqlstate 'PGRST' then
      get stacked diagnostics v_refusal = message_text;
      if referral_private.is_final_refusal(v_refusal::json ->> 'code') is not true then
        raise;
      end if;
  end;
  delete from referral_private.sign_up_claims as c where c.user_id = v_user_id;
  delete from referral_private.sign_up_reservations as r where r.user_id = v_user_id;
end
$$;

comment on function referral_private.redeem_sign_up_code is
  'public: Redeems the code that the caller gave at sign-up. No row if there is none, or none that could ever be
redeemed. After an error the code is kept for another try. A use that require_code_at_sign_up reserved becomes the use
of this redemption, or is free again.

group: Redeem a code
callers: signed-in people
errors: not_signed_in, anonymous_user, program_inactive, code_suspended, code_uses_reserved, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.redeem_sign_up_code to authenticated;

-- Staff decide on redemptions and referrals: they confirm a redemption where nothing is paid through Stripe, or reject
-- it, or a referral that has none. What payments say never overrides it.

-- The person of a payer, in one mode, if they have a referral in the program: who pays other organisations on the
-- Stripe account is not named.
create function referral_private.person_to_reject(
  p_stripe_account text,
  p_livemode boolean,
  p_program_id uuid,
  p_payer_id text
)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_referral referral_private.referral_payers := referral_private.referral_of(
    p_stripe_account, p_livemode, null, p_payer_id
  );
begin
  return (
    select v_referral.person
    where exists (
      select from referral.redemptions as r
      where r.referee_id = v_referral.person and r.program_id = p_program_id
    ) or cardinality(referral_private.codes_carried(
      p_stripe_account, p_livemode, p_program_id, v_referral.payer_ids
    )) > 0
  );
end
$$;

-- States that a referral is rejected, and writes down every payer that it has now, in both modes.
create function referral_private.state_rejection(
  p_stripe_account text,
  p_org_id uuid,
  p_program_id uuid,
  p_person_id uuid,
  p_payer_id text,
  p_redemption_id uuid,
  p_reason text
)
returns referral.decisions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_person_id uuid := coalesce(
    p_person_id, referral_private.person_to_reject(p_stripe_account, true, p_program_id, p_payer_id),
    referral_private.person_to_reject(p_stripe_account, false, p_program_id, p_payer_id)
  );
  v_decision referral.decisions;
begin
  insert into referral.decisions (org_id, kind, program_id, person_id, redemption_id, reason, decided_by)
  values (p_org_id, 'reject', p_program_id, v_person_id, p_redemption_id, p_reason, auth.uid())
  returning * into v_decision;
  insert into referral_private.decision_payers (org_id, decision_id, stripe_account, livemode, payer_id)
  select p_org_id, v_decision.id, p_stripe_account, livemode, payer_id
  from unnest('{true,false}'::boolean[]) as livemode
  cross join unnest(
    (referral_private.referral_of(p_stripe_account, livemode, v_person_id, p_payer_id)).payer_ids
  ) as payer_id;
  perform referral_private.require_no_interest(p_stripe_account, v_decision);
  perform referral_private.settle_decision(p_stripe_account, v_decision);
  return v_decision;
end
$$;

-- The redemption, under the Stripe account lock, for staff. Raises `redemption_not_found` for everyone else, and what
-- `require_role` raises if the caller has lost their role meanwhile.
create function referral_private.lock_redemption_for_staff(p_redemption_id uuid)
returns referral.redemptions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_redemption referral.redemptions;
begin
  select * into v_redemption from referral.redemptions as r where r.id = p_redemption_id;
  if v_redemption.id is null or not referral_private.acts_with_role(v_redemption.org_id, 'coordinator') then
    perform referral_private.raise_error('redemption_not_found');
  end if;
  perform referral_private.lock_drained_account_of(v_redemption.org_id);
  perform referral_private.require_role(v_redemption.org_id, 'coordinator');
  select * into strict v_redemption
  from referral.redemptions as r
  where r.org_id = v_redemption.org_id and r.id = p_redemption_id
  for no key update;
  return v_redemption;
end
$$;

-- Is there a decision of this kind on the redemption itself that stands?
create function referral_private.is_decided(p_redemption referral.redemptions, p_kind referral.decision_kind)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral.decisions as d
    where d.org_id = p_redemption.org_id and d.redemption_id = p_redemption.id and d.kind = p_kind
      and d.withdrawn_at is null
  );
end
$$;

create function referral_private.confirm_redemption(p_redemption_id uuid, p_reason text default null)
returns referral.redemptions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_redemption referral.redemptions := referral_private.lock_redemption_for_staff(p_redemption_id);
  v_stripe_account text := referral_private.stripe_account_of(v_redemption.org_id);
  v_decision referral.decisions;
begin
  if v_redemption.decision = 'rejected' then
    perform referral_private.raise_error('redemption_rejected');
  end if;
  if not referral_private.is_decided(v_redemption, 'confirm') then
    insert into referral.decisions (org_id, kind, program_id, person_id, redemption_id, reason, decided_by)
    values (
      v_redemption.org_id, 'confirm', v_redemption.program_id, v_redemption.referee_id, v_redemption.id, p_reason,
      auth.uid()
    )
    returning * into v_decision;
    perform referral_private.require_no_interest(v_stripe_account, v_decision);
    perform referral_private.settle_decision(v_stripe_account, v_decision);
  end if;
  select * into strict v_redemption
  from referral.redemptions as r
  where r.org_id = v_redemption.org_id and r.id = v_redemption.id;
  return v_redemption;
end
$$;

comment on function referral_private.confirm_redemption is
  'public: Confirms a redemption by decision of staff, whatever was paid. That earns nothing by itself. The conversion
window no longer limits which sales the redemption wins.

group: Manage redemptions
redemption_id: the redemption
reason: one line of up to 500 characters, kept in the audit
callers: coordinators, admins and the operator, but nobody for a redemption of their own, of a code that is theirs,
  benefits them or was made by them, or where they earn more by it, now or once what waits is settled
errors: not_a_member, not_allowed, redemption_not_found, redemption_rejected, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.confirm_redemption to authenticated, service_role;

create function referral_private.reject_redemption(p_redemption_id uuid, p_reason text default null)
returns referral.redemptions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_redemption referral.redemptions := referral_private.lock_redemption_for_staff(p_redemption_id);
begin
  if not referral_private.is_decided(v_redemption, 'reject') then
    perform referral_private.state_rejection(
      referral_private.stripe_account_of(v_redemption.org_id), v_redemption.org_id, v_redemption.program_id,
      v_redemption.referee_id, null, v_redemption.id, p_reason
    );
  end if;
  select * into strict v_redemption
  from referral.redemptions as r
  where r.org_id = v_redemption.org_id and r.id = v_redemption.id;
  return v_redemption;
end
$$;

comment on function referral_private.reject_redemption is
  'public: Rejects a redemption and its referral, as reject_referral does for the referee, until the decision is
withdrawn. The person has still used their redemption in the program.

group: Manage redemptions
redemption_id: the redemption
reason: one line of up to 500 characters, kept in the audit
callers: coordinators, admins and the operator, but nobody for a redemption of their own, for a referral of a code
  that is theirs, benefits them or was made by them, or where they earn more by it, now or once what waits is settled
errors: not_a_member, not_allowed, redemption_not_found, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.reject_redemption to authenticated, service_role;

-- Staff reject a referral by its person or its payer: guests and codes in payments have no redemption to reject.

create function referral_private.reject_referral(
  p_org_id uuid,
  p_program_id uuid,
  p_person_id uuid default null,
  p_payer_id text default null,
  p_reason text default null
)
returns referral.decisions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if num_nonnulls(p_person_id, p_payer_id) <> 1 then
    perform referral_private.raise_error('invalid_argument', 'person_id, payer_id: one of the two');
  end if;
  if length(p_payer_id) not between 1 and 500 then
    perform referral_private.raise_error('invalid_argument', 'payer_id: 1 to 500 characters');
  end if;
  if not exists (select from referral.programs as p where p.org_id = p_org_id and p.id = p_program_id) then
    perform referral_private.raise_error('program_not_found');
  end if;
  v_stripe_account := referral_private.lock_drained_account_of(p_org_id);
  perform referral_private.require_role(p_org_id, 'coordinator');
  return referral_private.state_rejection(
    v_stripe_account, p_org_id, p_program_id, p_person_id, p_payer_id, null, p_reason
  );
end
$$;

comment on function referral_private.reject_referral is
  'public: Rejects a referral until the decision is withdrawn: what the person buys, what the payers buy that the
referral has now, and what redemptions of the person win, earns nobody anything in the program. A redemption of the
person is rejected too, also a later one.

group: Manage redemptions
org_id: the organisation
program_id: the program
person_id: whose referral it is; either this or payer_id
payer_id: a customer of Stripe, or the invoice or payment of a guest
reason: one line of up to 500 characters, kept in the audit
callers: coordinators, admins and the operator, but nobody for a referral of their own, of a code that is theirs,
  benefits them or was made by them, or where they earn more by it, now or once what waits is settled
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
  invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.reject_referral to authenticated, service_role;

-- Staff end what somebody earns from a time on: a member, or a code with all that it was rotated from or into.

-- The code of the organisation. Raises `code_not_found`.
create function referral_private.code_to_forfeit(p_org_id uuid, p_code_id uuid)
returns referral.codes
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.org_id = p_org_id and c.id = p_code_id;
  if not found then
    perform referral_private.raise_error('code_not_found');
  end if;
  return v_code;
end
$$;

create function referral_private.forfeit_from(
  p_org_id uuid,
  p_member_id uuid default null,
  p_code_id uuid default null,
  p_since timestamptz default null,
  p_until timestamptz default null,
  p_reason text default null
)
returns referral.decisions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text;
  v_code referral.codes;
  v_decision referral.decisions;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if num_nonnulls(p_member_id, p_code_id) <> 1 then
    perform referral_private.raise_error('invalid_argument', 'member_id, code_id: one of the two');
  end if;
  if p_code_id is not null then
    v_code := referral_private.code_to_forfeit(p_org_id, p_code_id);
  elsif not exists (select from referral.members as m where m.org_id = p_org_id and m.user_id = p_member_id) then
    perform referral_private.raise_error('member_not_found');
  end if;
  v_stripe_account := referral_private.lock_drained_account_of(p_org_id);
  perform referral_private.require_role_over(
    p_org_id, array[p_member_id, v_code.referrer_id, v_code.beneficiary_id]
  );
  insert into referral.decisions (org_id, kind, member_id, chain_id, since, until, reason, decided_by)
  values (
    p_org_id, 'forfeit', p_member_id, referral_private.chain_of(v_code.id),
    date_trunc('second', coalesce(p_since, clock_timestamp())), date_trunc('second', p_until), p_reason, auth.uid()
  )
  returning * into v_decision;
  perform referral_private.require_no_interest(v_stripe_account, v_decision);
  perform referral_private.settle_decision(v_stripe_account, v_decision);
  return v_decision;
end
$$;

comment on function referral_private.forfeit_from is
  'public: Ends what sales earn that are paid from a time on: those that a member earns or that their codes earn for
others, or those of a code and of all codes that it was rotated from or into. Nobody else earns them instead, except
where it is from before the first sale that the code could have won.

group: Manage redemptions
org_id: the organisation
member_id: the member; either this or code_id
code_id: the code, of any status
since: from when, past or future; now unless given; rounded down to a second
until: before when, later than since; for ever unless given; rounded down to a second
reason: one line of up to 500 characters, kept in the audit
callers: coordinators for members; admins and the operator for anyone; but nobody for themself, for a code that is
  theirs, benefits them or was made by them, or where they earn more by it, now or once what waits is settled
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
  code_not_found, invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.forfeit_from to authenticated, service_role;

-- A decision is withdrawn: it counts as never made. Others on the same subject stay.

create function referral_private.withdraw_decision(p_decision_id uuid, p_reason text default null)
returns referral.decisions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_decision referral.decisions;
  v_stripe_account text;
begin
  select * into v_decision from referral.decisions as d where d.id = p_decision_id;
  if v_decision.id is null or not referral_private.acts_with_role(v_decision.org_id, 'coordinator') then
    perform referral_private.raise_error('decision_not_found');
  end if;
  perform referral_private.require_role(v_decision.org_id, 'admin');
  v_stripe_account := referral_private.lock_drained_account_of(v_decision.org_id);
  perform referral_private.require_role(v_decision.org_id, 'admin');
  perform referral_private.require_no_interest(v_stripe_account, v_decision);
  update referral.decisions as d
  set withdrawn_at = clock_timestamp(), withdrawn_by = auth.uid(), withdrawal_reason = p_reason
  where d.org_id = v_decision.org_id and d.id = p_decision_id and d.withdrawn_at is null
  returning * into v_decision;
  if found then
    perform referral_private.settle_decision(v_stripe_account, v_decision);
  else
    select * into strict v_decision from referral.decisions as d where d.id = p_decision_id;
  end if;
  return v_decision;
end
$$;

comment on function referral_private.withdraw_decision is
  'public: Withdraws a decision, which then counts as never made. Other decisions on the same subject stay. A withdrawn
decision is returned as it is.

group: Manage redemptions
decision_id: the decision
reason: one line of up to 500 characters, kept in the audit
callers: admins and the operator, but nobody for a decision on themself, on a code that is theirs, benefits them or
  was made by them, also if that became known later, or where they earn more by it, now or once what waits is settled
errors: not_a_member, not_allowed, decision_not_found, invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.withdraw_decision to authenticated, service_role;

-- The job that keeps the inbox: makes the partitions of months to come, and takes out what is past.
-- `more`: the month that is being taken out is not out yet.
create type referral.event_maintenance as (partitions_made int, partitions_archived int, more boolean);

create function referral_private.maintain_events(p_retention interval default null, p_max_rows int default 100000)
returns setof referral.event_maintenance
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_kept_from timestamptz;
  v_past referral_private.month_partition;
  v_has_begun boolean;
  v_done referral.event_maintenance := (0, 0, false);
begin
  if p_retention is not null then
    v_kept_from := referral_private.kept_from(p_retention);
  end if;
  perform pg_advisory_xact_lock(hashtextextended('referral.maintain_events', 0));
  v_done.partitions_made := referral_private.make_event_months(
    referral_private.missing_months('referral_private.stripe_events', 2)
  );
  select m.* into v_past
  from referral_private.months_of('referral_private.stripe_events') as m
  where (m.month + interval '1 month') at time zone 'utc' <= v_kept_from
    and not referral_private.has_open_events(m.month)
  order by m.month
  limit 1;
  -- The inbox is locked for a moment only: what takes long comes in calls of its own.
  if found and v_done.partitions_made = 0 then
    v_has_begun := referral_private.begin_archiving(v_past.month::date, v_past.partition);
    v_done.more := referral_private.copy_keys(v_past.month::date, v_past.partition, greatest(p_max_rows, 1))
      or v_has_begun;
    if not v_done.more then
      v_done.partitions_archived := referral_private.take_month_out(v_past.month::date, v_past.partition)::int;
    end if;
  end if;
  return next v_done;
end
$$;

comment on function referral_private.maintain_events is
  'public: Keeps the inbox of Stripe''s events: makes the partitions of this month and the next two, and, where a
retention is given, takes out the oldest month that ended before it: copies the keys of its events, in calls of a
bounded size, so that they are recognised as duplicates for ever, and then leaves the month''s table as
referral_private.archived_events_ with year and month, for you to store elsewhere and drop. A month stays while an event
of it waits or is parked. Returns how many partitions it made and took out, and whether the month needs another call.

group: Run jobs
retention: an interval of 90 days at least; without it, nothing is taken out
max_rows: how many keys are copied in this call, those of one second together
callers: the operator
errors: invalid_argument, busy
returns: a row
timeout: 60s';

grant execute on function referral_private.maintain_events to service_role;

-- The one job: everything that has to be done from time to time, in batches of a bounded size.

-- When each job last ran, how much it did then, whether it left something, and the code of the error if it failed.
create table referral_private.maintenance_runs (
  job text collate "C" not null,
  ran_at timestamptz not null,
  done int not null,
  more boolean not null,
  error text,
  -- Since when every run has left something or failed; null if the last one did neither.
  behind_since timestamptz,
  constraint maintenance_runs_pkey primary key (job)
);

alter table referral_private.maintenance_runs enable row level security;

create type referral.maintenance as (job text, done int, more boolean, error text);

-- The code of the error with which a job failed: ours, or Postgres' own. Null if it met a lock: then nothing is wrong,
-- and the next call does it. The database's log has the message, which can have values of rows in it.
create function referral_private.error_of_job(p_job text, p_sqlstate text, p_message text)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code constant text := case when p_sqlstate = 'PGRST' then p_message::json ->> 'code' else p_sqlstate end;
begin
  if v_code in ('busy', '55P03') then
    return null;
  end if;
  raise warning 'referral: the job % failed: %: %', p_job, v_code, p_message;
  return v_code;
end
$$;

-- Runs one batch of a job, and returns how much it did. `more` says that another batch could find something. The batch
-- is a subtransaction: an error undoes it, releases its locks, and leaves what the other jobs did.
create function referral_private.run_batch(p_job text, p_click_retention interval, p_event_retention interval)
returns referral.maintenance
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_clicks referral.click_maintenance;
  v_events referral.event_maintenance;
  v_done int;
  v_more boolean;
  -- A constant, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_now constant timestamptz := clock_timestamp();
begin
  case p_job
    when 'maintain_clicks' then
      v_clicks := referral_private.maintain_clicks(p_click_retention, 10000);
      v_done := v_clicks.partitions_made + v_clicks.partitions_dropped + v_clicks.clicks_removed
        + v_clicks.visitors_removed;
      v_more := greatest(v_clicks.clicks_removed, v_clicks.visitors_removed) >= 10000;
    when 'maintain_events' then
      v_events := referral_private.maintain_events(p_event_retention);
      v_done := v_events.partitions_made + v_events.partitions_archived;
      v_more := v_events.more;
    when 'expire_codes' then
      v_done := referral_private.expire_codes(1000);
    when 'expire_redemptions' then
      v_done := referral_private.expire_redemptions(1000);
    when 'purge_rate_limits' then
      v_done := referral_private.purge_rate_limits(1000);
    when 'purge_sign_up_claims' then
      v_done := referral_private.purge_sign_up_claims(1000);
    when 'recognise_users' then
      v_done := referral_private.recognise_users(100);
      v_more := v_done >= 100;
    when 'settle_stripe_events' then
      select s.done, s.more into v_done, v_more from referral_private.settle_stripe_events() as s;
    when 'release_due_commissions' then
      v_done := referral_private.release_due_commissions(200);
      v_more := exists (
        select from referral_private.postings as p
        where p.kind in ('pending', 'reward_pending') and p.amount > 0 and p.due_at <= v_now
      );
  end case;
  return (p_job, v_done, coalesce(v_more, v_done >= 1000), null)::referral.maintenance;
exception
  when others then
    return (p_job, 0, true, referral_private.error_of_job(p_job, sqlstate, sqlerrm))::referral.maintenance;
end
$$;

-- The partitions of tables by month.
create function referral_private.all_months()
returns oid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select i.inhrelid from pg_inherits as i
    where i.inhparent in ('referral_private.clicks'::regclass, 'referral_private.stripe_events'::regclass)
    order by 1
  );
end
$$;

-- The order keeps locks short and free of deadlocks. The jobs that can wait, for tables by month, come first, when
-- nothing is locked, and whoever uses both tables uses them in this order; where they change partitions, these tables
-- stay locked until the call ends, and no other job begins.
-- The cheap jobs skip what is locked. They have a batch each in turn, so that the backlog of one does not keep the
-- others waiting: 14 each at most, because a transaction of more than 64 subtransactions slows other sessions down.
-- Those that lock Stripe accounts come last, and run one batch, however late it is.
create function referral_private.run_maintenance(
  p_max_seconds int default 5,
  p_click_retention interval default '120 days',
  p_event_retention interval default null
)
returns setof referral.maintenance
language plpgsql
volatile
rows 9
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_month_jobs constant text[] := '{maintain_clicks,maintain_events}';
  v_jobs constant text[] := '{expire_codes,expire_redemptions,purge_rate_limits,purge_sign_up_claims}';
  v_account_jobs constant text[] := '{recognise_users,settle_stripe_events,release_due_commissions}';
  v_months constant oid[] := referral_private.all_months();
  v_until timestamptz;
  v_left boolean[] := array_fill(true, array[cardinality(v_jobs)]);
  v_runs referral.maintenance[];
  v_batch referral.maintenance;
  v_at int;
begin
  if coalesce(p_max_seconds not between 1 and 30, true) then
    perform referral_private.raise_error('invalid_argument', 'max_seconds: 1 to 30');
  end if;
  perform referral_private.kept_from(p_click_retention);
  perform referral_private.kept_from(p_event_retention) where p_event_retention is not null;
  perform referral_private.require_read_committed();
  if not pg_try_advisory_xact_lock(hashtextextended('referral.maintenance', 0)) then
    return;
  end if;
  v_until := clock_timestamp() + p_max_seconds * interval '1 second';
  v_runs := array(
    select (job, 0, true, null)::referral.maintenance from unnest(v_month_jobs || v_jobs || v_account_jobs) as job
  );
  for place in 1..cardinality(v_month_jobs) loop
    v_runs[place] := referral_private.run_batch(v_month_jobs[place], p_click_retention, p_event_retention);
  end loop;
  if v_months = referral_private.all_months() then
    for round in 1..14 loop
      for place in 1..cardinality(v_jobs) loop
        continue when not v_left[place];
        v_batch := referral_private.run_batch(v_jobs[place], null, null);
        v_left[place] := v_batch.more and v_batch.done > 0;
        v_at := place + cardinality(v_month_jobs);
        v_runs[v_at] := (v_batch.job, (v_runs[v_at]).done + v_batch.done, v_batch.more, v_batch.error);
      end loop;
      exit when clock_timestamp() >= v_until or true <> all (v_left);
    end loop;
    for place in 1 + cardinality(v_month_jobs || v_jobs)..cardinality(v_runs) loop
      v_runs[place] := referral_private.run_batch((v_runs[place]).job, null, null);
    end loop;
  end if;
  insert into referral_private.maintenance_runs as m (job, ran_at, done, more, error, behind_since)
  select r.job, clock_timestamp(), r.done, r.more, r.error, case when r.more then clock_timestamp() end
  from unnest(v_runs) as r
  on conflict on constraint maintenance_runs_pkey do update
  set ran_at = excluded.ran_at, done = excluded.done, more = excluded.more, error = excluded.error,
    behind_since = case when excluded.more then coalesce(m.behind_since, excluded.behind_since) end;
  return query select r.* from unnest(v_runs) as r;
end
$$;

comment on function referral_private.run_maintenance is
  'public: Runs all jobs: keeps the storage of clicks and events, expires codes and redemptions, purges rate limits and
sign-up claims, recognises users, settles what waits, and releases commissions and rewards whose hold is over. Call it
every minute, or at least every hour; call it again at once while a row has more. Returns, for each job, how much it
did, whether something is left, and error: the code of the error that undid its last batch, null if there was none. An
error of one job leaves what the others did, and its message is in the database''s log. No rows while another call is
under way. What another call has locked is left for the next one.

group: Run jobs
max_seconds: 1 to 30: after that only the last three jobs begin a batch, which is small
click_retention: how long clicks are kept, 90 days at least
event_retention: how long Stripe''s events stay in the inbox, 90 days at least; unless given, for ever
callers: the operator
errors: invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.run_maintenance to service_role;

-- What earners have, and what the organisation owes. Test mode and live mode are rows of their own.

-- Whose money the caller reads: their own, or, as an admin or the operator, anyone's in the organisation. Coordinators
-- manage codes and members, and read no money of others. Raises `not_signed_in`, `anonymous_user`, `not_a_member`,
-- `not_allowed`, `organisation_not_found`.
create function referral_private.earner_to_read(p_org_id uuid, p_earner_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_earner_id is distinct from auth.uid() and p_earner_id is not null then
    perform referral_private.require_role(p_org_id, 'admin');
  end if;
  return referral_private.acting_for(p_org_id, p_earner_id, 'earner_id');
end
$$;

create type referral.liability as (
  earner_id uuid,
  currency text,
  livemode boolean,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward_pending bigint,
  reward_available bigint
);

-- What these accounts hold, per earner, currency and mode. `owed` is the amount by which `available` is below zero:
-- money can be reversed after it was paid out.
create function referral_private.balances_in(p_accounts referral_private.ledger_accounts[])
returns setof referral.liability
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select a.earner_id, a.currency, a.livemode,
    coalesce(sum(a.balance) filter (where a.kind = 'pending'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'available'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'in_transit'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'paid'), 0)::bigint,
    greatest(0, -coalesce(sum(a.balance) filter (where a.kind = 'available'), 0))::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'reward_pending'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'reward_available'), 0)::bigint
  from unnest(p_accounts) as a
  group by a.earner_id, a.currency, a.livemode
  order by a.earner_id, a.currency, a.livemode;
end
$$;

create type referral.earnings as (
  currency text,
  livemode boolean,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward_pending bigint,
  reward_available bigint,
  settlement_pending boolean
);

create function referral_private.my_earnings(
  p_org_id uuid,
  p_earner_id uuid default null,
  p_livemode boolean default null
)
returns setof referral.earnings
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_earner_id uuid := referral_private.earner_to_read(p_org_id, p_earner_id);
begin
  return query
  select b.currency, b.livemode, b.pending, b.available, b.in_transit, b.paid, b.owed, b.reward_pending,
    b.reward_available, referral_private.is_settlement_pending(p_org_id, b.livemode)
  from referral_private.balances_in(array(
    select a from referral_private.ledger_accounts as a
    where a.org_id = p_org_id and a.earner_id = v_earner_id and (p_livemode is null or a.livemode = p_livemode)
  )) as b;
end
$$;

comment on function referral_private.my_earnings is
  'public: Returns what a person has, per currency in minor units and per mode: commissions that are pending (on hold),
available, in_transit, paid; owed is what they owe after money was reversed; the rewards that they got as a referee are
reward_pending (on hold) and reward_available. settlement_pending: something waits to be settled, and amounts can still
change. Who never had an amount in a mode has no row of it, also while the first sale waits. in_transit and paid
are 0, because payouts are not recorded yet.

group: See referrals and earnings
org_id: the organisation
earner_id: the caller unless given
livemode: true for live money, false for that of test mode; both unless given
callers: the person; admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.my_earnings to authenticated, service_role;

-- The row that a page comes after. Raises `invalid_argument`.
create function referral_private.liability_of(p_after jsonb)
returns referral.liability
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_after referral.liability;
begin
  if p_after is null then
    return null;
  end if;
  v_after := jsonb_populate_record(null::referral.liability, p_after);
  if num_nulls(v_after.earner_id, v_after.currency, v_after.livemode) > 0 then
    perform referral_private.raise_error('invalid_argument', 'after: the last row of the page before');
  end if;
  return v_after;
exception
  when data_exception then
    perform referral_private.raise_error('invalid_argument', 'after: the last row of the page before');
end
$$;

create function referral_private.org_liabilities(
  p_org_id uuid,
  p_livemode boolean default null,
  p_after jsonb default null,
  p_page_size int default 100
)
returns setof referral.liability
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_custom_plan'
-- In the order of the index, up to a page.
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_after referral.liability;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  v_after := referral_private.liability_of(p_after);
  return query
  select b.* from referral_private.balances_in(array(
    select a
    from (
      select distinct l.earner_id, l.currency, l.livemode
      from referral_private.ledger_accounts as l
      where l.org_id = p_org_id and l.earner_id is not null and (p_livemode is null or l.livemode = p_livemode) and (
        p_after is null
        or (l.earner_id, l.currency, l.livemode) > (v_after.earner_id, v_after.currency, v_after.livemode)
      )
      order by 1, 2, 3
      limit referral_private.page_size(p_page_size)
    ) as page
    join referral_private.ledger_accounts as a
      on a.org_id = p_org_id and a.earner_id = page.earner_id and a.currency = page.currency
      and a.livemode = page.livemode
  )) as b;
end
$$;

comment on function referral_private.org_liabilities is
  'public: Returns what the organisation owes each person, per currency in minor units and per mode, in the order of
earner_id, currency and livemode: commissions, and rewards of referees. The columns are those of my_earnings.

group: See referrals and earnings
org_id: the organisation
livemode: true for live money, false for that of test mode; both unless given
after: the last row of the page before; its earner_id, currency and livemode count; none for the first page
page_size: rows in a page, 1 to 1,000
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 10s';

grant execute on function referral_private.org_liabilities to authenticated, service_role;

-- Statements: every entry of an earner's ledger accounts. Ids of a customer's purchases are for admins: an earner knows
-- a sale by its number.

-- The number of a sale in an organisation: that of its first entry, which says nothing of the purchase. Null where it
-- has no entry. The inner query keeps Postgres from looking for it through all entries of the organisation.
create function referral_private.sale_number(p_org_id uuid, p_stripe_account text, p_livemode boolean, p_sale_id text)
returns bigint
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- A session keeps the plan of a small table.
set enable_seqscan = off
as $$
begin
  return (
    select min(of_sale.entry_id)
    from (
      select e.entry_id from referral_private.ledger_entries as e
      where e.sale_id = p_sale_id and e.stripe_account = p_stripe_account and e.livemode = p_livemode
        and e.org_id = p_org_id
      offset 0
    ) as of_sale
  );
end
$$;

create type referral.statement_entry as (
  entry_id bigint,
  posted_at timestamptz,
  from_kind referral.account_kind,
  to_kind referral.account_kind,
  amount bigint,
  currency text,
  livemode boolean,
  sale_number bigint,
  sale_id text,
  caused_by text
);

create function referral_private.my_statement(
  p_org_id uuid,
  p_earner_id uuid default null,
  p_after bigint default null,
  p_page_size int default 100,
  p_livemode boolean default null
)
returns setof referral.statement_entry
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_earner_id uuid := referral_private.earner_to_read(p_org_id, p_earner_id);
  v_is_admin constant boolean := referral_private.acts_with_role(p_org_id, 'admin');
  v_before constant bigint := coalesce(p_after, 9223372036854775807);
begin
  -- Of this person: entries are numbered in one row, and by those of others one would learn of others' sales.
  if p_after is not null and not exists (
    select from referral_private.ledger_entries as e
    join referral_private.ledger_accounts as a
      on a.org_id = e.org_id and a.account_id in (e.debit_account_id, e.credit_account_id)
    where e.org_id = p_org_id and e.entry_id = p_after and a.earner_id = v_earner_id
  ) then
    perform referral_private.raise_error('invalid_argument', 'after: the entry_id of the last row of the page before');
  end if;
  return query
  with
    own as (
      select a.account_id from referral_private.ledger_accounts as a
      where a.org_id = p_org_id and a.earner_id = v_earner_id
        and (p_livemode is null or a.livemode = p_livemode)
    ),
    found as (
      select e.*
      from own as o
      cross join lateral (
        select d.* from referral_private.ledger_entries as d
        where d.org_id = p_org_id and d.debit_account_id = o.account_id and d.entry_id < v_before
        order by d.entry_id desc
        limit referral_private.page_size(p_page_size)
      ) as e
      union
      select e.*
      from own as o
      cross join lateral (
        select d.* from referral_private.ledger_entries as d
        where d.org_id = p_org_id and d.credit_account_id = o.account_id and d.entry_id < v_before
        order by d.entry_id desc
        limit referral_private.page_size(p_page_size)
      ) as e
    )
  select f.entry_id, f.posted_at, debit.kind, credit.kind, f.amount, f.currency, f.livemode,
    referral_private.sale_number(p_org_id, f.stripe_account, f.livemode, f.sale_id),
    case when v_is_admin then f.sale_id end, case when v_is_admin then f.caused_by end
  from found as f
  join referral_private.ledger_accounts as debit
    on debit.org_id = f.org_id and debit.account_id = f.debit_account_id
  join referral_private.ledger_accounts as credit
    on credit.org_id = f.org_id and credit.account_id = f.credit_account_id
  order by f.entry_id desc
  limit referral_private.page_size(p_page_size);
end
$$;

comment on function referral_private.my_statement is
  'public: Returns every entry of a person''s ledger accounts, newest first: an amount in minor units that went from one
kind of account to another; expense is the organisation. sale_number is the same in all entries of a sale; an entry of
a payout or an adjustment has none. sale_id, which is Stripe''s or another provider''s, and caused_by, the event or the
job, are for admins and the operator, and null for others.

group: See referrals and earnings
org_id: the organisation
earner_id: the caller unless given
after: the last entry_id of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
livemode: true for live money, false for that of test mode; both unless given
callers: the person; admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 10s';

grant execute on function referral_private.my_statement to authenticated, service_role;

-- How each amount came about: the facts, the terms, the arithmetic, and the events that stated the facts.
create type referral.commission_explanation as (
  sale_number bigint,
  sale_id text,
  livemode boolean,
  earner_id uuid,
  kind referral.account_kind,
  amount bigint,
  currency text,
  refusal text,
  arithmetic text,
  paid bigint,
  reversed bigint,
  total bigint,
  total_excluding_tax bigint,
  sale_at timestamptz,
  available_at timestamptz,
  program_id uuid,
  terms_version int,
  terms jsonb,
  evidence_at timestamptz,
  redemption_id uuid,
  code_id uuid,
  rank int,
  event_ids text[],
  settlement_pending boolean
);

-- How the amount of a target came about, in words that can be computed by hand.
create function referral_private.arithmetic_of(
  p_target referral_private.target,
  p_sale referral_private.sales,
  p_terms jsonb
)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_amount numeric := (p_target.reward -> 'amount' ->> p_sale.currency)::numeric;
  v_is_above boolean := coalesce((p_terms -> 'flat_above_sale')::boolean, false);
  v_worth bigint := referral_private.reward_on(
    p_target.reward, (
      p_sale.currency, p_sale.paid, p_sale.reversed, p_sale.total, p_sale.total_excluding_tax
    )::referral_private.price, v_is_above
  );
  v_text text;
begin
  if p_target.refusal is not null then
    return '0: ' || p_target.refusal;
  end if;
  v_text := case
    when not v_is_above and p_sale.total > 0 and p_sale.total_excluding_tax is not null
      and v_amount * p_sale.total > p_sale.paid::numeric * greatest(p_sale.total_excluding_tax, 0) then format(
      'at most the price without tax: (%s − %s) × %s / %s', p_sale.paid, p_sale.reversed,
      greatest(p_sale.total_excluding_tax, 0), p_sale.total
    )
    when not v_is_above and v_amount > p_sale.paid
      then format('at most the price: %s − %s', p_sale.paid, p_sale.reversed)
    when v_amount is not null then format(
      '%s × (%s − %s) / %s', p_target.reward -> 'amount' ->> p_sale.currency, p_sale.paid, p_sale.reversed, p_sale.paid
    )
    when p_sale.total <= 0 or p_sale.total_excluding_tax is null then format(
      '(%s − %s) × %s / 10000', p_sale.paid, p_sale.reversed, p_target.reward ->> 'bps'
    )
    else format(
      '(%s − %s) × %s × %s / (%s × 10000)', p_sale.paid, p_sale.reversed, greatest(p_sale.total_excluding_tax, 0),
      p_target.reward ->> 'bps', p_sale.total
    )
  end || ', rounded half up';
  if p_target.cap is not null then
    return format(
      '%s = %s, of which %s within %s for the referral', v_text, p_target.uncapped, p_target.amount, p_target.cap
    );
  end if;
  if p_target.amount < v_worth then
    return format('%s = %s, of which %s beside the commission', v_text, v_worth, p_target.amount);
  end if;
  return format('%s = %s', v_text, p_target.amount);
end
$$;

-- The events and records from which a sale's amounts are taken.
create function referral_private.events_of_sale(p_stripe_account text, p_livemode boolean, p_sale_id text)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_keys text[] := referral_private.payment_keys(p_stripe_account, p_livemode, array[p_sale_id] || array(
    select l.payment_key from referral_private.invoice_payments as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.invoice_id = p_sale_id
  ));
begin
  return array(
    select p.stated_by from referral_private.payments as p
    where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.payment_id = any (v_keys)
    union
    select r.stated_by from referral_private.refunds as r
    where r.stripe_account = p_stripe_account and r.livemode = p_livemode and r.payment_key = any (v_keys)
    union
    select d.stated_by from referral_private.disputes as d
    where d.stripe_account = p_stripe_account and d.livemode = p_livemode and d.payment_key = any (v_keys)
    union
    select n.stated_by from referral_private.credit_notes as n
    where n.stripe_account = p_stripe_account and n.livemode = p_livemode and n.invoice_id = p_sale_id
    order by 1
  );
end
$$;

-- The sale that a number means in an organisation, by one of its entries; null where it means none.
create function referral_private.sale_numbered(p_org_id uuid, p_sale_number bigint)
returns referral_private.ledger_entries
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_entry referral_private.ledger_entries;
begin
  select * into v_entry
  from referral_private.ledger_entries as e
  where e.org_id = p_org_id and e.entry_id = p_sale_number
    and e.entry_id = referral_private.sale_number(e.org_id, e.stripe_account, e.livemode, e.sale_id);
  return v_entry;
end
$$;

create function referral_private.explain_commission(
  p_org_id uuid,
  p_sale_number bigint default null,
  p_earner_id uuid default null,
  p_livemode boolean default null,
  p_sale_id text default null
)
returns setof referral.commission_explanation
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_earner_id uuid := p_earner_id;
  v_stripe_account text := referral_private.stripe_account_of(p_org_id);
  v_is_staff boolean := referral_private.acts_with_role(p_org_id, 'coordinator');
  v_is_admin constant boolean := coalesce(referral_private.acts_with_role(p_org_id, 'admin'), false);
  v_entry referral_private.ledger_entries;
begin
  if v_is_admin or p_sale_id is not null then
    perform referral_private.require_role(p_org_id, 'admin');
  end if;
  if p_earner_id is not null or not v_is_admin then
    v_earner_id := referral_private.earner_to_read(p_org_id, p_earner_id);
  end if;
  if num_nonnulls(p_sale_number, p_sale_id) <> 1 then
    perform referral_private.raise_error('invalid_argument', 'sale_number: it, or sale_id, and not both');
  end if;
  v_entry := referral_private.sale_numbered(p_org_id, p_sale_number);
  return query
  select referral_private.sale_number(p_org_id, v_stripe_account, s.livemode, s.sale_id),
    case when v_is_admin then s.sale_id end, s.livemode, t.earner_id, t.kind, t.amount, t.currency,
    t.refusal, referral_private.arithmetic_of(t, s, e.terms), s.paid, s.reversed, s.total, s.total_excluding_tax,
    s.sale_at, t.available_at, e.program_id, e.terms_version, e.terms, e.at, e.redemption_id,
    case when v_is_staff then e.code_id else e.chain_id end, t.rank,
    case when v_is_admin then referral_private.events_of_sale(v_stripe_account, s.livemode, s.sale_id) end,
    referral_private.is_settlement_pending(p_org_id, s.livemode)
  from referral_private.sales as s
  cross join lateral referral_private.settlement_of(
    v_stripe_account, s.livemode,
    referral_private.payers_together(v_stripe_account, s.livemode, array[s.payer_id])
  ) as settled
  cross join lateral referral_private.targets_of(settled, clock_timestamp()) as t
  join lateral unnest(settled.evidence) with ordinality as e on e.ordinality = t.n
  where s.stripe_account = v_stripe_account and s.sale_id = coalesce(p_sale_id, v_entry.sale_id)
    and (v_entry.livemode is null or s.livemode = v_entry.livemode) and t.sale_id = s.sale_id
    and t.org_id = p_org_id and (v_earner_id is null or t.earner_id = v_earner_id)
    and (p_livemode is null or s.livemode = p_livemode);
end
$$;

comment on function referral_private.explain_commission is
  'public: Returns why a sale earned what it did: facts, terms, arithmetic; for admins and the operator the sale''s id
and the ids of the events that stated the facts, too. Admins see every person''s part. No row where the sale had no
evidence when it was paid, or no part is the person''s. To people who are not
staff code_id is the first code of its chain, not the rotated one that the friend used. settlement_pending: something
waits to be settled, and the ledger may not have these amounts yet.

group: See referrals and earnings
org_id: the organisation
sale_number: the sale, as in my_statement; either this or sale_id
earner_id: the caller unless given; for admins and the operator, everyone unless given
livemode: true for live money, false for that of test mode; both unless given
sale_id: for admins and the operator: Stripe''s invoice or payment intent; of a recorded payment
  provider:org_id:payment_ref, as in my_statement
callers: the person; admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 10s';

grant execute on function referral_private.explain_commission to authenticated, service_role;

-- What can be wrong with the ledger, and two of its checks: the triggers that guard what is written once, which a
-- restore of data alone can turn into ones that a replica skips; and the stored balances.
create type referral.ledger_fault_kind as enum ('trigger', 'balance', 'entries', 'target', 'due');

-- What is wrong. Expected and found are amounts in minor units; of a trigger, how many there are; of a due time,
-- seconds since 1970, where 0 is none.
create type referral.ledger_fault as (
  kind referral.ledger_fault_kind,
  org_id uuid,
  stripe_account text,
  livemode boolean,
  subject text,
  earner_id uuid,
  account_kind referral.account_kind,
  currency text,
  expected bigint,
  found bigint
);

-- Of a slice: how many accounts or sales were looked at, what is wrong with them, and where the next slice begins.
create type referral.ledger_slice as (checked int, faults referral.ledger_fault[], next jsonb);

-- A table whose rows are written once, and its trigger that refuses changes; no trigger where none refuses them all.
-- `mode` is that of pg_trigger.
create type referral_private.guard as (name text, relation regclass, trigger name, mode "char");

-- The tables whose rows are written once, and their partitions, with their triggers.
create function referral_private.guards()
returns setof referral_private.guard
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select coalesce(c.relname::text, guarded.name), c.oid::regclass, t.tgname, t.tgenabled
  from (
    -- Once for each statement, before update, delete and truncate.
    select name, 'referral_private.refuse_change'::regproc as guard, 2 + 8 + 16 + 32 as kind
    from unnest(
      '{ledger_entries,stripe_events,resolved_events,archived_events,recorded_facts,code_states,decision_payers,
        switches,changes}'::text[]
    ) as name
    union all
    -- For each row, before update and delete.
    select written.name, written.guard::regproc, 1 + 2 + 8 + 16
    from (
      values
        ('program_terms', 'referral_private.guard_terms'),
        ('codes', 'referral_private.guard_code'),
        ('decisions', 'referral_private.guard_decision')
    ) as written (name, guard)
  ) as guarded
  left join pg_class as whole
    on whole.relnamespace in ('referral'::regnamespace, 'referral_private'::regnamespace)
    and whole.relname = guarded.name
  left join lateral (
    select whole.oid as id
    union all
    select i.inhrelid from pg_inherits as i where i.inhparent = whole.oid
  ) as each on true
  left join pg_class as c on c.oid = each.id
  left join lateral (
    select g.tgname, g.tgenabled from pg_trigger as g
    where g.tgrelid = c.oid and g.tgfoid = guarded.guard and g.tgtype = guarded.kind
      -- Whatever the rows and columns are.
      and g.tgqual is null and g.tgattr = ''
    order by g.tgenabled <> 'A'
    limit 1
  ) as t on true;
end
$$;

-- Tables whose trigger is missing, disabled, or one that a replica skips.
create function referral_private.trigger_faults()
returns setof referral.ledger_fault
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select 'trigger'::referral.ledger_fault_kind, null::uuid, null::text, null::boolean, g.name, null::uuid,
    null::referral.account_kind, null::text, 1::bigint, 0::bigint
  from referral_private.guards() as g
  where g.mode is distinct from 'A';
end
$$;

-- A slice of the accounts after this one: the stored balance is the sum of the entries. `next` is the last account of
-- a whole slice.
create function referral_private.verify_accounts(p_after referral_private.ledger_accounts, p_max_rows int)
returns referral.ledger_slice
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_accounts referral_private.ledger_accounts[] := array(
    select a from referral_private.ledger_accounts as a
    where p_after is null or (a.org_id, a.account_id) > ((p_after).org_id, (p_after).account_id)
    order by a.org_id, a.account_id
    limit p_max_rows
  );
  v_last referral_private.ledger_accounts := v_accounts[p_max_rows];
begin
  return (
    cardinality(v_accounts),
    array(
      select (
        'balance', a.org_id, null, a.livemode, 'account ' || a.account_id, a.earner_id, a.kind, a.currency,
        summed.amount, a.balance
      )::referral.ledger_fault
      from unnest(v_accounts) as a
      cross join lateral (
        select coalesce(sum(e.amount), 0) as amount
        from (
          select c.amount from referral_private.ledger_entries as c
          where c.org_id = a.org_id and c.credit_account_id = a.account_id
            and c.currency = a.currency and c.livemode = a.livemode
          union all
          select -d.amount from referral_private.ledger_entries as d
          where d.org_id = a.org_id and d.debit_account_id = a.account_id
            and d.currency = a.currency and d.livemode = a.livemode
        ) as e
      ) as summed
      where a.kind <> 'expense' and summed.amount <> a.balance
    ),
    case
      when v_last.account_id is not null
        then jsonb_build_object('org_id', v_last.org_id, 'account_id', v_last.account_id)
    end
  )::referral.ledger_slice;
end
$$;

-- Sales whose entries, postings and targets are not equal.

-- Of these sales those that wait to be settled, themselves or with another payer of their payer's person.
create function referral_private.sales_waiting(p_stripe_account text, p_livemode boolean, p_sale_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from referral_private.to_settle as q where q.stripe_account = p_stripe_account) then
    return '{}';
  end if;
  return array(
    select q.payer_id from referral_private.to_settle as q
    where q.stripe_account = p_stripe_account and q.livemode = p_livemode and q.payer_id = any (p_sale_ids)
    union
    select s.sale_id
    from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_sale_ids)
      and exists (
        select
        from unnest((referral_private.payers_together(p_stripe_account, p_livemode, array[s.payer_id])).carriers) as p
        join referral_private.to_settle as q
          on q.payer_id = p.payer_id and q.stripe_account = p_stripe_account and q.livemode = p_livemode
      )
  );
end
$$;

-- What is wrong with sales: the entries of a sale add up to what is posted, and that is what the facts say, unless it
-- waits to be settled. What is due and not released yet counts as available.
create function referral_private.faults_of_sales(p_stripe_account text, p_livemode boolean, p_sale_ids text[])
returns setof referral.ledger_fault
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_payers text[] := array(
    select distinct s.payer_id from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_sale_ids)
  );
  v_waiting text[] := referral_private.sales_waiting(p_stripe_account, p_livemode, p_sale_ids);
begin
  return query
  with
    posted as materialized (
      select p.* from referral_private.postings as p
      where p.stripe_account = p_stripe_account and p.livemode = p_livemode and p.sale_id = any (p_sale_ids)
    ),
    owed as materialized (
      select t.org_id, t.sale_id, t.earner_id, t.kind, t.currency, t.amount, t.available_at
      from referral_private.targets_at(p_stripe_account, p_livemode, v_payers, v_now) as t
      where t.sale_id = any (p_sale_ids) and t.earner_id is not null and t.amount > 0
    ),
    amounts as (
      select 'entries'::referral.ledger_fault_kind as fault, e.org_id, e.sale_id, a.earner_id, a.kind, e.currency,
        case a.account_id when e.credit_account_id then e.amount else -e.amount end as expected, 0::bigint as found
      from referral_private.ledger_entries as e
      join referral_private.ledger_accounts as a
        on a.org_id = e.org_id and a.account_id in (e.debit_account_id, e.credit_account_id)
      where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.sale_id = any (p_sale_ids)
        and a.kind <> 'expense'
      union all
      select 'entries', p.org_id, p.sale_id, p.earner_id, p.kind, p.currency, 0, p.amount from posted as p
      union all
      select 'target', o.org_id, o.sale_id, o.earner_id, o.kind, o.currency, o.amount, 0 from owed as o
      union all
      select 'target', p.org_id, p.sale_id, p.earner_id,
        case
          when p.due_at <= v_now and p.kind = 'pending' then 'available'
          when p.due_at <= v_now and p.kind = 'reward_pending' then 'reward_available'
          else p.kind
        end,
        p.currency, 0, p.amount
      from posted as p
      union all
      select 'due', p.org_id, p.sale_id, p.earner_id, p.kind, p.currency,
        extract(epoch from o.available_at)::bigint, coalesce(extract(epoch from p.due_at)::bigint, 0)
      from posted as p
      join owed as o
        on o.org_id = p.org_id and o.sale_id = p.sale_id and o.earner_id = p.earner_id and o.currency = p.currency
        and (o.kind in ('pending', 'available')) = (p.kind = 'pending')
      where p.kind in ('pending', 'reward_pending') and p.amount > 0 and p.due_at is distinct from o.available_at
    )
  select a.fault, a.org_id, p_stripe_account, p_livemode, a.sale_id, a.earner_id, a.kind, a.currency,
    sum(a.expected)::bigint, sum(a.found)::bigint
  from amounts as a
  where a.fault = 'entries' or not a.sale_id = any (v_waiting)
  group by a.fault, a.org_id, a.sale_id, a.earner_id, a.kind, a.currency
  having sum(a.expected) <> sum(a.found) or a.fault = 'due'
  order by a.sale_id, a.fault, a.earner_id, a.kind;
end
$$;

create type referral_private.sale_key as (sale_id text, stripe_account text, livemode boolean);

-- A slice of the sales after this one: all that there are, or that have postings or entries.
create function referral_private.verify_sales(p_after referral_private.sale_key, p_max_rows int)
returns referral.ledger_slice
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_keys referral_private.sale_key[] := array(
    select k::referral_private.sale_key
    from (
      (
        select s.sale_id, s.stripe_account, s.livemode from referral_private.sales as s
        where (s.sale_id, s.stripe_account, s.livemode)
          > ((p_after).sale_id, (p_after).stripe_account, (p_after).livemode)
        order by 1, 2, 3
        limit p_max_rows
      )
      union
      (
        select distinct p.sale_id, p.stripe_account, p.livemode from referral_private.postings as p
        where (p.sale_id, p.stripe_account, p.livemode)
          > ((p_after).sale_id, (p_after).stripe_account, (p_after).livemode)
        order by 1, 2, 3
        limit p_max_rows
      )
      union
      (
        select distinct e.sale_id, e.stripe_account, e.livemode from referral_private.ledger_entries as e
        where (e.sale_id, e.stripe_account, e.livemode)
          > ((p_after).sale_id, (p_after).stripe_account, (p_after).livemode)
        order by 1, 2, 3
        limit p_max_rows
      )
    ) as k
    order by k.sale_id, k.stripe_account, k.livemode
    limit p_max_rows
  );
begin
  return (
    cardinality(v_keys),
    array(
      select f::referral.ledger_fault
      from (
        select k.stripe_account, k.livemode, array_agg(k.sale_id) as sale_ids from unnest(v_keys) as k
        group by k.stripe_account, k.livemode
      ) as book
      cross join lateral referral_private.faults_of_sales(book.stripe_account, book.livemode, book.sale_ids) as f
    ),
    case when cardinality(v_keys) = p_max_rows then to_jsonb(v_keys[p_max_rows]) end
  )::referral.ledger_slice;
end
$$;

-- The whole ledger is compared with itself and with the facts, slice by slice: accounts first, then sales.
create function referral_private.verify_ledger(p_after jsonb default null, p_page_size int default 100)
returns referral.ledger_slice
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_max_rows int := referral_private.page_size(p_page_size);
  v_account referral_private.ledger_accounts;
  v_sale referral_private.sale_key;
  v_slice referral.ledger_slice;
begin
  begin
    v_account := jsonb_populate_record(null::referral_private.ledger_accounts, p_after);
    v_sale := jsonb_populate_record(null::referral_private.sale_key, p_after);
  exception
    when data_exception then
      perform referral_private.raise_error('invalid_argument', 'after: next of the slice before');
  end;
  if num_nulls(v_sale.sale_id, v_sale.stripe_account, v_sale.livemode) = 0 then
    return referral_private.verify_sales(v_sale, v_max_rows);
  end if;
  if p_after is not null and num_nulls(v_account.org_id, v_account.account_id) > 0 then
    perform referral_private.raise_error('invalid_argument', 'after: next of the slice before');
  end if;
  v_slice := referral_private.verify_accounts(v_account, v_max_rows);
  if p_after is null then
    v_slice.faults := array(select f from referral_private.trigger_faults() as f) || v_slice.faults;
  end if;
  -- Sales come after the accounts.
  v_slice.next := coalesce(v_slice.next, jsonb_build_object('sale_id', '', 'stripe_account', '', 'livemode', false));
  return v_slice;
end
$$;

comment on function referral_private.verify_ledger is
  'public: Compares a slice of the ledger with itself and with the facts, and returns how many accounts and sales it
looked at, what is wrong, and next, from which the next slice begins; next is null after the last one. Kinds of faults:
trigger (a table whose rows are written once has lost its trigger), balance (a stored balance is not the sum of its
entries), entries (what is posted of a sale is not the sum of its entries), target (it is not what the facts say), due
(nor is the time at which it becomes available). What waits to be settled has no fault of the last two kinds.
Example: docs/reliability.md.

group: Run jobs
after: next of the slice before; none for the first slice
page_size: accounts or sales in a slice, 1 to 1,000
callers: the operator
errors: invalid_argument
timeout: 60s';

grant execute on function referral_private.verify_ledger to service_role;

-- Sales that credit nobody, with the reason: for the operator, who looks for purchases that should have earned.
create type referral.unattributed_sale as (
  stripe_account text,
  livemode boolean,
  sale_id text,
  payer_id text,
  paid_at timestamptz,
  currency text,
  paid bigint,
  reason text
);

-- Why each of these sales credits nobody: the refusal of its commission, `no_evidence` where nothing names a referrer,
-- `zero_amount` where what it earns is nothing, `settlement_pending` where it will earn when what waits is settled. The
-- payers of one account and mode are judged together.
create function referral_private.with_reasons(p_sales referral_private.sales[])
returns setof referral.unattributed_sale
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
-- Without statistics a page of keys looks like half of a table.
set enable_seqscan = off
as $$
begin
  return query
  with
    judged as (
      select p.stripe_account, p.livemode, t.sale_id,
        case
          when bool_or(t.amount > 0) then 'settlement_pending'
          else min(coalesce(t.refusal, 'zero_amount'))
        end as reason
      from (
        select s.stripe_account, s.livemode, array_agg(distinct s.payer_id) as payer_ids
        from unnest(p_sales) as s
        group by 1, 2
      ) as p
      cross join lateral referral_private.targets_at(p.stripe_account, p.livemode, p.payer_ids, clock_timestamp()) as t
      where t.kind not in ('reward_pending', 'reward_available')
      group by 1, 2, 3
    )
  select s.stripe_account, s.livemode, s.sale_id, s.payer_id, s.paid_at, s.currency, s.paid,
    coalesce(j.reason, 'no_evidence')
  from unnest(p_sales) as s
  left join judged as j
    on j.sale_id = s.sale_id and j.stripe_account = s.stripe_account and j.livemode = s.livemode
  order by s.paid_at desc, s.sale_id desc, s.stripe_account desc, s.livemode desc;
end
$$;

-- The newest sales before this one, or of all, of which nothing is posted.
create function referral_private.uncredited_sales(
  p_livemode boolean,
  p_stripe_account text,
  p_before referral.unattributed_sale,
  p_max_rows int
)
returns referral_private.sales[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- By time, until there are enough: all sales would be read else.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return array(
    select s
    from referral_private.sales as s
    where (p_livemode is null or s.livemode = p_livemode)
      and (p_stripe_account is null or s.stripe_account = p_stripe_account)
      and s.paid_at <= coalesce(p_before.paid_at, 'infinity')
      and (
        p_before.paid_at is null
        or (s.paid_at, s.sale_id, s.stripe_account, s.livemode)
          < (p_before.paid_at, p_before.sale_id, p_before.stripe_account, p_before.livemode)
      )
      -- What is wholly reversed credits nobody, and could not.
      and s.reversed < s.paid
      and not exists (
        select from referral_private.postings as p
        where p.sale_id = s.sale_id and p.stripe_account = s.stripe_account and p.livemode = s.livemode
          and p.amount > 0
      )
    order by s.paid_at desc, s.sale_id desc, s.stripe_account desc, s.livemode desc
    limit p_max_rows
  );
end
$$;

create function referral_private.list_unattributed(
  p_livemode boolean default null,
  p_stripe_account text default null,
  p_after jsonb default null,
  p_page_size int default 100
)
returns setof referral.unattributed_sale
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_after referral.unattributed_sale;
begin
  if p_after is not null then
    begin
      v_after := jsonb_populate_record(null::referral.unattributed_sale, p_after);
    exception
      when data_exception then
        perform referral_private.raise_error('invalid_argument', 'after: the last row of the page before');
    end;
    if num_nulls(v_after.paid_at, v_after.sale_id, v_after.stripe_account, v_after.livemode) > 0 then
      perform referral_private.raise_error('invalid_argument', 'after: the last row of the page before');
    end if;
  end if;
  return query
  select u.* from referral_private.with_reasons(referral_private.uncredited_sales(
    p_livemode, p_stripe_account, v_after, referral_private.page_size(p_page_size)
  )) as u;
end
$$;

comment on function referral_private.list_unattributed is
  'public: Returns sales that credit nobody, newest first, each with the reason: no_evidence (nothing named a
referrer by the time of the payment), zero_amount (what it earns is nothing), settlement_pending (it will earn when
what waits is settled), or the refusal of its commission, as explain_commission gives it. docs/earnings.md lists the
reasons. Sales that are wholly reversed are left out.

group: Take payments
livemode: true for live sales, false for those of test mode; both unless given
stripe_account: of this Stripe account, an empty text for the platform''s own; all unless given
after: the last row of the page before; its paid_at, sale_id, stripe_account and livemode count; none for the first page
page_size: rows in a page, 1 to 1,000
callers: the operator
errors: invalid_argument
timeout: 20s';

grant execute on function referral_private.list_unattributed to service_role;

-- Health of an organisation: whether it is set up, as far as the database itself can say. Each check reads few rows,
-- however many there are: what can be many is counted to 1,000.

-- The result of a check. `found` is how many things are concerned, up to 1,000, or null; `remedy` mends it, and is null
-- if nothing is wrong.
create type referral.health_check as (name text, ok boolean, found bigint, message text, remedy text);

-- The result of a check that fails if there is a text of what is wrong. Else it says what is fine.
create function referral_private.checked(p_name text, p_wrong text, p_fine text, p_remedy text, p_found bigint)
returns referral.health_check
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    p_name, p_wrong is null, p_found, coalesce(p_wrong, p_fine), case when p_wrong is not null then p_remedy end
  )::referral.health_check;
end
$$;

-- A number that was counted to 1,000, as text.
create function referral_private.counted(p_found bigint)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when p_found < 1000 then p_found::text else '1,000 or more' end;
end
$$;

-- Where links lead: to a web page, and into the apps whose stores are destinations. Only links of a link host open
-- apps.
create function referral_private.check_destinations(p_organisation referral.organisations)
returns referral.health_check
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_has_host constant boolean := p_organisation.link_origin is not null;
  v_in_store constant text := substring(
    p_organisation.android_destination from '^https://play[.]google[.]com/store/apps/details[?](?:[^#]*&)?id=([^&#]+)'
  );
  v_package constant text := p_organisation.android_package;
  v_wrong constant text[] := array_remove(array[
    case when p_organisation.web_destination is null then 'web_destination is not set' end,
    case when v_in_store <> v_package then 'android_destination is not the app of android_package' end,
    case
      when v_has_host and v_in_store is not null and v_package is null
        then 'android_package is not set, so that no link opens the Android app'
    end,
    case
      when v_has_host and v_package is not null and p_organisation.android_fingerprints = '{}'
        then 'android_fingerprints are not set, so that no link opens the Android app'
    end,
    case
      when v_package is null and p_organisation.android_fingerprints <> '{}'
        then 'android_fingerprints are set without android_package'
    end,
    case
      when v_has_host and p_organisation.ios_destination is not null and p_organisation.ios_app_ids = '{}'
        then 'ios_app_ids are not set, so that no link opens the iOS app'
    end
  ], null);
begin
  return referral_private.checked(
    'destinations', nullif(array_to_string(v_wrong, '; ') || '.', '.'),
    'Links lead to ' || p_organisation.web_destination || '.',
    'Run "npx --no-install referbase setup --slug ' || p_organisation.slug
      || '" with --web, --ios, --android, --android-package, --android-fingerprints or --ios-app-ids.',
    nullif(cardinality(v_wrong), 0)
  );
end
$$;

-- The program that people get a code of who name none.
create function referral_private.check_program(p_organisation referral.organisations)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_default constant referral.programs := referral_private.named_program(p_organisation.id, null);
  v_wrong text;
  v_remedy text;
begin
  if not p_organisation.active then
    v_wrong := 'The organisation is switched off.';
    v_remedy := format(
      'In the SQL editor: select referral.update_organisation(%L, ''{"active": true}'')', p_organisation.id
    );
  elsif not exists (select from referral.programs as p where p.org_id = p_organisation.id) then
    v_wrong := 'There is no program.';
    v_remedy := 'Run "npx --no-install referbase setup --slug ' || p_organisation.slug
      || '", which asks for its terms.';
  elsif v_default.id is null then
    v_wrong := 'No program is the default.';
    v_remedy := format(
      'In the SQL editor: select referral.update_program(%L, ''{"is_default": true}'')', (
        select p.id from referral.programs as p where p.org_id = p_organisation.id
        order by p.active desc, p.created_at, p.id
        limit 1
      )
    );
  elsif not v_default.active then
    v_wrong := 'The default program, ' || v_default.key || ', is switched off.';
    v_remedy := format('In the SQL editor: select referral.update_program(%L, ''{"active": true}'')', v_default.id);
  elsif (referral_private.terms_in_force(p_organisation.id, v_default.id)).version is null then
    v_wrong := 'The default program, ' || v_default.key || ', has no terms in force.';
    v_remedy := format(
      'In the SQL editor: select referral.update_program(p.id, ''{"is_default": true}'') '
        || 'from referral.create_program(%L, ''second'', ''Second'') as p',
      p_organisation.id
    );
  end if;
  return referral_private.checked(
    'program', v_wrong, 'The default program is ' || v_default.key || ', and is switched on.', v_remedy, null
  );
end
$$;

-- Somebody who can change the organisation. Users are looked for only where Auth has any: tokens can come from
-- elsewhere.
create function referral_private.check_admin(p_organisation referral.organisations)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_admin_ids constant uuid[] := array(
    select m.user_id from referral.members as m
    where m.org_id = p_organisation.id and m.role = 'admin' and m.deactivated_at is null
    limit 1000
  );
begin
  return referral_private.checked(
    'admin', case
      when v_admin_ids = '{}' then 'There is no active admin.'
      when exists (select from auth.users)
        and not exists (select from auth.users as u where u.id = any (v_admin_ids))
        then 'No active admin is a user of this project.'
    end,
    'Active admins: ' || referral_private.counted(cardinality(v_admin_ids)) || '.',
    'Run "npx --no-install referbase setup --slug ' || p_organisation.slug
      || ' --admin EMAIL" with the address of a user.',
    cardinality(v_admin_ids)
  );
end
$$;

-- Codes that can be used. Of many the newest are looked at.
create function referral_private.check_codes(p_organisation referral.organisations)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- In the order of the index.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_looked_at constant int := 10000;
  v_codes bigint;
  v_active bigint;
begin
  select count(*), least(count(*) filter (where c.status = 'active' and coalesce(c.expires_at > now(), true)), 1000)
  into v_codes, v_active
  from (
    select d.status, d.expires_at from referral.codes as d
    where d.org_id = p_organisation.id
    order by d.created_at desc, d.id
    limit v_looked_at
  ) as c;
  return referral_private.checked(
    'codes', case
      when v_codes = 0 then 'There is no code yet.'
      when v_active = 0 and v_codes < v_looked_at then 'No code is active.'
      when v_active = 0 then 'None of the newest 10,000 codes is active.'
    end,
    'Active codes: ' || referral_private.counted(v_active) || '.',
    'Run "npx --no-install referbase setup --slug ' || p_organisation.slug
      || '", which makes one for the admin.', v_active
  );
end
$$;

-- The Stripe account of an organisation, '' for the platform's own; null if another organisation has it, too.
create function referral_private.account_of_one(p_organisation referral.organisations)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_organisation.stripe_account_id is null and exists (
    select from referral.organisations as o where o.stripe_account_id is null and o.id <> p_organisation.id
  ) then
    return null;
  end if;
  return coalesce(p_organisation.stripe_account_id, '');
end
$$;

-- What is no fault, and good to know: the host of the links, and the Stripe account.
create function referral_private.facts_of_organisation(p_organisation referral.organisations)
returns setof referral.health_check
language plpgsql
stable
rows 2
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return next referral_private.checked(
    'link_host', null, coalesce(
      'Links begin with ' || p_organisation.link_origin || '.',
      'Links have the address of the project: no link host is set.'
    ), null, null
  );
  return next referral_private.checked(
    'stripe_account', null, case
      when p_organisation.stripe_account_id is not null
        then 'The Stripe account is ' || p_organisation.stripe_account_id || '.'
      when referral_private.account_of_one(p_organisation) is not null
        then 'The Stripe account is the platform''s own.'
      else 'The Stripe account is the platform''s own, which other organisations use, too.'
    end, null, null
  );
end
$$;

-- Health of what comes of codes: redemptions that should have expired, and sales that credit nobody. Each check is of
-- one organisation, or, where none is given, of all together.

-- Pending redemptions whose conversion window has been over for an hour, which the job leaves pending if it does not
-- run.
create function referral_private.check_pending_past_window(p_org_id uuid)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- In the order of the index.
set enable_seqscan = off
set enable_sort = off
as $$
declare
  v_hour_ago constant timestamptz := clock_timestamp() - interval '1 hour';
  v_found bigint;
begin
  select count(*) into v_found
  from (
    select
    from referral.program_terms as t
    cross join lateral (
      select from referral.redemptions as r
      where r.program_id = t.program_id and r.terms_version = t.version
        and r.status = 'pending'
        and r.redeemed_at < v_hour_ago - (t.terms ->> 'conversion_window_days')::int * interval '24 hours'
      order by r.redeemed_at
      offset 0
    ) as r
    where p_org_id is null or t.org_id = p_org_id
    limit 1000
  ) as due;
  return referral_private.checked(
    'pending_past_window', case
      when v_found > 0
        then 'Redemptions that are pending for more than an hour after their conversion window: '
          || referral_private.counted(v_found) || '.'
    end,
    'No redemption is pending after its conversion window.',
    'In the SQL editor: select * from referral.run_maintenance(max_seconds => 30)', nullif(v_found, 0)
  );
end
$$;

-- How many sales of the last 30 days credit somebody, and how many nobody, as list_unattributed lists them.
create type referral_private.credited_sales as (credited bigint, uncredited bigint, looked_at bigint);

-- Of an organisation these are the sales that name it, and those that name none on a Stripe account that is its alone.
-- No index leads to the sales of one organisation: the newest 10,000 of all are looked at. Live ones count, unless
-- there is
-- none of them.
create function referral_private.recent_sales(p_organisation referral.organisations)
returns referral_private.credited_sales
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- In the order of the index.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_account constant text := referral_private.account_of_one(p_organisation);
  v_since constant timestamptz := clock_timestamp() - interval '720 hours';
  v_sales referral_private.credited_sales;
begin
  with
    newest as materialized (
      select d.* from referral_private.sales as d
      where d.paid_at >= v_since
      order by d.paid_at desc, d.sale_id desc
      limit 10000
    ),
    meant as materialized (
      select newest.* from newest
      where newest.reversed < newest.paid and (
        p_organisation.id is null or newest.org_id = p_organisation.id
        or newest.org_id is null and newest.stripe_account = v_account
      )
    )
  select least(count(*) filter (where s.is_credited), 1000), least(count(*) filter (where not s.is_credited), 1000),
    (select count(*) from newest)
  into v_sales
  from (
    select exists (
        select from referral_private.postings as p
        where p.sale_id = m.sale_id and p.stripe_account = m.stripe_account and p.livemode = m.livemode and p.amount > 0
      ) as is_credited
    from meant as m
    where m.livemode = (select bool_or(l.livemode) from meant as l)
  ) as s;
  return v_sales;
end
$$;

-- Sales that credit nobody are no fault: not every customer was referred. It is one if codes are redeemed and no sale
-- credits anybody: then the purchases probably do not say whose they are.
create function referral_private.check_unattributed(p_organisation referral.organisations)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sales constant referral_private.credited_sales := referral_private.recent_sales(p_organisation);
  -- In this order, so that the index of the organisation is read, and of all together one row.
  v_has_redemption constant boolean := case
    when p_organisation.id is null then exists (select from referral.redemptions)
    else exists (
      select from (
        select from referral.redemptions as r where r.org_id = p_organisation.id order by r.redeemed_at desc limit 1
      ) as newest
    )
  end;
  v_looked_at constant text := case
    when v_sales.looked_at = 10000 then ' Only the newest 10,000 sales of the project were looked at.' else ''
  end;
begin
  return referral_private.checked(
    'unattributed', case
      when v_sales.uncredited > 0 and v_sales.credited = 0 and v_has_redemption
        then 'None of the sales of the last 30 days credits anybody: ' || referral_private.counted(v_sales.uncredited)
          || '.' || v_looked_at
    end,
    'Sales of the last 30 days that credit nobody: ' || referral_private.counted(v_sales.uncredited)
      || '; that credit somebody: ' || referral_private.counted(v_sales.credited) || '.' || v_looked_at,
    'In the SQL editor, for the reasons: select * from referral.list_unattributed()', v_sales.uncredited
  );
end
$$;

-- Health of the installation: whether the jobs run and leave nothing, and what waits for somebody. These checks are of
-- all organisations together.

-- A time in ISO 8601, in UTC.
create function referral_private.iso_time(p_at timestamptz)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (to_jsonb(p_at at time zone 'utc') #>> '{}') || 'Z';
end
$$;

-- Whether run_maintenance is called, and whether its jobs succeed and keep up.
create function referral_private.check_jobs()
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hour_ago constant timestamptz := clock_timestamp() - interval '1 hour';
  v_schedule constant text :=
    'In the SQL editor, after "create extension if not exists pg_cron": select cron.schedule(''referral maintenance'', '
    || '''* * * * *'', ''select * from referral.run_maintenance()'')';
  v_last constant timestamptz := (select max(m.ran_at) from referral_private.maintenance_runs as m);
  v_failed text;
  v_behind text;
  v_found bigint;
begin
  select string_agg(m.job || ' (' || m.error || ')', ', ' order by m.job) filter (where m.error is not null),
    string_agg(m.job, ', ' order by m.job) filter (where m.behind_since < v_hour_ago),
    nullif(count(*) filter (where m.error is not null or m.behind_since < v_hour_ago), 0)
  into v_failed, v_behind, v_found
  from referral_private.maintenance_runs as m;
  if v_last is null then
    return referral_private.checked('jobs', 'No job has run yet.', null, v_schedule, null);
  elsif v_last < v_hour_ago then
    return referral_private.checked(
      'jobs', 'No job has run since ' || referral_private.iso_time(v_last) || '.', null, v_schedule, null
    );
  elsif v_failed is not null then
    return referral_private.checked(
      'jobs', 'Jobs that fail: ' || v_failed || '.', null,
      'Read the message in the log of the database, and report it. The page on reliability says '
        || 'which jobs there are.', v_found
    );
  end if;
  return referral_private.checked(
    'jobs', 'Jobs that have left something for more than an hour: ' || v_behind || '.',
    'The jobs ran last at ' || referral_private.iso_time(v_last) || '.',
    'In the SQL editor, until no row has more: select * from referral.run_maintenance(max_seconds => 30)', v_found
  );
end
$$;

-- Whether this month and the next have a partition of this table. A month that the default partition keeps needs none.
create function referral_private.check_partitions(p_name text, p_table regclass, p_rows text)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_missing constant text[] := array(
    select left(to_jsonb(month) #>> '{}', 7) from unnest(referral_private.missing_months(p_table, 1)) as month
  );
  v_in_default bigint;
begin
  execute format(
    'select count(*) from (select from %s limit 1000) as d',
    (select t.partdefid::regclass from pg_partitioned_table as t where t.partrelid = p_table)
  )
  into v_in_default;
  return referral_private.checked(
    p_name,
    'Months that have no partition of ' || p_rows || ': ' || nullif(array_to_string(v_missing, ', '), '') || '.',
    'No month lacks its partition of ' || p_rows || '; ' || p_rows || ' in the default partition: '
      || referral_private.counted(v_in_default) || '.',
    'In the SQL editor: select * from referral.run_maintenance()', nullif(cardinality(v_missing), 0)
  );
end
$$;

-- What a job should have done an hour ago. `p_what` ends with a colon, before the number of these.
create function referral_private.check_overdue(p_name text, p_what text, p_fine text, p_found bigint)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.checked(
    p_name, case when p_found > 0 then p_what || ' ' || referral_private.counted(p_found) || '.' end, p_fine,
    'In the SQL editor, until no row has more: select * from referral.run_maintenance(max_seconds '
      || '=> 30)', nullif(p_found, 0)
  );
end
$$;

-- Whether events that are stored, and payers, wait for their settlement longer than a few minutes.
create function referral_private.check_settlement()
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_since timestamptz;
  v_errors text;
  v_found bigint;
begin
  select min(w.since), string_agg(distinct w.error, ', ' order by w.error), count(*)
  into v_since, v_errors, v_found
  from (
    (
      select u.stored_at as since, u.error from referral_private.unapplied_events as u
      order by u.stored_at
      limit 1000
    )
    union all
    (select q.queued_at, q.error from referral_private.to_settle as q order by q.queued_at limit 1000)
  ) as w;
  return referral_private.checked(
    'settlement', case
      when v_since < clock_timestamp() - interval '10 minutes' or v_errors is not null then
        'Events and payers that wait to be settled: ' || referral_private.counted(v_found) || ', since '
          || referral_private.iso_time(v_since) || coalesce(', with errors: ' || v_errors, '') || '.'
    end, 'Nothing waits to be settled for long.',
    'In the SQL editor, until no row has more: select * from referral.settle_stripe_events()', nullif(v_found, 0)
  );
end
$$;

-- What the jobs have left for more than an hour.
create function referral_private.checks_of_overdue()
returns setof referral.health_check
language plpgsql
stable
rows 4
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hour_ago constant timestamptz := clock_timestamp() - interval '1 hour';
  v_found bigint;
begin
  select count(*) into v_found from (
    select from referral_private.postings as p
    where p.kind in ('pending', 'reward_pending') and p.amount > 0 and p.due_at < v_hour_ago
    limit 1000
  ) as due;
  return next referral_private.check_overdue(
    'due_commissions', 'Commissions and rewards that are pending for more than an hour after their hold:',
    'No commission or reward is pending after its hold.', v_found
  );
  select count(*) into v_found from (
    select from referral.codes as c
    where c.status in ('active', 'suspended') and c.expires_at < v_hour_ago
    limit 1000
  ) as due;
  return next referral_private.check_overdue(
    'expired_codes', 'Codes that are not stored as expired more than an hour after their time:',
    'Every code that is past its time is stored as expired.', v_found
  );
  select count(*) into v_found from (
    (
      select from referral_private.sign_up_claims as s
      where s.claimed_at < referral_private.later(v_hour_ago, interval '-90 days')
      limit 1000
    )
    union all
    (select from referral_private.sign_up_reservations as r where r.expires_at < v_hour_ago limit 1000)
  ) as due;
  return next referral_private.check_overdue(
    'sign_up_claims', 'Codes given at sign-up, and reservations, that should be deleted:',
    'No code given at sign-up is kept for too long.', least(v_found, 1000)
  );
  -- The keys are not logged: a replica has none, and refuses to read the table.
  if pg_is_in_recovery() then
    v_found := null;
  else
    select count(*) into v_found from referral_private.day_keys as k
    where k.day < (v_hour_ago at time zone 'utc')::date;
  end if;
  return next referral_private.check_overdue(
    'day_keys', 'Keys of past days, under which addresses are hashed, that should be deleted:',
    case
      when pg_is_in_recovery() then 'The keys under which addresses are hashed are on the primary only.'
      else 'No key of a past day is kept, under which addresses are hashed.'
    end, v_found
  );
end
$$;

-- Whether the triggers are there that guard what is written once. The remedy has a statement for each trigger that is
-- there, and that a replica skips, as after a restore that disabled triggers.
create function referral_private.check_ledger_triggers()
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tables text;
  v_missing text;
  v_statements text;
  v_found bigint;
begin
  select string_agg(g.name, ', ' order by g.name), nullif(count(*), 0),
    string_agg(g.name, ', ' order by g.name) filter (where g.trigger is null),
    string_agg(format('alter table %s enable always trigger %I; ', g.relation, g.trigger), '' order by g.name)
      filter (where g.trigger is not null)
  into v_tables, v_found, v_missing, v_statements
  from referral_private.guards() as g
  where g.mode is distinct from 'A';
  return referral_private.checked(
    'ledger_triggers', 'Tables without the trigger that guards what is written once: ' || v_tables || '.',
    'What is written once is guarded.',
    coalesce('Make the trigger as the migration does, for: ' || v_missing || '. ', '')
      || 'In the SQL editor: ' || coalesce(v_statements, '') || 'select * from referral.verify_ledger()', v_found
  );
end
$$;

-- All checks of health together: of one organisation, or of the installation.

-- Events of Stripe's: those that are parked, and when the last one was made; none at all is no fault,
-- and found is 0. Test mode has no money to lose.
create function referral_private.checks_of_events()
returns setof referral.health_check
language plpgsql
stable
rows 2
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_live bigint;
  v_reasons text;
  v_in_test bigint;
  v_last constant timestamptz := (
    select e.created_at from referral_private.stripe_events as e order by e.created_at desc limit 1
  );
begin
  select sum(r.events), string_agg(r.reason || ' ' || r.events, ', ' order by r.events desc, r.reason)
  into v_live, v_reasons
  from (
    select p.reason, count(*) as events
    from (select e.reason from referral_private.parked_events as e where e.livemode limit 1000) as p
    group by p.reason
  ) as r;
  select count(*) into v_in_test
  from (select from referral_private.parked_events as e where not e.livemode limit 1000) as p;
  return next referral_private.checked(
    'parked_events', 'Live events that are parked and earn nothing: ' || referral_private.counted(v_live) || ' ('
      || v_reasons || ').',
    'No live event is parked; events of test mode that are: ' || referral_private.counted(v_in_test) || '.',
    'Run "npx --no-install referbase parked".', v_live
  );
  return next referral_private.checked(
    'stripe_events', null,
    coalesce(
      'The last event of Stripe''s is of ' || referral_private.iso_time(v_last) || '.',
      'No event of Stripe''s has come yet.'
    ),
    null, case when v_last is null then 0 end
  );
end
$$;

-- The checks of each organisation that is switched on, together: how many fail, and which. Of many the newest are
-- looked at.
create function referral_private.checks_of_organisations()
returns setof referral.health_check
language plpgsql
stable
rows 4
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    newest as materialized (
      select o from referral.organisations as o where o.active order by o.created_at desc, o.id limit 1000
    ),
    checks as (
      select (n.o).slug, c.place, c.name, c.ok, c.message, c.remedy
      from newest as n
      cross join lateral unnest(array[
        referral_private.check_destinations(n.o), referral_private.check_program(n.o),
        referral_private.check_admin(n.o), referral_private.check_codes(n.o)
      ]) with ordinality as c (name, ok, found, message, remedy, place)
    ),
    summed as (
      select f.place, f.name, count(*) filter (where not f.ok) as found,
        (array_agg(f.slug order by f.slug) filter (where not f.ok))[1:3] as slugs,
        min(f.message) filter (where not f.ok) as message, min(f.remedy) as remedy
      from checks as f
      group by f.place, f.name
    )
  select c.*
  from summed as s
  cross join lateral referral_private.checked(
    s.name, case s.found
      when 0 then null
      when 1 then s.slugs[1] || ': ' || s.message
      else 'Organisations that fail: ' || referral_private.counted(s.found) || ', such as '
        || array_to_string(s.slugs, ', ') || '.'
    end,
    'Every organisation passes that is switched on.',
    case s.found when 1 then s.remedy else 'Run "npx --no-install referbase doctor --org ID" for '
      || 'each, with the id of the organisation.' end, nullif(s.found, 0)
  ) as c
  order by s.place;
end
$$;

create function referral_private.health(p_org_id uuid default null)
returns setof referral.health_check
language plpgsql
stable
rows 10
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_organisation referral.organisations;
  v_organisations bigint;
begin
  if p_org_id is not null or not referral_private.is_operator() then
    perform referral_private.require_role(p_org_id, 'admin');
    select * into strict v_organisation from referral.organisations as o where o.id = p_org_id;
    return next referral_private.check_destinations(v_organisation);
    return next referral_private.check_program(v_organisation);
    return next referral_private.check_admin(v_organisation);
    return next referral_private.check_codes(v_organisation);
    return query select f.* from referral_private.facts_of_organisation(v_organisation) as f;
  else
    return next referral_private.checked(
      'clock', null, 'The clock of the database says ' || referral_private.iso_time(clock_timestamp()) || '.', null,
      null
    );
    select count(*) into v_organisations from (select from referral.organisations limit 1000) as o;
    return next referral_private.checked(
      'organisations', case when v_organisations = 0 then 'There is no organisation.' end,
      'Organisations: ' || referral_private.counted(v_organisations) || '.',
      'Run "npx --no-install referbase setup".', v_organisations
    );
    return query select c.* from referral_private.checks_of_organisations() as c;
    return next referral_private.check_jobs();
    return next referral_private.check_settlement();
    return next referral_private.check_partitions('clicks_partition', 'referral_private.clicks', 'clicks');
    return next referral_private.check_partitions('events_partition', 'referral_private.stripe_events', 'events');
    return query select c.* from referral_private.checks_of_overdue() as c;
    return query select c.* from referral_private.checks_of_events() as c;
    return next referral_private.check_ledger_triggers();
  end if;
  return next referral_private.check_pending_past_window(p_org_id);
  return next referral_private.check_unattributed(v_organisation);
end
$$;

comment on function referral_private.health is
  'public: Says whether an organisation is set up and earns, or, without org_id, whether the installation runs and all
organisations are set up. Each row is a check: ok; found, how many things are concerned, counted up to 1,000; a message;
and, if it is not ok, the remedy. It reads at most 10,000 codes, 10,000 sales with their postings and 100,000 pending
redemptions, and, of all organisations, the checks of the newest 1,000. What each check means: docs/reliability.md.

group: Set up organisations and programs
org_id: the organisation; for the operator all unless given
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 20s';

grant execute on function referral_private.health to authenticated, service_role;

-- Generated by `npm run migrate` from the comments of the private functions. Do not edit. docs/api.md describes it.
-- Each function runs as its caller and calls the function of the same name in `referral_private`. It carries the statement
-- timeout, which PostgREST takes from the exposed function, and turns the violations and lock time-outs that it documents into
-- errors.

create function referral.add_member(org_id uuid, user_id uuid, role text default 'member')
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.add_member(add_member.org_id, add_member.user_id, add_member.role);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.add_member is
  'Adds a person with a role. Adding the same again changes nothing; an existing role is never changed.

org_id: the organisation.
user_id: the person.
role: member, coordinator or admin.
Callers: coordinators for members; admins and the operator for anyone.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_deactivated, organisation_not_found,
member_exists, invalid_argument, busy.';

grant execute on function referral.add_member to authenticated, service_role;

create function referral.allow_word(org_id uuid, word text, allowed boolean default true)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.allow_word(allow_word.org_id, allow_word.word, allow_word.allowed);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.allow_word is
  'Allows an organisation a reserved word in the codes that its staff choose, or takes that back. Codes that exist stay.
Returns the words that the organisation is allowed.

org_id: the organisation.
word: the word that details of code_reserved names, in any spelling.
allowed: false takes it back.
Callers: the operator.
Errors: organisation_not_found, invalid_argument, busy.';

grant execute on function referral.allow_word to service_role;

create function referral.code_clicks(code_id uuid, from_day date default null, to_day date default null)
returns setof referral.day_clicks
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.code_clicks(
    code_clicks.code_id,
    code_clicks.from_day,
    code_clicks.to_day
  ) as x;
end
$$;

comment on function referral.code_clicks is
  'Returns how many clicks on a code counted, per day (UTC), platform and channel, oldest day first; a missing channel is
null. To its referrer the clicks are those of its chain: the code and all that it was rotated from and into.

code_id: the code.
from_day: 30 days before to_day unless given, and not earlier.
to_day: today unless given.
Callers: the referrer, coordinators, admins and the operator.
Errors: not_signed_in, anonymous_user, code_not_found, invalid_argument.';

grant execute on function referral.code_clicks to authenticated, service_role;

create function referral.code_usage_stats(code_id uuid)
returns setof referral.code_usage
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.code_usage_stats(code_usage_stats.code_id) as x;
end
$$;

comment on function referral.code_usage_stats is
  'Returns how often a code was used, by how many people, when last, and by whom lately: ten ids, for staff only. To its
referrer the figures are those of its chain: the code and all that it was rotated from and into.

code_id: the code.
Callers: the referrer, coordinators, admins and the operator.
Errors: not_signed_in, anonymous_user, code_not_found.';

grant execute on function referral.code_usage_stats to authenticated, service_role;

create function referral.code_uses(code_ids uuid[])
returns setof referral.code_use_count
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.code_uses(code_uses.code_ids) as x;
end
$$;

comment on function referral.code_uses is
  'Returns how often each code was used, and how often it may be used (null: without limit). Rows for the codes that the
caller may see; to its referrer a code''s uses are those of its chain, as in code_usage_stats.

code_ids: up to 1,000 codes.
Callers: the referrer, coordinators, admins and the operator.
Errors: not_signed_in, anonymous_user, invalid_argument.';

grant execute on function referral.code_uses to authenticated, service_role;

create function referral.confirm_redemption(redemption_id uuid, reason text default null)
returns referral.redemptions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.confirm_redemption(confirm_redemption.redemption_id, confirm_redemption.reason);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.confirm_redemption is
  'Confirms a redemption by decision of staff, whatever was paid. That earns nothing by itself. The conversion window no
longer limits which sales the redemption wins.

redemption_id: the redemption.
reason: one line of up to 500 characters, kept in the audit.
Callers: coordinators, admins and the operator, but nobody for a redemption of their own, of a code that is theirs,
benefits them or was made by them, or where they earn more by it, now or once what waits is settled.
Errors: not_a_member, not_allowed, redemption_not_found, redemption_rejected, invalid_argument, busy.';

grant execute on function referral.confirm_redemption to authenticated, service_role;

create function referral.count_parked_events(livemode boolean default null)
returns setof referral.parked_event_count
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '20s'
as $$
begin
  return query select x.* from referral_private.count_parked_events(count_parked_events.livemode) as x;
end
$$;

comment on function referral.count_parked_events is
  'Counts the events that could not be read when they came, by mode, type, API version and reason, most first. They earn
nothing until they are resolved. api_version is null if the event had none of a known form. first_at and last_at are
the times at which Stripe made the first and the last of them, and stripe_accounts counts the Stripe accounts.

livemode: true for live events, false for those of test mode; both unless given.
Callers: the operator.';

grant execute on function referral.count_parked_events to service_role;

create function referral.create_campaign_code(
  org_id uuid,
  code text default null,
  program_id uuid default null,
  beneficiary_id uuid default null,
  max_uses int default null,
  expires_at timestamptz default null,
  description text default null
)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.create_campaign_code(
    create_campaign_code.org_id,
    create_campaign_code.code,
    create_campaign_code.program_id,
    create_campaign_code.beneficiary_id,
    create_campaign_code.max_uses,
    create_campaign_code.expires_at,
    create_campaign_code.description
  );
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.create_campaign_code is
  'Creates a code of the organisation, without a referrer; a beneficiary may earn from it. It counts against its maker''s
allowance. looks_like_another is as in create_code.

org_id: the organisation.
code: the text of the code, 3 to 32 letters and digits; drawn unless given.
program_id: the default program unless given.
beneficiary_id: the user who earns; nobody unless given.
max_uses: redemptions at most, not purchases that carry the code; no limit unless given.
expires_at: when the code ends; never unless given.
description: one line of up to 500 characters.
Callers: coordinators, admins and the operator.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
program_inactive, too_many_codes, code_taken, code_reserved, code_looks_alike, invalid_argument, invalid_code, busy.';

grant execute on function referral.create_campaign_code to authenticated, service_role;

create function referral.create_code(
  org_id uuid,
  referrer_id uuid default null,
  code text default null,
  program_id uuid default null,
  max_uses int default null,
  expires_at timestamptz default null,
  description text default null
)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.create_code(
    create_code.org_id,
    create_code.referrer_id,
    create_code.code,
    create_code.program_id,
    create_code.max_uses,
    create_code.expires_at,
    create_code.description
  );
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.create_code is
  'Creates a code of a referrer. A chosen code, a limit and an expiry are for staff. Of a chosen code looks_like_another
warns that one of another organisation on the shared link host looks like it.

org_id: the organisation.
referrer_id: the caller unless given.
code: the text of the code, 3 to 32 letters and digits; drawn unless given.
program_id: the default program unless given.
max_uses: redemptions at most, not purchases that carry the code; no limit unless given.
expires_at: when the code ends; never unless given.
description: one line of up to 500 characters.
Callers: the referrer; coordinators, admins and the operator for any member.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_deactivated, member_blocked, not_invited,
organisation_not_found, member_not_found, program_not_found, program_inactive, active_code_exists, too_many_codes,
code_suspended, code_taken, code_reserved, code_looks_alike, invalid_argument, invalid_code, rate_limited, busy.';

grant execute on function referral.create_code to authenticated, service_role;

create function referral.create_organisation(name text, slug text, admin_id uuid)
returns referral.organisations
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.create_organisation(
    create_organisation.name,
    create_organisation.slug,
    create_organisation.admin_id
  );
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.create_organisation is
  'Creates an organisation and its first admin.

name: one line of 1 to 120 characters.
slug: a lower-case label, unique.
admin_id: the user who becomes admin.
Callers: the operator.
Errors: organisation_exists, invalid_argument, busy.';

grant execute on function referral.create_organisation to service_role;

create function referral.create_program(org_id uuid, key text, name text, terms jsonb default '{}')
returns referral.programs
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.create_program(
    create_program.org_id,
    create_program.key,
    create_program.name,
    create_program.terms
  );
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.create_program is
  'Creates a program with version 1 of its terms. The organisation''s first program is its default.

org_id: the organisation.
key: a lower-case label, unique in the organisation.
name: one line of 1 to 120 characters.
terms: see docs/terms.md; unknown keys are refused.
Callers: admins and the operator.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_exists,
invalid_argument, invalid_terms, busy.';

grant execute on function referral.create_program to authenticated, service_role;

create function referral.deactivate_code(org_id uuid, referrer_id uuid default null, reason text default null)
returns setof referral.codes
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.deactivate_code(
    deactivate_code.org_id,
    deactivate_code.referrer_id,
    deactivate_code.reason
  ) as x;
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.deactivate_code is
  'Ends the active code of a referrer for good, and the grace of earlier ones. No active code is not an error: no row.

org_id: the organisation.
referrer_id: the caller unless given.
reason: one line of up to 500 characters, kept in the audit.
Callers: the referrer; coordinators, admins and the operator for any member.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
invalid_argument, busy.';

grant execute on function referral.deactivate_code to authenticated, service_role;

create function referral.deactivate_member(
  org_id uuid,
  user_id uuid,
  reason text default null,
  block boolean default false
)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.deactivate_member(
    deactivate_member.org_id,
    deactivate_member.user_id,
    deactivate_member.reason,
    deactivate_member.block
  );
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.deactivate_member is
  'Takes a member''s rights and ends their codes. What was redeemed before still earns for them, unless block is true.

org_id: the organisation.
user_id: the member.
reason: one line of up to 500 characters, kept in the audit.
block: true: the member gets no code again, and what is paid from now on earns nothing for them, and by their codes
nothing for others; nobody blocks themself.
Callers: coordinators for members; admins and the operator for anyone but the last admin; with block nobody who earns
more by it, now or once what waits is settled.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
last_admin, invalid_argument, busy.';

grant execute on function referral.deactivate_member to authenticated, service_role;

create function referral.end_code(code_id uuid, reason text default null, block boolean default false)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.end_code(end_code.code_id, end_code.reason, end_code.block);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.end_code is
  'Ends any code for good, campaign codes included, and the grace of the referrer''s earlier ones. An ended code is
returned as it is. What was redeemed before still earns, unless block is true.

code_id: the code.
reason: one line of up to 500 characters, kept in the audit.
block: true: the referrer gets no code again, and what is paid from now on earns nothing for them, and by their codes
nothing for others; of a campaign code: by this code nobody.
Callers: coordinators, admins and the operator; with block, who may forfeit_from the code.
Errors: not_a_member, not_allowed, code_not_found, invalid_argument, busy.';

grant execute on function referral.end_code to authenticated, service_role;

create function referral.expire_codes(max_rows int default 1000)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
begin
  return referral_private.expire_codes(expire_codes.max_rows);
end
$$;

comment on function referral.expire_codes is
  'Ends codes that are past their time and returns how many. Call again while that is max_rows.

max_rows: how many rows at most in this call.
Callers: the operator.';

grant execute on function referral.expire_codes to service_role;

create function referral.expire_redemptions(max_rows int default 1000)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
begin
  return referral_private.expire_redemptions(expire_redemptions.max_rows);
end
$$;

comment on function referral.expire_redemptions is
  'Marks pending redemptions whose conversion window is over and returns how many. Call again while that is max_rows. A
sale within the window that is heard of later still confirms the redemption.

max_rows: how many rows at most in this call.
Callers: the operator.';

grant execute on function referral.expire_redemptions to service_role;

create function referral.explain_commission(
  org_id uuid,
  sale_number bigint default null,
  earner_id uuid default null,
  livemode boolean default null,
  sale_id text default null
)
returns setof referral.commission_explanation
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.explain_commission(
    explain_commission.org_id,
    explain_commission.sale_number,
    explain_commission.earner_id,
    explain_commission.livemode,
    explain_commission.sale_id
  ) as x;
end
$$;

comment on function referral.explain_commission is
  'Returns why a sale earned what it did: facts, terms, arithmetic; for admins and the operator the sale''s id and the ids
of the events that stated the facts, too. Admins see every person''s part. No row where the sale had no evidence when
it was paid, or no part is the person''s. To people who are not staff code_id is the first code of its chain, not the
rotated one that the friend used. settlement_pending: something waits to be settled, and the ledger may not have these
amounts yet.

org_id: the organisation.
sale_number: the sale, as in my_statement; either this or sale_id.
earner_id: the caller unless given; for admins and the operator, everyone unless given.
livemode: true for live money, false for that of test mode; both unless given.
sale_id: for admins and the operator: Stripe''s invoice or payment intent; of a recorded payment
provider:org_id:payment_ref, as in my_statement.
Callers: the person; admins and the operator for anyone.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

grant execute on function referral.explain_commission to authenticated, service_role;

create function referral.find_code(code text)
returns setof referral.codes
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.find_code(find_code.code) as x;
end
$$;

comment on function referral.find_code is
  'Returns a code in any status, in any case, spacing and confusable spelling. No row if the text is no code, or if the
caller is neither its referrer nor staff of its organisation.

code: the text as typed.
Callers: the referrer, coordinators, admins and the operator.';

grant execute on function referral.find_code to authenticated, service_role;

create function referral.forfeit_from(
  org_id uuid,
  member_id uuid default null,
  code_id uuid default null,
  since timestamptz default null,
  until timestamptz default null,
  reason text default null
)
returns referral.decisions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.forfeit_from(
    forfeit_from.org_id,
    forfeit_from.member_id,
    forfeit_from.code_id,
    forfeit_from.since,
    forfeit_from.until,
    forfeit_from.reason
  );
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.forfeit_from is
  'Ends what sales earn that are paid from a time on: those that a member earns or that their codes earn for others, or
those of a code and of all codes that it was rotated from or into. Nobody else earns them instead, except where it is
from before the first sale that the code could have won.

org_id: the organisation.
member_id: the member; either this or code_id.
code_id: the code, of any status.
since: from when, past or future; now unless given; rounded down to a second.
until: before when, later than since; for ever unless given; rounded down to a second.
reason: one line of up to 500 characters, kept in the audit.
Callers: coordinators for members; admins and the operator for anyone; but nobody for themself, for a code that is
theirs, benefits them or was made by them, or where they earn more by it, now or once what waits is settled.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
code_not_found, invalid_argument, busy.';

grant execute on function referral.forfeit_from to authenticated, service_role;

create function referral.generate_codes(
  org_id uuid,
  count int,
  program_id uuid default null,
  max_uses int default null,
  expires_at timestamptz default null,
  description text default null
)
returns setof referral.code_batch
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.generate_codes(
    generate_codes.org_id,
    generate_codes.count,
    generate_codes.program_id,
    generate_codes.max_uses,
    generate_codes.expires_at,
    generate_codes.description
  ) as x;
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.generate_codes is
  'Draws campaign codes and returns their batch_id, to list them by. Staff draw one batch at a time, and
batch_rows_per_day codes in 24 hours.

org_id: the organisation.
count: 1 to 10,000.
program_id: the default program unless given.
max_uses: redemptions of each code at most; no limit unless given.
expires_at: when the codes end; never unless given.
description: one line of up to 500 characters.
Callers: coordinators, admins and the operator.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
program_inactive, invalid_argument, rate_limited, busy.';

grant execute on function referral.generate_codes to authenticated, service_role;

create function referral.get_active_code(org_id uuid, referrer_id uuid default null)
returns setof referral.codes
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.get_active_code(
    get_active_code.org_id,
    get_active_code.referrer_id
  ) as x;
end
$$;

comment on function referral.get_active_code is
  'Returns the active code of a referrer, or no row.

org_id: the organisation.
referrer_id: the caller unless given.
Callers: the referrer; coordinators, admins and the operator for any member.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

grant execute on function referral.get_active_code to authenticated, service_role;

create function referral.get_or_create_code(org_id uuid, program_id uuid default null)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.get_or_create_code(get_or_create_code.org_id, get_or_create_code.program_id);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.get_or_create_code is
  'Returns the caller''s active code, or makes one. In a program with open enrolment the caller becomes a member. A person
who cannot enrol gets not_invited, whether or not the organisation and the program exist.

org_id: the organisation.
program_id: the default program unless given.
Callers: signed-in people.
Errors: not_signed_in, anonymous_user, member_deactivated, member_blocked, not_invited, program_not_found,
program_inactive, active_in_other_program, too_many_codes, code_suspended, invalid_argument, rate_limited, busy.';

grant execute on function referral.get_or_create_code to authenticated;

create function referral.has_redeemed(code text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return referral_private.has_redeemed(has_redeemed.code);
end
$$;

comment on function referral.has_redeemed is
  'Returns whether the caller has redeemed this very code.

code: the text as typed.
Callers: signed-in people.
Errors: not_signed_in, anonymous_user.';

grant execute on function referral.has_redeemed to authenticated;

create function referral.health(org_id uuid default null)
returns setof referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '20s'
as $$
begin
  return query select x.* from referral_private.health(health.org_id) as x;
end
$$;

comment on function referral.health is
  'Says whether an organisation is set up and earns, or, without org_id, whether the installation runs and all
organisations are set up. Each row is a check: ok; found, how many things are concerned, counted up to 1,000; a
message; and, if it is not ok, the remedy. It reads at most 10,000 codes, 10,000 sales with their postings and 100,000
pending redemptions, and, of all organisations, the checks of the newest 1,000. What each check means:
docs/reliability.md.

org_id: the organisation; for the operator all unless given.
Callers: admins and the operator.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

grant execute on function referral.health to authenticated, service_role;

create function referral.import_codes(
  org_id uuid,
  rows jsonb,
  program_id uuid default null,
  dry_run boolean default false
)
returns setof referral.code_import
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.import_codes(
    import_codes.org_id,
    import_codes.rows,
    import_codes.program_id,
    import_codes.dry_run
  ) as x;
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.import_codes is
  'Takes campaign codes from rows: all, or none where a row has a fault. Then made is 0, batch_id is null, and rows has
the first 1,000 rows with a fault. That a text is taken is said only where no row has another fault. A text that a
purchase of the last 400 days carries is code_taken; the operator''s import takes it, and settles these purchases. An
organisation imports one file at a time, and the rows that staff ask for in 24 hours, dry runs and refused ones too,
are up to batch_rows_per_day.

org_id: the organisation.
rows: up to 50,000 objects {code, max_uses, expires_at, description, beneficiary_id} of 32 MiB at most; expires_at in
ISO 8601: a date is its end, and a time without an offset one, in the organisation''s time_zone.
program_id: the default program unless given.
dry_run: true stores nothing: made is how many codes an import would make, rows what each row would do: {row, code,
max_uses, expires_at, description, beneficiary_id, looks_like_another, faults}, or with faults {row, code, faults}.
Callers: coordinators, admins and the operator.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
program_inactive, invalid_argument, rate_limited, busy.';

grant execute on function referral.import_codes to authenticated, service_role;

create function referral.ingest_stripe_event(event jsonb)
returns setof referral.event_result
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '20s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.ingest_stripe_event(ingest_stripe_event.event) as x;
exception
  when lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.ingest_stripe_event is
  'Takes one delivery of a verified Stripe event, reduced to what is needed. Status: applied; stored if it is in the
inbox and waits to be applied, because another call has the Stripe account; duplicate if it came before; ignored for
types that state no fact; parked for what the webhook could not read, or the database refuses. A parked event that
comes again in a form that can be read is applied. unsettled: something of the Stripe account waits, then call
settle_stripe_events; if nobody does, run_maintenance settles it.

event: the event as functions/stripe-webhook reduces it.
Callers: the operator.
Errors: invalid_event, busy.';

grant execute on function referral.ingest_stripe_event to service_role;

create function referral.installed_version()
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return referral_private.installed_version();
end
$$;

comment on function referral.installed_version is
  'Returns the version of referbase that the database has: that of the last migration of a release.

Callers: the operator.';

grant execute on function referral.installed_version to service_role;

create function referral.link_site(host text)
returns setof referral.link_site
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.link_site(link_site.host) as x;
end
$$;

comment on function referral.link_site is
  'Returns what anyone may know of a link host: the destination of its organisation, and the apps that open its links. No
row for a host that no organisation has.

host: such as go.example.org or go.example.org:8443.
Callers: anyone.';

grant execute on function referral.link_site to anon, authenticated, service_role;

create function referral.list_changes(
  org_id uuid,
  subject_id uuid default null,
  actor_id uuid default null,
  after bigint default null,
  page_size int default 100
)
returns setof referral.change
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.list_changes(
    list_changes.org_id,
    list_changes.subject_id,
    list_changes.actor_id,
    list_changes.after,
    list_changes.page_size
  ) as x;
end
$$;

comment on function referral.list_changes is
  'Returns what staff and the operator changed, and the names that members showed, newest first. before and after have
the columns that changed; before is null where something was made, after where it was removed. actor_id is null for
the operator. made_as is the role of the database: authenticated for people, service_role for the operator''s server,
another for the operator''s jobs and SQL.

org_id: the organisation.
subject_id: of this organisation, member (the user), program, code, batch of codes or decision only; terms are of
their program, allowed words of the organisation.
actor_id: by this person only.
after: the last id of the page before; none for the first page.
page_size: rows in a page, 1 to 1,000.
Callers: admins and the operator.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

grant execute on function referral.list_changes to authenticated, service_role;

create function referral.list_codes(
  org_id uuid,
  referrer_id uuid default null,
  program_id uuid default null,
  batch_id uuid default null,
  usable boolean default false,
  after uuid default null,
  page_size int default 100
)
returns setof referral.codes
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.list_codes(
    list_codes.org_id,
    list_codes.referrer_id,
    list_codes.program_id,
    list_codes.batch_id,
    list_codes.usable,
    list_codes.after,
    list_codes.page_size
  ) as x;
end
$$;

comment on function referral.list_codes is
  'Returns codes of an organisation, newest first: all of them to staff, to anybody else their own.

org_id: the organisation.
referrer_id: only this referrer''s.
program_id: only this program''s.
batch_id: only this batch''s.
usable: leaves out codes that are suspended, rotated, ended or expired.
after: the last code of the page before; none for the first page.
page_size: rows in a page, 1 to 1,000.
Callers: signed-in people and the operator.
Errors: not_signed_in, anonymous_user, organisation_not_found, invalid_argument.';

grant execute on function referral.list_codes to authenticated, service_role;

create function referral.list_parked_events(max_rows int default 100, after_event text default null)
returns setof referral.parked_event
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.list_parked_events(
    list_parked_events.max_rows,
    list_parked_events.after_event
  ) as x;
end
$$;

comment on function referral.list_parked_events is
  'Returns events that could not be read when they came, oldest first, without what is personal.

max_rows: 1 to 1,000.
after_event: the last event_id of the page before; none for the first page.
Callers: the operator.
Errors: invalid_argument.';

grant execute on function referral.list_parked_events to service_role;

create function referral.list_unattributed(
  livemode boolean default null,
  stripe_account text default null,
  after jsonb default null,
  page_size int default 100
)
returns setof referral.unattributed_sale
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '20s'
as $$
begin
  return query select x.* from referral_private.list_unattributed(
    list_unattributed.livemode,
    list_unattributed.stripe_account,
    list_unattributed.after,
    list_unattributed.page_size
  ) as x;
end
$$;

comment on function referral.list_unattributed is
  'Returns sales that credit nobody, newest first, each with the reason: no_evidence (nothing named a referrer by the
time of the payment), zero_amount (what it earns is nothing), settlement_pending (it will earn when what waits is
settled), or the refusal of its commission, as explain_commission gives it. docs/earnings.md lists the reasons. Sales
that are wholly reversed are left out.

livemode: true for live sales, false for those of test mode; both unless given.
stripe_account: of this Stripe account, an empty text for the platform''s own; all unless given.
after: the last row of the page before; its paid_at, sale_id, stripe_account and livemode count; none for the first
page.
page_size: rows in a page, 1 to 1,000.
Callers: the operator.
Errors: invalid_argument.';

grant execute on function referral.list_unattributed to service_role;

create function referral.maintain_clicks(retention interval default '120 days', max_rows int default 100000)
returns setof referral.click_maintenance
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.maintain_clicks(
    maintain_clicks.retention,
    maintain_clicks.max_rows
  ) as x;
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.maintain_clicks is
  'Keeps the storage of clicks: makes the partitions of this month and the next two, drops those of months that ended
before the retention began, and deletes visitors and keys of past days. Returns how much it did.

retention: an interval of 90 days at least.
max_rows: how many clicks and how many visitors at most in this call.
Callers: the operator.
Errors: invalid_argument, busy.';

grant execute on function referral.maintain_clicks to service_role;

create function referral.maintain_events(retention interval default null, max_rows int default 100000)
returns setof referral.event_maintenance
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.maintain_events(
    maintain_events.retention,
    maintain_events.max_rows
  ) as x;
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.maintain_events is
  'Keeps the inbox of Stripe''s events: makes the partitions of this month and the next two, and, where a retention is
given, takes out the oldest month that ended before it: copies the keys of its events, in calls of a bounded size, so
that they are recognised as duplicates for ever, and then leaves the month''s table as
referral_private.archived_events_ with year and month, for you to store elsewhere and drop. A month stays while an
event of it waits or is parked. Returns how many partitions it made and took out, and whether the month needs another
call.

retention: an interval of 90 days at least; without it, nothing is taken out.
max_rows: how many keys are copied in this call, those of one second together.
Callers: the operator.
Errors: invalid_argument, busy.';

grant execute on function referral.maintain_events to service_role;

create function referral.my_earnings(org_id uuid, earner_id uuid default null, livemode boolean default null)
returns setof referral.earnings
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.my_earnings(
    my_earnings.org_id,
    my_earnings.earner_id,
    my_earnings.livemode
  ) as x;
end
$$;

comment on function referral.my_earnings is
  'Returns what a person has, per currency in minor units and per mode: commissions that are pending (on hold),
available, in_transit, paid; owed is what they owe after money was reversed; the rewards that they got as a referee
are reward_pending (on hold) and reward_available. settlement_pending: something waits to be settled, and amounts can
still change. Who never had an amount in a mode has no row of it, also while the first sale waits. in_transit and paid
are 0, because payouts are not recorded yet.

org_id: the organisation.
earner_id: the caller unless given.
livemode: true for live money, false for that of test mode; both unless given.
Callers: the person; admins and the operator for anyone.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

grant execute on function referral.my_earnings to authenticated, service_role;

create function referral.my_memberships()
returns setof referral.members
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.my_memberships() as x;
end
$$;

comment on function referral.my_memberships is
  'Returns what the caller is in which organisation: their rows of members, 1,000 at most.

Callers: signed-in people.
Errors: not_signed_in, anonymous_user.';

grant execute on function referral.my_memberships to authenticated;

create function referral.my_redemption(org_id uuid, program_id uuid default null)
returns setof referral.redeemed_code
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.my_redemption(my_redemption.org_id, my_redemption.program_id) as x;
end
$$;

comment on function referral.my_redemption is
  'Returns the caller''s redemption in a program, or no row.

org_id: the organisation.
program_id: the default program unless given.
Callers: signed-in people.
Errors: not_signed_in, anonymous_user, invalid_argument.';

grant execute on function referral.my_redemption to authenticated;

create function referral.my_referrals(org_id uuid, after uuid default null, page_size int default 100)
returns setof referral.referral_summary
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.my_referrals(
    my_referrals.org_id,
    my_referrals.after,
    my_referrals.page_size
  ) as x;
end
$$;

comment on function referral.my_referrals is
  'Returns the caller''s referrals, newest first: redemption, status, times and channel, never who.

org_id: the organisation.
after: the last redemption of the page before; none for the first page.
page_size: rows in a page, 1 to 1,000.
Callers: signed-in people.
Errors: not_signed_in, anonymous_user, invalid_argument.';

grant execute on function referral.my_referrals to authenticated;

create function referral.my_statement(
  org_id uuid,
  earner_id uuid default null,
  after bigint default null,
  page_size int default 100,
  livemode boolean default null
)
returns setof referral.statement_entry
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.my_statement(
    my_statement.org_id,
    my_statement.earner_id,
    my_statement.after,
    my_statement.page_size,
    my_statement.livemode
  ) as x;
end
$$;

comment on function referral.my_statement is
  'Returns every entry of a person''s ledger accounts, newest first: an amount in minor units that went from one kind of
account to another; expense is the organisation. sale_number is the same in all entries of a sale; an entry of a
payout or an adjustment has none. sale_id, which is Stripe''s or another provider''s, and caused_by, the event or the
job, are for admins and the operator, and null for others.

org_id: the organisation.
earner_id: the caller unless given.
after: the last entry_id of the page before; none for the first page.
page_size: rows in a page, 1 to 1,000.
livemode: true for live money, false for that of test mode; both unless given.
Callers: the person; admins and the operator for anyone.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

grant execute on function referral.my_statement to authenticated, service_role;

create function referral.org_liabilities(
  org_id uuid,
  livemode boolean default null,
  after jsonb default null,
  page_size int default 100
)
returns setof referral.liability
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.org_liabilities(
    org_liabilities.org_id,
    org_liabilities.livemode,
    org_liabilities.after,
    org_liabilities.page_size
  ) as x;
end
$$;

comment on function referral.org_liabilities is
  'Returns what the organisation owes each person, per currency in minor units and per mode, in the order of earner_id,
currency and livemode: commissions, and rewards of referees. The columns are those of my_earnings.

org_id: the organisation.
livemode: true for live money, false for that of test mode; both unless given.
after: the last row of the page before; its earner_id, currency and livemode count; none for the first page.
page_size: rows in a page, 1 to 1,000.
Callers: admins and the operator.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

grant execute on function referral.org_liabilities to authenticated, service_role;

create function referral.purge_rate_limits(max_rows int default 1000)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
begin
  return referral_private.purge_rate_limits(purge_rate_limits.max_rows);
end
$$;

comment on function referral.purge_rate_limits is
  'Deletes rate-limit counts of past hours and returns how many. Call again while that is max_rows. Deletes the keys of
past days too, under which addresses were hashed.

max_rows: how many rows at most in this call.
Callers: the operator.';

grant execute on function referral.purge_rate_limits to service_role;

create function referral.purge_sign_up_claims(max_rows int default 1000)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
begin
  return referral_private.purge_sign_up_claims(purge_sign_up_claims.max_rows);
end
$$;

comment on function referral.purge_sign_up_claims is
  'Deletes codes given at sign-up by people who did not come back within 90 days, and uses of limited codes that sign-ups
reserved more than an hour ago, which do not count any more. Returns how many. Call again while that is max_rows.

max_rows: how many rows at most in this call.
Callers: the operator.';

grant execute on function referral.purge_sign_up_claims to service_role;

create function referral.reactivate_code(code_id uuid, reason text default null)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.reactivate_code(reactivate_code.code_id, reactivate_code.reason);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.reactivate_code is
  'Makes a suspended code active again.

code_id: the code.
reason: one line of up to 500 characters, kept in the audit.
Callers: coordinators, admins and the operator.
Errors: not_a_member, not_allowed, code_not_found, code_ended, invalid_argument, busy.';

grant execute on function referral.reactivate_code to authenticated, service_role;

create function referral.reactivate_member(
  org_id uuid,
  user_id uuid,
  unblock boolean default false,
  reason text default null
)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.reactivate_member(
    reactivate_member.org_id,
    reactivate_member.user_id,
    reactivate_member.unblock,
    reactivate_member.reason
  );
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.reactivate_member is
  'Gives a deactivated member their role back; ended codes stay ended.

org_id: the organisation.
user_id: the member.
unblock: true, for admins: the member may have codes again, and what is paid from now on earns again; nobody unblocks
themself, a member with a code that benefits them or was made by them, or where they earn more by it, now or once what
waits is settled.
reason: one line of up to 500 characters, kept in the audit.
Callers: coordinators for members; admins and the operator for anyone.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
invalid_argument, busy.';

grant execute on function referral.reactivate_member to authenticated, service_role;

create function referral.recognise_users(max_rows int default 500)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.recognise_users(recognise_users.max_rows);
exception
  when lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.recognise_users is
  'Links payers to users who signed up after an event named them that came in the last 30 days, and returns how many
users that were. Call again while that is max_rows.

max_rows: how many users at most in this call.
Callers: the operator.
Errors: busy.';

grant execute on function referral.recognise_users to service_role;

create function referral.record_click(
  code text,
  click_id uuid,
  address text default null,
  user_agent text default null,
  platform text default 'web',
  channel text default null,
  utm jsonb default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.record_click(
    record_click.code,
    record_click.click_id,
    record_click.address,
    record_click.user_agent,
    record_click.platform,
    record_click.channel,
    record_click.utm
  );
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.record_click is
  'Records a click on a code, once per click id. True: the click counts. False: the visitor has clicked on this code
before on this day (UTC), or nothing was stored, because the code cannot be redeemed or as many clicks are stored as
the organisation allows. Address and user agent tell visitors apart and are not stored.

code: the text as typed.
click_id: a UUID that the caller made.
address: the visitor''s address.
user_agent: the visitor''s user agent.
platform: ios, android or web.
channel: a value of the enum click_channel; any other is stored as none.
utm: utm_source, utm_medium, utm_campaign, utm_term and utm_content, up to 100 printable characters each; other keys
are left out.
Callers: the operator.
Errors: invalid_argument, busy.';

grant execute on function referral.record_click to service_role;

create function referral.record_payment(
  org_id uuid,
  provider text,
  payment_ref text,
  referee_id uuid,
  amount bigint,
  currency text,
  tax bigint default null,
  paid_at timestamptz default null,
  program_id uuid default null,
  options jsonb default '{}'
)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.record_payment(
    record_payment.org_id,
    record_payment.provider,
    record_payment.payment_ref,
    record_payment.referee_id,
    record_payment.amount,
    record_payment.currency,
    record_payment.tax,
    record_payment.paid_at,
    record_payment.program_id,
    record_payment.options
  ) as x;
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.record_payment is
  'Records a payment that did not go through Stripe. The same content again returns duplicate.

org_id: the organisation.
provider: a lower-case label.
payment_ref: the provider''s reference, up to 255 printable characters.
referee_id: the user who paid.
amount: minor units, as Stripe counts them: ISK and UGX with two decimals, MGA without.
currency: lower-case, such as usd.
tax: minor units contained in the amount; unknown unless given.
paid_at: required; when it was paid.
program_id: every program of the organisation unless given.
options: an object: {"livemode": false} records in test mode, where the reference can be used once more.
Callers: the operator.
Errors: organisation_not_found, program_not_found, record_conflict, invalid_argument, busy.';

grant execute on function referral.record_payment to service_role;

create function referral.record_refund(
  org_id uuid,
  provider text,
  refund_ref text,
  payment_ref text,
  amount bigint,
  options jsonb default '{}'
)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.record_refund(
    record_refund.org_id,
    record_refund.provider,
    record_refund.refund_ref,
    record_refund.payment_ref,
    record_refund.amount,
    record_refund.options
  ) as x;
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.record_refund is
  'Records a refund of a recorded payment. The refund may be recorded before its payment.

org_id: the organisation.
provider: a lower-case label.
refund_ref: the provider''s reference, up to 255 printable characters.
payment_ref: the reference of the payment.
amount: minor units.
options: as record_payment; a refund is of a payment of its mode.
Callers: the operator.
Errors: organisation_not_found, record_conflict, invalid_argument, busy.';

grant execute on function referral.record_refund to service_role;

create function referral.record_refund_reversed(org_id uuid, provider text, refund_ref text, options jsonb default '{}')
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.record_refund_reversed(
    record_refund_reversed.org_id,
    record_refund_reversed.provider,
    record_refund_reversed.refund_ref,
    record_refund_reversed.options
  ) as x;
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.record_refund_reversed is
  'Records that a refund failed after all.

org_id: the organisation.
provider: a lower-case label.
refund_ref: the reference of the refund.
options: as record_payment.
Callers: the operator.
Errors: organisation_not_found, record_conflict, invalid_argument, busy.';

grant execute on function referral.record_refund_reversed to service_role;

create function referral.redeem_code(
  code text,
  click_id uuid default null,
  provenance text default 'typed',
  channel text default null
)
returns setof referral.redeemed_code
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.redeem_code(
    redeem_code.code,
    redeem_code.click_id,
    redeem_code.provenance,
    redeem_code.channel
  ) as x;
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.redeem_code is
  'Redeems a code for the caller, once per program. The same code again returns the same redemption.

code: the text as typed.
click_id: a click on this very code, not older than the organisation''s click_window, that proves no other redemption.
provenance: typed without a click; link, install_referrer or clipboard with one.
channel: a lower-case label of up to 32 characters; the click''s own channel counts instead, where it has one.
Callers: signed-in people.
Errors: not_signed_in, anonymous_user, self_referral, new_users_only, code_not_found, program_inactive,
code_suspended, code_inactive, code_expired, code_limit_reached, code_uses_reserved, already_redeemed,
mutual_referral, invalid_argument, invalid_code, invalid_click, rate_limited, busy.';

grant execute on function referral.redeem_code to authenticated;

create function referral.redeem_sign_up_code()
returns setof referral.redeemed_code
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.redeem_sign_up_code() as x;
exception
  when lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.redeem_sign_up_code is
  'Redeems the code that the caller gave at sign-up. No row if there is none, or none that could ever be redeemed. After
an error the code is kept for another try. A use that require_code_at_sign_up reserved becomes the use of this
redemption, or is free again.

Callers: signed-in people.
Errors: not_signed_in, anonymous_user, program_inactive, code_suspended, code_uses_reserved, rate_limited, busy.';

grant execute on function referral.redeem_sign_up_code to authenticated;

create function referral.reject_redemption(redemption_id uuid, reason text default null)
returns referral.redemptions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.reject_redemption(reject_redemption.redemption_id, reject_redemption.reason);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.reject_redemption is
  'Rejects a redemption and its referral, as reject_referral does for the referee, until the decision is withdrawn. The
person has still used their redemption in the program.

redemption_id: the redemption.
reason: one line of up to 500 characters, kept in the audit.
Callers: coordinators, admins and the operator, but nobody for a redemption of their own, for a referral of a code
that is theirs, benefits them or was made by them, or where they earn more by it, now or once what waits is settled.
Errors: not_a_member, not_allowed, redemption_not_found, invalid_argument, busy.';

grant execute on function referral.reject_redemption to authenticated, service_role;

create function referral.reject_referral(
  org_id uuid,
  program_id uuid,
  person_id uuid default null,
  payer_id text default null,
  reason text default null
)
returns referral.decisions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.reject_referral(
    reject_referral.org_id,
    reject_referral.program_id,
    reject_referral.person_id,
    reject_referral.payer_id,
    reject_referral.reason
  );
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.reject_referral is
  'Rejects a referral until the decision is withdrawn: what the person buys, what the payers buy that the referral has
now, and what redemptions of the person win, earns nobody anything in the program. A redemption of the person is
rejected too, also a later one.

org_id: the organisation.
program_id: the program.
person_id: whose referral it is; either this or payer_id.
payer_id: a customer of Stripe, or the invoice or payment of a guest.
reason: one line of up to 500 characters, kept in the audit.
Callers: coordinators, admins and the operator, but nobody for a referral of their own, of a code that is theirs,
benefits them or was made by them, or where they earn more by it, now or once what waits is settled.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
invalid_argument, busy.';

grant execute on function referral.reject_referral to authenticated, service_role;

create function referral.release_due_commissions(max_rows int default 250)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.release_due_commissions(release_due_commissions.max_rows);
exception
  when lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.release_due_commissions is
  'Makes commissions and rewards available whose hold is over, of one Stripe account, and returns how many sales it
looked at. Call again until it returns 0.

max_rows: how many sales at most, 250 at most.
Callers: the operator.
Errors: busy.';

grant execute on function referral.release_due_commissions to service_role;

create function referral.resolve_code(code text)
returns setof referral.resolved_code
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.resolve_code(resolve_code.code) as x;
end
$$;

comment on function referral.resolve_code is
  'Returns what anyone may know of a redeemable code: the code as shown, names, destinations, and the organisation''s own
link origin. No row for any other code, whatever the reason.

code: the text as typed.
Callers: anyone.';

grant execute on function referral.resolve_code to anon, authenticated, service_role;

create function referral.resolve_parked_event(event jsonb)
returns setof referral.event_result
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.resolve_parked_event(resolve_parked_event.event) as x;
exception
  when lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.resolve_parked_event is
  'Applies a parked event that can be read now, and deletes what was parked. Status: applied; duplicate if it is not
parked any more.

event: the event as functions/stripe-webhook reduces it.
Callers: the operator.
Errors: invalid_event, busy.';

grant execute on function referral.resolve_parked_event to service_role;

create function referral.rotate_code(
  org_id uuid,
  referrer_id uuid default null,
  code text default null,
  grace interval default null,
  reason text default null
)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.rotate_code(
    rotate_code.org_id,
    rotate_code.referrer_id,
    rotate_code.code,
    rotate_code.grace,
    rotate_code.reason
  );
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.rotate_code is
  'Retires the active code of a referrer and issues the next, in one step. The new code inherits program, expiry,
description and remaining uses. The old one stays redeemable for the grace period, and counts as one of the member''s
codes until then. Members rotate their own code up to rotations_per_day times within 24 hours; a code that was ended
and created anew counts, too. For staff who act for a member there is no such limit.

org_id: the organisation.
referrer_id: the caller unless given.
code: the text of the new code, for staff; drawn unless given.
grace: an interval from 0 to the organisation''s rotation_grace; 0 unless given.
reason: one line of up to 500 characters, kept in the audit.
Callers: the referrer; coordinators, admins and the operator for any member.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_deactivated, member_blocked, not_invited,
organisation_not_found, member_not_found, program_not_found, no_active_code, program_inactive, too_many_codes,
code_suspended, code_taken, code_reserved, code_looks_alike, invalid_argument, invalid_code, rate_limited, busy.';

grant execute on function referral.rotate_code to authenticated, service_role;

create function referral.run_maintenance(
  max_seconds int default 5,
  click_retention interval default '120 days',
  event_retention interval default null
)
returns setof referral.maintenance
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.run_maintenance(
    run_maintenance.max_seconds,
    run_maintenance.click_retention,
    run_maintenance.event_retention
  ) as x;
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.run_maintenance is
  'Runs all jobs: keeps the storage of clicks and events, expires codes and redemptions, purges rate limits and sign-up
claims, recognises users, settles what waits, and releases commissions and rewards whose hold is over. Call it every
minute, or at least every hour; call it again at once while a row has more. Returns, for each job, how much it did,
whether something is left, and error: the code of the error that undid its last batch, null if there was none. An
error of one job leaves what the others did, and its message is in the database''s log. No rows while another call is
under way. What another call has locked is left for the next one.

max_seconds: 1 to 30: after that only the last three jobs begin a batch, which is small.
click_retention: how long clicks are kept, 90 days at least.
event_retention: how long Stripe''s events stay in the inbox, 90 days at least; unless given, for ever.
Callers: the operator.
Errors: invalid_argument, busy.';

grant execute on function referral.run_maintenance to service_role;

create function referral.set_member_role(org_id uuid, user_id uuid, role text)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.set_member_role(set_member_role.org_id, set_member_role.user_id, set_member_role.role);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.set_member_role is
  'Changes a member''s role.

org_id: the organisation.
user_id: the member.
role: member, coordinator or admin.
Callers: admins and the operator.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
last_admin, invalid_argument, busy.';

grant execute on function referral.set_member_role to authenticated, service_role;

create function referral.set_my_name(org_id uuid, display_name text, public_name boolean default false)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.set_my_name(set_my_name.org_id, set_my_name.display_name, set_my_name.public_name);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.set_my_name is
  'Sets how the caller is called in an organisation, and whether people who open the caller''s link read it. Names that
they read are on record (list_changes), and can be changed 50 times in 24 hours.

org_id: the organisation.
display_name: one line of 1 to 80 characters, or null.
public_name: true: the link shows the name.
Callers: members, for themselves.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, invalid_argument, rate_limited, busy.';

grant execute on function referral.set_my_name to authenticated;

create function referral.settle_stripe_events(stripe_account text default null, event_id text default null)
returns setof referral.settled_events
language plpgsql
volatile
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '20s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return query select x.* from referral_private.settle_stripe_events(
    settle_stripe_events.stripe_account,
    settle_stripe_events.event_id
  ) as x;
exception
  when lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.settle_stripe_events is
  'Applies events that are stored and wait, up to 200 together, or, where none waits, settles up to 250 payers that wait
because there was too much to do at once. Returns how many it took, and whether more is left. Call it when
ingest_stripe_event says unsettled, and again while there is more; run_maintenance does it too.

stripe_account: its id, the empty text for the platform''s own account; the one that has waited longest unless given.
event_id: nothing is done if this event of the account does not wait any more.
Callers: the operator.
Errors: busy.';

grant execute on function referral.settle_stripe_events to service_role;

create function referral.suspend_code(code_id uuid, reason text default null)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.suspend_code(suspend_code.code_id, suspend_code.reason);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.suspend_code is
  'Suspends an active code: it cannot be redeemed, and its referrer gets no other code. The grace of the referrer''s
earlier codes ends for good. What was redeemed before still earns.

code_id: the code.
reason: one line of up to 500 characters, kept in the audit.
Callers: coordinators, admins and the operator.
Errors: not_a_member, not_allowed, code_not_found, code_ended, invalid_argument, busy.';

grant execute on function referral.suspend_code to authenticated, service_role;

create function referral.update_code(code_id uuid, changes jsonb)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.update_code(update_code.code_id, update_code.changes);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.update_code is
  'Changes description, expires_at and max_uses (null: no limit); of an ended code the description only.

code_id: the code.
changes: an object with these keys; expires_at in ISO 8601: a date is its end, and a time without an offset one, in
the organisation''s time_zone.
Callers: coordinators, admins and the operator.
Errors: not_a_member, not_allowed, code_not_found, code_ended, invalid_argument, busy.';

grant execute on function referral.update_code to authenticated, service_role;

create function referral.update_organisation(org_id uuid, changes jsonb)
returns referral.organisations
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.update_organisation(update_organisation.org_id, update_organisation.changes);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.update_organisation is
  'Changes settings of an organisation: name, active, web_destination, ios_destination, android_destination (https;
web_destination also http://localhost and http://127.0.0.1, for the local stack), android_package, ios_app_ids
(TEAMID.bundle.id), android_fingerprints (SHA-256, AB:CD:…), code_length, codes_per_member (codes in their grace
included), max_uses_cap, rotation_grace, rotations_per_day (codes that a member may replace themself within 24 hours);
redemptions_per_user, redemptions_per_address (per hour); click_window (an interval of up to 90 days in which a click
proves a redemption), clicks_per_visitor, clicks_per_code (kept of a code and day in UTC); time_zone (a name such as
Europe/Berlin; a code that expires on a date ends with that day there); refuse_look_alikes (true: staff cannot choose
a code that looks like one of another organisation on the shared link host); and, operator only, stripe_account_id,
batch_rows_per_day (of codes that staff generate, import or try to, in 24 hours) and link_origin (https, lower case,
of one organisation only).

org_id: the organisation.
changes: an object with these keys; unknown keys are refused.
Callers: admins and the operator.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, stripe_account_taken,
link_origin_taken, stripe_account_fixed, invalid_argument, busy.';

grant execute on function referral.update_organisation to authenticated, service_role;

create function referral.update_program(program_id uuid, changes jsonb)
returns referral.programs
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '10s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.update_program(update_program.program_id, update_program.changes);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.update_program is
  'Changes a program: name, active, is_default (true only) and terms. Of the terms, keys that are not given stay, and a
key that is null gets its default. Changed terms become a new version: what was redeemed keeps the terms it was made
under, and a code that a payment carries counts under the terms of that time. A program gets at most 50 versions in 24
hours.

program_id: the program.
changes: an object with these keys; unknown keys are refused.
Callers: admins and the operator.
Errors: not_allowed, program_not_found, invalid_argument, invalid_terms, rate_limited, busy.';

grant execute on function referral.update_program to authenticated, service_role;

create function referral.usage_for_code(code_id uuid, after uuid default null, page_size int default 100)
returns setof referral.redemptions
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.usage_for_code(
    usage_for_code.code_id,
    usage_for_code.after,
    usage_for_code.page_size
  ) as x;
end
$$;

comment on function referral.usage_for_code is
  'Returns the redemptions of a code, newest first.

code_id: the code.
after: the last redemption of the page before; none for the first page.
page_size: rows in a page, 1 to 1,000.
Callers: coordinators, admins and the operator.
Errors: code_not_found, invalid_argument.';

grant execute on function referral.usage_for_code to authenticated, service_role;

create function referral.usage_for_user(org_id uuid, user_id uuid, after uuid default null, page_size int default 100)
returns setof referral.redemptions
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.usage_for_user(
    usage_for_user.org_id,
    usage_for_user.user_id,
    usage_for_user.after,
    usage_for_user.page_size
  ) as x;
end
$$;

comment on function referral.usage_for_user is
  'Returns the redemptions that a person made in an organisation, newest first.

org_id: the organisation.
user_id: the referee.
after: the last redemption of the page before; none for the first page.
page_size: rows in a page, 1 to 1,000.
Callers: coordinators, admins and the operator.
Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

grant execute on function referral.usage_for_user to authenticated, service_role;

create function referral.validate_code(code text)
returns setof referral.resolved_code
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.validate_code(validate_code.code) as x;
end
$$;

comment on function referral.validate_code is
  'Returns what a link shows of a code if the caller could redeem it, and raises the reason if not. A person who has
redeemed this code gets already_redeemed too. Only redeem_code raises mutual_referral: here it would tell who has
redeemed. Without a signed-in person it returns what resolve_code returns.

code: the text as typed.
Callers: anyone.
Errors: self_referral, new_users_only, code_not_found, program_inactive, code_suspended, code_inactive, code_expired,
code_limit_reached, code_uses_reserved, already_redeemed, invalid_code.';

grant execute on function referral.validate_code to anon, authenticated, service_role;

create function referral.verify_ledger(after jsonb default null, page_size int default 100)
returns referral.ledger_slice
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
begin
  return referral_private.verify_ledger(verify_ledger.after, verify_ledger.page_size);
end
$$;

comment on function referral.verify_ledger is
  'Compares a slice of the ledger with itself and with the facts, and returns how many accounts and sales it looked at,
what is wrong, and next, from which the next slice begins; next is null after the last one. Kinds of faults: trigger
(a table whose rows are written once has lost its trigger), balance (a stored balance is not the sum of its entries),
entries (what is posted of a sale is not the sum of its entries), target (it is not what the facts say), due (nor is
the time at which it becomes available). What waits to be settled has no fault of the last two kinds. Example:
docs/reliability.md.

after: next of the slice before; none for the first slice.
page_size: accounts or sales in a slice, 1 to 1,000.
Callers: the operator.
Errors: invalid_argument.';

grant execute on function referral.verify_ledger to service_role;

create function referral.withdraw_decision(decision_id uuid, reason text default null)
returns referral.decisions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set statement_timeout = '60s'
as $$
declare
  v_schema text;
  v_constraint text;
  v_column text;
begin
  return referral_private.withdraw_decision(withdraw_decision.decision_id, withdraw_decision.reason);
exception
  when integrity_constraint_violation or lock_not_available or deadlock_detected then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name, v_column = column_name;
    perform referral_private.raise_violation(sqlstate, v_schema, v_constraint, v_column);
    raise;
end
$$;

comment on function referral.withdraw_decision is
  'Withdraws a decision, which then counts as never made. Other decisions on the same subject stay. A withdrawn decision
is returned as it is.

decision_id: the decision.
reason: one line of up to 500 characters, kept in the audit.
Callers: admins and the operator, but nobody for a decision on themself, on a code that is theirs, benefits them or
was made by them, also if that became known later, or where they earn more by it, now or once what waits is settled.
Errors: not_a_member, not_allowed, decision_not_found, invalid_argument, busy.';

grant execute on function referral.withdraw_decision to authenticated, service_role;

revoke execute on all functions in schema referral, referral_private from public;
