-- Generated from sql/ by `npm run migrate`. Do not edit.

-- Two schemas. `referral` is the public contract: tables that clients read under row-level security, and RPC
-- wrappers. `referral_private` is never exposed: the definer functions that do the work, and what only they touch.
create schema referral;

comment on schema referral is
  'referbase, public contract: tables to read under row-level security, and RPCs. No client role can write a table.';

create schema referral_private;

comment on schema referral_private is 'referbase, internal: never exposed through the Data API.';

-- Wrappers run as their caller and policies call functions, so every client role must reach both schemas;
-- what it may execute there is granted function by function.
grant usage
on schema referral, referral_private
to anon, authenticated, service_role;

-- Every error that SQL raises: code, HTTP status, sentence. docs/errors.md explains them; a test keeps both equal.
create function referral_private.error_registry()
returns table (code text, status int, message text)
language sql
immutable
security invoker
set search_path = ''
as $$
  values
    ('not_signed_in', 401, 'Sign in first.'),
    ('anonymous_user', 403, 'An anonymous sign-in cannot do this.'),
    ('not_a_member', 403, 'You are not a member of this organisation.'),
    ('not_allowed', 403, 'Your role in this organisation does not allow this.'),
    ('member_deactivated', 403, 'This member is deactivated.'),
    ('member_blocked', 403, 'This member is blocked from having codes.'),
    ('not_invited', 403, 'This program is for members whom staff have added.'),
    ('self_referral', 403, 'Nobody can redeem a code that is theirs.'),
    ('new_users_only', 403, 'This program is for new users only.'),
    ('organisation_not_found', 404, 'There is no such organisation.'),
    ('member_not_found', 404, 'This person is not a member of the organisation.'),
    ('program_not_found', 404, 'There is no such program in this organisation.'),
    ('code_not_found', 404, 'There is no such code.'),
    ('redemption_not_found', 404, 'There is no such redemption.'),
    ('no_active_code', 404, 'This referrer has no active code in the organisation.'),
    ('organisation_exists', 409, 'An organisation with this slug exists.'),
    ('stripe_account_taken', 409, 'Another organisation has this Stripe account.'),
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
    ('code_inactive', 409, 'This code is no longer in use.'),
    ('code_expired', 409, 'This code has expired.'),
    ('code_limit_reached', 409, 'This code has been used as often as it may be.'),
    ('code_final', 409, 'A code that has ended stays as it is.'),
    ('record_conflict', 409, 'This reference is recorded with other content.'),
    ('redemption_final', 409, 'Staff have decided on this redemption.'),
    ('already_redeemed', 409, 'This person has redeemed another code of the program.'),
    ('mutual_referral', 409, 'Two people cannot refer each other in one program.'),
    ('invalid_argument', 400, 'An argument is missing or has a value that is not allowed.'),
    ('invalid_code', 400, 'This is not a code: 3 to 32 letters and digits.'),
    ('invalid_terms', 400, 'The terms of the program are not valid.'),
    ('invalid_click', 400, 'There is no click that proves this.'),
    ('invalid_event', 400, 'The event is not one that can be read.'),
    ('invalid_rows', 400, 'Some rows cannot be imported; none was.'),
    ('rate_limited', 429, 'Too many redemptions. Try again later.'),
    ('busy', 503, 'The database is busy. Try again.');
$$;

revoke execute on function referral_private.error_registry from public;

-- Raises a registered error the way PostgREST relays: `{code, message, details, hint}` and the HTTP status.
create function referral_private.raise_error(p_code text, p_details text default null)
returns void
language plpgsql
stable
security invoker
set search_path = ''
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

revoke execute on function referral_private.raise_error from public;

-- Turns a violated constraint into the error that names its rule. Called from exception handlers only.
create function referral_private.raise_violation(p_constraint text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  perform referral_private.raise_error(
    case p_constraint
      when 'organisations_slug_is_unique' then 'organisation_exists'
      when 'organisations_stripe_account_is_unique' then 'stripe_account_taken'
      when 'programs_key_is_unique' then 'program_exists'
      when 'codes_one_active' then 'active_code_exists'
      when 'codes_key_is_unique' then 'code_taken'
      when 'redemptions_one_per_referee' then 'already_redeemed'
      when 'redemptions_no_mutual_pair' then 'mutual_referral'
      else 'invalid_argument'
    end,
    p_constraint
  );
end
$$;

revoke execute on function referral_private.raise_violation from public;

-- Is the caller the operator: the service role, or the schema's owner, connected directly or by `set role` (seeds, jobs)?
-- The absence of a signed-in user proves nothing: the anonymous role has none either.
create function referral_private.is_operator()
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_role text := current_setting('role');
begin
  if v_role = 'none' then
    v_role := session_user;
  end if;
  return v_role = 'service_role'
    or v_role = (select pg_catalog.pg_get_userbyid(n.nspowner) from pg_catalog.pg_namespace as n where n.nspname = 'referral');
end
$$;

revoke execute on function referral_private.is_operator from public;

-- The signed-in person. Raises `not_signed_in`, or `anonymous_user` for an anonymous sign-in.
create function referral_private.require_person()
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
begin
  if v_user_id is null then
    perform referral_private.raise_error('not_signed_in');
  end if;
  if coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false) then
    perform referral_private.raise_error('anonymous_user');
  end if;
  return v_user_id;
end
$$;

revoke execute on function referral_private.require_person from public;

-- An organisation is a tenant: it owns programs, codes and what comes of them. Its destinations are the only
-- places that a referral link can lead to.
create function referral_private.is_https_url(p_url text)
returns boolean
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  -- A host name with a dot, a port below 10,000, printable ASCII; no user information; at most 2,048 characters.
  select
    length(p_url) <= 2048
    and p_url collate "C" ~ '^https://([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9](:[1-9][0-9]{0,3})?([/?#][!-~]*)?$';
$$;

revoke execute on function referral_private.is_https_url from public;

-- Up to 20 texts, each of which is wholly of this form.
create function referral_private.are_all_like(p_texts text[], p_form text)
returns boolean
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select
    cardinality(p_texts) <= 20
    and not exists (
      select from unnest(p_texts) as t (text) where t.text is null or t.text collate "C" !~ ('^(' || p_form || ')$')
    );
$$;

revoke execute on function referral_private.are_all_like from public;

create table referral.organisations (
  id uuid not null default gen_random_uuid(),
  slug text not null,
  name text not null,
  active boolean not null default true,
  stripe_account_id text,
  link_origin text,
  web_destination text,
  ios_destination text,
  android_destination text,
  android_package text,
  ios_app_ids text[] not null default '{}',
  android_fingerprints text[] not null default '{}',
  code_length int not null default 8,
  codes_per_member int not null default 20,
  max_uses_cap int not null default 100000,
  rotation_grace interval not null default interval '7 days',
  redemptions_per_account int not null default 20,
  redemptions_per_address int not null default 200,
  click_window interval not null default interval '30 days',
  clicks_per_visitor int not null default 20,
  clicks_per_code int not null default 50000,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint organisations_pkey primary key (id),
  constraint organisations_slug_is_unique unique (slug),
  constraint organisations_stripe_account_is_unique unique (stripe_account_id),
  constraint organisations_link_origin_is_unique unique (link_origin),
  constraint organisations_slug_is_a_label check (slug ~ '^[a-z0-9](-?[a-z0-9]){0,62}$'),
  constraint organisations_name_is_1_to_120 check (length(name) between 1 and 120),
  constraint organisations_stripe_account_is_an_id check (stripe_account_id ~ '^acct_[A-Za-z0-9]{1,64}$'),
  constraint organisations_link_origin_is_https
    check (referral_private.is_https_url(link_origin) and link_origin collate "C" ~ '^https://[a-z0-9.-]+(:[0-9]+)?$'),
  constraint organisations_web_destination_is_https check (referral_private.is_https_url(web_destination)),
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
  constraint organisations_max_uses_cap_is_positive check (max_uses_cap between 1 and 1000000000),
  constraint organisations_redemptions_per_account_is_positive check (redemptions_per_account between 1 and 1000000),
  constraint organisations_redemptions_per_address_is_positive check (redemptions_per_address between 1 and 1000000),
  constraint organisations_clicks_per_visitor_is_positive check (clicks_per_visitor between 1 and 1000),
  constraint organisations_clicks_per_code_is_positive check (clicks_per_code between 1 and 10000000),
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
  'Tenants with their settings. Read by coordinators and admins of the organisation. Written by create_organisation and update_organisation.';

create type referral.member_role as enum ('member', 'coordinator', 'admin');

-- Everybody who has a role in an organisation. No foreign key to auth.users: history outlives an account.
create table referral.members (
  org_id uuid not null,
  user_id uuid not null,
  role referral.member_role not null default 'member',
  display_name text,
  public_name boolean not null default false,
  -- Who let them in: staff, themself where enrolment is open, or, where null, the operator.
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
  constraint members_reason_is_500_at_most check (length(reason) <= 500),
  constraint members_public_name_is_set check (not public_name or display_name is not null)
);

create index members_by_user on referral.members (user_id);

-- Of most members a look-up of a code then finds nothing in a small index, instead of a row in a large table.
create index members_with_public_name on referral.members (org_id, user_id) include (display_name) where public_name;

comment on table referral.members is
  'Who has which role in an organisation. A person reads their own rows, an admin all of the organisation. Written by add_member, set_member_role, deactivate_member, reactivate_member and get_or_create_code.';

-- The organisations in which the caller has at least this role. Every policy and every check goes through it:
-- an app with a membership table of its own replaces this one function. An anonymous sign-in has no role anywhere.
create function referral_private.orgs_with_role(p_role referral.member_role)
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false) then
    return;
  end if;
  return query
  select m.org_id
  from referral.members as m
  where m.user_id = auth.uid() and m.role >= p_role and m.deactivated_at is null;
end
$$;

revoke execute on function referral_private.orgs_with_role from public;

grant execute on function referral_private.orgs_with_role to authenticated;

alter table referral.organisations enable row level security;

create policy organisations_staff_reads on referral.organisations
for select
to authenticated
using (id in (select referral_private.orgs_with_role('coordinator')));

grant select on referral.organisations to authenticated, service_role;

alter table referral.members enable row level security;

create policy members_self_and_admin_read on referral.members
for select
to authenticated
using (user_id = (select auth.uid()) or org_id in (select referral_private.orgs_with_role('admin')));

grant select on referral.members to authenticated, service_role;

-- Does the caller act with this role in the organisation? The operator does, in every one.
create function referral_private.acts_with_role(p_org_id uuid, p_role referral.member_role)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return referral_private.is_operator() or p_org_id in (select referral_private.orgs_with_role(p_role));
end
$$;

revoke execute on function referral_private.acts_with_role from public;

-- Lets the caller pass who acts with this role. Raises `not_a_member`, `not_allowed`, and for the operator `organisation_not_found`.
create function referral_private.require_role(p_org_id uuid, p_role referral.member_role)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id');
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

revoke execute on function referral_private.require_role from public;

create function referral_private.create_organisation(p_name text, p_slug text, p_admin_id uuid)
returns referral.organisations
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_organisation referral.organisations;
  v_violated text;
begin
  if p_admin_id is null then
    perform referral_private.raise_error('invalid_argument', 'admin_id');
  end if;
  insert into referral.organisations (name, slug) values (p_name, p_slug) returning * into v_organisation;
  insert into referral.members (org_id, user_id, role) values (v_organisation.id, p_admin_id, 'admin');
  return v_organisation;
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when not_null_violation then
    get stacked diagnostics v_violated = column_name;
    perform referral_private.raise_error('invalid_argument', v_violated);
end
$$;

revoke execute on function referral_private.create_organisation from public;

grant execute on function referral_private.create_organisation to service_role;

-- Settings of an organisation: changed by its admins, its Stripe account and its link host only by the operator, because
-- whoever sets the account receives that account's events, and whoever sets the host says which apps open its links.
create function referral_private.update_organisation(p_org_id uuid, p_changes jsonb)
returns referral.organisations
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_settings constant text[] := array[
    'name', 'active', 'web_destination', 'ios_destination', 'android_destination', 'android_package', 'ios_app_ids',
    'android_fingerprints', 'code_length', 'codes_per_member', 'max_uses_cap', 'rotation_grace', 'redemptions_per_account',
    'redemptions_per_address', 'click_window', 'clicks_per_visitor', 'clicks_per_code'
  ];
  v_old referral.organisations;
  v_new referral.organisations;
  v_unknown text;
  v_violated text;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  if p_changes is null or jsonb_typeof(p_changes) <> 'object' then
    perform referral_private.raise_error('invalid_argument', 'changes');
  end if;
  select string_agg(key, ', ') into v_unknown
  from jsonb_object_keys(p_changes) as key
  where key <> all (v_settings)
    and not (key in ('stripe_account_id', 'link_origin') and referral_private.is_operator());
  if v_unknown is not null then
    perform referral_private.raise_error('invalid_argument', 'changes: ' || v_unknown);
  end if;

  if p_changes ? 'stripe_account_id' then
    perform referral_private.change_stripe_account(p_org_id, p_changes ->> 'stripe_account_id');
  elsif p_changes ? 'active' then
    -- A redemption under way would be overtaken by the answer.
    perform referral_private.lock_account_of(p_org_id);
  end if;

  select * into strict v_old from referral.organisations as o where o.id = p_org_id for no key update;
  v_new := jsonb_populate_record(v_old, p_changes);
  update referral.organisations as o
  set name = v_new.name, active = v_new.active, link_origin = v_new.link_origin,
    web_destination = v_new.web_destination, ios_destination = v_new.ios_destination,
    android_destination = v_new.android_destination, android_package = v_new.android_package,
    ios_app_ids = v_new.ios_app_ids, android_fingerprints = v_new.android_fingerprints,
    code_length = v_new.code_length, codes_per_member = v_new.codes_per_member,
    max_uses_cap = v_new.max_uses_cap, rotation_grace = v_new.rotation_grace,
    redemptions_per_account = v_new.redemptions_per_account, redemptions_per_address = v_new.redemptions_per_address,
    click_window = v_new.click_window, clicks_per_visitor = v_new.clicks_per_visitor, clicks_per_code = v_new.clicks_per_code,
    updated_at = clock_timestamp()
  where o.id = p_org_id
  returning * into v_new;
  if v_new.active <> v_old.active then
    perform referral_private.settle_program(referral_private.account_of(p_org_id), p.id, v_new.updated_at)
    from referral.programs as p
    where p.org_id = p_org_id;
  end if;
  return v_new;
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when not_null_violation then
    get stacked diagnostics v_violated = column_name;
    perform referral_private.raise_error('invalid_argument', v_violated);
  when invalid_text_representation or datetime_field_overflow or invalid_datetime_format or interval_field_overflow or numeric_value_out_of_range then
    perform referral_private.raise_error('invalid_argument', 'changes');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.update_organisation from public;

grant execute on function referral_private.update_organisation to authenticated, service_role;

