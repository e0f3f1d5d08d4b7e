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
