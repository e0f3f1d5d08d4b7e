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