-- The account decides which payments can confirm the organisation's redemptions, so it is fixed once there are any. What
-- either account's payments say is settled anew: the organisation's redemptions join one account and leave the other.
create function referral_private.change_stripe_account(p_org_id uuid, p_account_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_old text := referral_private.account_of(p_org_id);
  v_new text := coalesce(p_account_id, '');
begin
  perform referral_private.lock_account(least(v_old, v_new));
  perform referral_private.lock_account(greatest(v_old, v_new));
  if v_old = v_new then
    return;
  end if;
  if referral_private.account_of(p_org_id) <> v_old then
    perform referral_private.raise_error('busy');
  end if;

  if v_old <> '' and exists (select from referral_private.payments as p where p.account = v_old)
    or exists (select from referral.redemptions as r where r.org_id = p_org_id and r.confirmed_at is not null)
    or exists (select from referral_private.postings as p where p.org_id = p_org_id)
    or exists (select from referral_private.recorded_facts as f where f.org_id = p_org_id)
    or exists (
      select from referral.codes as c
      join referral_private.payer_evidence as e on e.named = c.code_key
      where c.org_id = p_org_id and e.account in (v_old, v_new)
    )
    or exists (
      select from referral.codes as c
      join referral_private.promotion_codes as p on p.code_key = c.code_key
      where c.org_id = p_org_id and p.account in (v_old, v_new)
    )
  then
    perform referral_private.raise_error('stripe_account_fixed');
  end if;
  update referral.organisations as o set stripe_account_id = p_account_id where o.id = p_org_id;
  perform referral_private.settle_organisation(p_org_id, array[v_old, v_new]);
end
$$;

revoke execute on function referral_private.change_stripe_account from public;

-- The staff's side of membership: who is let in, with which role, and who is out.

create function referral_private.require_role_name(p_role text)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if p_role is null or p_role <> all (enum_range(null::referral.member_role)::text[]) then
    perform referral_private.raise_error('invalid_argument', 'role');
  end if;
end
$$;

revoke execute on function referral_private.require_role_name from public;

-- An existing role is never changed here. Whoever let themself in where enrolment is open is invited by it.
create function referral_private.add_member(p_org_id uuid, p_user_id uuid, p_role text)
returns referral.members
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_user_id is null then
    perform referral_private.raise_error('invalid_argument', 'user_id');
  end if;
  perform referral_private.require_role_name(p_role);
  if p_role <> 'member' and not referral_private.acts_with_role(p_org_id, 'admin') then
    perform referral_private.raise_error('not_allowed');
  end if;

  insert into referral.members (org_id, user_id, role, admitted_by)
  values (p_org_id, p_user_id, p_role::referral.member_role, auth.uid())
  on conflict on constraint members_pkey do update
  set admitted_by = auth.uid()
  where members.admitted_by = members.user_id;

  select * into strict v_member from referral.members as m where m.org_id = p_org_id and m.user_id = p_user_id;
  if v_member.role::text <> p_role then
    perform referral_private.raise_error('member_exists', v_member.role::text);
  end if;
  if v_member.deactivated_at is not null then
    perform referral_private.raise_error('member_deactivated');
  end if;
  return v_member;
exception
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.add_member from public;

grant execute on function referral_private.add_member to authenticated, service_role;

-- Locks the organisation, which keeps its number of admins, then the member. Members are for coordinators to manage,
-- coordinators and admins for admins. Raises `not_allowed`, `member_not_found`.
create function referral_private.lock_member_to_manage(p_org_id uuid, p_user_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = ''
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
  if v_member.role <> 'member' then
    perform referral_private.require_role(p_org_id, 'admin');
  end if;
  return v_member;
end
$$;

revoke execute on function referral_private.lock_member_to_manage from public;

-- Refuses to take the last admin from an organisation, with `last_admin`. The organisation's row is locked.
create function referral_private.require_other_admin(p_member referral.members)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
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

revoke execute on function referral_private.require_other_admin from public;

create function referral_private.set_member_role(p_org_id uuid, p_user_id uuid, p_role text)
returns referral.members
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  perform referral_private.require_role_name(p_role);
  v_member := referral_private.lock_member_to_manage(p_org_id, p_user_id);
  if p_role <> 'admin' then
    perform referral_private.require_other_admin(v_member);
  end if;
  update referral.members as m
  set role = p_role::referral.member_role, reason = null
  where m.org_id = p_org_id and m.user_id = p_user_id
  returning * into v_member;
  return v_member;
exception
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.set_member_role from public;

grant execute on function referral_private.set_member_role to authenticated, service_role;

-- Takes a member's rights and ends their codes. With `p_block` they get none again until an admin lifts that too.
create function referral_private.deactivate_member(p_org_id uuid, p_user_id uuid, p_reason text, p_block boolean)
returns referral.members
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_member referral.members;
  v_violated text;
begin
  v_member := referral_private.lock_member_to_manage(p_org_id, p_user_id);
  perform referral_private.require_other_admin(v_member);
  update referral.members as m
  set deactivated_at = coalesce(m.deactivated_at, clock_timestamp()), reason = p_reason,
    blocked_at = case when p_block then coalesce(m.blocked_at, clock_timestamp()) else m.blocked_at end
  where m.org_id = p_org_id and m.user_id = p_user_id
  returning * into v_member;
  perform referral_private.end_codes_of(p_org_id, p_user_id, '{active,suspended}', p_reason);
  return v_member;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.deactivate_member from public;

grant execute on function referral_private.deactivate_member to authenticated, service_role;

-- Gives a member their rights back, and, by an admin with `p_unblock`, the right to have codes.
create function referral_private.reactivate_member(p_org_id uuid, p_user_id uuid, p_unblock boolean, p_reason text)
returns referral.members
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_member referral.members;
  v_violated text;
begin
  perform referral_private.lock_member_to_manage(p_org_id, p_user_id);
  if p_unblock then
    perform referral_private.require_role(p_org_id, 'admin');
  end if;
  update referral.members as m
  set deactivated_at = null, blocked_at = case when not p_unblock then m.blocked_at end, reason = p_reason
  where m.org_id = p_org_id and m.user_id = p_user_id
  returning * into v_member;
  return v_member;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.reactivate_member from public;

grant execute on function referral_private.reactivate_member to authenticated, service_role;

-- A member says how they are called, and whether whoever opens their link may read it. Nobody says it for them.
create function referral_private.set_my_name(p_org_id uuid, p_display_name text, p_public_name boolean)
returns referral.members
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_member referral.members;
  v_violated text;
begin
  perform referral_private.require_role(p_org_id, 'member');
  update referral.members as m
  set display_name = p_display_name, public_name = coalesce(p_public_name, false)
  where m.org_id = p_org_id and m.user_id = v_user_id
  returning * into v_member;
  return v_member;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.set_my_name from public;

grant execute on function referral_private.set_my_name to authenticated;

-- The audit of members: written by trigger, so that no function can forget it.
create table referral.member_changes (
  org_id uuid not null,
  id bigint generated always as identity,
  user_id uuid not null,
  role referral.member_role not null,
  deactivated boolean not null,
  blocked boolean not null,
  actor_id uuid,
  reason text,
  changed_at timestamptz not null default clock_timestamp(),
  constraint member_changes_pkey primary key (org_id, id),
  constraint member_changes_are_of_a_member
    foreign key (org_id, user_id) references referral.members (org_id, user_id)
      on delete restrict
);

create index member_changes_by_member on referral.member_changes (org_id, user_id, id);

comment on table referral.member_changes is
  'The audit of members: what somebody was after each change, who made it and why; no actor is the operator. Read by admins of the organisation. Written by trigger.';

alter table referral.member_changes enable row level security;

create policy member_changes_admin_reads on referral.member_changes
for select
to authenticated
using (org_id in (select referral_private.orgs_with_role('admin')));

grant select on referral.member_changes to authenticated, service_role;

create function referral_private.record_member_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if tg_op = 'INSERT'
    or (new.role, new.deactivated_at, new.blocked_at) is distinct from (old.role, old.deactivated_at, old.blocked_at)
  then
    insert into referral.member_changes (org_id, user_id, role, deactivated, blocked, actor_id, reason)
    values (
      new.org_id, new.user_id, new.role, new.deactivated_at is not null, new.blocked_at is not null, auth.uid(), new.reason
    );
  end if;
  return null;
end
$$;

revoke execute on function referral_private.record_member_change from public;

create trigger members_record_their_changes
after insert or update of role, deactivated_at, blocked_at on referral.members
for each row
execute function referral_private.record_member_change();

-- The organisation behind a link host of its own: what the host's web pages and apps are, for whoever asks the host.
create function referral_private.link_site(p_host text)
returns table (
  link_origin text,
  web_destination text,
  ios_app_ids text[],
  android_package text,
  android_fingerprints text[]
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
  select o.link_origin, o.web_destination, o.ios_app_ids, o.android_package, o.android_fingerprints
  from referral.organisations as o
  where o.link_origin = 'https://' || lower(p_host);
end
$$;

revoke execute on function referral_private.link_site from public;

grant execute on function referral_private.link_site to anon, authenticated, service_role;

-- A program is what an organisation offers: to whom, for what, until when. Its terms are versioned and immutable,
-- and a redemption keeps the version it was made under, so that changing a program never changes a promise.
create table referral.programs (
  id uuid not null default gen_random_uuid(),
  org_id uuid not null,
  key text not null,
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
  constraint programs_name_is_1_to_120 check (length(name) between 1 and 120)
);

create unique index programs_one_default on referral.programs (org_id) where is_default;

comment on table referral.programs is
  'Programs of an organisation. Read by its members. Written by create_program and update_program.';

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
  'Versions of a program''s terms, each immutable, with the time it was in force. Read by the organisation''s members. Written by create_program and update_program.';

alter table referral.programs enable row level security;

create policy programs_members_read on referral.programs
for select
to authenticated
using (org_id in (select referral_private.orgs_with_role('member')));

grant select on referral.programs to authenticated, service_role;

alter table referral.program_terms enable row level security;

create policy program_terms_members_read on referral.program_terms
for select
to authenticated
using (org_id in (select referral_private.orgs_with_role('member')));

grant select on referral.program_terms to authenticated, service_role;

create function referral_private.create_program(p_org_id uuid, p_key text, p_name text, p_terms jsonb)
returns referral.programs
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_program referral.programs;
  v_violated text;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  -- The organisation's row decides who comes first, and so which program is the default.
  perform from referral.organisations as o where o.id = p_org_id for no key update;

  insert into referral.programs (org_id, key, name, is_default)
  values (p_org_id, p_key, p_name, not exists (select from referral.programs as p where p.org_id = p_org_id))
  returning * into v_program;

  insert into referral.program_terms (org_id, program_id, version, terms)
  values (p_org_id, v_program.id, 1, referral_private.complete_terms(p_terms));
  return v_program;
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when not_null_violation then
    get stacked diagnostics v_violated = column_name;
    perform referral_private.raise_error('invalid_argument', v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.create_program from public;

grant execute on function referral_private.create_program to authenticated, service_role;

-- Changes name, active, is_default and terms. New terms become a new version, in force from now: what was redeemed
-- under an older one keeps it. The account lock keeps redemptions from reading terms that are being replaced.
create function referral_private.update_program(p_program_id uuid, p_changes jsonb)
returns referral.programs
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_program referral.programs;
  v_unknown text;
  v_now timestamptz;
  v_violated text;
begin
  select * into v_program from referral.programs as p where p.id = p_program_id;
  if v_program.id is null or not referral_private.acts_with_role(v_program.org_id, 'member') then
    perform referral_private.raise_error('program_not_found');
  end if;
  perform referral_private.require_role(v_program.org_id, 'admin');
  if p_changes is null or jsonb_typeof(p_changes) <> 'object' then
    perform referral_private.raise_error('invalid_argument', 'changes');
  end if;
  select string_agg(key, ', ') into v_unknown
  from jsonb_object_keys(p_changes) as key
  where key <> all ('{name,active,is_default,terms}'::text[]);
  if v_unknown is not null or p_changes -> 'is_default' <> 'true' then
    perform referral_private.raise_error('invalid_argument', 'changes: ' || coalesce(v_unknown, 'is_default'));
  end if;

  perform referral_private.lock_account_of(v_program.org_id);
  perform from referral.organisations as o where o.id = v_program.org_id for no key update;
  select * into strict v_program from referral.programs as p where p.id = p_program_id;
  v_now := clock_timestamp();
  if p_changes ? 'terms' then
    update referral.program_terms as t
    set valid_to = v_now
    where t.org_id = v_program.org_id and t.program_id = p_program_id and t.valid_to is null;
    insert into referral.program_terms (org_id, program_id, version, terms, valid_from)
    select v_program.org_id, p_program_id, max(t.version) + 1, referral_private.complete_terms(p_changes -> 'terms'), v_now
    from referral.program_terms as t
    where t.org_id = v_program.org_id and t.program_id = p_program_id;
  end if;
  if p_changes ? 'is_default' then
    update referral.programs as p set is_default = false where p.org_id = v_program.org_id and p.is_default;
  end if;
  update referral.programs as p
  set name = case when p_changes ? 'name' then p_changes ->> 'name' else p.name end,
    active = case when p_changes ? 'active' then (p_changes ->> 'active')::boolean else p.active end,
    is_default = p.is_default or p_changes ? 'is_default'
  where p.id = p_program_id
  returning * into v_program;
  if p_changes ?| '{terms,active}'::text[] then
    perform referral_private.settle_program(referral_private.account_of(v_program.org_id), p_program_id, v_now);
  end if;
  return v_program;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when not_null_violation then
    get stacked diagnostics v_violated = column_name;
    perform referral_private.raise_error('invalid_argument', v_violated);
  when invalid_text_representation then
    perform referral_private.raise_error('invalid_argument', 'changes');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.update_program from public;

grant execute on function referral_private.update_program to authenticated, service_role;

-- The program a new code belongs to: the given one, or else the organisation's default. Raises `program_not_found`, `program_inactive`.
create function referral_private.program_for_code(p_org_id uuid, p_program_id uuid)
returns referral.programs
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_program referral.programs;
begin
  select p.* into v_program
  from referral.programs as p
  where p.org_id = p_org_id and case when p_program_id is null then p.is_default else p.id = p_program_id end;
  if not found then
    perform referral_private.raise_error('program_not_found');
  end if;
  if not v_program.active or not (select o.active from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('program_inactive');
  end if;
  return v_program;
end
$$;

revoke execute on function referral_private.program_for_code from public;

create function referral_private.terms_in_force(p_org_id uuid, p_program_id uuid)
returns referral.program_terms
language plpgsql
stable
security invoker
set search_path = ''
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

revoke execute on function referral_private.terms_in_force from public;

-- What a program's terms may say. Every key is known and checked, so that a misspelt promise is refused
-- instead of ignored; what is left out gets its default when the terms are stored, not when they are read.
create function referral_private.is_whole(p_value jsonb, p_from bigint, p_to bigint)
returns boolean
language sql
immutable
security invoker
set search_path = ''
as $$
  select
    case
      when jsonb_typeof(p_value) != 'number' then false
      else scale(p_value::numeric) = 0
      and p_value::numeric between p_from and p_to
    end;
$$;

revoke execute on function referral_private.is_whole from public;

-- Amounts per currency in minor units, such as {"usd": 500}. Amounts stay below 2^53, where JavaScript numbers are exact.
create function referral_private.is_money(p_value jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = ''
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

revoke execute on function referral_private.is_money from public;

-- What the referrer or the referee gets: {"kind":"percent","bps":2000} or {"kind":"flat","amount":{"usd":500}}.
create function referral_private.is_reward(p_value jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = ''
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

revoke execute on function referral_private.is_reward from public;

-- Commission by rank: [{"from":1,"bps":1000},{"from":11,"bps":1500}], starting at 1 and rising.
create function referral_private.is_tiers(p_value jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = ''
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

revoke execute on function referral_private.is_tiers from public;

create function referral_private.is_recurrence(p_value jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = ''
as $$
  select
    case jsonb_typeof(p_value)
      when 'string' then p_value in ('"once"', '"forever"')
      when 'object' then p_value - 'months' = '{}'
      and coalesce(referral_private.is_whole(p_value -> 'months', 1, 1200), false)
      else false
    end;
$$;

revoke execute on function referral_private.is_recurrence from public;

-- Checks terms and fills in the defaults. Raises `invalid_terms` with the key that is unknown or wrong.
create function referral_private.complete_terms(p_terms jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
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

revoke execute on function referral_private.complete_terms from public;

-- When programs and organisations were switched on and off: code evidence counts by what stood when it was carried.
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

-- For organisations and programs, whose `active` it follows.
create function referral_private.record_switch()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
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

revoke execute on function referral_private.record_switch from public;

create trigger programs_record_their_switch
after insert or update of active on referral.programs
for each row
execute function referral_private.record_switch();

create trigger organisations_record_their_switch
after insert or update of active on referral.organisations
for each row
execute function referral_private.record_switch();

-- What a code is as text: how it is shown, the one normal form that decides equality, and how new ones are drawn.

-- The form in which a code is shown: capitals, words joined by single hyphens, as in `OLIVIA-1`; null where the text
-- is too long. NFKC folds compatibility forms, white space and dashes (Unicode Pd) part words, only ASCII is raised.
create function referral_private.show_code(p_code text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = ''
as $$
begin
  if length(p_code) > 128 then
    return null;
  end if;
  return translate(
    btrim(
      regexp_replace(
        normalize(p_code, NFKC) collate "C",
        '[\u0009-\u000D\u0020\u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000' || '\u002D\u058A\u05BE\u1400\u1806\u2010-\u2015\u2E17\u2E1A\u2E3A\u2E3B\u2E40\u2E5D\u301C\u3030\u30A0' || '\uFE31\uFE32\uFE58\uFE63\uFF0D\U00010D6E\U00010EAD]+',
        '-',
        'g'
      ),
      '-'
    ),
    'abcdefghijklmnopqrstuvwxyz',
    'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
  );
end
$$;

revoke execute on function referral_private.show_code from public;

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
set search_path = ''
as $$
declare
  v_normal constant text := '^[0-9A-HJKMNP-Z]{3,32}$';
  v_key text;
begin
  if length(p_code) > 128 then
    return null;
  end if;
  v_key := translate(p_code, 'abcdefghijklmnopqrstuvwxyzOIL- ', 'ABCDEFGH1JK1MN0PQRSTUVWXYZ011');
  if v_key collate "C" ~ v_normal then
    return v_key;
  end if;
  v_key := translate(referral_private.show_code(p_code), 'OIL-', '011');
  return case when v_key collate "C" ~ v_normal then v_key end;
end
$$;

revoke execute on function referral_private.normalise_code from public;

-- Draws a code of 8 to 16 characters of Crockford's base32, in groups of four: `7KQ2-M9XT`. Each character takes five
-- bits of one random byte; bytes 6 and 8 of a version 4 UUID carry fixed bits and are left out.
create function referral_private.draw_code(p_length int)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
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

revoke execute on function referral_private.draw_code from public;

-- Words that are no codes: `whole` ones as they are, others wherever they stand in one. Stored in normal form, so that
-- other spellings are caught as well. The organisation's own go here too.
create table referral_private.reserved_words (
  word text not null,
  whole boolean not null,
  constraint reserved_words_pkey primary key (word),
  constraint reserved_words_are_normal check (word = referral_private.normalise_code(word))
);

alter table referral_private.reserved_words enable row level security;

insert into referral_private.reserved_words (word, whole)
select referral_private.normalise_code(word), whole
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
      ('bastard', false),
      ('bitch', false),
      ('cock', false),
      ('cunt', false),
      ('fag', false),
      ('fick', false),
      ('fotze', false),
      ('fuck', false),
      ('fvck', false),
      ('hitler', false),
      ('hure', false),
      ('merde', false),
      ('nazi', false),
      ('nigga', false),
      ('nigger', false),
      ('penis', false),
      ('porn', false),
      ('puta', false),
      ('putain', false),
      ('rape', false),
      ('shit', false),
      ('slut', false),
      ('sperm', false),
      ('tits', false),
      ('twat', false),
      ('vagina', false),
      ('whore', false),
      ('wank', false),
      ('xxx', false)
  ) as words (word, whole)
where referral_private.normalise_code(word) is not null
on conflict do nothing;

create function referral_private.is_reserved(p_key text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (
    select from referral_private.reserved_words as r
    where r.word = p_key or not r.whole and position(r.word in p_key) > 0
  );
end
$$;

revoke execute on function referral_private.is_reserved from public;

-- A code belongs to a referrer, or, as a campaign code, to the organisation. A code string is never given out
-- twice: rows are not deleted, and the normal form of the string is unique for ever.
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
  'Uses and limit of limited codes. Read by whoever may read the code. Written by create_code and redeem_code.';

create table referral.codes (
  id uuid not null default gen_random_uuid(),
  org_id uuid not null,
  program_id uuid not null,
  code text not null,
  code_key text not null generated always as (referral_private.normalise_code(code)) stored,
  referrer_id uuid,
  beneficiary_id uuid,
  description text,
  status referral.code_status not null default 'active',
  expires_at timestamptz,
  quota_id uuid,
  rotation int not null default 0,
  replaced_by uuid,
  redeemable_until timestamptz,
  batch_id uuid,
  created_by uuid,
  deactivated_at timestamptz,
  deactivated_by uuid,
  reason text,
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
  constraint codes_description_is_500_at_most check (length(description) <= 500),
  constraint codes_reason_is_500_at_most check (length(reason) <= 500),
  constraint codes_expire_at_a_time check (isfinite(expires_at)),
  constraint codes_rotation_is_counted check (rotation >= 0),
  constraint codes_rotated_are_replaced check ((status = 'rotated') = (replaced_by is not null)),
  constraint codes_only_rotated_have_grace check (redeemable_until is null or status = 'rotated'),
  constraint codes_ended_say_when
    check ((status in ('rotated', 'invalidated', 'expired')) = (deactivated_at is not null))
);

create unique index codes_one_active on referral.codes (referrer_id, org_id) where status = 'active';

create index codes_by_referrer on referral.codes (referrer_id, org_id, created_at desc);

create index codes_live on referral.codes (referrer_id, org_id) where status in ('active', 'suspended');

create index codes_in_grace on referral.codes (referrer_id, org_id) where redeemable_until is not null;

create index codes_by_program on referral.codes (org_id, program_id);

create index codes_by_organisation on referral.codes (org_id, created_at desc, id);

create index codes_by_creator on referral.codes (org_id, created_by) where referrer_id is null and batch_id is null;

create index codes_by_batch on referral.codes (org_id, batch_id) where batch_id is not null;

create index codes_to_expire on referral.codes (expires_at) where status in ('active', 'suspended');

create index codes_by_quota on referral.codes (org_id, quota_id) where quota_id is not null;

create index codes_by_replacement on referral.codes (org_id, replaced_by) where replaced_by is not null;

comment on table referral.codes is
  'Codes. A referrer reads their own, coordinators and admins those of the organisation. Written by the functions of their life: create, rotate, deactivate, suspend, update, expire.';

alter table referral.codes enable row level security;

create policy codes_owner_and_staff_read on referral.codes
for select
to authenticated
using (referrer_id = (select auth.uid()) or org_id in (select referral_private.orgs_with_role('coordinator')));

grant select on referral.codes to authenticated, service_role;

alter table referral.code_quotas enable row level security;

create policy code_quotas_owner_and_staff_read on referral.code_quotas
for select
to authenticated
using (
  org_id in (select referral_private.orgs_with_role('coordinator'))
  or quota_id in (select c.quota_id from referral.codes as c where c.referrer_id = (select auth.uid()))
);

grant select on referral.code_quotas to authenticated, service_role;

-- Keeps what a code is: who owns it and what it says never change, an ended code stays ended, and no row goes.
create function referral_private.guard_code()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if tg_op in ('DELETE', 'TRUNCATE')
    or (new.id, new.org_id, new.program_id, new.code, new.created_at) is distinct from (old.id, old.org_id, old.program_id, old.code, old.created_at)
    or (new.referrer_id, new.created_by, new.rotation, new.batch_id) is distinct from (old.referrer_id, old.created_by, old.rotation, old.batch_id)
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
    perform referral_private.raise_error('code_final');
  end if;
  return new;
end
$$;

revoke execute on function referral_private.guard_code from public;

create trigger codes_keep_what_they_are
before update or delete on referral.codes
for each row
execute function referral_private.guard_code();

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
  'The audit of codes: who changed which status when, and why; no actor is the operator or a job. Read by coordinators and admins of the organisation. Written by trigger.';

alter table referral.code_changes enable row level security;

create policy code_changes_staff_reads on referral.code_changes
for select
to authenticated
using (org_id in (select referral_private.orgs_with_role('coordinator')));

grant select on referral.code_changes to authenticated, service_role;

create function referral_private.record_code_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or new.status <> old.status or new.redeemable_until < old.redeemable_until then
    insert into referral.code_changes (org_id, code_id, from_status, to_status, actor_id, reason)
    values (new.org_id, new.id, case when tg_op = 'UPDATE' then old.status end, new.status, auth.uid(), new.reason);
  end if;
  return null;
end
$$;

revoke execute on function referral_private.record_code_change from public;

create trigger codes_record_their_changes
after insert or update of status, redeemable_until on referral.codes
for each row
execute function referral_private.record_code_change();

-- Who may have or change a code, and what is made sure before one is. Whoever changes a referrer's codes first locks
-- the referrer's member row, so that concurrent changes queue up instead of failing on the unique index.

-- The referrer the caller may act for: themself, or, for staff and the operator, anyone in the organisation.
-- Raises `not_signed_in`, `anonymous_user`, `not_a_member`, `not_allowed`, `organisation_not_found`.
create function referral_private.acting_for(p_org_id uuid, p_referrer_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id');
  end if;
  if p_referrer_id is null and referral_private.is_operator() then
    perform referral_private.raise_error('invalid_argument', 'referrer_id');
  end if;
  if p_referrer_id is null or p_referrer_id is not distinct from auth.uid() then
    return referral_private.require_person();
  end if;
  perform referral_private.require_role(p_org_id, 'coordinator');
  return p_referrer_id;
end
$$;

revoke execute on function referral_private.acting_for from public;

-- Locks a member row until the transaction ends. Raises `not_a_member` of the caller, `member_not_found` of anyone else.
create function referral_private.lock_member(p_org_id uuid, p_user_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_member referral.members;
begin
  select * into v_member
  from referral.members as m
  where m.org_id = p_org_id and m.user_id = p_user_id
  for no key update;
  if not found then
    perform referral_private.raise_error(
      case when p_user_id is not distinct from auth.uid() then 'not_a_member' else 'member_not_found' end
    );
  end if;
  -- Whoever acts for somebody else may have lost that right while this waited.
  if p_user_id is distinct from auth.uid() then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  return v_member;
end
$$;

revoke execute on function referral_private.lock_member from public;

-- Ends the referrer's codes that are past their time. The member row is locked.
create function referral_private.expire_codes_of(p_org_id uuid, p_referrer_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update referral.codes as c
  set status = 'expired', deactivated_at = c.expires_at, reason = null, updated_at = clock_timestamp()
  where c.org_id = p_org_id and c.referrer_id = p_referrer_id
    and c.status in ('active', 'suspended') and c.expires_at <= clock_timestamp();
end
$$;

revoke execute on function referral_private.expire_codes_of from public;

-- Prepares a referrer for a new code: locks the member, ends what is past its time, refuses who may have none.
create function referral_private.ready_for_code(p_org_id uuid, p_referrer_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = ''
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
    select from referral.codes as c
    where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.status = 'suspended'
  ) then
    perform referral_private.raise_error('code_suspended');
  end if;
  return v_member;
end
$$;

revoke execute on function referral_private.ready_for_code from public;

-- The program of a referrer's code: the given one, or else the organisation's default. Where enrolment is by
-- invitation, whoever let themself in elsewhere is refused. Raises `program_not_found`, `program_inactive`, `not_invited`.
create function referral_private.program_for_member(p_member referral.members, p_program_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_program referral.programs := referral_private.program_for_code(p_member.org_id, p_program_id);
begin
  if p_member.admitted_by = p_member.user_id and not referral_private.has_open_enrolment(p_member.org_id, v_program.id) then
    perform referral_private.raise_error('not_invited');
  end if;
  return v_program.id;
end
$$;

revoke execute on function referral_private.program_for_member from public;

create function referral_private.has_open_enrolment(p_org_id uuid, p_program_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (referral_private.terms_in_force(p_org_id, p_program_id)).terms ->> 'enrolment' = 'open';
end
$$;

revoke execute on function referral_private.has_open_enrolment from public;

-- Refuses one more code than the organisation allows a member, counting what has not ended: their own, and the
-- campaign codes they made. The member row is locked. Raises `too_many_codes`.
create function referral_private.require_code_allowance(p_org_id uuid, p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if (
    select count(*) from referral.codes as c
    where c.org_id = p_org_id and c.status in ('active', 'suspended')
      and (c.expires_at is null or c.expires_at > clock_timestamp())
      and (c.referrer_id = p_user_id or c.referrer_id is null and c.batch_id is null and c.created_by = p_user_id)
  ) >= (select o.codes_per_member from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('too_many_codes');
  end if;
end
$$;

revoke execute on function referral_private.require_code_allowance from public;

-- How a code begins: drawn, chosen by staff, or had for the asking.

-- How long a drawn code is: the organisation's length, and 12 characters at least where the program is invited or the
-- code limited, so that such a code is not found by trying.
create function referral_private.drawn_length(p_org_id uuid, p_program_id uuid, p_limited boolean)
returns int
language plpgsql
stable
security invoker
set search_path = ''
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

revoke execute on function referral_private.drawn_length from public;

-- Stores a new code: the wanted string, or, where `p_code.code` is null, one that is drawn.
create function referral_private.insert_code(p_code referral.codes)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_new referral.codes;
  v_length int;
  v_string text;
begin
  if p_code.code is not null and referral_private.normalise_code(p_code.code) is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  if referral_private.is_reserved(referral_private.normalise_code(p_code.code)) then
    perform referral_private.raise_error('code_reserved');
  end if;
  if p_code.code is not null and referral_private.is_named_ahead(referral_private.normalise_code(p_code.code)) then
    perform referral_private.raise_error('code_taken');
  end if;
  v_length := referral_private.drawn_length(p_code.org_id, p_code.program_id, p_code.quota_id is not null);
  for attempt in 1..20 loop
    v_string := coalesce(referral_private.show_code(p_code.code), referral_private.draw_code(v_length));
    continue when p_code.code is null and referral_private.is_reserved(referral_private.normalise_code(v_string));
    insert into referral.codes (
      id, org_id, program_id, code, referrer_id, beneficiary_id, description, expires_at, quota_id, rotation, batch_id, created_by
    )
    values (
      p_code.id, p_code.org_id, p_code.program_id,
      v_string,
      p_code.referrer_id, p_code.beneficiary_id, p_code.description, p_code.expires_at, p_code.quota_id,
      p_code.rotation, p_code.batch_id, coalesce(p_code.created_by, auth.uid())
    )
    on conflict on constraint codes_key_is_unique do nothing
    returning * into v_new;
    if found then
      return v_new;
    end if;
    if p_code.code is not null then
      perform referral_private.raise_error('code_taken');
    end if;
  end loop;
  perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.insert_code from public;

create function referral_private.create_code(
  p_org_id uuid,
  p_referrer_id uuid,
  p_code text,
  p_program_id uuid,
  p_max_uses int,
  p_expires_at timestamptz,
  p_description text
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_member referral.members;
  v_violated text;
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
  if p_expires_at <= clock_timestamp() then
    perform referral_private.raise_error('invalid_argument', 'expires_at');
  end if;

  v_member := referral_private.ready_for_code(p_org_id, v_code.referrer_id);
  v_code.program_id := referral_private.program_for_member(v_member, p_program_id);
  perform referral_private.require_code_allowance(p_org_id, v_code.referrer_id);
  if p_max_uses is not null then
    v_code.quota_id := referral_private.create_quota(p_org_id, p_max_uses);
  end if;
  return referral_private.insert_code(v_code);
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.create_code from public;

grant execute on function referral_private.create_code to authenticated, service_role;

-- A limit of 1 up to the organisation's cap. Raises `invalid_argument`.
create function referral_private.create_quota(p_org_id uuid, p_max_uses int)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quota_id uuid;
begin
  insert into referral.code_quotas (org_id, max_uses)
  select o.id, p_max_uses from referral.organisations as o where o.id = p_org_id and p_max_uses <= o.max_uses_cap
  returning quota_id into v_quota_id;
  if not found then
    perform referral_private.raise_error('invalid_argument', 'max_uses');
  end if;
  return v_quota_id;
end
$$;

revoke execute on function referral_private.create_quota from public;

-- The caller's code in a program: the active one, or a new one. Where enrolment is open the caller becomes a member by
-- asking; whoever was deactivated is not let in again by that.
create function referral_private.get_or_create_code(p_org_id uuid, p_program_id uuid)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_code referral.codes;
  v_member referral.members;
  v_program_id uuid;
  v_violated text;
begin
  v_code := referral_private.get_active_code(p_org_id, null);
  if v_code.id is null then
    if not exists (select from referral.members as m where m.org_id = p_org_id and m.user_id = v_user_id) then
      v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
      if not referral_private.has_open_enrolment(p_org_id, v_program_id) then
        perform referral_private.raise_error('not_invited');
      end if;
      insert into referral.members (org_id, user_id, admitted_by) values (p_org_id, v_user_id, v_user_id)
      on conflict on constraint members_pkey do nothing;
    end if;
    v_member := referral_private.ready_for_code(p_org_id, v_user_id);
    -- Under the lock: another connection of the same person may have been faster.
    v_code := referral_private.get_active_code(p_org_id, null);
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
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.get_or_create_code from public;

grant execute on function referral_private.get_or_create_code to authenticated;

-- How a code ends: rotated into a new one, deactivated, or past its time.
create function referral_private.rotate_code(
  p_org_id uuid,
  p_referrer_id uuid,
  p_code text,
  p_grace interval,
  p_reason text
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
  v_grace interval := coalesce(p_grace, interval '0');
  v_now timestamptz := clock_timestamp();
  v_new referral.codes;
  v_old_id uuid;
  v_member referral.members;
  v_violated text;
begin
  if p_code is not null then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  v_member := referral_private.ready_for_code(p_org_id, v_referrer_id);
  -- Instants are compared: as intervals, 1000 years less 359,993 days are a week.
  if v_now + v_grace < v_now
    or v_now + v_grace > (select v_now + o.rotation_grace from referral.organisations as o where o.id = p_org_id)
  then
    perform referral_private.raise_error('invalid_argument', 'grace');
  end if;

  select * into v_new
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = v_referrer_id and c.status = 'active'
  for no key update;
  if not found then
    perform referral_private.raise_error('no_active_code');
  end if;
  perform referral_private.program_for_member(v_member, v_new.program_id);

  -- What is left is inherited: program, expiry, beneficiary, description and the quota, which both codes share.
  v_old_id := v_new.id;
  v_new.id := gen_random_uuid();
  v_new.code := p_code;
  v_new.rotation := v_new.rotation + 1;
  update referral.codes as c
  set status = 'rotated', replaced_by = v_new.id, deactivated_at = clock_timestamp(), deactivated_by = auth.uid(),
    reason = p_reason, redeemable_until = clock_timestamp() + nullif(v_grace, interval '0'), updated_at = clock_timestamp()
  where c.id = v_old_id;
  return referral_private.insert_code(v_new);
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when datetime_field_overflow then
    perform referral_private.raise_error('invalid_argument', 'grace');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.rotate_code from public;

grant execute on function referral_private.rotate_code to authenticated, service_role;

-- Ends the grace of a referrer's rotated codes. The member row is locked. The codes are locked first: the time of the
-- end is taken after a redemption under way is done.
create function referral_private.end_grace_of(p_org_id uuid, p_referrer_id uuid, p_reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.redeemable_until > clock_timestamp()
  for no key update;
  update referral.codes as c
  set redeemable_until = clock_timestamp(), deactivated_by = auth.uid(), reason = p_reason, updated_at = clock_timestamp()
  where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.redeemable_until > clock_timestamp();
end
$$;

revoke execute on function referral_private.end_grace_of from public;

-- Ends a referrer's codes of these statuses, and every grace, and answers the last that ended. The member row is locked.
create function referral_private.end_codes_of(
  p_org_id uuid,
  p_referrer_id uuid,
  p_statuses referral.code_status[],
  p_reason text
)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_code referral.codes;
begin
  perform referral_private.expire_codes_of(p_org_id, p_referrer_id);
  perform referral_private.end_grace_of(p_org_id, p_referrer_id, p_reason);
  for v_code in
    select * from referral.codes as c
    where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.status = any (p_statuses)
    for no key update
  loop
    update referral.codes as c
    set status = 'invalidated', deactivated_at = clock_timestamp(), deactivated_by = auth.uid(), reason = p_reason,
      updated_at = clock_timestamp()
    where c.id = v_code.id
    returning * into v_code;
  end loop;
  return v_code;
end
$$;

revoke execute on function referral_private.end_codes_of from public;

create function referral_private.deactivate_code(p_org_id uuid, p_referrer_id uuid, p_reason text)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
  v_code referral.codes;
  v_violated text;
begin
  perform referral_private.lock_member(p_org_id, v_referrer_id);
  v_code := referral_private.end_codes_of(p_org_id, v_referrer_id, '{active}', p_reason);
  return v_code;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.deactivate_code from public;

grant execute on function referral_private.deactivate_code to authenticated, service_role;

-- Ends codes that are past their time, at most `p_limit`: for pg_cron or any scheduler, which calls again while the
-- answer is the limit. Rows that others hold are left for the next time.
create function referral_private.expire_codes(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_expired int;
begin
  update referral.codes as c
  set status = 'expired', deactivated_at = c.expires_at, reason = null, updated_at = clock_timestamp()
  from (
    select d.id from referral.codes as d
    where d.status in ('active', 'suspended') and d.expires_at <= clock_timestamp()
    order by d.expires_at
    limit greatest(p_limit, 0)
    for no key update skip locked
  ) as due
  where c.id = due.id;
  get diagnostics v_expired = row_count;
  return v_expired;
end
$$;

revoke execute on function referral_private.expire_codes from public;

grant execute on function referral_private.expire_codes to service_role;

-- What staff do with a code that is there: suspend, reactivate, end, edit. Codes are named by id, so that campaign codes
-- and codes in their grace period can be reached too.

-- Locks a code for staff: the referrer's member row first, then the code. To whoever is not staff of its organisation
-- there is no such code.
create function referral_private.lock_code_for_staff(p_code_id uuid)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.id = p_code_id;
  if v_code.id is null or not referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    perform referral_private.raise_error('code_not_found');
  end if;
  if v_code.referrer_id is not null then
    perform referral_private.lock_member(v_code.org_id, v_code.referrer_id);
  end if;
  update referral.codes as c
  set status = 'expired', deactivated_at = c.expires_at, reason = null, updated_at = clock_timestamp()
  where c.id = p_code_id and c.status in ('active', 'suspended') and c.expires_at <= clock_timestamp();
  select * into strict v_code from referral.codes as c where c.id = p_code_id for no key update;
  return v_code;
end
$$;

revoke execute on function referral_private.lock_code_for_staff from public;

-- Takes a code out of use until it is reactivated. The grace of the referrer's earlier codes ends for good.
create function referral_private.suspend_code(p_code_id uuid, p_reason text)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_violated text;
begin
  v_code := referral_private.lock_code_for_staff(p_code_id);
  if v_code.status not in ('active', 'suspended') then
    perform referral_private.raise_error('code_final', v_code.status::text);
  end if;
  if v_code.referrer_id is not null then
    perform referral_private.end_grace_of(v_code.org_id, v_code.referrer_id, p_reason);
  end if;
  update referral.codes as c
  set status = 'suspended', reason = p_reason, updated_at = clock_timestamp()
  where c.id = p_code_id and c.status = 'active';
  select * into strict v_code from referral.codes as c where c.id = p_code_id;
  return v_code;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.suspend_code from public;

grant execute on function referral_private.suspend_code to authenticated, service_role;

create function referral_private.reactivate_code(p_code_id uuid, p_reason text)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_violated text;
begin
  v_code := referral_private.lock_code_for_staff(p_code_id);
  if v_code.status not in ('active', 'suspended') then
    perform referral_private.raise_error('code_final', v_code.status::text);
  end if;
  update referral.codes as c
  set status = 'active', reason = p_reason, updated_at = clock_timestamp()
  where c.id = p_code_id and c.status = 'suspended';
  select * into strict v_code from referral.codes as c where c.id = p_code_id;
  return v_code;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.reactivate_code from public;

grant execute on function referral_private.reactivate_code to authenticated, service_role;

-- Ends a code for good, and the grace of the referrer's earlier ones. An ended code is answered as it is; one in its
-- grace loses that. With `p_block` the referrer gets no code again.
create function referral_private.end_code(p_code_id uuid, p_reason text, p_block boolean)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_violated text;
begin
  v_code := referral_private.lock_code_for_staff(p_code_id);
  if p_block then
    update referral.members as m
    set blocked_at = coalesce(m.blocked_at, clock_timestamp()), reason = p_reason
    where m.org_id = v_code.org_id and m.user_id = v_code.referrer_id;
  end if;
  if v_code.status in ('active', 'suspended') then
    if v_code.referrer_id is not null then
      perform referral_private.end_grace_of(v_code.org_id, v_code.referrer_id, p_reason);
    end if;
    update referral.codes as c
    set status = 'invalidated', deactivated_at = clock_timestamp(), deactivated_by = auth.uid(), reason = p_reason,
      updated_at = clock_timestamp()
    where c.id = p_code_id
    returning * into v_code;
  elsif v_code.redeemable_until > clock_timestamp() then
    update referral.codes as c
    set redeemable_until = clock_timestamp(), deactivated_by = auth.uid(), reason = p_reason, updated_at = clock_timestamp()
    where c.id = p_code_id
    returning * into v_code;
  end if;
  return v_code;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.end_code from public;

grant execute on function referral_private.end_code to authenticated, service_role;

-- Edits description, expires_at and max_uses; an ended code's description only. A limit on a code that had none counts
-- the redemptions there are; the row lock keeps others from being under way.
create function referral_private.update_code(p_code_id uuid, p_changes jsonb)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_unknown text;
  v_violated text;
begin
  v_code := referral_private.lock_code_for_staff(p_code_id);
  if p_changes is null or jsonb_typeof(p_changes) <> 'object' then
    perform referral_private.raise_error('invalid_argument', 'changes');
  end if;
  select string_agg(key, ', ') into v_unknown
  from jsonb_object_keys(p_changes) as key
  where key <> all ('{description,expires_at,max_uses}'::text[]);
  if v_unknown is not null then
    perform referral_private.raise_error('invalid_argument', 'changes: ' || v_unknown);
  end if;
  if v_code.status not in ('active', 'suspended') and p_changes ?| '{expires_at,max_uses}'::text[] then
    perform referral_private.raise_error('code_final', v_code.status::text);
  end if;

  if p_changes ? 'description' then
    if jsonb_typeof(p_changes -> 'description') not in ('string', 'null') then
      perform referral_private.raise_error('invalid_argument', 'description');
    end if;
    v_code.description := p_changes ->> 'description';
  end if;
  if p_changes ? 'expires_at' then
    v_code.expires_at := (p_changes ->> 'expires_at')::timestamptz;
    if v_code.expires_at <= clock_timestamp() then
      perform referral_private.raise_error('invalid_argument', 'expires_at');
    end if;
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
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when invalid_text_representation or datetime_field_overflow or invalid_datetime_format or numeric_value_out_of_range
    or invalid_time_zone_displacement_value or invalid_parameter_value
  then
    perform referral_private.raise_error('invalid_argument', 'changes');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.update_code from public;

grant execute on function referral_private.update_code to authenticated, service_role;

-- The quota of a code whose limit changes: none without a limit, the one it has with the new limit, or a new one that
-- counts the redemptions of the code and of those that were rotated into it. A predecessor in its grace shares it. Raises
-- `invalid_argument` for a limit above the cap or below what is used.
create function referral_private.change_quota(p_code referral.codes, p_max_uses int)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quota_id uuid;
  v_predecessor_ids uuid[];
begin
  if p_code.quota_id is not null and p_max_uses is not null then
    update referral.code_quotas as q
    set max_uses = p_max_uses
    from referral.organisations as o
    where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id and o.id = q.org_id and p_max_uses <= o.max_uses_cap;
    if not found then
      perform referral_private.raise_error('invalid_argument', 'max_uses');
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
  perform from referral.codes as c where c.id = any (v_predecessor_ids) and c.redeemable_until > clock_timestamp() for no key update;
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

revoke execute on function referral_private.change_quota from public;

-- What a reader sees of a code: its owner and staff in any status, everybody else while it can be redeemed.

-- Past its time a code is answered as expired, also before a job or a writer has stored that. (Whoever reads the table
-- itself compares expires_at, as the client does.)
create function referral_private.as_of_now(p_code referral.codes)
returns referral.codes
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_code.status in ('active', 'suspended') and p_code.expires_at <= clock_timestamp() then
    p_code.status := 'expired';
    p_code.deactivated_at := p_code.expires_at;
  end if;
  return p_code;
end
$$;

revoke execute on function referral_private.as_of_now from public;

create function referral_private.get_active_code(p_org_id uuid, p_referrer_id uuid)
returns referral.codes
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
  v_code referral.codes;
begin
  select * into v_code
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = v_referrer_id and c.status = 'active'
    and (c.expires_at is null or c.expires_at > clock_timestamp());
  return v_code;
end
$$;

revoke execute on function referral_private.get_active_code from public;

grant execute on function referral_private.get_active_code to authenticated, service_role;

-- A code in any status, for its owner, staff and the operator; nothing for anyone else.
create function referral_private.find_code(p_code text)
returns referral.codes
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.code_key = referral_private.normalise_code(p_code);
  if v_code.referrer_id = auth.uid() or referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    return referral_private.as_of_now(v_code);
  end if;
  return null;
end
$$;

revoke execute on function referral_private.find_code from public;

grant execute on function referral_private.find_code to authenticated, service_role;

-- Why a code cannot be redeemed now, as an error code; null where it can.
create function referral_private.refusal_of(
  p_status referral.code_status,
  p_expires_at timestamptz,
  p_redeemable_until timestamptz,
  p_switched_on boolean
)
returns text
language plpgsql
stable
security invoker
set search_path = ''
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

revoke execute on function referral_private.refusal_of from public;

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

-- What anyone may know of a redeemable code; nothing at all of any other, whatever the reason.
create function referral_private.resolve_code(p_code text)
returns setof referral.resolved_code
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
  select c.code, o.name, p.name, m.display_name,
    o.web_destination, o.ios_destination, o.android_destination, o.android_package, o.link_origin
  from referral.codes as c
  join referral.organisations as o on o.id = c.org_id
  join referral.programs as p on p.id = c.program_id
  left join referral.code_quotas as q on q.org_id = c.org_id and q.quota_id = c.quota_id
  left join referral.members as m on m.org_id = c.org_id and m.user_id = c.referrer_id and m.public_name
  where c.code_key = referral_private.normalise_code(p_code)
    and referral_private.refusal_of(c.status, c.expires_at, c.redeemable_until, o.active and p.active) is null
    and (q.used is null or q.used < q.max_uses);
end
$$;

revoke execute on function referral_private.resolve_code from public;

grant execute on function referral_private.resolve_code to anon, authenticated, service_role;

-- Codes of the organisation's own, with no referrer: one at a time, in thousands, or from a file.

create function referral_private.create_campaign_code(
  p_org_id uuid,
  p_code text,
  p_program_id uuid,
  p_beneficiary_id uuid,
  p_max_uses int,
  p_expires_at timestamptz,
  p_description text
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_violated text;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_expires_at <= clock_timestamp() then
    perform referral_private.raise_error('invalid_argument', 'expires_at');
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
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.create_campaign_code from public;

grant execute on function referral_private.create_campaign_code to authenticated, service_role;

-- Draws up to 10,000 campaign codes at once; the batch is the handle to list them by. Strings are inserted in the order
-- of their normal form: two batches in different orders would deadlock.
create function referral_private.generate_codes(
  p_org_id uuid,
  p_count int,
  p_program_id uuid,
  p_max_uses int,
  p_expires_at timestamptz,
  p_description text
)
returns table (batch_id uuid, made int)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '10s'
as $$
declare
  v_program_id uuid;
  v_batch_id uuid := gen_random_uuid();
  v_length int;
  v_made int := 0;
  v_inserted int;
  v_violated text;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_count is null or p_count not between 1 and 10000 then
    perform referral_private.raise_error('invalid_argument', 'count');
  end if;
  if p_expires_at <= clock_timestamp() then
    perform referral_private.raise_error('invalid_argument', 'expires_at');
  end if;
  if p_max_uses not between 1 and (select o.max_uses_cap from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('invalid_argument', 'max_uses');
  end if;
  v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
  v_length := referral_private.drawn_length(p_org_id, v_program_id, p_max_uses is not null);

  for attempt in 1..20 loop
    with
      drawn as (
        select referral_private.draw_code(v_length) as string
        from generate_series(1, p_count - v_made)
      ),
      usable as (
        select d.string, case when p_max_uses is not null then gen_random_uuid() end as quota_id
        from drawn as d
        where not referral_private.is_reserved(referral_private.normalise_code(d.string))
      ),
      quotas as (
        insert into referral.code_quotas (org_id, quota_id, max_uses)
        select p_org_id, u.quota_id, p_max_uses from usable as u where u.quota_id is not null
      )
    insert into referral.codes (org_id, program_id, code, description, expires_at, quota_id, batch_id, created_by)
    select p_org_id, v_program_id, u.string, p_description, p_expires_at, u.quota_id, v_batch_id, auth.uid()
    from usable as u
    order by referral_private.normalise_code(u.string)
    on conflict on constraint codes_key_is_unique do nothing;
    get diagnostics v_inserted = row_count;
    v_made := v_made + v_inserted;
    if v_made = p_count then
      return query select v_batch_id, v_made;
      return;
    end if;
  end loop;
  perform referral_private.raise_error('busy');
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.generate_codes from public;

grant execute on function referral_private.generate_codes to authenticated, service_role;

-- What is wrong with a row of an import, as an error code; null where nothing is.
create function referral_private.row_refusal(p_row jsonb, p_max_uses_cap int)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_key text := referral_private.normalise_code(p_row ->> 'code');
begin
  return case
    when jsonb_typeof(p_row) <> 'object' or p_row - '{code,max_uses,expires_at,description}'::text[] <> '{}' then 'invalid_argument'
    when v_key is null then 'invalid_code'
    when referral_private.is_reserved(v_key) then 'code_reserved'
    when exists (select from referral.codes as c where c.code_key = v_key) then 'code_taken'
    when length(p_row ->> 'description') > 500 then 'invalid_argument'
    when not coalesce(referral_private.is_whole(nullif(p_row -> 'max_uses', 'null'), 1, p_max_uses_cap), true) then 'invalid_argument'
    when not coalesce(jsonb_typeof(p_row -> 'description') in ('string', 'null'), true) then 'invalid_argument'
    when (p_row ->> 'expires_at')::timestamptz <= clock_timestamp() then 'invalid_argument'
    when not isfinite((p_row ->> 'expires_at')::timestamptz) then 'invalid_argument'
  end;
exception
  when invalid_datetime_format or datetime_field_overflow or invalid_time_zone_displacement_value or invalid_parameter_value then
    return 'invalid_argument';
end
$$;

revoke execute on function referral_private.row_refusal from public;

-- Takes up to 10,000 campaign codes as rows of {code, max_uses, expires_at, description}: all of them, or, where one
-- cannot be taken, none; `invalid_rows` then lists in `details`, as JSON, the number of each such row and its error.
create function referral_private.import_codes(p_org_id uuid, p_rows jsonb, p_program_id uuid)
returns table (batch_id uuid, made int)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '10s'
as $$
declare
  v_program_id uuid;
  v_batch_id uuid := gen_random_uuid();
  v_refused jsonb;
  v_made int;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if jsonb_typeof(p_rows) is distinct from 'array' or jsonb_array_length(p_rows) not between 1 and 10000 then
    perform referral_private.raise_error('invalid_argument', 'rows');
  end if;
  v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;

  select jsonb_agg(jsonb_build_object('row', g.place, 'code', g.refusal) order by g.place) into v_refused
  from (
    select given.place, coalesce(
      referral_private.row_refusal(given.value, o.max_uses_cap),
      case when row_number() over (partition by referral_private.normalise_code(given.value ->> 'code') order by given.place) > 1 then 'code_taken' end
    ) as refusal
    from jsonb_array_elements(p_rows) with ordinality as given (value, place)
    cross join referral.organisations as o
    where o.id = p_org_id
  ) as g
  where g.refusal is not null;
  if v_refused is not null then
    perform referral_private.raise_error('invalid_rows', v_refused::text);
  end if;

  with
    rows as (
      select given.value, case when given.value ->> 'max_uses' is not null then gen_random_uuid() end as quota_id
      from jsonb_array_elements(p_rows) as given (value)
    ),
    quotas as (
      insert into referral.code_quotas (org_id, quota_id, max_uses)
      select p_org_id, r.quota_id, (r.value ->> 'max_uses')::int from rows as r where r.quota_id is not null
    )
  insert into referral.codes (org_id, program_id, code, description, expires_at, quota_id, batch_id, created_by)
  select p_org_id, v_program_id, referral_private.show_code(r.value ->> 'code'), r.value ->> 'description',
    (r.value ->> 'expires_at')::timestamptz, r.quota_id, v_batch_id, auth.uid()
  from rows as r
  order by referral_private.normalise_code(r.value ->> 'code')
  on conflict on constraint codes_key_is_unique do nothing;
  get diagnostics v_made = row_count;
  -- Somebody took one of the strings meanwhile.
  if v_made < jsonb_array_length(p_rows) then
    perform referral_private.raise_error('busy');
  end if;
  return query select v_batch_id, v_made;
exception
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.import_codes from public;

grant execute on function referral_private.import_codes to authenticated, service_role;

-- Who clicked, without knowing who: within a day and a code, clicks from one network with one user agent are one visitor's.
-- Neither is stored, only their hash under a key of the day. Once the key is gone, nobody can tell whose it was.

-- Not logged, so that the key is in no archive of the write-ahead log. After a crash there is a new one.
create unlogged table referral_private.visitor_keys (
  day date not null,
  key bytea not null,
  constraint visitor_keys_pkey primary key (day)
);

alter table referral_private.visitor_keys enable row level security;

-- How many clicks on a code are stored of a visitor: whose first it is decides which one counts.
create table referral_private.visitors (
  org_id uuid not null,
  code_id uuid not null,
  visitor bytea not null,
  day date not null,
  clicks int not null,
  constraint visitors_pkey primary key (org_id, code_id, visitor)
);

create index visitors_by_day on referral_private.visitors (day);

alter table referral_private.visitors enable row level security;

-- The key of a day in UTC, drawn when it is first asked for: 244 random bits. Whoever draws it removes those of the days before.
create function referral_private.visitor_key(p_day date)
returns bytea
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_key bytea;
begin
  select k.key into v_key from referral_private.visitor_keys as k where k.day = p_day;
  if found then
    return v_key;
  end if;
  delete from referral_private.visitor_keys as k where k.day < p_day;
  insert into referral_private.visitor_keys (day, key)
  values (p_day, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
  on conflict do nothing;
  select k.key into strict v_key from referral_private.visitor_keys as k where k.day = p_day;
  return v_key;
end
$$;

revoke execute on function referral_private.visitor_key from public;

-- A visitor of one code has nothing in common with one of another: whoever redeems is known by their click, and must not show
-- on which other links they clicked that day. Without an address nothing tells visitors apart, and each click is a visitor's of
-- its own. What follows the key is a hash, of one length always, which makes the outer hash one that only the key's holder can
-- compute.
create function referral_private.visitor_of(
  p_day date,
  p_code_id uuid,
  p_click_id uuid,
  p_address text,
  p_user_agent text
)
returns bytea
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_known text := p_code_id || ' ' || coalesce(
    referral_private.network_of(p_address, 24) || ' ' || coalesce(p_user_agent, ''), p_click_id::text
  );
begin
  return sha256(referral_private.visitor_key(p_day) || sha256(convert_to(v_known, 'UTF8')));
end
$$;

revoke execute on function referral_private.visitor_of from public;

-- A click says that somebody followed a code's link. It proves where a redemption came from, and is forgotten after some
-- months; how many there were, per day, is kept.
create type referral.click_platform as enum ('ios', 'android', 'web');

create type referral.click_channel as enum ('qr', 'share', 'email', 'sms', 'whatsapp', 'social', 'web', 'print');

-- By month in UTC. The months' partitions are made and dropped by maintain_clicks; until one is made, the default partition
-- takes its clicks. Codes are never deleted, so that no foreign key is needed, which every click would check.
create table referral_private.clicks (
  org_id uuid not null,
  code_id uuid not null,
  click_id uuid not null,
  clicked_at timestamptz not null,
  visitor bytea not null,
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

-- How many clicks a code had on a day in UTC, so that nobody has to scan the clicks: those that count, and all that are stored.
create table referral_private.click_days (
  org_id uuid not null,
  code_id uuid not null,
  day date not null,
  platform referral.click_platform not null,
  -- The label of a click_channel, or nothing.
  channel text not null,
  clicks int not null,
  stored int not null,
  constraint click_days_pkey primary key (org_id, code_id, day, platform, channel),
  constraint click_days_are_of_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict
);

alter table referral_private.click_days enable row level security;

-- The campaign parameters among these, each of 1 to 100 printable characters; null where there is none.
create function referral_private.utm_of(p_parameters jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if jsonb_typeof(p_parameters) <> 'object' then
    return null;
  end if;
  return (
    select jsonb_object_agg(given.key, given.value)
    from jsonb_each(p_parameters) as given
    where given.key in ('utm_source', 'utm_medium', 'utm_campaign', 'utm_term', 'utm_content')
      and jsonb_typeof(given.value) = 'string'
      and length(given.value #>> '{}') between 1 and 100
      and given.value #>> '{}' !~ '[\u0001-\u001F\u007F-\u009F\u2028\u2029]'
  );
end
$$;

revoke execute on function referral_private.utm_of from public;

-- Stores a click and says whether it counts. The code's limit comes first: past it, nothing at all is stored. The row that all
-- clicks on a code share is locked last.
create function referral_private.record_click(
  p_code text,
  p_click_id uuid,
  p_address text,
  p_user_agent text,
  p_platform text,
  p_channel text,
  p_utm jsonb
)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_channel referral.click_channel;
  v_now timestamptz;
  v_day date;
  v_code referral.codes;
  v_organisation referral.organisations;
  v_visitor bytea;
  v_counted boolean;
begin
  if p_click_id is null then
    perform referral_private.raise_error('invalid_argument', 'click_id');
  end if;
  if coalesce(p_platform <> all (enum_range(null::referral.click_platform)::text[]), true) then
    perform referral_private.raise_error('invalid_argument', 'platform');
  end if;
  if p_channel = any (enum_range(null::referral.click_channel)::text[]) then
    v_channel := p_channel;
  end if;
  if not exists (select from referral_private.resolve_code(p_code)) then
    return false;
  end if;
  select * into strict v_code from referral.codes as c where c.code_key = referral_private.normalise_code(p_code);
  select * into strict v_organisation from referral.organisations as o where o.id = v_code.org_id;

  -- The function may send a click twice: the lock lets the second find the first.
  perform pg_advisory_xact_lock(hashtextextended('referral.click:' || p_click_id, 0));
  v_now := clock_timestamp();
  v_day := v_now at time zone 'utc';
  select k.counted into v_counted
  from referral_private.clicks as k
  where k.org_id = v_code.org_id and k.click_id = p_click_id and k.clicked_at between v_now - interval '1 day' and v_now;
  if found then
    return v_counted;
  end if;

  if (
    select coalesce(sum(d.stored), 0) from referral_private.click_days as d
    where d.org_id = v_code.org_id and d.code_id = v_code.id and d.day = v_day
  ) >= v_organisation.clicks_per_code then
    return false;
  end if;
  v_visitor := referral_private.visitor_of(v_day, v_code.id, p_click_id, p_address, p_user_agent);
  insert into referral_private.visitors as v (org_id, code_id, visitor, day, clicks)
  values (v_code.org_id, v_code.id, v_visitor, v_day, 1)
  on conflict on constraint visitors_pkey do update
  set clicks = v.clicks + 1
  where v.clicks < v_organisation.clicks_per_visitor
  returning v.clicks = 1 into v_counted;
  if not found then
    return false;
  end if;

  insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, visitor, counted, platform, channel, utm)
  values (
    v_code.org_id, v_code.id, p_click_id, v_now, v_visitor, v_counted, p_platform::referral.click_platform, v_channel,
    referral_private.utm_of(p_utm)
  );
  insert into referral_private.click_days as d (org_id, code_id, day, platform, channel, clicks, stored)
  values (
    v_code.org_id, v_code.id, v_day, p_platform::referral.click_platform, coalesce(v_channel::text, ''), v_counted::int, 1
  )
  on conflict on constraint click_days_pkey do update
  set clicks = d.clicks + excluded.clicks, stored = d.stored + 1;
  return v_counted;
exception
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.record_click from public;

grant execute on function referral_private.record_click to service_role;

-- The click on this very code that proves a redemption now, or nothing where none is given. Raises `invalid_click`.
create function referral_private.click_of(p_code referral.codes, p_click_id uuid)
returns referral_private.clicks
language plpgsql
stable
security invoker
set search_path = ''
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
  where k.org_id = p_code.org_id and k.click_id = p_click_id and k.clicked_at between v_now - v_window and v_now
    and k.code_id = p_code.id;
  if not found then
    perform referral_private.raise_error('invalid_click');
  end if;
  return v_click;
end
$$;

revoke execute on function referral_private.click_of from public;

-- A redemption says that a referee used a code: the audit row of the use and the claim to a reward in one.
-- It outlives the code's life and the referee's account, and stores the terms it was made under.
create type referral.redemption_status as enum ('pending', 'confirmed', 'reversed', 'expired', 'rejected');

-- What staff may decide on a redemption, whatever the payments say. A rejection is final.
create type referral.decision as enum ('confirmed', 'rejected');

-- How the code reached the referee. All but `typed` are proved by a click, or, the last two, by Stripe.
create type referral.provenance as enum (
  'typed',
  'link',
  'install_referrer',
  'clipboard',
  'promotion_code',
  'metadata'
);

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
  channel text,
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
  constraint redemptions_proved_by_a_click
    check ((provenance in ('link', 'install_referrer', 'clipboard')) = (click_id is not null)),
  constraint redemptions_clicked_say_when check ((click_id is null) = (clicked_at is null)),
  constraint redemptions_decided_say_when check ((decision is null) = (decided_at is null)),
  constraint redemptions_rejected_by_decision check ((status = 'rejected') = coalesce(decision = 'rejected', false)),
  constraint redemptions_decision_reason_is_500_at_most check (length(decision_reason) <= 500),
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

create index redemptions_by_age on referral.redemptions (redeemed_at) where status = 'pending';

-- For the foreign key alone, with the version first: else a look-up by program and referee could be planned through it.
create index redemptions_by_terms on referral.redemptions (terms_version, program_id, org_id);

comment on table referral.redemptions is
  'Uses of codes. Read by coordinators and admins of the organisation; referrers see theirs without identities through my_referrals. Written by redeem_code, by decisions of staff, and by what Stripe events confirm.';

alter table referral.redemptions enable row level security;

create policy redemptions_staff_reads on referral.redemptions
for select
to authenticated
using (org_id in (select referral_private.orgs_with_role('coordinator')));

grant select on referral.redemptions to authenticated, service_role;

-- From a code to a redemption, in one transaction.

-- Takes the account lock in the mode that a redemption needs, and says whether to settle: where the referee or the
-- referrer is known as a payer, it may change what their sales earn, so then the lock is exclusive. Locks are never
-- upgraded: the shared one is given back with the inner block before the exclusive one is taken.
create function referral_private.lock_account_to_redeem(p_account text, p_user_ids uuid[])
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(referral_private.account_lock_key(p_account));
  if exists (
    select from referral_private.payer_users as l where l.user_id = any (p_user_ids) and l.account = p_account
  ) or exists (
    select from referral.redemptions as r
    join referral_private.payer_evidence as e on e.named = r.id::text and e.priority = 2 and e.account = p_account
    where r.referee_id = any (p_user_ids)
  ) then
    raise sqlstate 'RB001';
  end if;
  return false;
exception
  when sqlstate 'RB001' then
    perform referral_private.lock_account(p_account);
    return true;
end
$$;

revoke execute on function referral_private.lock_account_to_redeem from public;

-- The terms under which this person can redeem the code now. Raises `self_referral`, `new_users_only`, or why the code
-- cannot be redeemed by anybody.
create function referral_private.require_redeemable(p_code referral.codes, p_user_id uuid)
returns referral.program_terms
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_refusal text;
  v_terms referral.program_terms;
begin
  if p_user_id in (p_code.referrer_id, p_code.beneficiary_id, p_code.created_by) then
    perform referral_private.raise_error('self_referral');
  end if;
  select referral_private.refusal_of(p_code.status, p_code.expires_at, p_code.redeemable_until, o.active and p.active)
  into v_refusal
  from referral.programs as p
  join referral.organisations as o on o.id = p.org_id
  where p.id = p_code.program_id;
  if v_refusal is not null then
    perform referral_private.raise_error(v_refusal);
  end if;
  v_terms := referral_private.terms_in_force(p_code.org_id, p_code.program_id);
  perform referral_private.require_new_user(p_user_id, v_terms.terms);
  return v_terms;
end
$$;

revoke execute on function referral_private.require_redeemable from public;

-- What a referee learns of their redemption: nothing of the referrer, the beneficiary or the creator.
create type referral.redeemed_code as (
  redemption_id uuid,
  org_id uuid,
  program_id uuid,
  code text,
  status referral.redemption_status,
  redeemed_at timestamptz
);

create function referral_private.redeem_code(p_code text, p_click_id uuid, p_provenance text, p_channel text)
returns setof referral.redeemed_code
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_key text := referral_private.normalise_code(p_code);
  v_code referral.codes;
  v_terms referral.program_terms;
  v_click referral_private.clicks;
  v_redemption referral.redemptions;
  v_account text;
  v_is_payer boolean;
  v_violated text;
begin
  if v_key is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  -- A client may say `typed` freely; every other provenance is proved by a click.
  if coalesce(p_provenance not in ('typed', 'link', 'install_referrer', 'clipboard'), true) then
    perform referral_private.raise_error('invalid_argument', 'provenance');
  end if;
  if (p_provenance = 'typed') <> (p_click_id is null) then
    perform referral_private.raise_error('invalid_click');
  end if;

  select * into v_code from referral.codes as c where c.code_key = v_key;
  if not found then
    perform referral_private.raise_error('code_not_found');
  end if;
  v_account := referral_private.account_of(v_code.org_id);
  v_is_payer := referral_private.lock_account_to_redeem(v_account, array[v_user_id, v_code.referrer_id]);
  if referral_private.account_of(v_code.org_id) <> v_account then
    perform referral_private.raise_error('busy');
  end if;
  -- The shared row lock keeps a deactivation that has been answered from being overtaken by a redemption.
  select * into strict v_code from referral.codes as c where c.id = v_code.id for share;

  select * into v_redemption
  from referral.redemptions as r
  where r.org_id = v_code.org_id and r.program_id = v_code.program_id and r.referee_id = v_user_id;

  if not found then
    v_terms := referral_private.require_redeemable(v_code, v_user_id);
    v_click := referral_private.click_of(v_code, p_click_id);
    insert into referral.redemptions (
      org_id, program_id, terms_version, code_id, referrer_id, referee_id, provenance, channel, click_id, clicked_at
    )
    values (
      v_code.org_id, v_code.program_id, v_terms.version, v_code.id, v_code.referrer_id, v_user_id,
      p_provenance::referral.provenance, coalesce(v_click.channel::text, p_channel), v_click.click_id, v_click.clicked_at
    )
    on conflict do nothing
    returning * into v_redemption;

    if found then
      perform referral_private.use_quota(v_code.org_id, v_code.quota_id);
      perform referral_private.count_redemption(v_code.org_id, v_user_id);
      if v_is_payer then
        perform referral_private.settle_user(v_account, v_user_id, 'redemption ' || v_redemption.id);
        -- It may be what makes a code that the referrer's purchases carried a mutual one.
        perform referral_private.settle_user(v_account, v_code.referrer_id, 'redemption ' || v_redemption.id);
        select * into strict v_redemption
        from referral.redemptions as r
        where r.org_id = v_redemption.org_id and r.id = v_redemption.id;
      end if;
    else
      -- The same person was faster on another connection, or somebody else with the click, or the referrer has redeemed
      -- this person's code.
      select * into v_redemption
      from referral.redemptions as r
      where r.org_id = v_code.org_id and r.program_id = v_code.program_id and r.referee_id = v_user_id;
      if not found and exists (
        select from referral.redemptions as r where r.org_id = v_code.org_id and r.click_id = p_click_id
      ) then
        perform referral_private.raise_error('invalid_click');
      elsif v_redemption.id is null then
        perform referral_private.raise_error('mutual_referral');
      end if;
    end if;
  end if;

  if v_redemption.code_id <> v_code.id then
    perform referral_private.raise_error('already_redeemed');
  end if;
  return query
  select v_redemption.id, v_redemption.org_id, v_redemption.program_id, v_code.code, v_redemption.status, v_redemption.redeemed_at;
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.redeem_code from public;

grant execute on function referral_private.redeem_code to authenticated;

-- Takes one use of a limited code, or raises `code_limit_reached`. One conditional statement: with one use left and
-- any number of callers, one of them gets it.
create function referral_private.use_quota(p_org_id uuid, p_quota_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if p_quota_id is null then
    return;
  end if;
  update referral.code_quotas as q
  set used = q.used + 1
  where q.org_id = p_org_id and q.quota_id = p_quota_id and q.used < q.max_uses;
  if not found then
    perform referral_private.raise_error('code_limit_reached');
  end if;
end
$$;

revoke execute on function referral_private.use_quota from public;

-- Where the terms are for new users only, the account must exist and be young enough. Raises `new_users_only`.
create function referral_private.require_new_user(p_user_id uuid, p_terms jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_terms ? 'new_users_only_days' and not exists (
    select from auth.users as u
    where u.id = p_user_id
      and u.created_at >= clock_timestamp() - make_interval(days => (p_terms ->> 'new_users_only_days')::int)
  ) then
    perform referral_private.raise_error('new_users_only');
  end if;
end
$$;

revoke execute on function referral_private.require_new_user from public;

-- Staff decide on a redemption: confirm it where nothing is paid through Stripe, or reject it. A decision is a fact,
-- with its actor and time; what payments say never overrides it.

create function referral_private.decide(p_redemption_id uuid, p_decision referral.decision, p_reason text)
returns referral.redemptions
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_redemption referral.redemptions;
  v_violated text;
begin
  select * into v_redemption from referral.redemptions as r where r.id = p_redemption_id;
  if v_redemption.id is null or not referral_private.acts_with_role(v_redemption.org_id, 'coordinator') then
    perform referral_private.raise_error('redemption_not_found');
  end if;
  if auth.uid() in (v_redemption.referee_id, v_redemption.referrer_id) then
    perform referral_private.raise_error('not_allowed');
  end if;
  perform referral_private.lock_account_of(v_redemption.org_id);
  select * into strict v_redemption
  from referral.redemptions as r
  where r.org_id = v_redemption.org_id and r.id = p_redemption_id
  for no key update;

  if v_redemption.decision is not distinct from p_decision then
    return v_redemption;
  end if;
  if v_redemption.decision = 'rejected' then
    perform referral_private.raise_error('redemption_final');
  end if;
  update referral.redemptions as r
  set decision = p_decision, decided_at = clock_timestamp(), decided_by = auth.uid(), decision_reason = p_reason,
    status = p_decision::text::referral.redemption_status,
    confirmed_at = case when p_decision = 'confirmed' then coalesce(r.confirmed_at, clock_timestamp()) end
  where r.org_id = v_redemption.org_id and r.id = p_redemption_id
  returning * into v_redemption;
  perform referral_private.settle_user(
    referral_private.account_of(v_redemption.org_id), v_redemption.referee_id, 'decision on ' || v_redemption.id
  );
  return v_redemption;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.decide from public;

grant execute on function referral_private.decide to authenticated, service_role;

-- Marks pending redemptions whose conversion window is over, at most `p_limit`. Never final: a sale inside the window
-- that is delivered late still confirms.
create function referral_private.expire_redemptions(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_expired int;
begin
  update referral.redemptions as r
  set status = 'expired'
  from (
    select d.org_id, d.id
    from referral.redemptions as d
    join referral.program_terms as t on t.org_id = d.org_id and t.program_id = d.program_id and t.version = d.terms_version
    where d.status = 'pending'
      and d.redeemed_at + make_interval(days => (t.terms ->> 'conversion_window_days')::int) < clock_timestamp()
    order by d.redeemed_at
    limit greatest(p_limit, 0)
    for no key update of d skip locked
  ) as due
  where r.org_id = due.org_id and r.id = due.id;
  get diagnostics v_expired = row_count;
  return v_expired;
end
$$;

revoke execute on function referral_private.expire_redemptions from public;

grant execute on function referral_private.expire_redemptions to service_role;

-- Who has used which code: for the referee, the referrer, and staff. Lists come newest first, in pages: `p_after` is the
-- redemption that ended the page before, and a page holds 100 rows unless asked for less or more, 1,000 at most.

create function referral_private.page_size(p_wanted int)
returns int
language sql
immutable
security invoker
set search_path = ''
as $$
  select least(greatest(coalesce(p_wanted, 100), 1), 1000);
$$;

revoke execute on function referral_private.page_size from public;

-- When the redemption that ended the page before was made; the end of time for the first page.
create function referral_private.page_start(p_org_id uuid, p_after uuid)
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  select
    case
      when p_after is null then 'infinity'
      else (select r.redeemed_at from referral.redemptions as r where r.org_id = p_org_id and r.id = p_after)
    end;
$$;

revoke execute on function referral_private.page_start from public;

create function referral_private.my_referrals(p_org_id uuid, p_after uuid, p_page_size int)
returns table (
  redemption_id uuid,
  status referral.redemption_status,
  redeemed_at timestamptz,
  confirmed_at timestamptz,
  channel text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id');
  end if;
  return query
  select r.id, r.status, r.redeemed_at, r.confirmed_at, r.channel
  from referral.redemptions as r
  where r.referrer_id = v_user_id and r.org_id = p_org_id
    and (r.redeemed_at, r.id) < (referral_private.page_start(p_org_id, p_after), coalesce(p_after, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

revoke execute on function referral_private.my_referrals from public;

grant execute on function referral_private.my_referrals to authenticated;

-- The caller's own redemption in a program, the organisation's default unless given.
create function referral_private.my_redemption(p_org_id uuid, p_program_id uuid)
returns setof referral.redeemed_code
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id');
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

revoke execute on function referral_private.my_redemption from public;

grant execute on function referral_private.my_redemption to authenticated;

-- Has the caller used this very code?
create function referral_private.has_redeemed(p_code text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := referral_private.require_person();
begin
  return exists (
    select from referral.codes as c
    join referral.redemptions as r on r.org_id = c.org_id and r.code_id = c.id and r.referee_id = v_user_id
    where c.code_key = referral_private.normalise_code(p_code)
  );
end
$$;

revoke execute on function referral_private.has_redeemed from public;

grant execute on function referral_private.has_redeemed to authenticated;

create function referral_private.usage_for_code(p_code_id uuid, p_after uuid, p_page_size int)
returns setof referral.redemptions
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_org_id uuid;
begin
  select c.org_id into v_org_id from referral.codes as c where c.id = p_code_id;
  if not coalesce(referral_private.acts_with_role(v_org_id, 'coordinator'), false) or v_org_id is null then
    perform referral_private.raise_error('code_not_found');
  end if;
  return query
  select r.*
  from referral.redemptions as r
  where r.org_id = v_org_id and r.code_id = p_code_id
    and (r.redeemed_at, r.id) < (referral_private.page_start(v_org_id, p_after), coalesce(p_after, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

revoke execute on function referral_private.usage_for_code from public;

grant execute on function referral_private.usage_for_code to authenticated, service_role;

create function referral_private.usage_for_user(p_org_id uuid, p_user_id uuid, p_after uuid, p_page_size int)
returns setof referral.redemptions
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_user_id is null then
    perform referral_private.raise_error('invalid_argument', 'user_id');
  end if;
  return query
  select r.*
  from referral.redemptions as r
  where r.org_id = p_org_id and r.referee_id = p_user_id
    and (r.redeemed_at, r.id) < (referral_private.page_start(p_org_id, p_after), coalesce(p_after, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

revoke execute on function referral_private.usage_for_user from public;

grant execute on function referral_private.usage_for_user to authenticated, service_role;

-- How often a code was used, by how many, when last, and, for staff, by whom lately. The owner gets no identities.
create function referral_private.code_usage_stats(p_code_id uuid)
returns table (total_uses bigint, unique_users bigint, last_used timestamptz, recent_users uuid[])
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_code referral.codes;
  v_is_staff boolean;
begin
  select * into v_code from referral.codes as c where c.id = p_code_id;
  v_is_staff := coalesce(referral_private.acts_with_role(v_code.org_id, 'coordinator'), false) and v_code.id is not null;
  if v_code.id is null or not v_is_staff and v_code.referrer_id is distinct from referral_private.require_person() then
    perform referral_private.raise_error('code_not_found');
  end if;
  return query
  select count(*), count(distinct r.referee_id), max(r.redeemed_at), case
    when v_is_staff then array(
      select recent.referee_id
      from referral.redemptions as recent
      where recent.org_id = v_code.org_id and recent.code_id = p_code_id
      order by recent.redeemed_at desc, recent.id desc
      limit 10
    )
  end
  from referral.redemptions as r
  where r.org_id = v_code.org_id and r.code_id = p_code_id;
end
$$;

revoke execute on function referral_private.code_usage_stats from public;

grant execute on function referral_private.code_usage_stats to authenticated, service_role;

-- How often each of these codes was used, and how often it may be; at most 1,000, those of them that the caller may see.
create function referral_private.code_uses(p_code_ids uuid[])
returns table (code_id uuid, uses_count bigint, max_uses int)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_is_operator boolean := referral_private.is_operator();
begin
  if coalesce(cardinality(p_code_ids), 0) > 1000 then
    perform referral_private.raise_error('invalid_argument', 'code_ids');
  end if;
  if not v_is_operator then
    perform referral_private.require_person();
  end if;
  return query
  select c.id, (select count(*) from referral.redemptions as r where r.org_id = c.org_id and r.code_id = c.id), q.max_uses
  from referral.codes as c
  left join referral.code_quotas as q on q.org_id = c.org_id and q.quota_id = c.quota_id
  where c.id = any (p_code_ids)
    and (v_is_operator or c.referrer_id = auth.uid() or c.org_id in (select referral_private.orgs_with_role('coordinator')));
end
$$;

revoke execute on function referral_private.code_uses from public;

grant execute on function referral_private.code_uses to authenticated, service_role;

-- How many redemptions an account, and an address, may make in an hour. Only redemptions that are committed count: a
-- refusal rolls its count back. The counts are the last rows that a redemption locks.

create table referral_private.redemption_counts (
  org_id uuid not null,
  counted text not null,
  hour timestamptz not null,
  redemptions int not null,
  constraint redemption_counts_pkey primary key (org_id, counted, hour)
);

create index redemption_counts_by_hour on referral_private.redemption_counts (hour);

alter table referral_private.redemption_counts enable row level security;

-- The caller's address. Hosted Supabase stands behind Cloudflare, which sets `cf-connecting-ip` itself, whatever the
-- client sends; the local gateway does the same. Behind another proxy, replace this function by one that reads the
-- header which that proxy sets. No address means no limit by address, and locks nobody out.
create function referral_private.client_address()
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return nullif(nullif(current_setting('request.headers', true), '')::jsonb ->> 'cf-connecting-ip', '');
end
$$;

revoke execute on function referral_private.client_address from public;

-- The network of an address: as long as one subscriber's is, a /64, for IPv6, and as long as is asked for IPv4. Null for what
-- is no address.
create function referral_private.network_of(p_address text, p_ipv4_length int)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_address inet;
begin
  v_address := regexp_replace(p_address, '^::ffff:(?=\d+\.)', '', 'i');
  return host(network(set_masklen(v_address, case family(v_address) when 6 then 64 else p_ipv4_length end)));
exception
  when invalid_text_representation then
    return null;
end
$$;

revoke execute on function referral_private.network_of from public;

-- Counts a redemption by account and by address; an address is stored as a hash. Raises `rate_limited`.
create function referral_private.count_redemption(p_org_id uuid, p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_organisation referral.organisations;
  v_address text := referral_private.network_of(referral_private.client_address(), 32);
begin
  select * into strict v_organisation from referral.organisations as o where o.id = p_org_id;
  perform referral_private.count_within(p_org_id, 'account:' || p_user_id, v_organisation.redemptions_per_account);
  if v_address is not null then
    perform referral_private.count_within(
      p_org_id, 'address:' || encode(sha256(convert_to(p_org_id || v_address, 'UTF8')), 'hex'), v_organisation.redemptions_per_address
    );
  end if;
end
$$;

revoke execute on function referral_private.count_redemption from public;

create function referral_private.count_within(p_org_id uuid, p_counted text, p_limit int)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into referral_private.redemption_counts as c (org_id, counted, hour, redemptions)
  values (p_org_id, p_counted, date_trunc('hour', clock_timestamp()), 1)
  on conflict on constraint redemption_counts_pkey do update
  set redemptions = c.redemptions + 1
  where c.redemptions < p_limit;
  if not found then
    perform referral_private.raise_error('rate_limited');
  end if;
end
$$;

revoke execute on function referral_private.count_within from public;

-- Removes counts of past hours, at most `p_limit`: for any scheduler.
create function referral_private.forget_counts(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removed int;
begin
  delete from referral_private.redemption_counts as c
  using (
    select d.org_id, d.counted, d.hour from referral_private.redemption_counts as d
    where d.hour < date_trunc('hour', clock_timestamp()) - interval '1 hour'
    limit greatest(p_limit, 0)
    for update skip locked
  ) as past
  where (c.org_id, c.counted, c.hour) = (past.org_id, past.counted, past.hour);
  get diagnostics v_removed = row_count;
  return v_removed;
end
$$;

revoke execute on function referral_private.forget_counts from public;

grant execute on function referral_private.forget_counts to service_role;

-- A code given at sign-up, in the user's metadata as `referral_code`: both parts are opt-in, docs/sign-up.md says how.
-- The trigger only notes the claim and can break no sign-up; the claim is redeemed at the person's first call.

create table referral_private.sign_up_claims (
  user_id uuid not null,
  code text not null,
  claimed_at timestamptz not null default clock_timestamp(),
  constraint sign_up_claims_pkey primary key (user_id),
  constraint sign_up_claims_code_is_128_at_most check (length(code) <= 128)
);

create index sign_up_claims_by_age on referral_private.sign_up_claims (claimed_at);

alter table referral_private.sign_up_claims enable row level security;

-- The code in a user's metadata, which may also be a JSON text in a JSON string; null where there is none, and where the
-- text is no JSON that Postgres can hold.
create function referral_private.code_in_metadata(p_metadata jsonb)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_metadata jsonb := p_metadata;
begin
  if jsonb_typeof(p_metadata) = 'string' then
    v_metadata := (p_metadata #>> '{}')::jsonb;
  end if;
  return left(case when jsonb_typeof(v_metadata) = 'object' then v_metadata ->> 'referral_code' end, 128);
exception
  when invalid_text_representation or untranslatable_character or numeric_value_out_of_range or statement_too_complex then
    return null;
end
$$;

revoke execute on function referral_private.code_in_metadata from public;

-- For a trigger after insert on auth.users.
create function referral_private.note_sign_up_code()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  insert into referral_private.sign_up_claims (user_id, code)
  select new.id, code
  from referral_private.code_in_metadata(new.raw_user_meta_data) as code
  where code <> ''
  on conflict do nothing;
  return null;
end
$$;

revoke execute on function referral_private.note_sign_up_code from public;

-- Redeems the code that the caller gave at sign-up; without a claim there is no row. A refusal that may pass is raised as
-- redeem_code raises it, and the claim stays for another try; any other ends the claim, and there is no row.
create function referral_private.redeem_sign_up_code()
returns setof referral.redeemed_code
language plpgsql
volatile
security definer
set search_path = ''
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
      if v_refusal::json ->> 'code' in ('busy', 'rate_limited', 'code_suspended', 'program_inactive') then
        raise;
      end if;
  end;
  delete from referral_private.sign_up_claims as c where c.user_id = v_user_id;
end
$$;

revoke execute on function referral_private.redeem_sign_up_code from public;

grant execute on function referral_private.redeem_sign_up_code to authenticated;

-- Removes claims of people who did not come back within 90 days, at most `p_limit`: for any scheduler.
create function referral_private.forget_sign_up_claims(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_removed int;
begin
  delete from referral_private.sign_up_claims as c
  using (
    select d.user_id from referral_private.sign_up_claims as d
    where d.claimed_at < clock_timestamp() - interval '90 days'
    limit greatest(p_limit, 0)
    for update skip locked
  ) as past
  where c.user_id = past.user_id;
  get diagnostics v_removed = row_count;
  return v_removed;
end
$$;

revoke execute on function referral_private.forget_sign_up_claims from public;

grant execute on function referral_private.forget_sign_up_claims to service_role;

-- A `before_user_created` hook of Supabase Auth that lets nobody sign up without a redeemable code. People invited
-- through OAuth carry no metadata at sign-up, so with this hook they sign up by e-mail.
create function referral_private.require_code_at_sign_up(event jsonb)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_code text := referral_private.code_in_metadata(event -> 'user' -> 'user_metadata');
begin
  if exists (select from referral_private.resolve_code(v_code)) then
    return '{}';
  end if;
  return jsonb_build_object(
    'error', jsonb_build_object('http_code', 403, 'message', 'A valid referral code is needed to sign up.')
  );
end
$$;

revoke execute on function referral_private.require_code_at_sign_up from public;

-- Redeeming in the conditional: the same rules, and nothing written.

-- Says before redeeming whether the caller could: what a link shows of the code, or the reason why not. To whoever is
-- not signed in with an account it answers as resolve_code does, which is the same for every unredeemable code.
create function referral_private.validate_code(p_code text)
returns setof referral.resolved_code
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_code referral.codes;
begin
  if v_user_id is null or coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false) then
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
  if exists (
    select from referral.redemptions as r
    where r.org_id = v_code.org_id and r.program_id = v_code.program_id
      and r.referee_id = v_code.referrer_id and r.referrer_id = v_user_id
  ) then
    perform referral_private.raise_error('mutual_referral');
  end if;
  return query select r.* from referral_private.resolve_code(p_code) as r;
  if not found then
    perform referral_private.raise_error('code_limit_reached');
  end if;
end
$$;

revoke execute on function referral_private.validate_code from public;

grant execute on function referral_private.validate_code to anon, authenticated, service_role;

-- The audit of redemptions: written by trigger, so that no function can forget it. The redemption itself says how it began.
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
  'The audit of redemptions: which status changed when; the actor and the reason where staff decided, neither where payments or a job did. Read by coordinators and admins of the organisation. Written by trigger.';

alter table referral.redemption_changes enable row level security;

create policy redemption_changes_staff_reads on referral.redemption_changes
for select
to authenticated
using (org_id in (select referral_private.orgs_with_role('coordinator')));

grant select on referral.redemption_changes to authenticated, service_role;

create function referral_private.record_redemption_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_decided constant boolean := new.decision is distinct from old.decision;
begin
  if v_decided or new.status <> old.status then
    insert into referral.redemption_changes (org_id, redemption_id, from_status, to_status, actor_id, reason)
    values (
      new.org_id, new.id, old.status, new.status,
      case when v_decided then new.decided_by end, case when v_decided then new.decision_reason end
    );
  end if;
  return null;
end
$$;

revoke execute on function referral_private.record_redemption_change from public;

create trigger redemptions_record_their_changes
after update of status, decision on referral.redemptions
for each row
execute function referral_private.record_redemption_change();

-- How many clicks a code had: for its owner and for staff, from the counts per day.
create function referral_private.code_clicks(p_code_id uuid, p_from_day date, p_to_day date)
returns table (day date, platform referral.click_platform, channel referral.click_channel, clicks int)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_to_day date := coalesce(p_to_day, (clock_timestamp() at time zone 'utc')::date);
  v_from_day date := coalesce(p_from_day, v_to_day - 30);
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.id = p_code_id;
  if v_code.id is null
    or not coalesce(referral_private.acts_with_role(v_code.org_id, 'coordinator'), false)
    and v_code.referrer_id is distinct from referral_private.require_person()
  then
    perform referral_private.raise_error('code_not_found');
  end if;
  if v_from_day not between v_to_day - 30 and v_to_day then
    perform referral_private.raise_error('invalid_argument', 'from_day');
  end if;
  return query
  select d.day, d.platform, nullif(d.channel, '')::referral.click_channel, d.clicks
  from referral_private.click_days as d
  where d.org_id = v_code.org_id and d.code_id = p_code_id and d.day between v_from_day and v_to_day and d.clicks > 0
  order by d.day, d.platform, d.channel;
end
$$;

revoke execute on function referral_private.code_clicks from public;

grant execute on function referral_private.code_clicks to authenticated, service_role;

-- The job that keeps clicks: makes the partitions of months to come, and forgets what is past.

-- The months, in UTC, that have a partition of their own.
create function referral_private.click_months()
returns table (partition name, month timestamp)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query
  select c.relname, to_date(c.relname, '"clicks_"YYYY_MM')::timestamp
  from pg_catalog.pg_inherits as i
  join pg_catalog.pg_class as c on c.oid = i.inhrelid
  where i.inhparent = 'referral_private.clicks'::regclass and c.relname <> 'clicks_default';
end
$$;

revoke execute on function referral_private.click_months from public;

-- Makes a month's partition, unless the default partition has clicks of that month: then it keeps the month, where a look-up
-- finds them as well, and nothing has to be moved while clicks wait. The table is locked.
create function referral_private.make_click_partition(p_month timestamp)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_partition constant text := to_char(p_month, '"clicks_"YYYY_MM');
  v_from constant timestamptz := p_month at time zone 'utc';
  v_to constant timestamptz := (p_month + interval '1 month') at time zone 'utc';
begin
  if exists (select from referral_private.clicks_default as k where k.clicked_at >= v_from and k.clicked_at < v_to) then
    return false;
  end if;
  execute format(
    'create table referral_private.%I partition of referral_private.clicks for values from (%L) to (%L)', v_partition, v_from, v_to
  );
  execute format('alter table referral_private.%I enable row level security', v_partition);
  execute format('revoke all on referral_private.%I from public, anon, authenticated, service_role', v_partition);
  return true;
end
$$;

revoke execute on function referral_private.make_click_partition from public;

-- Makes the partitions of this month and the next two; drops those of months that ended before the retention began, and
-- removes such clicks from the default partition; forgets the visitors of past days, and their keys. At most `p_max_rows` clicks
-- and as many visitors: call again while that many were removed. The table is locked at once as much as is needed, and before
-- its partitions, so that no click and no redemption can be in between.
create function referral_private.maintain_clicks(p_retention interval, p_max_rows int)
returns table (partitions_made int, partitions_dropped int, clicks_removed int, visitors_removed int)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_this_month constant timestamp := date_trunc('month', v_now at time zone 'utc');
  v_kept_from timestamptz;
  v_missing timestamp[];
  v_month timestamp;
  v_past name[];
  v_partition name;
begin
  v_kept_from := v_now - p_retention;
  -- No click_window is longer than 90 days.
  if coalesce(v_kept_from > v_now - interval '90 days', true) then
    perform referral_private.raise_error('invalid_argument', 'retention');
  end if;
  perform pg_advisory_xact_lock(hashtextextended('referral.maintain_clicks', 0));
  v_missing := array(
    select v_this_month + n * interval '1 month' from generate_series(0, 2) as n
    except
    select m.month from referral_private.click_months() as m
    order by 1
  );
  v_past := array(
    select m.partition from referral_private.click_months() as m
    where (m.month + interval '1 month') at time zone 'utc' <= v_kept_from
  );
  if v_missing <> '{}' or v_past <> '{}' then
    lock table only referral_private.clicks in access exclusive mode;
  end if;
  partitions_made := 0;
  foreach v_month in array v_missing loop
    partitions_made := partitions_made + referral_private.make_click_partition(v_month)::int;
  end loop;
  foreach v_partition in array v_past loop
    execute format('drop table referral_private.%I', v_partition);
  end loop;
  partitions_dropped := cardinality(v_past);

  delete from referral_private.clicks_default as k
  using (
    select d.org_id, d.click_id, d.clicked_at from referral_private.clicks_default as d
    where d.clicked_at < v_kept_from
    limit greatest(p_max_rows, 0)
  ) as past
  where (k.org_id, k.click_id, k.clicked_at) = (past.org_id, past.click_id, past.clicked_at);
  get diagnostics clicks_removed = row_count;

  delete from referral_private.visitor_keys as k where k.day < (v_now at time zone 'utc')::date;
  delete from referral_private.visitors as v
  using (
    select d.org_id, d.code_id, d.visitor from referral_private.visitors as d
    where d.day < (v_now at time zone 'utc')::date
    limit greatest(p_max_rows, 0)
  ) as past
  where (v.org_id, v.code_id, v.visitor) = (past.org_id, past.code_id, past.visitor);
  get diagnostics visitors_removed = row_count;
  return next;
exception
  when datetime_field_overflow then
    perform referral_private.raise_error('invalid_argument', 'retention');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.maintain_clicks from public;

grant execute on function referral_private.maintain_clicks to service_role;

-- Facts about money and identity, as Stripe and other providers state them. They are keyed by Stripe account ('' is the
-- platform's own), livemode and object, only grow, and hold no personal data. What is owed is a function of them alone.

-- What an object says was paid: an invoice, a payment intent, the checkout session that made it, or a payment recorded
-- for another provider. Of several statements by one source the greatest (paid, stated_at, stated_by) is kept.
create type referral_private.payment_source as enum ('invoice', 'intent', 'session', 'record');

create table referral_private.payments (
  account text not null,
  livemode boolean not null,
  payment_id text not null,
  source referral_private.payment_source not null,
  customer_id text,
  org_id uuid,
  program_id uuid,
  names_referral boolean not null,
  currency text not null,
  paid bigint not null,
  total bigint not null,
  total_excluding_tax bigint,
  sale_at timestamptz not null,
  paid_at timestamptz not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint payments_pkey primary key (payment_id, source, account, livemode),
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

comment on column referral_private.payments.org_id is 'Set where the sale is restricted to one organisation.';

comment on column referral_private.payments.names_referral is
  'An intent is a sale of its own only if its metadata names a referral, or a session of mode payment names it.';

comment on column referral_private.payments.sale_at is
  'When the invoice was created, else when it was first stated paid; the end of time while nothing is paid.';

-- Which payment paid which invoice, as an invoice payment or a session says. Many to many: an intent can pay several.
create table referral_private.invoice_payments (
  account text not null,
  livemode boolean not null,
  link_id text not null,
  invoice_id text not null,
  payment_key text not null,
  amount_paid bigint,
  constraint invoice_payments_pkey primary key (link_id, account, livemode)
);

create index invoice_payments_by_invoice on referral_private.invoice_payments (invoice_id, account, livemode);

create index invoice_payments_by_payment on referral_private.invoice_payments (payment_key, account, livemode);

-- Any object that names both says which intent a charge belongs to.
create table referral_private.charges (
  account text not null,
  livemode boolean not null,
  charge_id text not null,
  intent_id text not null,
  constraint charges_pkey primary key (charge_id, account, livemode)
);

create index charges_by_intent on referral_private.charges (intent_id, account, livemode);

-- Refunds by id. Rank: 2 failed or canceled, 1 succeeded, 0 every other status; it only rises.
create table referral_private.refunds (
  account text not null,
  livemode boolean not null,
  refund_id text not null,
  payment_key text,
  amount bigint not null,
  rank smallint not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint refunds_pkey primary key (refund_id, account, livemode),
  constraint refunds_amount_is_exact_in_javascript check (amount between 0 and 9007199254740991),
  constraint refunds_rank_is_known check (rank between 0 and 2)
);

create index refunds_by_payment on referral_private.refunds (payment_key, account, livemode);

create table referral_private.disputes (
  account text not null,
  livemode boolean not null,
  dispute_id text not null,
  payment_key text not null,
  amount bigint not null,
  currency text not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint disputes_pkey primary key (dispute_id, account, livemode),
  constraint disputes_amount_is_exact_in_javascript check (amount between 0 and 9007199254740991)
);

create index disputes_by_payment on referral_private.disputes (payment_key, account, livemode);

-- What a dispute took and gave back, in the settlement currency: the union over its events, by id.
create table referral_private.dispute_transactions (
  account text not null,
  livemode boolean not null,
  dispute_id text not null,
  transaction_id text not null,
  amount bigint not null,
  constraint dispute_transactions_pkey primary key (dispute_id, transaction_id, account, livemode)
);

-- Early fraud warnings and inquiries: they take nothing, and hold.
create table referral_private.warnings (
  account text not null,
  livemode boolean not null,
  warning_id text not null,
  payment_key text not null,
  warned_at timestamptz not null,
  constraint warnings_pkey primary key (warning_id, account, livemode)
);

create index warnings_by_payment on referral_private.warnings (payment_key, account, livemode);

-- What a credit note gives back outside of refunds. A void one gives back nothing.
create table referral_private.credit_notes (
  account text not null,
  livemode boolean not null,
  credit_note_id text not null,
  invoice_id text not null,
  outside bigint not null,
  void boolean not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint credit_notes_pkey primary key (credit_note_id, account, livemode),
  constraint credit_notes_outside_is_exact_in_javascript check (outside between 0 and 9007199254740991)
);

create index credit_notes_by_invoice on referral_private.credit_notes (invoice_id, account, livemode);

-- How much of a refund a credit note assigns to its invoice.
create table referral_private.credit_note_refunds (
  account text not null,
  livemode boolean not null,
  credit_note_id text not null,
  refund_id text not null,
  amount bigint not null,
  constraint credit_note_refunds_pkey primary key (credit_note_id, refund_id, account, livemode)
);

-- Identity: whoever carries this (a customer; without one, the invoice or intent itself) is this user. No evidence by
-- itself. The user's age is noted for programs for new users: accounts can be deleted.
create table referral_private.payer_users (
  account text not null,
  livemode boolean not null,
  carrier text not null,
  user_id uuid not null,
  user_created_at timestamptz,
  constraint payer_users_pkey primary key (carrier, user_id, account, livemode)
);

create index payer_users_by_user on referral_private.payer_users (user_id);

-- Evidence: this object of the carrier's named a redemption, a code or a promotion code. Lower priorities speak first
-- among equal times: 2 a redemption, 3 a code in metadata, 4 a promotion code, 5 a code in client_reference_id.
create table referral_private.payer_evidence (
  account text not null,
  livemode boolean not null,
  carrier text not null,
  priority smallint not null,
  named text not null,
  object_id text not null,
  carried_at timestamptz not null,
  constraint payer_evidence_pkey primary key (carrier, priority, named, object_id, account, livemode),
  constraint payer_evidence_priority_is_known check (priority between 2 and 5)
);

create index payer_evidence_by_name on referral_private.payer_evidence (named);

create index payer_evidence_by_time on referral_private.payer_evidence (carried_at);

-- Which of our codes a promotion code belongs to, by its metadata.
create table referral_private.promotion_codes (
  account text not null,
  livemode boolean not null,
  promotion_code_id text not null,
  code_key text not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint promotion_codes_pkey primary key (promotion_code_id, account, livemode)
);

alter table referral_private.payments enable row level security;

alter table referral_private.invoice_payments enable row level security;

alter table referral_private.charges enable row level security;

alter table referral_private.refunds enable row level security;

alter table referral_private.disputes enable row level security;

alter table referral_private.dispute_transactions enable row level security;

alter table referral_private.warnings enable row level security;

alter table referral_private.credit_notes enable row level security;

alter table referral_private.credit_note_refunds enable row level security;

alter table referral_private.payer_users enable row level security;

alter table referral_private.payer_evidence enable row level security;

alter table referral_private.promotion_codes enable row level security;

-- One lock per Stripe account, held until the transaction ends: whoever states facts or settles takes it first, so that
-- no two settlements see different halves of the truth. Finer locks do not do: a subscription's session and its first
-- invoice share neither a payment nor a sale.
create function referral_private.account_lock_key(p_account text)
returns bigint
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return hashtextextended('referral.account:' || p_account, 0);
end
$$;

revoke execute on function referral_private.account_lock_key from public;

create function referral_private.lock_account(p_account text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(referral_private.account_lock_key(p_account));
end
$$;

revoke execute on function referral_private.lock_account from public;

create function referral_private.account_of(p_org_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (select coalesce(o.stripe_account_id, '') from referral.organisations as o where o.id = p_org_id);
end
$$;

revoke execute on function referral_private.account_of from public;

-- Locks an organisation's account and answers it. Raises `busy` where it was changed while this waited.
create function referral_private.lock_account_of(p_org_id uuid)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_account text := referral_private.account_of(p_org_id);
begin
  perform referral_private.lock_account(v_account);
  if referral_private.account_of(p_org_id) <> v_account then
    perform referral_private.raise_error('busy');
  end if;
  return v_account;
end
$$;

revoke execute on function referral_private.lock_account_of from public;

-- Sales: what was paid once the statements are put together, and how much of it was taken back. A projection of the facts:
-- every row can be made anew from them.
create table referral_private.sales (
  account text not null,
  livemode boolean not null,
  sale_id text not null,
  payer_id text not null,
  is_guest boolean not null,
  org_id uuid,
  program_id uuid,
  currency text not null,
  paid bigint not null,
  reversed bigint not null,
  total bigint not null,
  total_excluding_tax bigint,
  sale_at timestamptz not null,
  paid_at timestamptz not null,
  warned_at timestamptz,
  constraint sales_pkey primary key (sale_id, account, livemode),
  constraint sales_are_of_something check (paid > 0),
  constraint sales_reversed_at_most_paid check (reversed between 0 and paid)
);

create index sales_by_payer on referral_private.sales (payer_id, account, livemode);

comment on column referral_private.sales.sale_id is
  'The invoice, or else the payment intent. An intent that pays an invoice is no sale of its own.';

comment on column referral_private.sales.payer_id is 'The customer, or the sale itself where a guest paid.';

alter table referral_private.sales enable row level security;

-- The payment that a reference means: a charge is its intent's, where that is known.
create function referral_private.payment_keys(p_account text, p_livemode boolean, p_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return array(
    select unnest(p_ids)
    union
    select c.intent_id from referral_private.charges as c
    where c.account = p_account and c.livemode = p_livemode and c.charge_id = any (p_ids)
    union
    select c.charge_id from referral_private.charges as c
    where c.account = p_account and c.livemode = p_livemode and c.intent_id = any (p_ids)
  );
end
$$;

revoke execute on function referral_private.payment_keys from public;

-- The sales that these payments, invoices and charges can touch: themselves, and all invoices that share a payment.
create function referral_private.touched_sales(p_account text, p_livemode boolean, p_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_ids text[] := referral_private.payment_keys(p_account, p_livemode, p_ids);
  v_paying text[] := array(
    select l.payment_key from referral_private.invoice_payments as l
    where l.account = p_account and l.livemode = p_livemode and l.invoice_id = any (v_ids)
  );
begin
  v_ids := v_ids || v_paying;
  if cardinality(v_paying) > 0 then
    v_ids := v_ids || referral_private.payment_keys(p_account, p_livemode, v_paying);
  end if;
  return array(
    select unnest(v_ids)
    union
    select other.invoice_id
    from referral_private.invoice_payments as other
    where other.account = p_account and other.livemode = p_livemode and other.payment_key = any (v_ids)
  );
end
$$;

revoke execute on function referral_private.touched_sales from public;

-- The sales among these intents and invoices, as the facts state them: paid, no part of another, with what was taken back.
create function referral_private.sales_stated(p_account text, p_livemode boolean, p_ids text[])
returns setof referral_private.sales
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
begin
  return query
  with
    stated as (
      select p.payment_id,
        -- The source that knows best what was paid speaks; only an intent that has heard of no payment lets its session.
        (array_agg(p order by p.paid > 0 desc, p.source = 'session', p.source))[1] as best,
        -- Only the session knows the tax of its intent.
        (array_agg(p order by p.source) filter (where p.source = 'session'))[1] as session,
        min(p.customer_id) as customer_id,
        min(p.sale_at) as sale_at,
        min(p.paid_at) as paid_at,
        (array_agg(p.org_id order by p.source) filter (where p.org_id is not null))[1] as org_id
      from referral_private.payments as p
      where p.account = p_account and p.livemode = p_livemode and p.payment_id = any (p_ids)
      group by p.payment_id
    ),
    sold as materialized (
      select s.*, (s.best).source in ('intent', 'session') as is_intent,
        -- All references to the payments behind it.
        referral_private.payment_keys(p_account, p_livemode, case
          when (s.best).source = 'invoice' then array(
            select l.payment_key from referral_private.invoice_payments as l
            where l.account = p_account and l.livemode = p_livemode and l.invoice_id = s.payment_id
          )
          else array[s.payment_id]
        end) as keys
      from stated as s
      where (s.best).paid > 0
    )
  select p_account, p_livemode, s.payment_id, coalesce(s.customer_id, s.payment_id), s.customer_id is null,
    coalesce(s.org_id, (
      select min(p.org_id::text)::uuid
      from referral_private.payments as p
      where p.account = p_account and p.livemode = p_livemode and p.payment_id = any (s.keys) and p.source = 'session'
    )),
    (s.best).program_id, (s.best).currency, (s.best).paid,
    least((s.best).paid, case
      when (s.best).source = 'invoice'
      then referral_private.taken_back_of_invoice(p_account, p_livemode, s.payment_id, s.keys, (s.best).currency, (s.best).paid)
      else referral_private.taken_back(p_account, p_livemode, s.keys, (s.best).currency, (s.best).paid)
    end)::bigint,
    case when s.is_intent and (s.session).payment_id is not null then (s.session).total else (s.best).total end,
    case when s.is_intent and (s.session).payment_id is not null then (s.session).total_excluding_tax else (s.best).total_excluding_tax end,
    s.sale_at, s.paid_at,
    (
      select max(w.warned_at) from referral_private.warnings as w
      where w.account = p_account and w.livemode = p_livemode and w.payment_key = any (s.keys)
    )
  from sold as s
  where not (s.is_intent and exists (
    select from referral_private.invoice_payments as i
    where i.account = p_account and i.livemode = p_livemode and i.payment_key = any (s.keys)
  ));
end
$$;

revoke execute on function referral_private.sales_stated from public;

-- Sales that came, changed or went, and the payers that they had and have.
create type referral_private.changed_sales as (sale_ids text[], payer_ids text[]);

-- Makes these sales anew from the facts. Returns those that changed by it.
create function referral_private.project_sales(p_account text, p_livemode boolean, p_sale_ids text[])
returns referral_private.changed_sales
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_known referral_private.sales[] := array(
    select s from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.sale_id = any (p_sale_ids)
    order by s.sale_id
  );
  -- Most events touch nothing that could be a sale: an intent is one only where a referral is named, or a session names it.
  v_candidates text[] := array(
    select distinct p.payment_id from referral_private.payments as p
    where p.account = p_account and p.livemode = p_livemode and p.payment_id = any (p_sale_ids)
      and (p.names_referral or p.source <> 'intent')
  );
  v_made referral_private.sales[] := '{}';
  v_changed text[];
begin
  if cardinality(v_candidates) > 0 then
    v_made := array(
      select s from referral_private.sales_stated(p_account, p_livemode, v_candidates) as s order by s.sale_id
    );
  end if;
  if v_made = v_known then
    return ('{}'::text[], '{}'::text[])::referral_private.changed_sales;
  end if;
  v_changed := array(
    select coalesce(m.sale_id, k.sale_id)
    from unnest(v_made) as m
    full join unnest(v_known) as k on k.sale_id = m.sale_id
    where m is distinct from k
  );
  delete from referral_private.sales as s
  where s.account = p_account and s.livemode = p_livemode and s.sale_id = any (v_changed);
  insert into referral_private.sales
  select m.* from unnest(v_made) as m where m.sale_id = any (v_changed);
  return (
    v_changed, array(select distinct s.payer_id from unnest(v_known || v_made) as s where s.sale_id = any (v_changed))
  )::referral_private.changed_sales;
end
$$;

revoke execute on function referral_private.project_sales from public;

-- What was taken back: of a payment, and of an invoice that one or several payments paid.

-- What was taken back of one payment, given as all the references that mean it: refunds that did not fail, and what
-- disputes keep. A dispute in another currency than the sale's is reckoned by its share of what was paid.
create function referral_private.taken_back(
  p_account text,
  p_livemode boolean,
  p_keys text[],
  p_currency text,
  p_paid bigint
)
returns numeric
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(sum(r.amount), 0) from referral_private.refunds as r
    where r.account = p_account and r.livemode = p_livemode and r.payment_key = any (p_keys) and r.rank < 2
  ) + (
    select coalesce(sum(round(
      (case when d.currency = p_currency then d.amount else p_paid end)
        * greatest(0, -moved.net) / nullif(moved.taken, 0)
    )), 0)
    from referral_private.disputes as d
    cross join lateral (
      select coalesce(sum(t.amount), 0) as net, coalesce(sum(abs(t.amount)) filter (where t.amount < 0), 0) as taken
      from referral_private.dispute_transactions as t
      where t.account = p_account and t.livemode = p_livemode and t.dispute_id = d.dispute_id
    ) as moved
    where d.account = p_account and d.livemode = p_livemode and d.payment_key = any (p_keys)
  );
end
$$;

revoke execute on function referral_private.taken_back from public;

-- How much of what was taken back of a payment falls on one of the invoices that it paid. What credit notes assign goes
-- to their invoice first; the rest is split once, cumulatively, by what is left of each (largest remainder, ties by
-- invoice): splitting each refund by itself would take too much from some.
create function referral_private.share_of_invoice(
  p_account text,
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
set search_path = ''
as $$
declare
  v_taken numeric;
  v_share numeric;
begin
  with
    parts as (
      select l.invoice_id, coalesce(sum(l.amount_paid), (
        select max(p.paid) from referral_private.payments as p
        where p.account = p_account and p.livemode = p_livemode and p.payment_id = l.invoice_id
      ), 0)::numeric as weight
      from referral_private.invoice_payments as l
      where l.account = p_account and l.livemode = p_livemode and l.payment_key = any (p_keys)
      group by l.invoice_id
    ),
    assigned as (
      select p.invoice_id, p.weight, least(p.weight, coalesce((
        select sum(a.amount)
        from referral_private.credit_notes as n
        join referral_private.credit_note_refunds as a
          on a.account = n.account and a.livemode = n.livemode and a.credit_note_id = n.credit_note_id
        join referral_private.refunds as r
          on r.account = a.account and r.livemode = a.livemode and r.refund_id = a.refund_id
        where n.account = p_account and n.livemode = p_livemode and n.invoice_id = p.invoice_id and not n.void
          and r.payment_key = any (p_keys) and r.rank < 2
      ), 0)) as direct
      from parts as p
    ),
    total as (
      select referral_private.taken_back(
        p_account, p_livemode, p_keys, p_currency,
        coalesce(nullif(sum(a.weight), 0), p_paid)::bigint
      ) as taken, sum(a.direct) as direct, sum(a.weight - a.direct) as weight, count(*) as parts
      from assigned as a
    ),
    split as (
      select a.invoice_id, a.direct, t.parts, t.taken,
        greatest(t.taken - t.direct, 0) as rest,
        case when t.weight > 0 then div(greatest(t.taken - t.direct, 0) * (a.weight - a.direct), t.weight) else 0 end as floor,
        case when t.weight > 0 then mod(greatest(t.taken - t.direct, 0) * (a.weight - a.direct), t.weight) else 0 end as remainder
      from assigned as a cross join total as t
    ),
    shared as (
      select s.*, row_number() over (order by s.remainder desc, s.invoice_id) as place, sum(s.floor) over () as floors
      from split as s
    )
  select case when s.parts = 1 then s.taken
    else s.direct + s.floor + case when s.place <= s.rest - s.floors then 1 else 0 end end
  into v_share
  from shared as s
  where s.invoice_id = p_invoice_id;
  return coalesce(v_share, 0);
end
$$;

revoke execute on function referral_private.share_of_invoice from public;

-- What was taken back of an invoice: its shares of the payments that paid it, all references to which are given, and its
-- credit notes.
create function referral_private.taken_back_of_invoice(
  p_account text,
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
set search_path = ''
as $$
declare
  v_taken numeric := (
    select coalesce(sum(n.outside), 0) from referral_private.credit_notes as n
    where n.account = p_account and n.livemode = p_livemode and n.invoice_id = p_invoice_id and not n.void
  );
begin
  if exists (
    select from referral_private.refunds as r
    where r.account = p_account and r.livemode = p_livemode and r.payment_key = any (p_keys)
  ) or exists (
    select from referral_private.disputes as d
    where d.account = p_account and d.livemode = p_livemode and d.payment_key = any (p_keys)
  ) then
    v_taken := v_taken + (
      select coalesce(sum(referral_private.share_of_invoice(
        p_account, p_livemode, p_invoice_id, referral_private.payment_keys(p_account, p_livemode, array[paying.key]), p_currency, p_paid
      )), 0)
      from (
        select distinct coalesce(c.intent_id, l.payment_key) as key
        from referral_private.invoice_payments as l
        left join referral_private.charges as c
          on c.account = l.account and c.livemode = l.livemode and c.charge_id = l.payment_key
        where l.account = p_account and l.livemode = p_livemode and l.invoice_id = p_invoice_id
      ) as paying
    );
  end if;
  return v_taken;
end
$$;

revoke execute on function referral_private.taken_back_of_invoice from public;

-- Who speaks for a payer: the redemptions of its users, and what its objects named. Of all evidence that is not later than
-- a sale the first wins it, by (time, priority, id); a later claim never takes what was won.

create type referral_private.payer_name as (payer_id text, name text);

-- What these payers go by: themselves, their sales, and the payments behind those. A guest's objects carry what they name
-- under these.
create function referral_private.names_of_payers(p_account text, p_livemode boolean, p_payer_ids text[])
returns setof referral_private.payer_name
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
declare
  v_sold referral_private.payer_name[] := array(
    select (s.payer_id, s.sale_id)::referral_private.payer_name
    from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.payer_id = any (p_payer_ids)
  );
  v_sales text[] := array(select n.name from unnest(v_sold) as n);
begin
  return query
  with
    paying as materialized (
      select s.payer_id, l.payment_key
      from referral_private.invoice_payments as l
      join unnest(v_sold) as s on s.name = l.invoice_id
      where l.account = p_account and l.livemode = p_livemode and l.invoice_id = any (v_sales)
    )
  select payer, payer from unnest(p_payer_ids) as payer
  union
  select s.payer_id, s.name from unnest(v_sold) as s
  union
  select p.payer_id, p.payment_key from paying as p
  union
  select p.payer_id, c.intent_id
  from referral_private.charges as c
  join paying as p on p.payment_key = c.charge_id
  where c.account = p_account and c.livemode = p_livemode
    and c.charge_id = any (array(select paying.payment_key from paying));
end
$$;

revoke execute on function referral_private.names_of_payers from public;

-- The payers of whom a statement has changed who they are or what speaks for them: those of the carriers that it named anew,
-- and of the sales that it touched, where anything is carried under a name of these.
create function referral_private.payers_carried(p_account text, p_livemode boolean, p_carriers text[], p_touched text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if cardinality(p_carriers) = 0 and not exists (
    select from referral_private.payer_users as l
    where l.account = p_account and l.livemode = p_livemode and l.carrier = any (p_touched)
  ) and not exists (
    select from referral_private.payer_evidence as e
    where e.account = p_account and e.livemode = p_livemode and e.carrier = any (p_touched)
  ) then
    return '{}';
  end if;
  return array(
    select s.payer_id from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.payer_id = any (p_carriers)
    union
    select s.payer_id from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.sale_id = any (p_touched)
  );
end
$$;

revoke execute on function referral_private.payers_carried from public;

-- The payers with sales that these carriers mean: a customer itself, of a sale or a payment its payer.
create function referral_private.payers_named(p_account text, p_livemode boolean, p_carriers text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if cardinality(p_carriers) = 0 then
    return '{}';
  end if;
  return referral_private.payers_carried(
    p_account, p_livemode, p_carriers, referral_private.touched_sales(p_account, p_livemode, p_carriers)
  );
end
$$;

revoke execute on function referral_private.payers_named from public;

-- What carries these users: the payers that are linked to them, and those whose metadata names a redemption of theirs.
create function referral_private.carriers_of_users(p_account text, p_livemode boolean, p_user_ids uuid[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_redemptions text[] := array(select r.id::text from referral.redemptions as r where r.referee_id = any (p_user_ids));
begin
  return array(
    select l.carrier from referral_private.payer_users as l
    where l.account = p_account and l.livemode = p_livemode and l.user_id = any (p_user_ids)
    union
    select e.carrier from referral_private.payer_evidence as e
    where e.account = p_account and e.livemode = p_livemode and e.priority = 2 and e.named = any (v_redemptions)
  );
end
$$;

revoke execute on function referral_private.carriers_of_users from public;

-- These payers and all that stand for the same person, directly or through others, whose sales are settled together: what
-- each of them goes by.
create function referral_private.linked_payers(p_account text, p_livemode boolean, p_payer_ids text[])
returns referral_private.payer_name[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_found referral_private.payer_name[];
  v_new text[] := p_payer_ids;
  v_all referral_private.payer_name[] := '{}';
  v_names text[];
  v_users uuid[];
  v_carriers text[];
begin
  while cardinality(v_new) > 0 loop
    v_found := array(select n from referral_private.names_of_payers(p_account, p_livemode, v_new) as n);
    v_all := v_all || v_found;
    v_names := array(select n.name from unnest(v_found) as n);
    v_users := array(
      select l.user_id from referral_private.payer_users as l
      where l.account = p_account and l.livemode = p_livemode and l.carrier = any (v_names)
      union
      select r.referee_id
      from referral_private.payer_evidence as e
      join referral.redemptions as r on r.id = e.named::uuid
      where e.account = p_account and e.livemode = p_livemode and e.carrier = any (v_names) and e.priority = 2
    );
    exit when cardinality(v_users) = 0;
    v_carriers := array(
      select unnest(referral_private.carriers_of_users(p_account, p_livemode, v_users))
      except
      select n.payer_id from unnest(v_all) as n
    );
    exit when cardinality(v_carriers) = 0;
    v_new := array(
      select unnest(referral_private.payers_named(p_account, p_livemode, v_carriers))
      except
      select n.payer_id from unnest(v_all) as n
    );
  end loop;
  return v_all;
end
$$;

revoke execute on function referral_private.linked_payers from public;

-- The terms of a program that were in force at a time, and none where it was switched off then. Times are compared in
-- whole seconds, as Stripe's are.
create function referral_private.terms_at(p_org_id uuid, p_program_id uuid, p_at timestamptz)
returns int
language plpgsql
stable
security invoker
set search_path = ''
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

revoke execute on function referral_private.terms_at from public;

create type referral_private.evidence as (
  payer_id text,
  priority int,
  evidence_id uuid,
  at timestamptz,
  redeemed_at timestamptz,
  org_id uuid,
  program_id uuid,
  terms_version int,
  redemption_id uuid,
  code_id uuid,
  owner_id uuid,
  referee_id uuid,
  refusal text
);

-- All evidence of payers, given with what they go by: whom it credits, under which terms, and why that earns nothing,
-- where it does not.
create function referral_private.evidence_of(p_account text, p_livemode boolean, p_names referral_private.payer_name[])
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
declare
  v_names text[] := array(select n.name from unnest(p_names) as n);
begin
  return query
  with
    -- Of several users that a payer is linked to, the first stands for it where a code alone speaks; the rules that refuse
    -- hold for all of them. Whose age is not known is no new user.
    users as materialized (
      select n.payer_id, array_agg(distinct l.user_id order by l.user_id) as ids,
        min(coalesce(l.user_created_at, '-infinity')) as oldest
      from referral_private.payer_users as l
      join unnest(p_names) as n on n.name = l.carrier
      where l.account = p_account and l.livemode = p_livemode and l.carrier = any (v_names)
      group by n.payer_id
    ),
    carried as materialized (
      select n.payer_id, e.priority, e.named, min(e.carried_at) as carried_at
      from referral_private.payer_evidence as e
      join unnest(p_names) as n on n.name = e.carrier
      where e.account = p_account and e.livemode = p_livemode and e.carrier = any (v_names)
      group by 1, 2, 3
    ),
    redeemed as (
      select claims.payer_id, min(claims.priority) as priority, claims.redemption_id
      from (
        select u.payer_id, 1 as priority, r.id as redemption_id
        from users as u
        cross join unnest(u.ids) as user_id
        join referral.redemptions as r on r.referee_id = user_id
        union all
        select c.payer_id, c.priority, c.named::uuid from carried as c where c.priority = 2
      ) as claims
      group by claims.payer_id, claims.redemption_id
    ),
    coded as (
      select c.payer_id, c.priority, coalesce(p.code_key, c.named) as code_key, min(c.carried_at) as carried_at
      from carried as c
      left join referral_private.promotion_codes as p
        on c.priority = 4 and p.promotion_code_id = c.named and p.account = p_account and p.livemode = p_livemode
      where c.priority >= 3 and (c.priority <> 4 or p.code_key is not null)
      group by 1, 2, 3
    )
  select n.payer_id, n.priority::int, r.id, date_trunc('second', r.redeemed_at), r.redeemed_at, r.org_id, r.program_id, r.terms_version,
    r.id, r.code_id, coalesce(c.beneficiary_id, r.referrer_id), r.referee_id,
    case
      when r.decision = 'rejected' then 'rejected'
      when r.referee_id = c.beneficiary_id or u.ids && array[r.referrer_id, c.beneficiary_id] then 'self_referral'
    end
  from redeemed as n
  join referral.redemptions as r on r.id = n.redemption_id
  join referral.codes as c on c.org_id = r.org_id and c.id = r.code_id
  left join users as u on u.payer_id = n.payer_id
  where referral_private.account_of(r.org_id) = p_account
  union all
  select a.payer_id, a.priority::int, c.id, a.carried_at, a.carried_at, c.org_id, c.program_id, t.version,
    null, c.id, coalesce(c.beneficiary_id, c.referrer_id), u.ids[1],
    case
      when u.ids && array[c.referrer_id, c.beneficiary_id, c.created_by] then 'self_referral'
      when exists (
        select from referral.redemptions as r
        where r.org_id = c.org_id and r.program_id = c.program_id
          and r.referee_id = c.referrer_id and r.referrer_id = any (u.ids) and date_trunc('second', r.redeemed_at) <= a.carried_at
      ) then 'mutual_referral'
      when terms.terms ? 'new_users_only_days' and not coalesce(
        u.oldest >= a.carried_at - make_interval(days => (terms.terms ->> 'new_users_only_days')::int), false
      ) then 'new_users_only'
    end
  from coded as a
  left join users as u on u.payer_id = a.payer_id
  join referral.codes as c on c.code_key = a.code_key and date_trunc('second', c.created_at) <= a.carried_at
  cross join lateral referral_private.terms_at(c.org_id, c.program_id, a.carried_at) as t (version)
  join referral.program_terms as terms
    on terms.org_id = c.org_id and terms.program_id = c.program_id and terms.version = t.version
  where referral_private.account_of(c.org_id) = p_account;
end
$$;

revoke execute on function referral_private.evidence_of from public;

-- Whether a purchase that is dated ahead, as those of test clocks are, names this before there is such a code: whoever had
-- it now would be owed what nobody has settled.
create function referral_private.is_named_ahead(p_key text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (
    select from referral_private.payer_evidence as e
    left join referral_private.promotion_codes as p
      on e.priority = 4 and p.promotion_code_id = e.named and p.account = e.account and p.livemode = e.livemode
    where e.carried_at >= date_trunc('second', clock_timestamp()) and e.priority >= 3
      and coalesce(p.code_key, e.named) = p_key
  );
end
$$;

revoke execute on function referral_private.is_named_ahead from public;

-- The ledger: debits and credits in pairs, which are never changed. Each owner has accounts per kind and currency with a
-- stored balance; the organisation's expense is the other side. Currencies never mix, nor do test mode and live mode.
create type referral.account_kind as enum ('expense', 'pending', 'available', 'in_transit', 'paid', 'reward');

create table referral_private.ledger_accounts (
  org_id uuid not null,
  account_id bigint generated always as identity,
  livemode boolean not null,
  owner_id uuid,
  kind referral.account_kind not null,
  currency text not null,
  balance bigint not null default 0,
  constraint ledger_accounts_pkey primary key (org_id, account_id),
  constraint ledger_accounts_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint ledger_accounts_expense_is_the_organisations check ((owner_id is null) = (kind = 'expense')),
  constraint ledger_accounts_expense_is_not_summed check (kind != 'expense' or balance = 0),
  constraint ledger_accounts_currency_is_a_code check (currency ~ '^[a-z]{3}$'),
  constraint ledger_accounts_balance_is_exact_in_javascript check (abs(balance) <= 9007199254740991)
);

create unique index ledger_accounts_one_per_owner_and_kind on referral_private.ledger_accounts (
  org_id,
  livemode,
  coalesce(owner_id, '00000000-0000-0000-0000-000000000000'),
  kind,
  currency
);

create index ledger_accounts_by_owner on referral_private.ledger_accounts (owner_id, org_id);

create table referral_private.ledger_entries (
  org_id uuid not null,
  entry_id bigint generated always as identity,
  debit_account_id bigint not null,
  credit_account_id bigint not null,
  amount bigint not null,
  currency text not null,
  reason_key text not null,
  account text not null,
  livemode boolean not null,
  sale_id text not null,
  caused_by text not null,
  posted_at timestamptz not null default clock_timestamp(),
  constraint ledger_entries_pkey primary key (org_id, entry_id),
  constraint ledger_entries_reason_is_unique unique (org_id, reason_key),
  constraint ledger_entries_debit_an_account
    foreign key (org_id, debit_account_id) references referral_private.ledger_accounts (org_id, account_id)
      on delete restrict,
  constraint ledger_entries_credit_an_account
    foreign key (org_id, credit_account_id) references referral_private.ledger_accounts (org_id, account_id)
      on delete restrict,
  constraint ledger_entries_are_between_two check (debit_account_id != credit_account_id),
  constraint ledger_entries_amount_is_positive check (amount > 0 and amount <= 9007199254740991)
);

create index ledger_entries_by_debit on referral_private.ledger_entries (org_id, debit_account_id, entry_id);

create index ledger_entries_by_credit on referral_private.ledger_entries (org_id, credit_account_id, entry_id);

create index ledger_entries_by_sale on referral_private.ledger_entries (org_id, sale_id, entry_id);

-- What is posted of each sale to each owner and kind: the sum of its entries. The next posting is the difference to what
-- the sale's target says then.
create table referral_private.postings (
  org_id uuid not null,
  account text not null,
  livemode boolean not null,
  sale_id text not null,
  owner_id uuid not null,
  kind referral.account_kind not null,
  currency text not null,
  amount bigint not null,
  entries int not null,
  -- When what is pending becomes available, as the facts stand.
  due_at timestamptz,
  constraint postings_pkey primary key (org_id, sale_id, owner_id, kind, currency, account, livemode),
  constraint postings_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint postings_are_exact_in_javascript check (amount between 0 and 9007199254740991)
);

create index postings_due on referral_private.postings (due_at) where kind = 'pending' and amount > 0;

create index postings_by_sale on referral_private.postings (sale_id, account, livemode);

alter table referral_private.ledger_accounts enable row level security;

alter table referral_private.ledger_entries enable row level security;

alter table referral_private.postings enable row level security;

-- Refuses every change of what is written once, to the owner too, and in replica mode.
create function referral_private.refuse_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end
$$;

revoke execute on function referral_private.refuse_change from public;

create trigger ledger_entries_are_append_only
before update or delete or truncate on referral_private.ledger_entries
for each statement
execute function referral_private.refuse_change();

alter table referral_private.ledger_entries enable always trigger ledger_entries_are_append_only;

-- The account of an owner, or, without one, the organisation's expense; made when it is first needed.
create function referral_private.ledger_account(
  p_org_id uuid,
  p_livemode boolean,
  p_owner_id uuid,
  p_kind referral.account_kind,
  p_currency text
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_account_id bigint;
begin
  select a.account_id into v_account_id
  from referral_private.ledger_accounts as a
  where a.org_id = p_org_id and a.livemode = p_livemode and a.kind = p_kind and a.currency = p_currency
    and coalesce(a.owner_id, '00000000-0000-0000-0000-000000000000')
      = coalesce(p_owner_id, '00000000-0000-0000-0000-000000000000');
  if v_account_id is null then
    insert into referral_private.ledger_accounts (org_id, livemode, owner_id, kind, currency)
    values (p_org_id, p_livemode, p_owner_id, p_kind, p_currency)
    returning account_id into v_account_id;
  end if;
  return v_account_id;
end
$$;

revoke execute on function referral_private.ledger_account from public;

-- Changes what is posted of a sale to an owner's account, and when what is pending will be due. Answers the number of its
-- changes.
create function referral_private.change_posting(p_posting referral_private.postings, p_change bigint)
returns int
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if p_posting.kind <> 'pending' then
    p_posting.due_at := null;
  end if;
  update referral_private.postings as p
  set amount = p.amount + p_change, entries = p.entries + 1, due_at = p_posting.due_at
  where p.org_id = p_posting.org_id and p.account = p_posting.account and p.livemode = p_posting.livemode
    and p.sale_id = p_posting.sale_id and p.owner_id = p_posting.owner_id and p.kind = p_posting.kind
    and p.currency = p_posting.currency
  returning p.entries into p_posting.entries;
  if not found then
    p_posting.amount := p_change;
    p_posting.entries := 1;
    insert into referral_private.postings select p_posting.*;
  end if;
  return p_posting.entries;
end
$$;

revoke execute on function referral_private.change_posting from public;

-- Posts what a sale's target for one owner differs by from what is posted: between two of the owner's accounts what moves
-- between them, and the rest against the expense. The account lock is held.
create function referral_private.post(
  p_posting referral_private.postings,
  p_change bigint,
  p_counter_kind referral.account_kind,
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_own bigint := referral_private.ledger_account(
    p_posting.org_id, p_posting.livemode, p_posting.owner_id, p_posting.kind, p_posting.currency
  );
  v_counter bigint := referral_private.ledger_account(
    p_posting.org_id, p_posting.livemode, case when p_counter_kind <> 'expense' then p_posting.owner_id end, p_counter_kind,
    p_posting.currency
  );
  v_number int;
begin
  v_number := referral_private.change_posting(p_posting, p_change);
  if p_counter_kind <> 'expense' then
    p_posting.kind := p_counter_kind;
    perform referral_private.change_posting(p_posting, -p_change);
  end if;

  insert into referral_private.ledger_entries (
    org_id, debit_account_id, credit_account_id, amount, currency, reason_key, account, livemode, sale_id, caused_by
  )
  values (
    p_posting.org_id,
    case when p_change > 0 then v_counter else v_own end,
    case when p_change > 0 then v_own else v_counter end,
    abs(p_change), p_posting.currency,
    concat_ws(' ', p_posting.account, p_posting.livemode, p_posting.sale_id, v_own, v_number),
    p_posting.account, p_posting.livemode, p_posting.sale_id, p_cause
  );
  update referral_private.ledger_accounts as a
  set balance = a.balance + case when a.account_id = v_own then p_change else -p_change end
  where a.org_id = p_posting.org_id and a.account_id in (v_own, v_counter) and a.kind <> 'expense';
end
$$;

revoke execute on function referral_private.post from public;

-- Which evidence wins a sale, and why it earns nothing where it does not: a function of the facts alone, so that the order
-- of events cannot matter.
create type referral_private.won_sale as (
  sale referral_private.sales,
  evidence referral_private.evidence,
  person text,
  terms jsonb,
  refusal text
);

-- The sales that this evidence wins: each by the first that is not later than the sale. A referral is refused where its first
-- sale is past the conversion window, unless staff confirmed it. The evidence is all of payers that are linked to each other.
create function referral_private.won_sales(p_account text, p_livemode boolean, p_evidence referral_private.evidence[])
returns setof referral_private.won_sale
language plpgsql
stable
rows 100
security invoker
set search_path = ''
as $$
declare
  v_payers text[] := array(select distinct e.payer_id from unnest(p_evidence) as e);
begin
  if cardinality(v_payers) = 0 then
    return;
  end if;
  return query
  with
    won as (
      select distinct on (s.sale_id) s as sale, e as evidence, coalesce(e.referee_id::text, s.payer_id) as person
      from referral_private.sales as s
      join unnest(p_evidence) as e on e.payer_id = s.payer_id and e.at <= s.sale_at
        and (s.org_id is null or s.org_id = e.org_id)
        and (s.program_id is null or s.program_id = e.program_id)
      where s.account = p_account and s.livemode = p_livemode and s.payer_id = any (v_payers)
      order by s.sale_id, e.at, e.priority, e.evidence_id
    ),
    placed as (
      select w.*, t.terms, r.decision,
        min((w.sale).sale_at) over (partition by (w.evidence).evidence_id, w.person) as first_at
      from won as w
      join referral.program_terms as t
        on t.org_id = (w.evidence).org_id and t.program_id = (w.evidence).program_id and t.version = (w.evidence).terms_version
      left join referral.redemptions as r on r.org_id = (w.evidence).org_id and r.id = (w.evidence).redemption_id
    )
  select p.sale, p.evidence, p.person, p.terms,
    case
      when (p.evidence).refusal is not null then (p.evidence).refusal
      when (p.evidence).owner_id is null then 'no_owner'
      when (p.sale).is_guest and p.terms -> 'guests' = 'false' then 'guest'
      when p.decision is distinct from 'confirmed' and p.first_at
        > (p.evidence).redeemed_at + make_interval(days => (p.terms ->> 'conversion_window_days')::int)
        then 'conversion_window'
    end
  from placed as p;
end
$$;

revoke execute on function referral_private.won_sales from public;

-- What a won sale is owed, by the terms it was won under: the sum, its cap, and whether it is on hold.

-- Round half up of a times b over c, exactly.
create function referral_private.share(p_a numeric, p_b numeric, p_c numeric)
returns bigint
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return div(2 * p_a * p_b + p_c, 2 * p_c);
end
$$;

revoke execute on function referral_private.share from public;

-- What a sale's net is worth under a reward, before caps; null where its currency is not listed. Of a percentage only
-- what is left of the price without tax counts; a flat amount shrinks with what is left of the payment.
create function referral_private.reward_on(p_reward jsonb, p_sale referral_private.sales)
returns bigint
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_net numeric := p_sale.paid - p_sale.reversed;
begin
  if p_reward ->> 'kind' = 'flat' then
    return referral_private.share((p_reward -> 'amount' ->> p_sale.currency)::numeric, v_net, p_sale.paid);
  end if;
  if p_sale.total <= 0 or p_sale.total_excluding_tax is null then
    return referral_private.share(v_net, (p_reward ->> 'bps')::numeric, 10000);
  end if;
  return referral_private.share(
    v_net * greatest(p_sale.total_excluding_tax, 0), (p_reward ->> 'bps')::numeric, p_sale.total::numeric * 10000
  );
end
$$;

revoke execute on function referral_private.reward_on from public;

-- The commission of a program's terms for a referral of this rank: tiers, where there are some, set the percentage.
create function referral_private.commission_of_rank(p_terms jsonb, p_rank int)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
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

revoke execute on function referral_private.commission_of_rank from public;

create type referral_private.target as (
  sale referral_private.sales,
  evidence referral_private.evidence,
  person text,
  owner_id uuid,
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

-- What each won sale is owed, to whom, and where that stands at a time.
create function referral_private.targets_of(p_won referral_private.won_sale[], p_now timestamptz)
returns setof referral_private.target
language plpgsql
stable
rows 100
security invoker
set search_path = ''
as $$
begin
  return query
  with
    -- Only where rank decides is it counted.
    ranked as (
      select r.evidence, r.person, referral_private.rank_of(r.evidence, r.livemode, r.person) as rank
      from (
        select distinct w.evidence, w.person, (w.sale).livemode
        from unnest(p_won) as w
        where w.terms ?| '{tiers,max_commissions_per_referrer}'::text[]
      ) as r
    ),
    placed as (
      select w.sale, w.evidence, w.person, w.terms, w.refusal, ranked.rank,
        row_number() over referral as place,
        first_value((w.sale).sale_at) over referral as first_at
      from unnest(p_won) as w
      left join ranked on ranked.evidence = w.evidence and ranked.person = w.person
      window referral as (
        partition by (w.evidence).program_id, w.person order by (w.sale).sale_at, (w.sale).sale_id
      )
    ),
    judged as (
      select p.*, referral_private.commission_of_rank(p.terms, p.rank) as reward,
        greatest((p.sale).paid_at, (p.sale).warned_at) + make_interval(days => (p.terms ->> 'hold_days')::int) as available_at,
        (p.terms -> 'max_commission_per_referral' ->> (p.sale).currency)::bigint as cap,
        coalesce(p.refusal, case
          when p.terms -> 'recurrence' = '"once"' and p.place > 1 then 'recurrence'
          when jsonb_typeof(p.terms -> 'recurrence') = 'object' and (p.sale).sale_at >= (
            (p.first_at at time zone 'UTC' + make_interval(months => (p.terms -> 'recurrence' ->> 'months')::int) - interval '12 hours')
              at time zone 'UTC'
          ) then 'recurrence'
          when p.terms ? 'minimum_sale' and (p.sale).paid
            < coalesce((p.terms -> 'minimum_sale' ->> (p.sale).currency)::numeric, 'infinity') then 'minimum_sale'
          when p.rank > (p.terms ->> 'max_commissions_per_referrer')::int then 'max_commissions'
          when not (p.terms ? 'commission' or p.terms ? 'tiers') then 'no_commission'
          when p.terms ? 'max_commission_per_referral'
            and not p.terms -> 'max_commission_per_referral' ? (p.sale).currency then 'currency'
        end) as reason
      from placed as p
    ),
    rewarded as (
      select j.*, case when j.reason is null then referral_private.reward_on(j.reward, j.sale) end as uncapped
      from judged as j
    ),
    summed as (
      select r.*, sum(coalesce(r.uncapped, 0)) over (
        partition by (r.evidence).program_id, r.person, (r.sale).currency order by (r.sale).sale_at, (r.sale).sale_id
      ) as prefix
      from rewarded as r
    )
  select s.sale, s.evidence, s.person, (s.evidence).owner_id,
    (case when s.available_at <= p_now then 'available' else 'pending' end)::referral.account_kind,
    case
      when s.uncapped is null then 0
      when s.cap is null then s.uncapped
      else least(s.cap, s.prefix) - least(s.cap, s.prefix - s.uncapped)
    end::bigint,
    s.terms, s.rank, s.reward, s.uncapped, s.cap, s.available_at,
    coalesce(s.reason, case when s.uncapped is null then 'currency' end)
  from summed as s
  union all
  select j.sale, j.evidence, j.person, (j.evidence).referee_id, 'reward',
    coalesce(referral_private.reward_on(j.terms -> 'referee_reward', j.sale), 0),
    j.terms, j.rank, j.terms -> 'referee_reward', null, null, null, null
  from judged as j
  where j.place = 1 and j.refusal is null and j.terms ? 'referee_reward' and (j.evidence).referee_id is not null;
end
$$;

revoke execute on function referral_private.targets_of from public;

-- What the facts say that these payers' sales, and those of all that are linked to them, are owed at a time.
create function referral_private.targets_at(p_account text, p_livemode boolean, p_payer_ids text[], p_now timestamptz)
returns setof referral_private.target
language plpgsql
stable
rows 100
security invoker
set search_path = ''
as $$
declare
  v_names referral_private.payer_name[] := referral_private.linked_payers(p_account, p_livemode, p_payer_ids);
  v_evidence referral_private.evidence[] := array(
    select e from referral_private.evidence_of(p_account, p_livemode, v_names) as e
  );
begin
  return query
  select t.*
  from referral_private.targets_of(
    array(select w from referral_private.won_sales(p_account, p_livemode, v_evidence) as w), p_now
  ) as t;
end
$$;

revoke execute on function referral_private.targets_at from public;

-- A referral: what one person, or payer without a user, bought in a program, as far as one owner of codes is credited. A
-- projection, kept because the rank of a referral among its owner's decides tiers and the number of commissions.
create table referral_private.referrals (
  org_id uuid not null,
  program_id uuid not null,
  owner_id uuid not null,
  person text not null,
  account text not null,
  livemode boolean not null,
  payer_id text not null,
  first_sale_at timestamptz not null,
  constraint referrals_pkey primary key (org_id, program_id, owner_id, livemode, person),
  constraint referrals_are_of_a_program
    foreign key (org_id, program_id) references referral.programs (org_id, id)
      on delete restrict
);

create index referrals_by_rank on referral_private.referrals (
  org_id,
  program_id,
  owner_id,
  livemode,
  first_sale_at,
  person
);

create index referrals_by_payer on referral_private.referrals (payer_id, account, livemode);

alter table referral_private.referrals enable row level security;

-- A referral's place among its owner's in the program, by the time of its first sale.
create function referral_private.rank_of(p_evidence referral_private.evidence, p_livemode boolean, p_person text)
returns int
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select count(*) + 1
    from referral_private.referrals as own
    join referral_private.referrals as f
      on f.org_id = own.org_id and f.program_id = own.program_id and f.owner_id = own.owner_id
        and f.livemode = own.livemode and (f.first_sale_at, f.person) < (own.first_sale_at, own.person)
    where own.org_id = p_evidence.org_id and own.program_id = p_evidence.program_id
      and own.owner_id = p_evidence.owner_id and own.livemode = p_livemode and own.person = p_person
  );
end
$$;

revoke execute on function referral_private.rank_of from public;

-- Brings the referrals of these payers up to the facts. Where rank decides, returns the payers of those that may have
-- crossed a boundary by it: with n referrals that came, went or moved, the n on either side of each.
create function referral_private.rank_referrals(
  p_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_won referral_private.won_sale[]
)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_changed jsonb;
begin
  with
    current as (
      select (w.evidence).org_id, (w.evidence).program_id, (w.evidence).owner_id, w.person,
        min((w.sale).payer_id) as payer_id, min((w.sale).sale_at) as first_sale_at
      from unnest(p_won) as w
      where w.refusal is null
      group by 1, 2, 3, 4
    ),
    gone as (
      delete from referral_private.referrals as f
      where f.account = p_account and f.livemode = p_livemode and f.payer_id = any (p_payer_ids)
        and not exists (
          select from current as c
          where c.org_id = f.org_id and c.program_id = f.program_id and c.owner_id = f.owner_id and c.person = f.person
        )
      returning f.org_id, f.program_id, f.owner_id
    ),
    made as (
      insert into referral_private.referrals as f (
        org_id, program_id, owner_id, person, account, livemode, payer_id, first_sale_at
      )
      select c.org_id, c.program_id, c.owner_id, c.person, p_account, p_livemode, c.payer_id, c.first_sale_at
      from current as c
      on conflict on constraint referrals_pkey do update
      set payer_id = excluded.payer_id, first_sale_at = excluded.first_sale_at
      where (f.payer_id, f.first_sale_at) is distinct from (excluded.payer_id, excluded.first_sale_at)
      returning f.org_id, f.program_id, f.owner_id
    )
  select jsonb_agg(to_jsonb(changed)) into v_changed
  from (
    select all_changes.*, count(*) as times from (select * from gone union all select * from made) as all_changes group by 1, 2, 3
  ) as changed;
  if v_changed is null then
    return '{}';
  end if;
  return array(
    select distinct near.payer_id
    from jsonb_to_recordset(v_changed) as changed (org_id uuid, program_id uuid, owner_id uuid, times int)
    cross join lateral referral_private.boundaries_of(changed.org_id, changed.program_id) as boundary
    cross join lateral (
      select f.payer_id from referral_private.referrals as f
      where f.org_id = changed.org_id and f.program_id = changed.program_id and f.owner_id = changed.owner_id
        and f.livemode = p_livemode
      order by f.first_sale_at, f.person
      offset greatest(boundary - 1 - changed.times, 0)
      limit 2 * changed.times
    ) as near
  );
end
$$;

revoke execute on function referral_private.rank_referrals from public;

-- The ranks at which something changes, in any version of a program's terms.
create function referral_private.boundaries_of(p_org_id uuid, p_program_id uuid)
returns setof int
language plpgsql
stable
rows 5
security invoker
set search_path = ''
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

revoke execute on function referral_private.boundaries_of from public;

-- Settling: the ledger gets the difference between what the facts say is owed and what it has. Whoever states a fact, or
-- decides something, settles in the same transaction, under the account lock.

-- What a sale's target for an owner differs by from what is posted, and when what is pending will be due.
create type referral_private.difference as (
  org_id uuid,
  owner_id uuid,
  currency text,
  sale_id text,
  pending bigint,
  available bigint,
  reward bigint,
  due_at timestamptz
);

create function referral_private.differences(
  p_account text,
  p_livemode boolean,
  p_sale_ids text[],
  p_won referral_private.won_sale[]
)
returns setof referral_private.difference
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
begin
  return query
  with
    targets as (
      select (t.evidence).org_id, t.owner_id, (t.sale).currency, (t.sale).sale_id,
        coalesce(sum(t.amount) filter (where t.kind = 'pending'), 0)::bigint as pending,
        coalesce(sum(t.amount) filter (where t.kind = 'available'), 0)::bigint as available,
        coalesce(sum(t.amount) filter (where t.kind = 'reward'), 0)::bigint as reward,
        max(t.available_at) filter (where t.kind = 'pending' and t.amount > 0) as due_at
      from referral_private.targets_of(p_won, clock_timestamp()) as t
      where t.owner_id is not null
      group by 1, 2, 3, 4
    ),
    posted as (
      select p.org_id, p.owner_id, p.currency, p.sale_id,
        coalesce(sum(p.amount) filter (where p.kind = 'pending'), 0)::bigint as pending,
        coalesce(sum(p.amount) filter (where p.kind = 'available'), 0)::bigint as available,
        coalesce(sum(p.amount) filter (where p.kind = 'reward'), 0)::bigint as reward,
        max(p.due_at) filter (where p.kind = 'pending' and p.amount > 0) as due_at
      from referral_private.postings as p
      where p.account = p_account and p.livemode = p_livemode and p.sale_id = any (p_sale_ids)
      group by 1, 2, 3, 4
    )
  select org_id, owner_id, currency, sale_id,
    coalesce(t.pending, 0) - coalesce(p.pending, 0),
    coalesce(t.available, 0) - coalesce(p.available, 0),
    coalesce(t.reward, 0) - coalesce(p.reward, 0),
    t.due_at
  from targets as t
  full join posted as p using (org_id, owner_id, currency, sale_id)
  where (coalesce(t.pending, 0), coalesce(t.available, 0), coalesce(t.reward, 0), t.due_at)
    is distinct from (coalesce(p.pending, 0), coalesce(p.available, 0), coalesce(p.reward, 0), p.due_at);
end
$$;

revoke execute on function referral_private.differences from public;

-- Posts the differences between what won sales are owed and what is posted of these sales: all of the payers that are
-- settled, and those that may have become another payer's, or none.
create function referral_private.post_differences(
  p_account text,
  p_livemode boolean,
  p_sale_ids text[],
  p_won referral_private.won_sale[],
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_differences referral_private.difference[] := array(
    select d from referral_private.differences(p_account, p_livemode, p_sale_ids, p_won) as d
    order by d.org_id, d.owner_id, d.currency, d.sale_id
  );
  v_difference referral_private.difference;
  v_posting referral_private.postings;
  v_moved bigint;
begin
  -- Locked first and in one order: the accounts of old and new winners.
  perform from referral_private.ledger_accounts as a
  where (a.org_id, a.owner_id) in (select d.org_id, d.owner_id from unnest(v_differences) as d)
  order by a.org_id, a.account_id
  for no key update;
  foreach v_difference in array v_differences loop
    v_posting := (
      v_difference.org_id, p_account, p_livemode, v_difference.sale_id, v_difference.owner_id, 'available',
      v_difference.currency, 0, 0, v_difference.due_at
    );
    -- What leaves one bucket and enters the other moves between them; only the rest is earned or taken back.
    v_moved := 0;
    if sign(v_difference.pending) * sign(v_difference.available) < 0 then
      v_moved := sign(v_difference.available) * least(abs(v_difference.pending), abs(v_difference.available));
      perform referral_private.post(v_posting, v_moved, 'pending', p_cause);
    end if;
    if v_difference.available <> v_moved then
      perform referral_private.post(v_posting, v_difference.available - v_moved, 'expense', p_cause);
    end if;
    if v_difference.reward <> 0 then
      v_posting.kind := 'reward';
      perform referral_private.post(v_posting, v_difference.reward, 'expense', p_cause);
    end if;
    v_posting.kind := 'pending';
    if v_difference.pending <> -v_moved then
      perform referral_private.post(v_posting, v_difference.pending + v_moved, 'expense', p_cause);
    else
      -- Perhaps only the hold has changed.
      update referral_private.postings as p
      set due_at = v_difference.due_at
      where p.org_id = v_posting.org_id and p.sale_id = v_posting.sale_id and p.owner_id = v_posting.owner_id
        and p.kind = 'pending' and p.currency = v_posting.currency and p.account = p_account and p.livemode = p_livemode
        and p.due_at is distinct from v_difference.due_at;
    end if;
  end loop;
end
$$;

revoke execute on function referral_private.post_differences from public;

-- Brings redemptions to what the facts say: confirmed by the first sale they win inside the conversion window, reversed
-- once all of what they won was taken back. A decision of staff is not touched.
create function referral_private.settle_redemptions(
  p_account text,
  p_livemode boolean,
  p_evidence referral_private.evidence[],
  p_won referral_private.won_sale[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_redeemed referral_private.evidence[] := array(select e from unnest(p_evidence) as e where e.redemption_id is not null);
  v_other text[];
begin
  if cardinality(v_redeemed) = 0 then
    return;
  end if;
  -- A redemption has one status, whichever mode its sales are of.
  v_other := referral_private.payers_named(p_account, not p_livemode, referral_private.carriers_of_users(
    p_account, not p_livemode, array(select e.referee_id from unnest(v_redeemed) as e)
  ));
  if cardinality(v_other) > 0 then
    p_won := p_won || array(
      select w from referral_private.won_sales(p_account, not p_livemode, array(
        select e from referral_private.evidence_of(
          p_account, not p_livemode, referral_private.linked_payers(p_account, not p_livemode, v_other)
        ) as e
      )) as w
    );
  end if;
  update referral.redemptions as r
  set confirmed_at = settled.confirmed_at, status = settled.status
  from (
    select d.org_id, d.id, won.first_at as confirmed_at, (case
      when won.first_at is null and d.status = 'expired' then 'expired'
      when won.first_at is null then 'pending'
      when won.net = 0 then 'reversed'
      else 'confirmed'
    end)::referral.redemption_status as status
    from (select distinct e.redemption_id as id from unnest(v_redeemed) as e) as named
    join referral.redemptions as d on d.id = named.id
    left join (
      select (w.evidence).redemption_id, min((w.sale).sale_at) as first_at, sum((w.sale).paid - (w.sale).reversed) as net
      from unnest(p_won) as w
      where w.refusal is null or w.refusal in ('no_owner', 'guest', 'self_referral')
      group by 1
    ) as won on won.redemption_id = d.id
    where d.decision is null
  ) as settled
  where r.org_id = settled.org_id and r.id = settled.id
    and (r.confirmed_at, r.status) is distinct from (settled.confirmed_at, settled.status);
end
$$;

revoke execute on function referral_private.settle_redemptions from public;

-- Settles all that is these payers', with whoever else moved in rank by it, and these sales, of which they are the payers,
-- old and new. The account lock is held exclusively.
create function referral_private.settle(
  p_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_sale_ids text[],
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_names referral_private.payer_name[];
  -- A sale that is gone may have been all that linked its payer to a person: whoever it carries is settled too.
  v_payers text[] := p_payer_ids || p_sale_ids;
  v_moved text[];
  v_evidence referral_private.evidence[];
  v_won referral_private.won_sale[];
begin
  loop
    v_names := referral_private.linked_payers(p_account, p_livemode, v_payers);
    v_payers := array(select distinct n.payer_id from unnest(v_names) as n);
    v_evidence := array(select e from referral_private.evidence_of(p_account, p_livemode, v_names) as e);
    v_won := array(select w from referral_private.won_sales(p_account, p_livemode, v_evidence) as w);
    v_moved := referral_private.rank_referrals(p_account, p_livemode, v_payers, v_won);
    exit when v_moved <@ v_payers;
    v_payers := v_payers || v_moved;
  end loop;
  perform referral_private.settle_redemptions(p_account, p_livemode, v_evidence, v_won);
  -- The sales of a payer are among its names.
  perform referral_private.post_differences(
    p_account, p_livemode, p_sale_ids || array(select n.name from unnest(v_names) as n), v_won, p_cause
  );
end
$$;

revoke execute on function referral_private.settle from public;

-- Settles what a person's redemption touches, in both modes.
create function referral_private.settle_user(p_account text, p_user_id uuid, p_cause text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform referral_private.settle(
    p_account, livemode, referral_private.payers_named(
      p_account, livemode, referral_private.carriers_of_users(p_account, livemode, array[p_user_id])
    ), '{}', p_cause
  )
  from unnest('{true,false}'::boolean[]) as livemode;
end
$$;

revoke execute on function referral_private.settle_user from public;

-- What a change of an organisation's account touches: every payer that its redemptions speak for, on either account.
create function referral_private.settle_organisation(p_org_id uuid, p_accounts text[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform referral_private.settle_user(account, r.referee_id, 'account changed')
  from referral.redemptions as r
  cross join unnest(p_accounts) as account
  where r.org_id = p_org_id;
end
$$;

revoke execute on function referral_private.settle_organisation from public;

-- Settles payers whose evidence names a code of the program and is later than a change of the program: clocks of test
-- mode run ahead.
create function referral_private.settle_program(p_account text, p_program_id uuid, p_since timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform referral_private.settle(
    p_account, ahead.livemode, referral_private.payers_named(p_account, ahead.livemode, ahead.carriers), '{}', 'terms changed'
  )
  from (
    select e.livemode, array_agg(distinct e.carrier) as carriers
    from referral_private.payer_evidence as e
    left join referral_private.promotion_codes as p
      on e.priority = 4 and p.account = e.account and p.livemode = e.livemode and p.promotion_code_id = e.named
    join referral.codes as c on c.code_key = coalesce(p.code_key, e.named)
    where e.account = p_account and e.priority >= 3 and c.program_id = p_program_id
      and e.carried_at >= date_trunc('second', p_since)
    group by e.livemode
  ) as ahead;
end
$$;

revoke execute on function referral_private.settle_program from public;

-- Moves commissions whose hold is over from pending to available: at most `p_limit` sales of one Stripe account a call, so
-- that its lock is held shortly. Answers how many it looked at; call again until that is 0.
create function referral_private.release_due_commissions(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_account text;
  v_due record;
  v_released int := 0;
begin
  for v_account in
    select p.account from referral_private.postings as p
    where p.kind = 'pending' and p.amount > 0 and p.due_at <= clock_timestamp()
    group by p.account
    order by min(p.due_at)
  loop
    -- An account that is busy is left for the next time.
    continue when not pg_try_advisory_xact_lock(referral_private.account_lock_key(v_account));
    for v_due in
      select due.livemode, array_agg(distinct s.payer_id) as payers, count(*) as sales
      from (
        select p.livemode, p.sale_id
        from referral_private.postings as p
        where p.account = v_account and p.kind = 'pending' and p.amount > 0 and p.due_at <= clock_timestamp()
        order by p.due_at
        limit least(greatest(p_limit, 0), 500)
      ) as due
      join referral_private.sales as s on s.account = v_account and s.livemode = due.livemode and s.sale_id = due.sale_id
      group by due.livemode
    loop
      perform referral_private.settle(v_account, v_due.livemode, v_due.payers, '{}', 'release');
      v_released := v_released + v_due.sales;
    end loop;
    exit when v_released > 0;
  end loop;
  return v_released;
end
$$;

revoke execute on function referral_private.release_due_commissions from public;

grant execute on function referral_private.release_due_commissions to service_role;

-- What each kind of Stripe object states. functions/stripe-webhook has reduced it to the fields that are read here.

-- What a statement was about: invoices, intents and charges whose sales it may change, and the carriers (customers, or a
-- guest's invoices and intents) that it linked to a user, or gave evidence, which they did not have.
create type referral_private.stated as (names text[], carriers text[]);

create function referral_private.as_uuid(p_text text)
returns uuid
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return case when p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_text::uuid end;
end
$$;

revoke execute on function referral_private.as_uuid from public;

create type referral_private.statement as (
  account text,
  livemode boolean,
  event_id text,
  event_at timestamptz,
  object jsonb
);

-- Notes whom an object's carriers are linked to, and what it names: the user, the redemption, the code, promotion codes.
-- What a buyer can edit (`client_reference_id` behind a payment link) names a code at most, never a user. Answers the
-- carriers for which any of that is new.
create function referral_private.state_names(
  p_statement referral_private.statement,
  p_carriers text[],
  p_metadata jsonb
)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_object jsonb := p_statement.object;
  v_reference text := v_object ->> 'client_reference_id';
  v_users uuid[] := array_remove(array[
    referral_private.as_uuid(p_metadata ->> 'referral_user_id'),
    case when v_object ->> 'payment_link' is null then referral_private.as_uuid(v_reference) end
  ], null);
  v_linked text[];
  v_evident text[];
begin
  if cardinality(v_users) > 0 then
    with linked as (
      insert into referral_private.payer_users as l (account, livemode, carrier, user_id, user_created_at)
      select distinct p_statement.account, p_statement.livemode, carrier, named, u.created_at
      from unnest(p_carriers) as carrier
      cross join unnest(v_users) as named
      left join auth.users as u on u.id = named
      where carrier is not null
      on conflict on constraint payer_users_pkey do update
      set user_created_at = excluded.user_created_at
      where l.user_created_at is null and excluded.user_created_at is not null
      returning l.carrier
    )
    select array_agg(l.carrier) into v_linked from linked as l;
  end if;
  if v_reference is not null or p_metadata ?| '{referral_redemption_id,referral_code}'::text[] or v_object ? 'discounts' then
    with evident as (
      insert into referral_private.payer_evidence as e (account, livemode, carrier, priority, named, object_id, carried_at)
      select p_statement.account, p_statement.livemode, carrier, n.priority, n.named, v_object ->> 'id',
        to_timestamp((v_object ->> 'created')::bigint)
      from unnest(p_carriers) as carrier
      cross join (
        select 2 as priority, referral_private.as_uuid(p_metadata ->> 'referral_redemption_id')::text as named
        union all
        select 3, referral_private.normalise_code(p_metadata ->> 'referral_code')
        union all
        select 4, d.discount ->> 'promotion_code'
        from jsonb_array_elements(coalesce(nullif(v_object -> 'discounts', 'null'), '[]')) as d (discount)
        union all
        select 5, referral_private.normalise_code(v_reference) where referral_private.as_uuid(v_reference) is null
      ) as n
      where carrier is not null and n.named is not null
      on conflict do nothing
      returning e.carrier
    )
    select array_agg(e.carrier) into v_evident from evident as e;
  end if;
  return coalesce(v_linked || v_evident, '{}');
end
$$;

revoke execute on function referral_private.state_names from public;

-- Keeps the greatest of a source's statements about a payment, and the earliest times at which it was sold and paid.
create function referral_private.state_payment(p_payment referral_private.payments)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_known referral_private.payments;
begin
  delete from referral_private.payments as p
  where p.account = p_payment.account and p.livemode = p_payment.livemode and p.payment_id = p_payment.payment_id
    and p.source = p_payment.source
  returning * into v_known;
  if v_known.payment_id is not null then
    p_payment.sale_at := least(p_payment.sale_at, v_known.sale_at);
    p_payment.paid_at := least(p_payment.paid_at, v_known.paid_at);
    p_payment.names_referral := p_payment.names_referral or v_known.names_referral;
    p_payment.customer_id := least(p_payment.customer_id, v_known.customer_id);
    if (v_known.paid, v_known.stated_at, v_known.stated_by) > (p_payment.paid, p_payment.stated_at, p_payment.stated_by) then
      p_payment.org_id := v_known.org_id;
      p_payment.currency := v_known.currency;
      p_payment.paid := v_known.paid;
      p_payment.total := v_known.total;
      p_payment.total_excluding_tax := v_known.total_excluding_tax;
      p_payment.stated_at := v_known.stated_at;
      p_payment.stated_by := v_known.stated_by;
    end if;
  end if;
  insert into referral_private.payments select p_payment.*;
end
$$;

revoke execute on function referral_private.state_payment from public;

-- A payment of which the statement says everything but what was paid. Nothing paid is no sale, and has no time.
create function referral_private.payment_stated(
  p_statement referral_private.statement,
  p_payment_id text,
  p_source referral_private.payment_source,
  p_metadata jsonb,
  p_paid bigint
)
returns referral_private.payments
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_payment referral_private.payments;
begin
  v_payment.account := p_statement.account;
  v_payment.livemode := p_statement.livemode;
  v_payment.payment_id := p_payment_id;
  v_payment.source := p_source;
  v_payment.customer_id := coalesce(p_statement.object ->> 'customer', p_statement.object ->> 'customer_account');
  v_payment.org_id := referral_private.as_uuid(p_metadata ->> 'referral_org_id');
  v_payment.names_referral := p_source <> 'intent'
    or p_metadata ?| '{referral_redemption_id,referral_user_id,referral_org_id,referral_code}'::text[];
  v_payment.currency := p_statement.object ->> 'currency';
  v_payment.paid := p_paid;
  v_payment.total := p_paid;
  v_payment.sale_at := case when p_paid > 0 then p_statement.event_at else 'infinity' end;
  v_payment.paid_at := v_payment.sale_at;
  v_payment.stated_at := p_statement.event_at;
  v_payment.stated_by := p_statement.event_id;
  return v_payment;
end
$$;

revoke execute on function referral_private.payment_stated from public;

-- A charge is its intent's, wherever both are named. Answers those of the two that are named.
create function referral_private.link_charge(p_statement referral_private.statement, p_charge text, p_intent text)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if p_charge is not null and p_intent is not null then
    insert into referral_private.charges (account, livemode, charge_id, intent_id)
    values (p_statement.account, p_statement.livemode, p_charge, p_intent)
    on conflict do nothing;
  end if;
  return array_remove(array[p_charge, p_intent], null);
end
$$;

revoke execute on function referral_private.link_charge from public;

create function referral_private.state_charge(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return (
    referral_private.link_charge(p_statement, p_statement.object ->> 'id', p_statement.object ->> 'payment_intent'),
    '{}'::text[]
  )::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_charge from public;

-- A checkout session names its payer, the user and the evidence. Its money counts in mode `payment` only: a
-- subscription's comes with the invoices.
create function referral_private.state_session(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_session jsonb := p_statement.object;
  v_customer text := coalesce(v_session ->> 'customer', v_session ->> 'customer_account');
  v_intent text := v_session ->> 'payment_intent';
  v_invoice text := v_session ->> 'invoice';
  v_payment referral_private.payments;
  v_stated referral_private.stated;
begin
  v_stated.names := array_remove(array[v_intent, v_invoice], null);
  v_stated.carriers := referral_private.state_names(
    p_statement,
    case when v_customer is not null then array[v_customer] else array[v_invoice, v_intent] end,
    v_session -> 'metadata'
  );
  if v_intent is not null and v_invoice is not null then
    insert into referral_private.invoice_payments (account, livemode, link_id, invoice_id, payment_key)
    values (p_statement.account, p_statement.livemode, v_session ->> 'id', v_invoice, v_intent)
    on conflict do nothing;
  end if;
  if v_intent is not null and v_session ->> 'mode' = 'payment' then
    v_payment := referral_private.payment_stated(
      p_statement, v_intent, 'session', v_session -> 'metadata',
      case when v_session ->> 'payment_status' = 'paid' then (v_session ->> 'amount_total')::bigint else 0 end
    );
    v_payment.total := v_session ->> 'amount_total';
    v_payment.total_excluding_tax := v_payment.total - (v_session -> 'total_details' ->> 'amount_tax')::bigint;
    perform referral_private.state_payment(v_payment);
  end if;
  return v_stated;
end
$$;

revoke execute on function referral_private.state_session from public;

create function referral_private.state_intent(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_intent jsonb := p_statement.object;
  v_id text := v_intent ->> 'id';
  v_customer text := coalesce(v_intent ->> 'customer', v_intent ->> 'customer_account');
  v_payment referral_private.payments := referral_private.payment_stated(
    p_statement, v_id, 'intent', v_intent -> 'metadata', (v_intent ->> 'amount_received')::bigint
  );
  v_stated referral_private.stated;
begin
  v_payment.total_excluding_tax := v_payment.total - (v_intent -> 'amount_details' -> 'tax' ->> 'total_tax_amount')::bigint;
  v_stated.carriers := referral_private.state_names(p_statement, array[coalesce(v_customer, v_id)], v_intent -> 'metadata');
  perform referral_private.state_payment(v_payment);
  v_stated.names := referral_private.link_charge(p_statement, v_intent ->> 'latest_charge', v_id);
  return v_stated;
end
$$;

revoke execute on function referral_private.state_intent from public;

-- An invoice is sold when it was created. Its metadata is its own and the subscription's, which every renewal carries.
create function referral_private.state_invoice(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_invoice jsonb := p_statement.object;
  v_id text := v_invoice ->> 'id';
  v_customer text := coalesce(v_invoice ->> 'customer', v_invoice ->> 'customer_account');
  v_metadata jsonb := coalesce(nullif(v_invoice -> 'parent' -> 'subscription_details' -> 'metadata', 'null'), '{}')
    || coalesce(nullif(v_invoice -> 'metadata', 'null'), '{}');
  v_payment referral_private.payments := referral_private.payment_stated(
    p_statement, v_id, 'invoice', v_metadata, case when (v_invoice ->> 'amount_paid')::bigint < 0 then 0 else (v_invoice ->> 'amount_paid')::bigint end
  );
  v_stated referral_private.stated;
begin
  v_payment.total := v_invoice ->> 'total';
  v_payment.total_excluding_tax := v_invoice ->> 'total_excluding_tax';
  v_payment.sale_at := to_timestamp((v_invoice ->> 'created')::bigint);
  v_stated.names := array[v_id];
  v_stated.carriers := referral_private.state_names(p_statement, array[coalesce(v_customer, v_id)], v_metadata);
  perform referral_private.state_payment(v_payment);
  return v_stated;
end
$$;

revoke execute on function referral_private.state_invoice from public;

create function referral_private.state_invoice_payment(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_link jsonb := p_statement.object;
  v_key text := coalesce(v_link -> 'payment' ->> 'payment_intent', v_link -> 'payment' ->> 'charge');
begin
  if v_key is null then
    return (array[v_link ->> 'invoice'], '{}'::text[])::referral_private.stated;
  end if;
  insert into referral_private.invoice_payments as l (account, livemode, link_id, invoice_id, payment_key, amount_paid)
  values (
    p_statement.account, p_statement.livemode, v_link ->> 'id', v_link ->> 'invoice', v_key, (v_link ->> 'amount_paid')::bigint
  )
  on conflict on constraint invoice_payments_pkey do update
  set amount_paid = greatest(l.amount_paid, excluded.amount_paid);
  perform referral_private.link_charge(p_statement, v_link -> 'payment' ->> 'charge', v_link -> 'payment' ->> 'payment_intent');
  return (array[v_link ->> 'invoice', v_key], '{}'::text[])::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_invoice_payment from public;

-- A discount that a customer got by a promotion code is evidence from then on.
create function referral_private.state_discount(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_discount jsonb := p_statement.object;
  v_stated referral_private.stated := ('{}'::text[], '{}'::text[]);
begin
  if v_discount ->> 'customer' is null or v_discount ->> 'promotion_code' is null then
    return v_stated;
  end if;
  insert into referral_private.payer_evidence (account, livemode, carrier, priority, named, object_id, carried_at)
  values (
    p_statement.account, p_statement.livemode, v_discount ->> 'customer', 4, v_discount ->> 'promotion_code',
    v_discount ->> 'id', to_timestamp((v_discount ->> 'start')::bigint)
  )
  on conflict do nothing;
  if found then
    v_stated.carriers := array[v_discount ->> 'customer'];
  end if;
  return v_stated;
end
$$;

revoke execute on function referral_private.state_discount from public;

-- Which of our codes a promotion code belongs to. Whoever used it before that was known is settled too.
create function referral_private.state_promotion_code(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_promotion jsonb := p_statement.object;
  v_key text := referral_private.normalise_code(v_promotion -> 'metadata' ->> 'referral_code');
  v_known text := (
    select p.code_key from referral_private.promotion_codes as p
    where p.account = p_statement.account and p.livemode = p_statement.livemode
      and p.promotion_code_id = v_promotion ->> 'id'
  );
  v_stated referral_private.stated := ('{}'::text[], '{}'::text[]);
begin
  if v_key is null then
    return v_stated;
  end if;
  insert into referral_private.promotion_codes as p (account, livemode, promotion_code_id, code_key, stated_at, stated_by)
  values (
    p_statement.account, p_statement.livemode, v_promotion ->> 'id', v_key, p_statement.event_at, p_statement.event_id
  )
  on conflict on constraint promotion_codes_pkey do update
  set code_key = excluded.code_key, stated_at = excluded.stated_at, stated_by = excluded.stated_by
  where (excluded.stated_at, excluded.stated_by) > (p.stated_at, p.stated_by);
  -- Stripe says the same again with every use of the code.
  if not found or v_key = v_known then
    return v_stated;
  end if;
  v_stated.carriers := array(
    select distinct e.carrier from referral_private.payer_evidence as e
    where e.account = p_statement.account and e.livemode = p_statement.livemode
      and e.priority = 4 and e.named = v_promotion ->> 'id'
  );
  return v_stated;
end
$$;

revoke execute on function referral_private.state_promotion_code from public;

-- What Stripe's objects state of money taken back or held: refunds, disputes, warnings, credit notes.

-- A refund counts until it is known to have failed; what was stated with the highest rank, last, holds.
create function referral_private.state_refund(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_refund jsonb := p_statement.object;
  v_key text;
begin
  insert into referral_private.refunds as r (
    account, livemode, refund_id, payment_key, amount, rank, stated_at, stated_by
  )
  values (
    p_statement.account, p_statement.livemode, v_refund ->> 'id',
    coalesce(v_refund ->> 'payment_intent', v_refund ->> 'charge'), (v_refund ->> 'amount')::bigint,
    case when v_refund ->> 'status' in ('failed', 'canceled') then 2 when v_refund ->> 'status' = 'succeeded' then 1 else 0 end,
    p_statement.event_at, p_statement.event_id
  )
  on conflict on constraint refunds_pkey do update
  set payment_key = greatest(r.payment_key, excluded.payment_key),
    amount = case
      when (excluded.rank, excluded.stated_at, excluded.stated_by) > (r.rank, r.stated_at, r.stated_by) then excluded.amount
      else r.amount
    end,
    stated_at = case
      when (excluded.rank, excluded.stated_at, excluded.stated_by) > (r.rank, r.stated_at, r.stated_by) then excluded.stated_at
      else r.stated_at
    end,
    stated_by = case
      when (excluded.rank, excluded.stated_at, excluded.stated_by) > (r.rank, r.stated_at, r.stated_by) then excluded.stated_by
      else r.stated_by
    end,
    rank = greatest(r.rank, excluded.rank)
  returning r.payment_key into v_key;
  return (
    referral_private.link_charge(p_statement, v_refund ->> 'charge', v_refund ->> 'payment_intent') || v_key, '{}'::text[]
  )::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_refund from public;

-- A dispute takes what its balance transactions say, whatever its status. An inquiry takes nothing, and holds.
create function referral_private.state_dispute(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_dispute jsonb := p_statement.object;
  v_key text := coalesce(v_dispute ->> 'payment_intent', v_dispute ->> 'charge');
begin
  if starts_with(v_dispute ->> 'status', 'warning_') then
    perform referral_private.state_warning(p_statement);
  end if;
  insert into referral_private.disputes as d (
    account, livemode, dispute_id, payment_key, amount, currency, stated_at, stated_by
  )
  values (
    p_statement.account, p_statement.livemode, v_dispute ->> 'id', v_key, (v_dispute ->> 'amount')::bigint,
    v_dispute ->> 'currency', p_statement.event_at, p_statement.event_id
  )
  on conflict on constraint disputes_pkey do update
  set payment_key = greatest(d.payment_key, excluded.payment_key),
    amount = case when (excluded.stated_at, excluded.stated_by) > (d.stated_at, d.stated_by) then excluded.amount else d.amount end,
    currency = case
      when (excluded.stated_at, excluded.stated_by) > (d.stated_at, d.stated_by) then excluded.currency else d.currency
    end,
    stated_by = case
      when (excluded.stated_at, excluded.stated_by) > (d.stated_at, d.stated_by) then excluded.stated_by else d.stated_by
    end,
    stated_at = greatest(d.stated_at, excluded.stated_at)
  returning d.payment_key into v_key;
  insert into referral_private.dispute_transactions (account, livemode, dispute_id, transaction_id, amount)
  select p_statement.account, p_statement.livemode, v_dispute ->> 'id', t.moved ->> 'id', (t.moved ->> 'amount')::bigint
  from jsonb_array_elements(v_dispute -> 'balance_transactions') as t (moved)
  on conflict do nothing;
  return (
    referral_private.link_charge(p_statement, v_dispute ->> 'charge', v_dispute ->> 'payment_intent') || v_key, '{}'::text[]
  )::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_dispute from public;

create function referral_private.state_warning(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_warning jsonb := p_statement.object;
begin
  insert into referral_private.warnings as w (account, livemode, warning_id, payment_key, warned_at)
  values (
    p_statement.account, p_statement.livemode, v_warning ->> 'id',
    coalesce(v_warning ->> 'payment_intent', v_warning ->> 'charge'), to_timestamp((v_warning ->> 'created')::bigint)
  )
  on conflict on constraint warnings_pkey do update
  set payment_key = greatest(w.payment_key, excluded.payment_key), warned_at = greatest(w.warned_at, excluded.warned_at);
  return (
    referral_private.link_charge(p_statement, v_warning ->> 'charge', v_warning ->> 'payment_intent'), '{}'::text[]
  )::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_warning from public;

-- A credit note gives back what it pays out of band or through payment records. Ordinary refunds arrive by themselves;
-- it only says which invoice they belong to. Credit to the customer's balance lowers a later payment instead.
create function referral_private.state_credit_note(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_note jsonb := p_statement.object;
  v_outside bigint := coalesce((v_note ->> 'out_of_band_amount')::bigint, 0) + coalesce((
    select sum((r.refund ->> 'amount_refunded')::bigint)
    from jsonb_array_elements(v_note -> 'refunds') as r (refund)
    where r.refund ->> 'type' = 'payment_record_refund'
  ), 0);
begin
  insert into referral_private.credit_notes as n (
    account, livemode, credit_note_id, invoice_id, outside, void, stated_at, stated_by
  )
  values (
    p_statement.account, p_statement.livemode, v_note ->> 'id', v_note ->> 'invoice', v_outside,
    v_note ->> 'status' = 'void', p_statement.event_at, p_statement.event_id
  )
  on conflict on constraint credit_notes_pkey do update
  set outside = case when (excluded.stated_at, excluded.stated_by) > (n.stated_at, n.stated_by) then excluded.outside else n.outside end,
    stated_at = greatest(n.stated_at, excluded.stated_at),
    stated_by = case when (excluded.stated_at, excluded.stated_by) > (n.stated_at, n.stated_by) then excluded.stated_by else n.stated_by end,
    void = n.void or excluded.void;
  insert into referral_private.credit_note_refunds as a (account, livemode, credit_note_id, refund_id, amount)
  select p_statement.account, p_statement.livemode, v_note ->> 'id', r.refund ->> 'refund', (r.refund ->> 'amount_refunded')::bigint
  from jsonb_array_elements(v_note -> 'refunds') as r (refund)
  where r.refund ->> 'refund' is not null
  on conflict on constraint credit_note_refunds_pkey do update set amount = greatest(a.amount, excluded.amount);
  return (array[v_note ->> 'invoice'], '{}'::text[])::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_credit_note from public;

-- The inbox: one call takes one delivery, in one transaction. Nothing here expires or changes: a delivery is recognised as
-- a duplicate however late it comes.
create type referral.event_status as enum ('applied', 'duplicate', 'ignored', 'parked');

create table referral_private.stripe_events (
  account text not null,
  livemode boolean not null,
  event_id text not null,
  type text not null,
  status referral.event_status not null,
  created_at timestamptz not null,
  received_at timestamptz not null default clock_timestamp(),
  body_sha256 text not null,
  event jsonb not null,
  constraint stripe_events_pkey primary key (event_id, account, livemode),
  constraint stripe_events_account_is_an_id check (account ~ '^(acct_[A-Za-z0-9]{1,64})?$'),
  constraint stripe_events_have_an_id check (event_id ~ '^evt_[A-Za-z0-9_]{1,255}$'),
  constraint stripe_events_body_is_hashed check (body_sha256 ~ '^[0-9a-f]{64}$')
);

alter table referral_private.stripe_events enable row level security;

create trigger stripe_events_are_append_only
before update or delete or truncate on referral_private.stripe_events
for each statement
execute function referral_private.refuse_change();

alter table referral_private.stripe_events enable always trigger stripe_events_are_append_only;

-- Events that carry money or identity in a form that is not known yet, as they came but for personal fields, until a later
-- version of referbase can read them.
create table referral_private.parked_events (
  account text not null,
  livemode boolean not null,
  event_id text not null,
  reason text not null,
  event jsonb not null,
  constraint parked_events_pkey primary key (event_id, account, livemode),
  constraint parked_events_are_in_the_inbox
    foreign key (event_id, account, livemode) references referral_private.stripe_events (event_id, account, livemode)
      on delete restrict
);

alter table referral_private.parked_events enable row level security;

-- What a parked event was read as in the end; kept, because the inbox has it as parked for ever.
create table referral_private.resolved_events (
  account text not null,
  livemode boolean not null,
  event_id text not null,
  event jsonb not null,
  resolved_at timestamptz not null default clock_timestamp(),
  constraint resolved_events_pkey primary key (event_id, account, livemode),
  constraint resolved_events_are_in_the_inbox
    foreign key (event_id, account, livemode) references referral_private.stripe_events (event_id, account, livemode)
      on delete restrict
);

alter table referral_private.resolved_events enable row level security;

create trigger resolved_events_are_append_only
before update or delete or truncate on referral_private.resolved_events
for each statement
execute function referral_private.refuse_change();

alter table referral_private.resolved_events enable always trigger resolved_events_are_append_only;

-- The kind of object in which a type of event states facts; null where it states none.
create function referral_private.stated_by(p_type text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
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

revoke execute on function referral_private.stated_by from public;

-- States the facts of an event and settles what they touch. False for types that state nothing. The account lock is held.
create function referral_private.apply_event(p_account text, p_livemode boolean, p_event jsonb)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_statement referral_private.statement := (
    p_account, p_livemode, p_event ->> 'id', to_timestamp((p_event -> 'created')::bigint), p_event -> 'data' -> 'object'
  );
  v_stated referral_private.stated;
  v_touched text[];
  v_changed referral_private.changed_sales;
  v_payers text[];
begin
  case referral_private.stated_by(p_event ->> 'type')
    when 'session' then v_stated := referral_private.state_session(v_statement);
    when 'intent' then v_stated := referral_private.state_intent(v_statement);
    when 'invoice' then v_stated := referral_private.state_invoice(v_statement);
    when 'invoice_payment' then v_stated := referral_private.state_invoice_payment(v_statement);
    when 'refund' then v_stated := referral_private.state_refund(v_statement);
    when 'charge' then v_stated := referral_private.state_charge(v_statement);
    when 'dispute' then v_stated := referral_private.state_dispute(v_statement);
    when 'warning' then v_stated := referral_private.state_warning(v_statement);
    when 'credit_note' then v_stated := referral_private.state_credit_note(v_statement);
    when 'discount' then v_stated := referral_private.state_discount(v_statement);
    when 'promotion_code' then v_stated := referral_private.state_promotion_code(v_statement);
    else return false;
  end case;
  v_touched := referral_private.touched_sales(p_account, p_livemode, v_stated.names || v_stated.carriers);
  v_changed := referral_private.project_sales(p_account, p_livemode, v_touched);
  v_payers := v_changed.payer_ids
    || referral_private.payers_carried(p_account, p_livemode, v_stated.carriers, v_touched);
  -- What changed no sale, and nothing that anybody is known by, changes nothing that is owed.
  if cardinality(v_payers) > 0 then
    perform referral_private.settle(p_account, p_livemode, v_payers, v_changed.sale_ids, p_event ->> 'id');
  end if;
  return true;
end
$$;

revoke execute on function referral_private.apply_event from public;

-- Applies one verified Stripe event. Answers `duplicate` for what came before, `ignored` for types that state nothing, and
-- `parked` for what the webhook could not read (`parked` says why); these change nothing else. Raises `invalid_event` for
-- what is not an event, and then stores nothing.
create function referral_private.ingest_stripe_event(p_event jsonb)
returns table (event_id text, status referral.event_status)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_account text := coalesce(p_event ->> 'account', '');
  v_livemode boolean;
  v_status referral.event_status;
begin
  if coalesce(jsonb_typeof(p_event), '') <> 'object' or jsonb_typeof(p_event -> 'data' -> 'object') is distinct from 'object' then
    perform referral_private.raise_error('invalid_event');
  end if;
  v_livemode := (p_event -> 'livemode')::boolean;
  v_status := case
    when p_event ->> 'parked' is not null then 'parked'
    when referral_private.stated_by(p_event ->> 'type') is not null then 'applied'
    else 'ignored'
  end;

  perform referral_private.lock_account(v_account);
  insert into referral_private.stripe_events (account, livemode, event_id, type, status, created_at, body_sha256, event)
  values (
    v_account, v_livemode, p_event ->> 'id', p_event ->> 'type', v_status, to_timestamp((p_event -> 'created')::bigint),
    p_event ->> 'body_sha256',
    case when v_status = 'parked' then jsonb_build_object('parked', p_event -> 'parked') else p_event - 'body_sha256' end
  )
  on conflict on constraint stripe_events_pkey do nothing;
  if not found then
    return query select p_event ->> 'id', 'duplicate'::referral.event_status;
    return;
  end if;

  if v_status = 'applied' then
    perform referral_private.apply_event(v_account, v_livemode, p_event);
  elsif v_status = 'parked' then
    insert into referral_private.parked_events (account, livemode, event_id, reason, event)
    values (v_account, v_livemode, p_event ->> 'id', p_event ->> 'parked', p_event - 'parked');
  end if;
  return query select p_event ->> 'id', v_status;
exception
  when check_violation or not_null_violation or invalid_text_representation or numeric_value_out_of_range
    or invalid_parameter_value or datetime_field_overflow or cannot_coerce
  then
    perform referral_private.raise_error('invalid_event');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.ingest_stripe_event from public;

grant execute on function referral_private.ingest_stripe_event to service_role;

-- Parked events after the one given, oldest first, for a later version to read.
create function referral_private.list_parked_events(p_limit int, p_after_event text)
returns table (
  account text,
  livemode boolean,
  event_id text,
  type text,
  reason text,
  received_at timestamptz,
  event jsonb
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
  select p.account, p.livemode, p.event_id, e.type, p.reason, e.received_at, p.event
  from referral_private.parked_events as p
  join referral_private.stripe_events as e
    on e.account = p.account and e.livemode = p.livemode and e.event_id = p.event_id
  where p_after_event is null or (e.received_at, p.event_id) > (
    select min(seen.received_at), p_after_event from referral_private.stripe_events as seen where seen.event_id = p_after_event
  )
  order by e.received_at, p.event_id
  limit referral_private.page_size(p_limit);
end
$$;

revoke execute on function referral_private.list_parked_events from public;

grant execute on function referral_private.list_parked_events to service_role;

-- Applies a parked event that can be read now, as the webhook would have reduced it, and forgets what was parked.
create function referral_private.resolve_parked_event(p_event jsonb)
returns table (event_id text, status referral.event_status)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_account text := coalesce(p_event ->> 'account', '');
  v_livemode boolean;
begin
  if coalesce(jsonb_typeof(p_event), '') <> 'object' or jsonb_typeof(p_event -> 'data' -> 'object') is distinct from 'object' then
    perform referral_private.raise_error('invalid_event');
  end if;
  v_livemode := (p_event -> 'livemode')::boolean;
  perform referral_private.lock_account(v_account);
  delete from referral_private.parked_events as p
  where p.account = v_account and p.livemode = v_livemode and p.event_id = p_event ->> 'id';
  if not found then
    return query select p_event ->> 'id', 'duplicate'::referral.event_status;
    return;
  end if;
  insert into referral_private.resolved_events (account, livemode, event_id, event)
  values (v_account, v_livemode, p_event ->> 'id', p_event - 'body_sha256');
  return query
  select p_event ->> 'id', (case
    when referral_private.apply_event(v_account, v_livemode, p_event) then 'applied' else 'ignored'
  end)::referral.event_status;
exception
  when check_violation or not_null_violation or invalid_text_representation or numeric_value_out_of_range
    or invalid_parameter_value or datetime_field_overflow or cannot_coerce
  then
    perform referral_private.raise_error('invalid_event');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.resolve_parked_event from public;

grant execute on function referral_private.resolve_parked_event to service_role;

-- Payments of other providers (App Store, Play, RevenueCat, an invoice by post): the app's server records them, and they
-- become the same facts. The same reference again is the same record; with other content it is a conflict.
create table referral_private.recorded_facts (
  org_id uuid not null,
  kind text not null,
  provider text not null,
  ref text not null,
  content jsonb not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint recorded_facts_pkey primary key (org_id, kind, provider, ref),
  constraint recorded_facts_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint recorded_facts_kind_is_known check (kind in ('payment', 'refund', 'refund_reversed')),
  constraint recorded_facts_provider_is_a_label check (provider ~ '^[a-z0-9_]{1,32}$'),
  constraint recorded_facts_ref_is_1_to_255 check (ref ~ '^[!-~]{1,255}$')
);

alter table referral_private.recorded_facts enable row level security;

create trigger recorded_facts_are_append_only
before update or delete or truncate on referral_private.recorded_facts
for each statement
execute function referral_private.refuse_change();

alter table referral_private.recorded_facts enable always trigger recorded_facts_are_append_only;

create type referral.recorded_fact as (ref text, status referral.event_status);

-- Notes a record under the account lock. False where it is there already; raises `record_conflict` where it says otherwise.
create function referral_private.note_record(p_fact referral_private.recorded_facts)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_known jsonb;
begin
  if num_nulls(p_fact.provider, p_fact.ref) > 0 then
    perform referral_private.raise_error('invalid_argument', 'provider, ref');
  end if;
  perform referral_private.require_role(p_fact.org_id, 'admin');
  perform referral_private.lock_account_of(p_fact.org_id);
  insert into referral_private.recorded_facts (org_id, kind, provider, ref, content)
  values (p_fact.org_id, p_fact.kind, p_fact.provider, p_fact.ref, p_fact.content)
  on conflict on constraint recorded_facts_pkey do nothing;
  if found then
    return true;
  end if;
  select f.content into strict v_known
  from referral_private.recorded_facts as f
  where f.org_id = p_fact.org_id and f.kind = p_fact.kind and f.provider = p_fact.provider and f.ref = p_fact.ref;
  if v_known <> p_fact.content then
    perform referral_private.raise_error('record_conflict');
  end if;
  return false;
end
$$;

revoke execute on function referral_private.note_record from public;

-- The id under which a provider's reference stands among the facts.
create function referral_private.recorded_id(p_org_id uuid, p_provider text, p_ref text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return concat_ws(':', p_provider, p_org_id, p_ref);
end
$$;

revoke execute on function referral_private.recorded_id from public;

-- Settles what a recorded payment touches.
create function referral_private.settle_recorded(p_account text, p_payment_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_changed referral_private.changed_sales := referral_private.project_sales(p_account, true, array[p_payment_id]);
begin
  perform referral_private.settle(p_account, true, v_changed.payer_ids, v_changed.sale_ids, p_payment_id);
end
$$;

revoke execute on function referral_private.settle_recorded from public;

create function referral_private.record_payment(
  p_org_id uuid,
  p_provider text,
  p_payment_ref text,
  p_referee_id uuid,
  p_amount bigint,
  p_currency text,
  p_tax bigint,
  p_paid_at timestamptz,
  p_program_id uuid
)
returns setof referral.recorded_fact
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_fact referral_private.recorded_facts;
  v_payment referral_private.payments;
  v_violated text;
begin
  if p_amount is null or p_amount not between 1 and 9007199254740991 then
    perform referral_private.raise_error('invalid_argument', 'amount');
  end if;
  if p_currency is null or p_currency !~ '^[a-z]{3}$' then
    perform referral_private.raise_error('invalid_argument', 'currency');
  end if;
  if p_tax not between 0 and p_amount then
    perform referral_private.raise_error('invalid_argument', 'tax');
  end if;
  if p_referee_id is null or p_paid_at is null or not isfinite(p_paid_at) then
    perform referral_private.raise_error('invalid_argument', 'referee_id, paid_at');
  end if;
  v_fact.org_id := p_org_id;
  v_fact.kind := 'payment';
  v_fact.provider := p_provider;
  v_fact.ref := p_payment_ref;
  v_fact.content := jsonb_build_object(
    'referee_id', p_referee_id, 'amount', p_amount, 'currency', p_currency, 'tax', p_tax,
    'paid_at', extract(epoch from p_paid_at), 'program_id', p_program_id
  );
  if not referral_private.note_record(v_fact) then
    return query select p_payment_ref, 'duplicate'::referral.event_status;
    return;
  end if;
  if p_program_id is not null and not exists (
    select from referral.programs as p where p.org_id = p_org_id and p.id = p_program_id
  ) then
    perform referral_private.raise_error('program_not_found');
  end if;

  v_payment.account := referral_private.account_of(p_org_id);
  v_payment.livemode := true;
  v_payment.payment_id := referral_private.recorded_id(p_org_id, p_provider, p_payment_ref);
  v_payment.source := 'record';
  v_payment.customer_id := concat_ws(':', 'user', p_org_id, p_referee_id);
  v_payment.org_id := p_org_id;
  v_payment.program_id := p_program_id;
  v_payment.names_referral := true;
  v_payment.currency := p_currency;
  v_payment.paid := p_amount;
  v_payment.total := p_amount;
  v_payment.total_excluding_tax := p_amount - p_tax;
  v_payment.sale_at := p_paid_at;
  v_payment.paid_at := p_paid_at;
  v_payment.stated_at := p_paid_at;
  v_payment.stated_by := v_payment.payment_id;
  insert into referral_private.payments select v_payment.*;
  insert into referral_private.payer_users (account, livemode, carrier, user_id, user_created_at)
  values (
    v_payment.account, true, v_payment.customer_id, p_referee_id, (select u.created_at from auth.users as u where u.id = p_referee_id)
  )
  on conflict do nothing;
  perform referral_private.settle_recorded(v_payment.account, v_payment.payment_id);
  return query select p_payment_ref, 'applied'::referral.event_status;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.record_payment from public;

grant execute on function referral_private.record_payment to service_role;

-- A refund of a recorded payment, which may come later than its refund.
create function referral_private.record_refund(
  p_org_id uuid,
  p_provider text,
  p_refund_ref text,
  p_payment_ref text,
  p_amount bigint
)
returns setof referral.recorded_fact
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_fact referral_private.recorded_facts;
  v_account text;
  v_payment_id text := referral_private.recorded_id(p_org_id, p_provider, p_payment_ref);
  v_violated text;
begin
  if p_amount is null or p_amount not between 1 and 9007199254740991 then
    perform referral_private.raise_error('invalid_argument', 'amount');
  end if;
  if p_payment_ref is null then
    perform referral_private.raise_error('invalid_argument', 'payment_ref');
  end if;
  v_fact.org_id := p_org_id;
  v_fact.kind := 'refund';
  v_fact.provider := p_provider;
  v_fact.ref := p_refund_ref;
  v_fact.content := jsonb_build_object('payment_ref', p_payment_ref, 'amount', p_amount);
  if not referral_private.note_record(v_fact) then
    return query select p_refund_ref, 'duplicate'::referral.event_status;
    return;
  end if;
  v_account := referral_private.account_of(p_org_id);
  insert into referral_private.refunds as r (account, livemode, refund_id, payment_key, amount, rank, stated_at, stated_by)
  values (
    v_account, true, referral_private.recorded_id(p_org_id, p_provider, p_refund_ref), v_payment_id, p_amount, 1,
    'epoch', v_payment_id
  )
  on conflict on constraint refunds_pkey do update
  set payment_key = excluded.payment_key, amount = excluded.amount;
  perform referral_private.settle_recorded(v_account, v_payment_id);
  return query select p_refund_ref, 'applied'::referral.event_status;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.record_refund from public;

grant execute on function referral_private.record_refund to service_role;

-- A recorded refund that failed after all, also where the refund itself is recorded later.
create function referral_private.record_refund_reversed(p_org_id uuid, p_provider text, p_refund_ref text)
returns setof referral.recorded_fact
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_fact referral_private.recorded_facts;
  v_account text;
  v_payment_id text;
  v_violated text;
begin
  v_fact.org_id := p_org_id;
  v_fact.kind := 'refund_reversed';
  v_fact.provider := p_provider;
  v_fact.ref := p_refund_ref;
  v_fact.content := '{}';
  if not referral_private.note_record(v_fact) then
    return query select p_refund_ref, 'duplicate'::referral.event_status;
    return;
  end if;
  v_account := referral_private.account_of(p_org_id);
  insert into referral_private.refunds as r (account, livemode, refund_id, amount, rank, stated_at, stated_by)
  values (v_account, true, referral_private.recorded_id(p_org_id, p_provider, p_refund_ref), 0, 2, 'epoch', p_refund_ref)
  on conflict on constraint refunds_pkey do update set rank = 2
  returning r.payment_key into v_payment_id;
  if v_payment_id is not null then
    perform referral_private.settle_recorded(v_account, v_payment_id);
  end if;
  return query select p_refund_ref, 'applied'::referral.event_status;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.record_refund_reversed from public;

grant execute on function referral_private.record_refund_reversed to service_role;

-- What an owner of codes earned, and what the organisation owes.

-- What one owner has, per currency, in minor units. `owed` is what they owe: `available` can be taken back after it was
-- paid out.
create function referral_private.my_earnings(p_org_id uuid, p_owner_id uuid)
returns table (currency text, pending bigint, available bigint, in_transit bigint, paid bigint, owed bigint)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_owner_id uuid := referral_private.acting_for(p_org_id, p_owner_id);
begin
  return query
  select b.currency, b.pending, b.available, b.in_transit, b.paid, b.owed
  from referral_private.balances_of(p_org_id, v_owner_id) as b;
end
$$;

revoke execute on function referral_private.my_earnings from public;

grant execute on function referral_private.my_earnings to authenticated, service_role;

-- The mode that an organisation's balances are of: live, once there is anything live; test before that.
create function referral_private.mode_of(p_org_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (select from referral_private.ledger_accounts as a where a.org_id = p_org_id and a.livemode);
end
$$;

revoke execute on function referral_private.mode_of from public;

-- The balances of one owner, or of all, in an organisation.
create function referral_private.balances_of(p_org_id uuid, p_owner_id uuid)
returns table (
  owner_id uuid,
  currency text,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward bigint
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query
  select a.owner_id, a.currency,
    coalesce(sum(a.balance) filter (where a.kind = 'pending'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'available'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'in_transit'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'paid'), 0)::bigint,
    greatest(0, -coalesce(sum(a.balance) filter (where a.kind = 'available'), 0))::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'reward'), 0)::bigint
  from referral_private.ledger_accounts as a
  where a.org_id = p_org_id and a.livemode = referral_private.mode_of(p_org_id) and a.kind <> 'expense'
    and (p_owner_id is null or a.owner_id = p_owner_id)
  group by a.owner_id, a.currency
  order by a.owner_id, a.currency;
end
$$;

revoke execute on function referral_private.balances_of from public;

-- What the organisation owes everybody: commissions per owner, and rewards of referees. For admins.
create function referral_private.org_liabilities(p_org_id uuid)
returns table (
  owner_id uuid,
  currency text,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward bigint
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform referral_private.require_role(p_org_id, 'admin');
  return query select b.* from referral_private.balances_of(p_org_id, null) as b;
end
$$;

revoke execute on function referral_private.org_liabilities from public;

grant execute on function referral_private.org_liabilities to authenticated, service_role;

-- Every entry of an owner's accounts, newest first: an amount that went from one kind to another, `expense` being the
-- organisation. The balance of a kind is what came to it less what left it. Pages end with an entry id.
create function referral_private.my_statement(p_org_id uuid, p_owner_id uuid, p_after bigint, p_page_size int)
returns table (
  entry_id bigint,
  posted_at timestamptz,
  from_kind referral.account_kind,
  to_kind referral.account_kind,
  amount bigint,
  currency text,
  sale_id text,
  caused_by text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_owner_id uuid := referral_private.acting_for(p_org_id, p_owner_id);
begin
  return query
  with
    own as (
      select a.account_id from referral_private.ledger_accounts as a
      where a.org_id = p_org_id and a.owner_id = v_owner_id and a.livemode = referral_private.mode_of(p_org_id)
    ),
    found as (
      select e.*
      from own as o
      cross join lateral (
        select d.* from referral_private.ledger_entries as d
        where d.org_id = p_org_id and d.debit_account_id = o.account_id and (p_after is null or d.entry_id < p_after)
        order by d.entry_id desc
        limit referral_private.page_size(p_page_size)
      ) as e
      union
      select e.*
      from own as o
      cross join lateral (
        select d.* from referral_private.ledger_entries as d
        where d.org_id = p_org_id and d.credit_account_id = o.account_id and (p_after is null or d.entry_id < p_after)
        order by d.entry_id desc
        limit referral_private.page_size(p_page_size)
      ) as e
    )
  select f.entry_id, f.posted_at, debit.kind, credit.kind, f.amount, f.currency, f.sale_id, f.caused_by
  from found as f
  join referral_private.ledger_accounts as debit on debit.org_id = f.org_id and debit.account_id = f.debit_account_id
  join referral_private.ledger_accounts as credit on credit.org_id = f.org_id and credit.account_id = f.credit_account_id
  order by f.entry_id desc
  limit referral_private.page_size(p_page_size);
end
$$;

revoke execute on function referral_private.my_statement from public;

grant execute on function referral_private.my_statement to authenticated, service_role;

-- How each amount came about: the facts, the terms, the sum, and the events that stated them.
create type referral.commission_explanation as (
  sale_id text,
  owner_id uuid,
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
  stated_by text[]
);

-- How a target came about, in words that can be computed by hand.
create function referral_private.arithmetic_of(p_target referral_private.target)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_sale referral_private.sales := p_target.sale;
  v_text text;
begin
  if p_target.refusal is not null then
    return '0: ' || p_target.refusal;
  end if;
  v_text := case
    when p_target.reward ->> 'kind' = 'flat' then format(
      '%s × (%s − %s) / %s', p_target.reward -> 'amount' ->> v_sale.currency, v_sale.paid, v_sale.reversed, v_sale.paid
    )
    when v_sale.total <= 0 or v_sale.total_excluding_tax is null then format(
      '(%s − %s) × %s / 10000', v_sale.paid, v_sale.reversed, p_target.reward ->> 'bps'
    )
    else format(
      '(%s − %s) × %s × %s / (%s × 10000)', v_sale.paid, v_sale.reversed, greatest(v_sale.total_excluding_tax, 0),
      p_target.reward ->> 'bps', v_sale.total
    )
  end || ', rounded half up';
  if p_target.cap is not null then
    v_text := format('%s = %s, of which %s within %s for the referral', v_text, p_target.uncapped, p_target.amount, p_target.cap);
    return v_text;
  end if;
  return format('%s = %s', v_text, p_target.amount);
end
$$;

revoke execute on function referral_private.arithmetic_of from public;

-- Why a sale earned an owner what it did: the facts, the terms, the sum, and the events that stated them. For the owner
-- their own part; for staff everybody's.
create function referral_private.explain_commission(p_org_id uuid, p_sale_id text, p_owner_id uuid)
returns setof referral.commission_explanation
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_owner_id uuid := p_owner_id;
  v_account text := referral_private.account_of(p_org_id);
begin
  if p_owner_id is not null or not referral_private.acts_with_role(p_org_id, 'coordinator') then
    v_owner_id := referral_private.acting_for(p_org_id, p_owner_id);
  end if;
  return query
  select (t.sale).sale_id, t.owner_id, t.kind, t.amount, (t.sale).currency, t.refusal, referral_private.arithmetic_of(t),
    (t.sale).paid, (t.sale).reversed, (t.sale).total, (t.sale).total_excluding_tax, (t.sale).sale_at, t.available_at,
    (t.evidence).program_id, (t.evidence).terms_version, t.terms, (t.evidence).at, (t.evidence).redemption_id,
    (t.evidence).code_id, t.rank,
    referral_private.events_of_sale(v_account, s.livemode, s.sale_id)
  from referral_private.sales as s
  cross join lateral referral_private.targets_at(v_account, s.livemode, array[s.payer_id], clock_timestamp()) as t
  where s.account = v_account and s.sale_id = p_sale_id and (t.sale).sale_id = p_sale_id and (t.evidence).org_id = p_org_id
    and (v_owner_id is null or t.owner_id = v_owner_id);
end
$$;

revoke execute on function referral_private.explain_commission from public;

grant execute on function referral_private.explain_commission to authenticated, service_role;

-- The events and records from which a sale's amounts are taken.
create function referral_private.events_of_sale(p_account text, p_livemode boolean, p_sale_id text)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_keys text[] := referral_private.payment_keys(p_account, p_livemode, array[p_sale_id] || array(
    select l.payment_key from referral_private.invoice_payments as l
    where l.account = p_account and l.livemode = p_livemode and l.invoice_id = p_sale_id
  ));
begin
  return array(
    select p.stated_by from referral_private.payments as p
    where p.account = p_account and p.livemode = p_livemode and p.payment_id = any (v_keys)
    union
    select r.stated_by from referral_private.refunds as r
    where r.account = p_account and r.livemode = p_livemode and r.payment_key = any (v_keys)
    union
    select d.stated_by from referral_private.disputes as d
    where d.account = p_account and d.livemode = p_livemode and d.payment_key = any (v_keys)
    union
    select n.stated_by from referral_private.credit_notes as n
    where n.account = p_account and n.livemode = p_livemode and n.invoice_id = p_sale_id
    order by 1
  );
end
$$;

revoke execute on function referral_private.events_of_sale from public;

-- The public contract on one page: every RPC, who may call it, what it returns, which errors it raises. Each runs as
-- its caller, does nothing but call the function of the same name in `referral_private`, and carries the statement
-- timeout, which PostgREST takes from the exposed function. Platform errors (a malformed UUID, an unknown argument)
-- and every code are explained in docs/errors.md.
create function referral.create_organisation(name text, slug text, admin_id uuid)
returns referral.organisations
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select o.* from referral_private.create_organisation(name, slug, admin_id) as o;
$$;

comment on function referral.create_organisation is
  'Creates an organisation and its first admin. Slug: lower-case label, unique. Operator only. Errors: organisation_exists, invalid_argument.';

revoke execute on function referral.create_organisation from public;

grant execute on function referral.create_organisation to service_role;

create function referral.update_organisation(org_id uuid, changes jsonb)
returns referral.organisations
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select o.* from referral_private.update_organisation(org_id, changes) as o;
$$;

comment on function referral.update_organisation is
  'Changes settings: name, active, web_destination, ios_destination, android_destination (https), android_package, ios_app_ids (TEAMID.bundle.id), android_fingerprints (SHA-256, AB:CD:…), code_length, codes_per_member, max_uses_cap, rotation_grace; redemptions_per_account, redemptions_per_address (per hour); click_window (an interval of up to 90 days in which a click proves a redemption), clicks_per_visitor, clicks_per_code (kept of a code and day in UTC); and, operator only, stripe_account_id and link_origin (https, lower case, of one organisation only). Unknown keys are refused. Admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, invalid_argument, stripe_account_taken, stripe_account_fixed, busy.';

revoke execute on function referral.update_organisation from public;

grant execute on function referral.update_organisation to authenticated, service_role;

create function referral.add_member(org_id uuid, user_id uuid, role text default 'member')
returns referral.members
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select m.* from referral_private.add_member(org_id, user_id, role) as m;
$$;

comment on function referral.add_member is
  'Adds a person with a role: member, coordinator or admin. Coordinators add members, admins and the operator anyone. Adding the same again changes nothing; an existing role is never changed. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, member_exists, member_deactivated, invalid_argument.';

revoke execute on function referral.add_member from public;

grant execute on function referral.add_member to authenticated, service_role;

create function referral.set_member_role(org_id uuid, user_id uuid, role text)
returns referral.members
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.set_member_role(org_id, user_id, role) as x;
$$;

comment on function referral.set_member_role is
  'Changes a member''s role. Admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, member_not_found, last_admin, invalid_argument, busy.';

revoke execute on function referral.set_member_role from public;

grant execute on function referral.set_member_role to authenticated, service_role;

create function referral.deactivate_member(
  org_id uuid,
  user_id uuid,
  reason text default null,
  block boolean default false
)
returns referral.members
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.deactivate_member(org_id, user_id, reason, block) as x;
$$;

comment on function referral.deactivate_member is
  'Takes a member''s rights and ends their codes; blocked, they get none again. Coordinators for members, admins and the operator for anyone but the last admin. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, member_not_found, last_admin, invalid_argument, busy.';

revoke execute on function referral.deactivate_member from public;

grant execute on function referral.deactivate_member to authenticated, service_role;

create function referral.reactivate_member(
  org_id uuid,
  user_id uuid,
  unblock boolean default false,
  reason text default null
)
returns referral.members
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.reactivate_member(org_id, user_id, unblock, reason) as x;
$$;

comment on function referral.reactivate_member is
  'Gives a deactivated member their role back; ended codes stay ended. With `unblock`, for admins, they may have codes again. Who may: as deactivate_member. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, member_not_found, invalid_argument, busy.';

revoke execute on function referral.reactivate_member from public;

grant execute on function referral.reactivate_member to authenticated, service_role;

create function referral.set_my_name(org_id uuid, display_name text, public_name boolean default false)
returns referral.members
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select m.* from referral_private.set_my_name(org_id, display_name, public_name) as m;
$$;

comment on function referral.set_my_name is
  'Says how the caller is called in an organisation (1 to 80 characters, or null), and whether whoever opens their link reads it. Members, for themselves. Errors: not_signed_in, anonymous_user, not_a_member, invalid_argument, busy.';

revoke execute on function referral.set_my_name from public;

grant execute on function referral.set_my_name to authenticated;

create function referral.create_program(org_id uuid, key text, name text, terms jsonb default '{}')
returns referral.programs
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select p.* from referral_private.create_program(org_id, key, name, terms) as p;
$$;

comment on function referral.create_program is
  'Creates a program with version 1 of its terms; the organisation''s first program is its default. Admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, program_exists, invalid_terms, invalid_argument, busy.';

revoke execute on function referral.create_program from public;

grant execute on function referral.create_program to authenticated, service_role;

create function referral.update_program(program_id uuid, changes jsonb)
returns referral.programs
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.update_program(program_id, changes) as x;
$$;

comment on function referral.update_program is
  'Changes name, active, is_default (true only) and terms, which become a new version: what was redeemed keeps the terms it was made under. Admins and the operator. Errors: not_signed_in, not_allowed, program_not_found, invalid_terms, invalid_argument, busy.';

revoke execute on function referral.update_program from public;

grant execute on function referral.update_program to authenticated, service_role;

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
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select c.*
  from referral_private.create_code(org_id, referrer_id, code, program_id, max_uses, expires_at, description) as c;
$$;

comment on function referral.create_code is
  'Creates a referrer''s code; the referrer is the caller unless given, the program the default unless given. A chosen code, a limit and an expiry are for staff. Members for themselves, coordinators, admins and the operator for any member. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_not_found, member_deactivated, member_blocked, not_invited, organisation_not_found, program_not_found, program_inactive, active_code_exists, code_suspended, too_many_codes, code_taken, code_reserved, invalid_code, invalid_argument, busy.';

revoke execute on function referral.create_code from public;

grant execute on function referral.create_code to authenticated, service_role;

create function referral.get_or_create_code(org_id uuid, program_id uuid default null)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.get_or_create_code(org_id, program_id) as x;
$$;

comment on function referral.get_or_create_code is
  'The caller''s active code, or a new one. In a program with open enrolment the caller becomes a member by asking. Signed-in people. Errors: not_signed_in, anonymous_user, not_invited, member_deactivated, member_blocked, program_not_found, program_inactive, active_in_other_program, code_suspended, too_many_codes, invalid_argument, busy.';

revoke execute on function referral.get_or_create_code from public;

grant execute on function referral.get_or_create_code to authenticated;

create function referral.get_active_code(org_id uuid, referrer_id uuid default null)
returns setof referral.codes
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query
  select c.* from referral_private.get_active_code(get_active_code.org_id, get_active_code.referrer_id) as c where c.id is not null;
end
$$;

comment on function referral.get_active_code is
  'The active code of a referrer (the caller unless given), or no row. The referrer, coordinators, admins and the operator. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.get_active_code from public;

grant execute on function referral.get_active_code to authenticated, service_role;

create function referral.find_code(code text)
returns setof referral.codes
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query
  select c.* from referral_private.find_code(find_code.code) as c where c.id is not null;
end
$$;

comment on function referral.find_code is
  'A code in any status, in any case, spacing and confusable spelling; no row for whoever does not own it and is not staff of its organisation. Text that is not a code is found nowhere: no row.';

revoke execute on function referral.find_code from public;

grant execute on function referral.find_code to authenticated, service_role;

create function referral.rotate_code(
  org_id uuid,
  referrer_id uuid default null,
  code text default null,
  grace interval default null,
  reason text default null
)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select c.* from referral_private.rotate_code(org_id, referrer_id, code, grace, reason) as c;
$$;

comment on function referral.rotate_code is
  'Retires the active code of a referrer (the caller unless given) and issues the next, in one step. The new code inherits program, expiry, description and remaining uses. The old one stays redeemable for the grace period: 0 unless given, at most the organisation''s rotation_grace. A chosen code is for staff. Errors: as create_code, and no_active_code.';

revoke execute on function referral.rotate_code from public;

grant execute on function referral.rotate_code to authenticated, service_role;

create function referral.deactivate_code(org_id uuid, referrer_id uuid default null, reason text default null)
returns setof referral.codes
language sql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select c.* from referral_private.deactivate_code(org_id, referrer_id, reason) as c where c.id is not null;
$$;

comment on function referral.deactivate_code is
  'Ends the active code of a referrer (the caller unless given) for good. No active code is not an error: no row. The referrer, coordinators, admins and the operator. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_not_found, organisation_not_found, invalid_argument, busy.';

revoke execute on function referral.deactivate_code from public;

grant execute on function referral.deactivate_code to authenticated, service_role;

create function referral.suspend_code(code_id uuid, reason text default null)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.suspend_code(code_id, reason) as x;
$$;

comment on function referral.suspend_code is
  'Suspends an active code: it cannot be redeemed, and its referrer gets no other; the grace of their earlier codes ends for good. Coordinators, admins and the operator. Errors: code_not_found, code_final, invalid_argument, busy.';

revoke execute on function referral.suspend_code from public;

grant execute on function referral.suspend_code to authenticated, service_role;

create function referral.reactivate_code(code_id uuid, reason text default null)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.reactivate_code(code_id, reason) as x;
$$;

comment on function referral.reactivate_code is
  'Makes a suspended code active again. Coordinators, admins and the operator. Errors: code_not_found, code_final, invalid_argument, busy.';

revoke execute on function referral.reactivate_code from public;

grant execute on function referral.reactivate_code to authenticated, service_role;

create function referral.end_code(code_id uuid, reason text default null, block boolean default false)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.end_code(code_id, reason, block) as x;
$$;

comment on function referral.end_code is
  'Ends any code for good, campaign codes included, and the grace of the referrer''s earlier ones. With `block` the referrer gets no code again. Coordinators, admins and the operator. Errors: code_not_found, invalid_argument, busy.';

revoke execute on function referral.end_code from public;

grant execute on function referral.end_code to authenticated, service_role;

create function referral.update_code(code_id uuid, changes jsonb)
returns referral.codes
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.update_code(code_id, changes) as x;
$$;

comment on function referral.update_code is
  'Changes description, expires_at and max_uses (null: no limit); of an ended code the description only. Coordinators, admins and the operator. Errors: code_not_found, code_final, invalid_argument, busy.';

revoke execute on function referral.update_code from public;

grant execute on function referral.update_code to authenticated, service_role;

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
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.*
  from
    referral_private.create_campaign_code(
      org_id,
      code,
      program_id,
      beneficiary_id,
      max_uses,
      expires_at,
      description
    ) as x;
$$;

comment on function referral.create_campaign_code is
  'Creates a code of the organisation''s own, without a referrer; a beneficiary may earn from it. It counts against its maker''s allowance. Coordinators, admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, program_not_found, program_inactive, too_many_codes, code_taken, code_reserved, invalid_code, invalid_argument, busy.';

revoke execute on function referral.create_campaign_code from public;

grant execute on function referral.create_campaign_code to authenticated, service_role;

create function referral.generate_codes(
  org_id uuid,
  count int,
  program_id uuid default null,
  max_uses int default null,
  expires_at timestamptz default null,
  description text default null
)
returns table (batch_id uuid, made int)
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '60s'
as $$
  select x.* from referral_private.generate_codes(org_id, count, program_id, max_uses, expires_at, description) as x;
$$;

comment on function referral.generate_codes is
  'Draws 1 to 10,000 campaign codes at once; list them by batch_id. Coordinators, admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, program_not_found, program_inactive, invalid_argument, busy.';

revoke execute on function referral.generate_codes from public;

grant execute on function referral.generate_codes to authenticated, service_role;

create function referral.import_codes(org_id uuid, rows jsonb, program_id uuid default null)
returns table (batch_id uuid, made int)
language sql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '60s'
as $$
  select x.* from referral_private.import_codes(org_id, rows, program_id) as x;
$$;

comment on function referral.import_codes is
  'Takes up to 10,000 campaign codes as rows of {code, max_uses, expires_at, description}: all, or none where one cannot be taken; details then lists the rows by number. Coordinators, admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, program_not_found, program_inactive, invalid_rows, invalid_argument, busy.';

revoke execute on function referral.import_codes from public;

grant execute on function referral.import_codes to authenticated, service_role;

create function referral.resolve_code(code text)
returns setof referral.resolved_code
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select r.* from referral_private.resolve_code(resolve_code.code) as r;
end
$$;

comment on function referral.resolve_code is
  'What anyone may know of a redeemable code: the code as shown, names, destinations, and the organisation''s own link origin, if it has one. No row for every other, whatever the reason. Anyone.';

revoke execute on function referral.resolve_code from public;

grant execute on function referral.resolve_code to anon, authenticated, service_role;

create function referral.link_site(host text)
returns table (
  link_origin text,
  web_destination text,
  ios_app_ids text[],
  android_package text,
  android_fingerprints text[]
)
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select s.* from referral_private.link_site(host) as s;
end
$$;

comment on function referral.link_site is
  'What anyone may know of a link host, such as go.example.org or go.example.org:8443: the destination of its organisation, and the apps that open its links. No row for a host that is nobody''s. Anyone.';

revoke execute on function referral.link_site from public;

grant execute on function referral.link_site to anon, authenticated, service_role;

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
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return referral_private.record_click(code, click_id, address, user_agent, platform, channel, utm);
end
$$;

comment on function referral.record_click is
  'Records a click on a code, once per click id. True: it counts. False: the visitor has clicked on this code before on this day (UTC), or nothing was stored, because the code cannot be redeemed or as many clicks are stored as the organisation allows. Address and user agent tell visitors apart and are not stored. Platform: ios, android or web. Channel: one of the enum click_channel; any other is none. Utm: utm_source, utm_medium, utm_campaign, utm_term and utm_content, of up to 100 printable characters; the rest is left out. Operator only. Errors: invalid_argument, busy.';

revoke execute on function referral.record_click from public;

grant execute on function referral.record_click to service_role;

create function referral.validate_code(code text)
returns setof referral.resolved_code
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.validate_code(validate_code.code) as x;
end
$$;

comment on function referral.validate_code is
  'Says before redeeming whether the caller could: what a link shows, or the reason why not; `already_redeemed` too where this code was the one. Without an account it answers as resolve_code. Errors: invalid_code, code_not_found, code_inactive, code_suspended, code_expired, code_limit_reached, program_inactive, already_redeemed, self_referral, mutual_referral, new_users_only.';

revoke execute on function referral.validate_code from public;

grant execute on function referral.validate_code to anon, authenticated, service_role;

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
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select r.* from referral_private.redeem_code(code, click_id, provenance, channel) as r;
end
$$;

comment on function referral.redeem_code is
  'Redeems a code for the caller, once per program. The same code again answers with the same redemption. Provenance: typed, without a click; link, install_referrer and clipboard with the id of a click on this very code, not older than the organisation''s click_window, that backs no other redemption. Channel: lower-case label of up to 32 characters; the click''s own, where it has one, counts instead. Signed-in people. Errors: not_signed_in, anonymous_user, invalid_code, code_not_found, code_inactive, code_suspended, code_expired, code_limit_reached, program_inactive, already_redeemed, self_referral, mutual_referral, new_users_only, rate_limited, invalid_click, invalid_argument, busy.';

revoke execute on function referral.redeem_code from public;

grant execute on function referral.redeem_code to authenticated;

create function referral.redeem_sign_up_code()
returns setof referral.redeemed_code
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.redeem_sign_up_code() as x;
end
$$;

comment on function referral.redeem_sign_up_code is
  'Redeems the code that the caller gave at sign-up; no row where there is none, or none that could ever be redeemed; after an error it stays for another try. Signed-in people. Errors: not_signed_in, anonymous_user, rate_limited, code_suspended, program_inactive, busy.';

revoke execute on function referral.redeem_sign_up_code from public;

grant execute on function referral.redeem_sign_up_code to authenticated;

create function referral.my_redemption(org_id uuid, program_id uuid default null)
returns setof referral.redeemed_code
language plpgsql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.my_redemption(my_redemption.org_id, my_redemption.program_id) as x;
end
$$;

comment on function referral.my_redemption is
  'The caller''s redemption in a program, the default one unless given, or no row. Errors: not_signed_in, anonymous_user.';

revoke execute on function referral.my_redemption from public;

grant execute on function referral.my_redemption to authenticated;

create function referral.has_redeemed(code text)
returns boolean
language sql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
  select referral_private.has_redeemed(code);
$$;

comment on function referral.has_redeemed is
  'Has the caller redeemed this very code? Errors: not_signed_in, anonymous_user.';

revoke execute on function referral.has_redeemed from public;

grant execute on function referral.has_redeemed to authenticated;

create function referral.my_referrals(org_id uuid, after uuid default null, page_size int default 100)
returns table (
  redemption_id uuid,
  status referral.redemption_status,
  redeemed_at timestamptz,
  confirmed_at timestamptz,
  channel text
)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.my_referrals(my_referrals.org_id, my_referrals.after, my_referrals.page_size) as x;
end
$$;

comment on function referral.my_referrals is
  'The caller''s referrals in an organisation, newest first, in pages: after is the last redemption of the page before. Redemption, status, times and channel, never who. Errors: not_signed_in, anonymous_user, invalid_argument.';

revoke execute on function referral.my_referrals from public;

grant execute on function referral.my_referrals to authenticated;

create function referral.usage_for_code(code_id uuid, after uuid default null, page_size int default 100)
returns setof referral.redemptions
language sql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
  select x.* from referral_private.usage_for_code(code_id, after, page_size) as x;
$$;

comment on function referral.usage_for_code is
  'The redemptions of a code, newest first, in pages. Coordinators, admins and the operator. Errors: code_not_found.';

revoke execute on function referral.usage_for_code from public;

grant execute on function referral.usage_for_code to authenticated, service_role;

create function referral.usage_for_user(org_id uuid, user_id uuid, after uuid default null, page_size int default 100)
returns setof referral.redemptions
language sql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
  select x.* from referral_private.usage_for_user(org_id, user_id, after, page_size) as x;
$$;

comment on function referral.usage_for_user is
  'The redemptions that a person made in an organisation, newest first, in pages. Coordinators, admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.usage_for_user from public;

grant execute on function referral.usage_for_user to authenticated, service_role;

create function referral.code_uses(code_ids uuid[])
returns table (code_id uuid, uses_count bigint, max_uses int)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select u.* from referral_private.code_uses(code_ids) as u;
end
$$;

comment on function referral.code_uses is
  'How often each of up to 1,000 codes was used, and how often it may be (null: without limit). Rows for the codes that the caller may see. Owners of codes, staff, the operator. Errors: not_signed_in, anonymous_user, invalid_argument.';

revoke execute on function referral.code_uses from public;

grant execute on function referral.code_uses to authenticated, service_role;

create function referral.code_usage_stats(code_id uuid)
returns table (total_uses bigint, unique_users bigint, last_used timestamptz, recent_users uuid[])
language sql
stable
rows 1
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
  select x.* from referral_private.code_usage_stats(code_id) as x;
$$;

comment on function referral.code_usage_stats is
  'How often a code was used, by how many, when last, and by whom lately: ten ids, for staff only. The owner, coordinators, admins and the operator. Errors: not_signed_in, anonymous_user, code_not_found.';

revoke execute on function referral.code_usage_stats from public;

grant execute on function referral.code_usage_stats to authenticated, service_role;

create function referral.code_clicks(code_id uuid, from_day date default null, to_day date default null)
returns table (day date, platform referral.click_platform, channel referral.click_channel, clicks int)
language sql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
  select d.* from referral_private.code_clicks(code_id, from_day, to_day) as d;
$$;

comment on function referral.code_clicks is
  'How many clicks on a code counted, per day in UTC, platform and channel, oldest first; no channel is null. From `from_day` to `to_day`, 31 days at most: the last 31 unless given. The code''s owner, coordinators, admins and the operator. Errors: not_signed_in, anonymous_user, code_not_found, invalid_argument.';

revoke execute on function referral.code_clicks from public;

grant execute on function referral.code_clicks to authenticated, service_role;

create function referral.confirm_redemption(redemption_id uuid, reason text default null)
returns referral.redemptions
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.decide(redemption_id, 'confirmed', reason) as x;
$$;

comment on function referral.confirm_redemption is
  'Confirms a redemption by decision of staff, whatever was paid. Coordinators, admins and the operator, but nobody for a redemption or a referral of their own. Errors: redemption_not_found, not_allowed, redemption_final, invalid_argument, busy.';

revoke execute on function referral.confirm_redemption from public;

grant execute on function referral.confirm_redemption to authenticated, service_role;

create function referral.reject_redemption(redemption_id uuid, reason text default null)
returns referral.redemptions
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select x.* from referral_private.decide(redemption_id, 'rejected', reason) as x;
$$;

comment on function referral.reject_redemption is
  'Rejects a redemption for good; the person has still used their redemption in the program. Coordinators, admins and the operator. Errors: redemption_not_found, invalid_argument, busy.';

revoke execute on function referral.reject_redemption from public;

grant execute on function referral.reject_redemption to authenticated, service_role;

create function referral.expire_codes(max_rows int default 1000)
returns int
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select referral_private.expire_codes(max_rows);
$$;

comment on function referral.expire_codes is
  'Ends codes that are past their time, at most max_rows, and says how many; call again while it is the maximum. Operator only, by any scheduler.';

revoke execute on function referral.expire_codes from public;

grant execute on function referral.expire_codes to service_role;

create function referral.expire_redemptions(max_rows int default 1000)
returns int
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select referral_private.expire_redemptions(max_rows);
$$;

comment on function referral.expire_redemptions is
  'Marks pending redemptions whose conversion window is over, at most max_rows, and says how many. Operator only, by any scheduler.';

revoke execute on function referral.expire_redemptions from public;

grant execute on function referral.expire_redemptions to service_role;

create function referral.forget_sign_up_claims(max_rows int default 1000)
returns int
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '60s'
as $$
  select referral_private.forget_sign_up_claims(max_rows);
$$;

comment on function referral.forget_sign_up_claims is
  'Removes codes given at sign-up by people who did not come back within 90 days, at most `max_rows`; answers how many. For any scheduler. Operator.';

revoke execute on function referral.forget_sign_up_claims from public;

grant execute on function referral.forget_sign_up_claims to service_role;

create function referral.forget_counts(max_rows int default 1000)
returns int
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
  select referral_private.forget_counts(max_rows);
$$;

comment on function referral.forget_counts is
  'Removes rate-limit counts of past hours, at most max_rows, and says how many. Operator only, by any scheduler.';

revoke execute on function referral.forget_counts from public;

grant execute on function referral.forget_counts to service_role;

create function referral.maintain_clicks(retention interval default '120 days', max_rows int default 100000)
returns table (partitions_made int, partitions_dropped int, clicks_removed int, visitors_removed int)
language sql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '60s'
as $$
  select m.* from referral_private.maintain_clicks(retention, max_rows) as m;
$$;

comment on function referral.maintain_clicks is
  'Keeps the storage of clicks: partitions for this month and the next two, none for months that ended before the retention (90 days at least); no visitor of a past day, and no key of one. Removes at most max_rows rows each of clicks and visitors, and says how much it did. For any scheduler, at any time. Operator only. Errors: invalid_argument, busy.';

revoke execute on function referral.maintain_clicks from public;

grant execute on function referral.maintain_clicks to service_role;

create function referral.my_earnings(org_id uuid, owner_id uuid default null)
returns table (currency text, pending bigint, available bigint, in_transit bigint, paid bigint, owed bigint)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '5s'
as $$
begin
  return query select x.* from referral_private.my_earnings(org_id, owner_id) as x;
end
$$;

comment on function referral.my_earnings is
  'What an owner of codes earned, per currency in minor units: pending (on hold), available, in transit, paid; owed is what they owe after money was taken back. The caller, or for staff and the operator anyone. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.my_earnings from public;

grant execute on function referral.my_earnings to authenticated, service_role;

create function referral.my_statement(
  org_id uuid,
  owner_id uuid default null,
  after bigint default null,
  page_size int default 100
)
returns table (
  entry_id bigint,
  posted_at timestamptz,
  from_kind referral.account_kind,
  to_kind referral.account_kind,
  amount bigint,
  currency text,
  sale_id text,
  caused_by text
)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.my_statement(org_id, owner_id, after, page_size) as x;
end
$$;

comment on function referral.my_statement is
  'Every entry of an owner''s accounts, newest first, page by page (`after` is the last entry id): an amount in minor units that went from one kind to another, `expense` being the organisation. The caller, or for staff and the operator anyone. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.my_statement from public;

grant execute on function referral.my_statement to authenticated, service_role;

create function referral.org_liabilities(org_id uuid)
returns table (
  owner_id uuid,
  currency text,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward bigint
)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.org_liabilities(org_id) as x;
end
$$;

comment on function referral.org_liabilities is
  'What the organisation owes each owner of codes, and each referee (reward), per currency in minor units. Admins and the operator. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.org_liabilities from public;

grant execute on function referral.org_liabilities to authenticated, service_role;

create function referral.explain_commission(org_id uuid, sale_id text, owner_id uuid default null)
returns setof referral.commission_explanation
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.explain_commission(org_id, sale_id, owner_id) as x;
end
$$;

comment on function referral.explain_commission is
  'Why a sale earned what it did: facts, terms, arithmetic, and the ids of the events that stated them. The owner sees their part; coordinators, admins and the operator everybody''s. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument.';

revoke execute on function referral.explain_commission from public;

grant execute on function referral.explain_commission to authenticated, service_role;

create function referral.record_payment(
  org_id uuid,
  provider text,
  payment_ref text,
  referee_id uuid,
  amount bigint,
  currency text,
  tax bigint default null,
  paid_at timestamptz default null,
  program_id uuid default null
)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.record_payment(org_id, provider, payment_ref, referee_id, amount, currency, tax, paid_at, program_id) as x;
end
$$;

comment on function referral.record_payment is
  'Records a payment that did not go through Stripe. Provider: lower-case label; amount and tax in minor units, currency in lower case; paid_at is required. The same again answers duplicate. Operator. Errors: invalid_argument, organisation_not_found, record_conflict, busy, program_not_found.';

revoke execute on function referral.record_payment from public;

grant execute on function referral.record_payment to service_role;

create function referral.record_refund(org_id uuid, provider text, refund_ref text, payment_ref text, amount bigint)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.record_refund(org_id, provider, refund_ref, payment_ref, amount) as x;
end
$$;

comment on function referral.record_refund is
  'Records a refund of a recorded payment, which may be recorded later. Operator. Errors: invalid_argument, organisation_not_found, record_conflict, busy.';

revoke execute on function referral.record_refund from public;

grant execute on function referral.record_refund to service_role;

create function referral.record_refund_reversed(org_id uuid, provider text, refund_ref text)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.record_refund_reversed(org_id, provider, refund_ref) as x;
end
$$;

comment on function referral.record_refund_reversed is
  'Records that a refund failed after all. Operator. Errors: invalid_argument, organisation_not_found, record_conflict, busy.';

revoke execute on function referral.record_refund_reversed from public;

grant execute on function referral.record_refund_reversed to service_role;

create function referral.list_parked_events(max_rows int default 100, after_event text default null)
returns table (
  account text,
  livemode boolean,
  event_id text,
  type text,
  reason text,
  received_at timestamptz,
  event jsonb
)
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.list_parked_events(max_rows, after_event) as x;
end
$$;

comment on function referral.list_parked_events is
  'Events that could not be read when they came, oldest first, without personal fields, at most 1,000 a page; the next page begins after the last event_id of this one. Operator.';

revoke execute on function referral.list_parked_events from public;

grant execute on function referral.list_parked_events to service_role;

create function referral.resolve_parked_event(event jsonb)
returns table (event_id text, status referral.event_status)
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  return query select x.* from referral_private.resolve_parked_event(event) as x;
end
$$;

comment on function referral.resolve_parked_event is
  'Applies a parked event that can be read now, reduced as the webhook reduces it, and forgets what was parked; duplicate where it is not parked any more. Operator. Errors: invalid_event, busy.';

revoke execute on function referral.resolve_parked_event from public;

grant execute on function referral.resolve_parked_event to service_role;

create function referral.release_due_commissions(max_rows int default 500)
returns int
language sql
volatile
security invoker
set search_path = ''
set statement_timeout = '60s'
as $$
  select referral_private.release_due_commissions(max_rows);
$$;

comment on function referral.release_due_commissions is
  'Makes commissions available whose hold is over: up to max_rows sales (500 at most) of one Stripe account, and says how many; call again until it says 0. Operator only, by any scheduler.';

revoke execute on function referral.release_due_commissions from public;

grant execute on function referral.release_due_commissions to service_role;

create function referral.ingest_stripe_event(event jsonb)
returns table (event_id text, status referral.event_status)
language plpgsql
volatile
rows 1
security invoker
set search_path = ''
set statement_timeout = '20s'
as $$
begin
  return query select r.* from referral_private.ingest_stripe_event(ingest_stripe_event.event) as r;
end
$$;

comment on function referral.ingest_stripe_event is
  'Takes one delivery of a verified Stripe event, reduced to what is needed, and answers applied, duplicate or ignored. Operator only. Errors: invalid_event, busy.';

revoke execute on function referral.ingest_stripe_event from public;

grant execute on function referral.ingest_stripe_event to service_role;
