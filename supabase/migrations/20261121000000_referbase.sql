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
    ('self_referral', 403, 'Nobody can redeem a code that is theirs.'),
    ('new_users_only', 403, 'This program is for new users only.'),
    ('organisation_not_found', 404, 'There is no such organisation.'),
    ('member_not_found', 404, 'This person is not a member of the organisation.'),
    ('program_not_found', 404, 'There is no such program in this organisation.'),
    ('code_not_found', 404, 'There is no such code.'),
    ('no_active_code', 404, 'This referrer has no active code in the organisation.'),
    ('organisation_exists', 409, 'An organisation with this slug exists.'),
    ('stripe_account_taken', 409, 'Another organisation has this Stripe account.'),
    ('stripe_account_fixed', 409, 'The Stripe account has payments and cannot be changed any more.'),
    ('member_exists', 409, 'This person is a member already, with another role.'),
    ('program_exists', 409, 'A program with this key exists in the organisation.'),
    ('program_inactive', 409, 'This program is switched off.'),
    ('active_code_exists', 409, 'This referrer has an active code in the organisation.'),
    ('code_suspended', 409, 'The code is suspended.'),
    ('code_taken', 409, 'This code, or one that reads the same, is taken.'),
    ('code_inactive', 409, 'This code is no longer in use.'),
    ('code_expired', 409, 'This code has expired.'),
    ('code_limit_reached', 409, 'This code has been used as often as it may be.'),
    ('code_final', 409, 'A code that has ended stays as it is.'),
    ('already_redeemed', 409, 'This person has redeemed another code of the program.'),
    ('mutual_referral', 409, 'Two people cannot refer each other in one program.'),
    ('invalid_argument', 400, 'An argument is missing or has a value that is not allowed.'),
    ('invalid_code', 400, 'This is not a code: 3 to 32 letters and digits.'),
    ('invalid_terms', 400, 'The terms of the program are not valid.'),
    ('invalid_click', 400, 'There is no click that proves this.'),
    ('invalid_event', 400, 'The event is not one that can be read.'),
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
      'headers', case when v_status = 503 then json_build_object('Retry-After', '1') else json_build_object() end
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

-- Is the caller the operator: the service role, or the schema's owner connected directly (seeds, jobs)?
-- The absence of a signed-in user proves nothing: the anonymous role has none either.
create function referral_private.is_operator()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select
    case current_setting('role')
      when 'service_role' then true
      when 'none' then session_user = (
        select pg_catalog.pg_get_userbyid(n.nspowner) from pg_catalog.pg_namespace as n where n.nspname = 'referral'
      )
      else false
    end;
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
  -- Printable ASCII, no user information, at most 2,048 characters.
  select
    length(p_url) <= 2048
    and p_url collate "C" ~ '^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?([/?#][!-~]*)?$';
$$;

revoke execute on function referral_private.is_https_url from public;

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
  code_length int not null default 8,
  codes_per_member int not null default 20,
  max_uses_cap int not null default 100000,
  rotation_grace interval not null default interval '7 days',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint organisations_pkey primary key (id),
  constraint organisations_slug_is_unique unique (slug),
  constraint organisations_stripe_account_is_unique unique (stripe_account_id),
  constraint organisations_slug_is_a_label check (slug ~ '^[a-z0-9](-?[a-z0-9]){0,62}$'),
  constraint organisations_name_is_1_to_120 check (length(name) between 1 and 120),
  constraint organisations_stripe_account_is_an_id check (stripe_account_id ~ '^acct_[A-Za-z0-9]{1,64}$'),
  constraint organisations_link_origin_is_https
    check (referral_private.is_https_url(link_origin) and link_origin !~ '[/?#]$'),
  constraint organisations_web_destination_is_https check (referral_private.is_https_url(web_destination)),
  constraint organisations_ios_destination_is_https check (referral_private.is_https_url(ios_destination)),
  constraint organisations_android_destination_is_https check (referral_private.is_https_url(android_destination)),
  constraint organisations_android_package_is_a_name
    check (android_package ~ '^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$' and length(android_package) <= 255),
  constraint organisations_code_length_is_8_to_16 check (code_length between 8 and 16),
  constraint organisations_codes_per_member_is_positive check (codes_per_member between 1 and 10000),
  constraint organisations_max_uses_cap_is_positive check (max_uses_cap between 1 and 1000000000),
  constraint organisations_rotation_grace_is_a_quarter_at_most
    check (rotation_grace between interval '0' and interval '90 days')
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
  deactivated_at timestamptz,
  created_at timestamptz not null default now(),
  constraint members_pkey primary key (org_id, user_id),
  constraint members_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint members_display_name_is_1_to_80 check (length(display_name) between 1 and 80),
  constraint members_public_name_is_set check (not public_name or display_name is not null)
);

create index members_by_user on referral.members (user_id);

comment on table referral.members is
  'Who has which role in an organisation. A person reads their own rows, an admin all of the organisation. Written by add_member.';

-- The organisations in which the caller has at least this role. Every policy and every check goes through it:
-- an app with a membership table of its own replaces this one function.
create function referral_private.orgs_with_role(p_role referral.member_role)
returns setof uuid
language sql
stable
security definer
set search_path = ''
as $$
  select m.org_id
  from referral.members as m
  where m.user_id = (select auth.uid()) and m.role >= p_role and m.deactivated_at is null;
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
language sql
stable
security invoker
set search_path = ''
as $$
  select referral_private.is_operator() or p_org_id in (select referral_private.orgs_with_role(p_role));
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

-- Takes a member row, or nothing: an existing role is never changed here.
create function referral_private.add_member(p_org_id uuid, p_user_id uuid, p_role text)
returns referral.members
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_user_id is null then
    perform referral_private.raise_error('invalid_argument', 'user_id');
  end if;
  if p_role is null or p_role <> all (enum_range(null::referral.member_role)::text[]) then
    perform referral_private.raise_error('invalid_argument', 'role');
  end if;
  if p_role <> 'member' and not referral_private.acts_with_role(p_org_id, 'admin') then
    perform referral_private.raise_error('not_allowed');
  end if;

  insert into referral.members (org_id, user_id, role)
  values (p_org_id, p_user_id, p_role::referral.member_role)
  on conflict on constraint members_pkey do nothing;

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

revoke execute on function referral_private.add_member from public;

grant execute on function referral_private.add_member to authenticated, service_role;

-- Settings of an organisation: changed by its admins, its Stripe account only by the operator, because whoever
-- sets the account receives that account's events.
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
    'name', 'active', 'link_origin', 'web_destination', 'ios_destination', 'android_destination', 'android_package',
    'code_length', 'codes_per_member', 'max_uses_cap', 'rotation_grace'
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
    and not (key = 'stripe_account_id' and referral_private.is_operator());
  if v_unknown is not null then
    perform referral_private.raise_error('invalid_argument', 'changes: ' || v_unknown);
  end if;

  if p_changes ? 'stripe_account_id' then
    perform referral_private.change_stripe_account(p_org_id, p_changes ->> 'stripe_account_id');
  end if;

  select * into strict v_old from referral.organisations as o where o.id = p_org_id for no key update;
  v_new := jsonb_populate_record(v_old, p_changes);
  update referral.organisations as o
  set name = v_new.name, active = v_new.active, link_origin = v_new.link_origin,
    web_destination = v_new.web_destination, ios_destination = v_new.ios_destination,
    android_destination = v_new.android_destination, android_package = v_new.android_package,
    code_length = v_new.code_length, codes_per_member = v_new.codes_per_member,
    max_uses_cap = v_new.max_uses_cap, rotation_grace = v_new.rotation_grace,
    updated_at = clock_timestamp()
  where o.id = p_org_id
  returning * into v_new;
  return v_new;
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when not_null_violation then
    get stacked diagnostics v_violated = column_name;
    perform referral_private.raise_error('invalid_argument', v_violated);
  when invalid_text_representation or datetime_field_overflow or invalid_datetime_format or numeric_value_out_of_range then
    perform referral_private.raise_error('invalid_argument', 'changes');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.update_organisation from public;

grant execute on function referral_private.update_organisation to authenticated, service_role;

-- The account decides which payments can confirm the organisation's redemptions, so it is fixed once there are any.
create function referral_private.change_stripe_account(p_org_id uuid, p_account_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_old text;
begin
  select o.stripe_account_id into v_old from referral.organisations as o where o.id = p_org_id;
  if v_old is not distinct from p_account_id then
    return;
  end if;
  perform referral_private.lock_account(account)
  from (select distinct coalesce(a, '') as account from unnest(array[v_old, p_account_id]) as a order by 1) as accounts;

  if exists (select from referral_private.payments as p where p.account = v_old)
    or exists (select from referral.redemptions as r where r.org_id = p_org_id and r.confirmed_at is not null)
  then
    perform referral_private.raise_error('stripe_account_fixed');
  end if;
  update referral.organisations as o set stripe_account_id = p_account_id where o.id = p_org_id;
end
$$;

revoke execute on function referral_private.change_stripe_account from public;

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

comment on table referral.programs is 'Programs of an organisation. Read by its members. Written by create_program.';

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
  'Versions of a program''s terms, each immutable, with the time it was in force. Read by the organisation''s members. Written by create_program.';

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
  if not v_program.active then
    perform referral_private.raise_error('program_inactive');
  end if;
  return v_program;
end
$$;

revoke execute on function referral_private.program_for_code from public;

create function referral_private.terms_in_force(p_org_id uuid, p_program_id uuid)
returns referral.program_terms
language sql
stable
security invoker
set search_path = ''
as $$
  select t.*
  from referral.program_terms as t
  where t.org_id = p_org_id and t.program_id = p_program_id and t.valid_to is null;
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
      else p_value::numeric = trunc(p_value::numeric)
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

-- What a code is as text: how it is shown, the one normal form that decides equality, and how new ones are drawn.

-- The form in which a code is shown: capitals, words joined by single hyphens, as in `OLIVIA-1`; null where the text
-- is too long. NFKC folds compatibility forms, white space and dashes (Unicode Pd) part words, only ASCII is raised.
create function referral_private.show_code(p_code text)
returns text
language sql
immutable
strict
parallel safe
security invoker
set search_path = ''
as $$
  select
    case
      when length(p_code) <= 128 then translate(
        btrim(
          regexp_replace(
            normalize(p_code, NFKC) collate "C",
            '[\u0009-\u000D\u0020\u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000' || '\u002D\u058A\u05BE\u1400\u1806\u2010-\u2015\u2E17\u2E1A\u2E3A\u2E3B\u2E40\u2E5D\u301C\u3030\u30A0' || '\uFE31\uFE32\uFE58\uFE63\uFF0D\U00010EAD]+',
            '-',
            'g'
          ),
          '-'
        ),
        'abcdefghijklmnopqrstuvwxyz',
        'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
      )
    end;
$$;

revoke execute on function referral_private.show_code from public;

-- The normal form of a code, or null where the text is not a code: 3 to 32 digits and capitals, O read as 0, I and L
-- as 1. So `olivia-1` and `0LIV1A1` are the same code. Text that is normal already takes the short way.
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
  if p_code collate "C" ~ v_normal then
    return p_code;
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
language sql
volatile
security invoker
set search_path = ''
as $$
  select
    regexp_replace(
      string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (get_byte(bytes, place) & 31) + 1, 1), ''),
      '(.{4})(?!$)',
      '\1-',
      'g'
    )
  from
    (select uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) as bytes offset 0) as random
    cross join (
      select place from generate_series(0, 31) as place where place % 16 not in (6, 8) order by place limit p_length
    ) as places;
$$;

revoke execute on function referral_private.draw_code from public;

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
  constraint codes_rotation_is_counted check (rotation >= 0),
  constraint codes_rotated_are_replaced check ((status = 'rotated') = (replaced_by is not null)),
  constraint codes_only_rotated_have_grace check (redeemable_until is null or status = 'rotated'),
  constraint codes_ended_say_when
    check ((status in ('rotated', 'invalidated', 'expired')) = (deactivated_at is not null))
);

create unique index codes_one_active on referral.codes (referrer_id, org_id) where status = 'active';

create index codes_by_referrer on referral.codes (org_id, referrer_id, created_at desc);

create index codes_by_program on referral.codes (org_id, program_id);

create index codes_by_organisation on referral.codes (org_id, created_at desc, id);

create index codes_by_quota on referral.codes (org_id, quota_id) where quota_id is not null;

create index codes_by_replacement on referral.codes (org_id, replaced_by) where replaced_by is not null;

comment on table referral.codes is
  'Codes. A referrer reads their own, coordinators and admins those of the organisation. Written by create_code, rotate_code and deactivate_code.';

alter table referral.codes enable row level security;

create policy codes_owner_and_staff_read on referral.codes
for select
to authenticated
using (referrer_id = (select auth.uid()) or org_id in (select referral_private.orgs_with_role('coordinator')));

grant select on referral.codes to authenticated, service_role;

alter table referral.code_quotas enable row level security;

create policy code_quotas_readable_with_their_code on referral.code_quotas
for select
to authenticated
using (
  exists (select from referral.codes as c where c.org_id = code_quotas.org_id and c.quota_id = code_quotas.quota_id)
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
    or (new.referrer_id, new.created_by, new.rotation, new.quota_id) is distinct from (old.referrer_id, old.created_by, old.rotation, old.quota_id)
    or (
      old.status in ('rotated', 'invalidated', 'expired')
      and (new.status, new.expires_at, new.redeemable_until, new.replaced_by) is distinct from (old.status, old.expires_at, old.redeemable_until, old.replaced_by)
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

-- Codes are created here. Whoever changes a referrer's codes first locks the referrer's member row, so
-- that concurrent changes queue up instead of failing on the unique index.

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
  return v_member;
end
$$;

revoke execute on function referral_private.lock_member from public;

-- Ends the referrer's codes that are past their time. The member row is locked.
create function referral_private.expire_codes_of(p_org_id uuid, p_referrer_id uuid)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  update referral.codes as c
  set
    status = 'expired',
    deactivated_at = c.expires_at,
    updated_at = clock_timestamp()
  where
    c.org_id = p_org_id
    and c.referrer_id = p_referrer_id
    and c.status in ('active', 'suspended')
    and c.expires_at <= clock_timestamp();
$$;

revoke execute on function referral_private.expire_codes_of from public;

-- Prepares a referrer for a new code: locks the member, ends what is past its time, refuses who may have none.
create function referral_private.ready_for_code(p_org_id uuid, p_referrer_id uuid)
returns void
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
  perform referral_private.expire_codes_of(p_org_id, p_referrer_id);
  if exists (
    select from referral.codes as c
    where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.status = 'suspended'
  ) then
    perform referral_private.raise_error('code_suspended');
  end if;
end
$$;

revoke execute on function referral_private.ready_for_code from public;

-- Stores a new code: the wanted string, or, where `p_code.code` is null, one that is drawn. Drawn codes have the
-- organisation's length, and 12 characters at least where the program is invited or the code limited.
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
begin
  if p_code.code is not null and referral_private.normalise_code(p_code.code) is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  select case
    when p_code.quota_id is not null or t.terms ->> 'enrolment' = 'invited' then greatest(12, o.code_length)
    else o.code_length
  end
  into strict v_length
  from referral.organisations as o
  cross join referral_private.terms_in_force(p_code.org_id, p_code.program_id) as t
  where o.id = p_code.org_id;

  for attempt in 1..20 loop
    insert into referral.codes (
      id, org_id, program_id, code, referrer_id, beneficiary_id, description, expires_at, quota_id, rotation, created_by
    )
    values (
      p_code.id, p_code.org_id, p_code.program_id,
      coalesce(referral_private.show_code(p_code.code), referral_private.draw_code(v_length)),
      p_code.referrer_id, p_code.beneficiary_id, p_code.description, p_code.expires_at, p_code.quota_id,
      p_code.rotation, auth.uid()
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

  perform referral_private.ready_for_code(p_org_id, v_code.referrer_id);
  v_code.program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
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

-- How a code ends: rotated into a new one, or deactivated. Both lock the referrer's member row first.
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
  v_new referral.codes;
  v_old_id uuid;
  v_violated text;
begin
  if p_code is not null then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  perform referral_private.ready_for_code(p_org_id, v_referrer_id);
  if v_grace < interval '0' or v_grace > (select o.rotation_grace from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('invalid_argument', 'grace');
  end if;

  select * into v_new
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = v_referrer_id and c.status = 'active';
  if not found then
    perform referral_private.raise_error('no_active_code');
  end if;
  perform referral_private.program_for_code(p_org_id, v_new.program_id);

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
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.rotate_code from public;

grant execute on function referral_private.rotate_code to authenticated, service_role;

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
  perform referral_private.expire_codes_of(p_org_id, v_referrer_id);
  update referral.codes as c
  set status = 'invalidated', deactivated_at = clock_timestamp(), deactivated_by = auth.uid(), reason = p_reason,
    updated_at = clock_timestamp()
  where c.org_id = p_org_id and c.referrer_id = v_referrer_id and c.status = 'active'
  returning * into v_code;
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
  android_package text
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
    o.web_destination, o.ios_destination, o.android_destination, o.android_package
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

-- A redemption says that a referee used a code: the audit row of the use and the claim to a reward in one.
-- It outlives the code's life and the referee's account, and stores the terms it was made under.
create type referral.redemption_status as enum ('pending', 'confirmed', 'reversed', 'expired', 'rejected');

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
  redeemed_at timestamptz not null default clock_timestamp(),
  confirmed_at timestamptz,
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

create index redemptions_by_referrer on referral.redemptions (referrer_id, org_id, redeemed_at desc, id);

create index redemptions_by_id on referral.redemptions (id);

create index redemptions_by_referee on referral.redemptions (referee_id);

create index redemptions_by_code on referral.redemptions (org_id, code_id, redeemed_at desc);

create index redemptions_by_terms on referral.redemptions (org_id, program_id, terms_version);

comment on table referral.redemptions is
  'Uses of codes. Read by coordinators and admins of the organisation; referrers see theirs without identities through my_referrals. Written by redeem_code and by what Stripe events confirm.';

alter table referral.redemptions enable row level security;

create policy redemptions_staff_reads on referral.redemptions
for select
to authenticated
using (org_id in (select referral_private.orgs_with_role('coordinator')));

grant select on referral.redemptions to authenticated, service_role;

create function referral_private.my_referrals(p_org_id uuid)
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
  order by r.redeemed_at desc, r.id;
end
$$;

revoke execute on function referral_private.my_referrals from public;

grant execute on function referral_private.my_referrals to authenticated;

-- From a code to a redemption, in one transaction.

-- Takes the account lock in the mode that a redemption by this person needs, and says whether to settle: a person
-- who is known as a payer may have a sale that this redemption wins, so then the lock is exclusive. Locks are never
-- upgraded: the shared one is given back with the inner block before the exclusive one is taken.
create function referral_private.lock_account_to_redeem(p_account text, p_user_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(referral_private.account_lock_key(p_account));
  if exists (select from referral_private.payer_users as l where l.user_id = p_user_id and l.account = p_account) then
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
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_key text := referral_private.normalise_code(p_code);
  v_code referral.codes;
  v_terms referral.program_terms;
  v_redemption referral.redemptions;
  v_account text;
  v_is_payer boolean;
  v_refusal text;
  v_violated text;
begin
  if v_key is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  -- A client may say `typed` freely; every other provenance is proved by a click, and there is none without an id.
  if p_click_id is not null or p_provenance is distinct from 'typed' then
    perform referral_private.raise_error(
      case when p_provenance in ('typed', 'link', 'install_referrer', 'clipboard') then 'invalid_click' else 'invalid_argument' end
    );
  end if;

  select * into v_code from referral.codes as c where c.code_key = v_key;
  if not found then
    perform referral_private.raise_error('code_not_found');
  end if;
  v_account := referral_private.account_of(v_code.org_id);
  v_is_payer := referral_private.lock_account_to_redeem(v_account, v_user_id);
  -- The shared row lock keeps a deactivation that has been answered from being overtaken by a redemption.
  select * into strict v_code from referral.codes as c where c.id = v_code.id for share;

  select * into v_redemption
  from referral.redemptions as r
  where r.org_id = v_code.org_id and r.program_id = v_code.program_id and r.referee_id = v_user_id;

  if not found then
    if v_user_id in (v_code.referrer_id, v_code.beneficiary_id, v_code.created_by) then
      perform referral_private.raise_error('self_referral');
    end if;
    select referral_private.refusal_of(v_code.status, v_code.expires_at, v_code.redeemable_until, o.active and p.active)
    into v_refusal
    from referral.programs as p
    join referral.organisations as o on o.id = p.org_id
    where p.id = v_code.program_id;
    if v_refusal is not null then
      perform referral_private.raise_error(v_refusal);
    end if;
    v_terms := referral_private.terms_in_force(v_code.org_id, v_code.program_id);
    perform referral_private.require_new_user(v_user_id, v_terms.terms);

    insert into referral.redemptions (org_id, program_id, terms_version, code_id, referrer_id, referee_id, channel)
    values (v_code.org_id, v_code.program_id, v_terms.version, v_code.id, v_code.referrer_id, v_user_id, p_channel)
    on conflict on constraint redemptions_one_per_referee do nothing
    returning * into v_redemption;

    if found then
      perform referral_private.use_quota(v_code.org_id, v_code.quota_id);
      if v_is_payer then
        perform referral_private.settle_payer(l.account, l.livemode, l.payer_id)
        from referral_private.payer_users as l
        where l.user_id = v_user_id and l.account = v_account;
        select * into strict v_redemption
        from referral.redemptions as r
        where r.org_id = v_redemption.org_id and r.id = v_redemption.id;
      end if;
    else
      -- The same person was faster on another connection.
      select * into strict v_redemption
      from referral.redemptions as r
      where r.org_id = v_code.org_id and r.program_id = v_code.program_id and r.referee_id = v_user_id;
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

-- Facts about payments, as Stripe states them, and the one thing derived from them so far: which redemption a sale
-- confirms. Facts are keyed by Stripe account ('' is the platform's own), livemode and object, only ever grow, and
-- hold no personal data. What is derived is a function of the facts alone, so the order of events cannot matter.
create table referral_private.payments (
  account text not null,
  livemode boolean not null,
  payment_id text not null,
  payer_id text not null,
  org_id uuid,
  currency text not null,
  paid bigint not null,
  total bigint not null,
  total_excluding_tax bigint,
  sale_at timestamptz not null,
  constraint payments_pkey primary key (account, livemode, payment_id),
  constraint payments_currency_is_a_code check (currency ~ '^[a-z]{3}$'),
  constraint payments_amounts_are_exact_in_javascript
    check (
      paid between 0 and 9007199254740991
      and abs(total) <= 9007199254740991
      and abs(total_excluding_tax) <= 9007199254740991
    )
);

create index payments_by_payer on referral_private.payments (account, livemode, payer_id, sale_at);

comment on column referral_private.payments.payment_id is
  'The sale: an invoice (in_…), or a payment intent (pi_…) that belongs to none.';

comment on column referral_private.payments.payer_id is 'The customer, or the payment itself where a guest paid.';

comment on column referral_private.payments.org_id is 'Set where the metadata restricts the sale to one organisation.';

-- Identity: this payer is this user. Not evidence of a referral by itself.
create table referral_private.payer_users (
  account text not null,
  livemode boolean not null,
  payer_id text not null,
  user_id uuid not null,
  constraint payer_users_pkey primary key (account, livemode, payer_id, user_id)
);

create index payer_users_by_user on referral_private.payer_users (user_id);

-- Evidence: the app's backend named this redemption in the metadata of something the payer paid.
create table referral_private.payer_redemptions (
  account text not null,
  livemode boolean not null,
  payer_id text not null,
  redemption_id uuid not null,
  constraint payer_redemptions_pkey primary key (account, livemode, payer_id, redemption_id)
);

create index payer_redemptions_by_redemption on referral_private.payer_redemptions (redemption_id);

alter table referral_private.payments enable row level security;

alter table referral_private.payer_users enable row level security;

alter table referral_private.payer_redemptions enable row level security;

create function referral_private.account_lock_key(p_account text)
returns bigint
language sql
immutable
security invoker
set search_path = ''
as $$
  select hashtextextended('referral.account:' || p_account, 0);
$$;

revoke execute on function referral_private.account_lock_key from public;

-- One lock per Stripe account, held until the transaction ends: whoever states facts or settles takes it first, so
-- that no two settlements see different halves of the truth. Finer locks do not do: a subscription's session and its
-- first invoice share neither a payment nor a sale.
create function referral_private.lock_account(p_account text)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select pg_advisory_xact_lock(referral_private.account_lock_key(p_account));
$$;

revoke execute on function referral_private.lock_account from public;

create function referral_private.account_of(p_org_id uuid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(o.stripe_account_id, '') from referral.organisations as o where o.id = p_org_id;
$$;

revoke execute on function referral_private.account_of from public;

-- Redemptions that speak for a payer: those of the users it is linked to, then those its metadata names.
create function referral_private.evidence_of(p_account text, p_livemode boolean, p_payer_id text)
returns table (redemption_id uuid, org_id uuid, evidence_at timestamptz, priority int)
language sql
stable
security invoker
set search_path = ''
as $$
  select r.id, r.org_id, date_trunc('second', r.redeemed_at), named.priority
  from
    (
      select r.id, 1 as priority
      from
        referral_private.payer_users as l
        join referral.redemptions as r on r.referee_id = l.user_id
      where l.account = p_account and l.livemode = p_livemode and l.payer_id = p_payer_id
      union all
      select l.redemption_id, 2
      from referral_private.payer_redemptions as l
      where l.account = p_account and l.livemode = p_livemode and l.payer_id = p_payer_id
    ) as named
    join referral.redemptions as r on r.id = named.id
    join referral.organisations as o on o.id = r.org_id
  where coalesce(o.stripe_account_id, '') = p_account;
$$;

revoke execute on function referral_private.evidence_of from public;

-- The redemption that wins a sale: the first by (time, priority, id) that is not later than the sale. Times are in
-- whole seconds, as Stripe's are.
create function referral_private.winner_of(p_sale referral_private.payments)
returns uuid
language sql
stable
security invoker
set search_path = ''
as $$
  select e.redemption_id
  from referral_private.evidence_of(p_sale.account, p_sale.livemode, p_sale.payer_id) as e
  where e.evidence_at <= p_sale.sale_at and (p_sale.org_id is null or p_sale.org_id = e.org_id)
  order by e.evidence_at, e.priority, e.redemption_id
  limit 1;
$$;

revoke execute on function referral_private.winner_of from public;

-- When the first sale that a redemption wins was made; null where it wins none.
create function referral_private.first_sale_of(p_account text, p_redemption_id uuid)
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  select min(p.sale_at)
  from
    (
      select l.livemode, l.payer_id
      from
        referral.redemptions as r
        join referral_private.payer_users as l on l.user_id = r.referee_id and l.account = p_account
      where r.id = p_redemption_id
      union
      select l.livemode, l.payer_id
      from referral_private.payer_redemptions as l
      where l.redemption_id = p_redemption_id and l.account = p_account
    ) as payer
    join referral_private.payments as p
      on p.account = p_account and p.livemode = payer.livemode and p.payer_id = payer.payer_id
  where p.paid > 0 and referral_private.winner_of(p) = p_redemption_id;
$$;

revoke execute on function referral_private.first_sale_of from public;

-- Brings redemptions to what the facts say: confirmed by the first sale they win inside the conversion window, else
-- pending. The account lock is held exclusively. A staff decision is not touched.
create function referral_private.settle_redemptions(p_account text, p_redemption_ids uuid[])
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  update referral.redemptions as r
  set
    confirmed_at = settled.confirmed_at,
    status = (
      case
        when settled.confirmed_at is null then 'pending'
        else 'confirmed'
      end
    )::referral.redemption_status
  from
    (
      select
        r.org_id,
        r.id,
        case
          when sale.first_at <= r.redeemed_at + make_interval(
            days => (t.terms ->> 'conversion_window_days')::int
          ) then sale.first_at
        end as confirmed_at
      from
        referral.redemptions as r
        join referral.program_terms as t
          on t.org_id = r.org_id and t.program_id = r.program_id and t.version = r.terms_version
        cross join lateral (select referral_private.first_sale_of(p_account, r.id) as first_at) as sale
      where r.id = any (p_redemption_ids) and r.status in ('pending', 'confirmed')
    ) as settled
  where r.org_id = settled.org_id and r.id = settled.id and r.confirmed_at is distinct from settled.confirmed_at;
$$;

revoke execute on function referral_private.settle_redemptions from public;

-- What a payer's facts touch: every redemption that speaks for it.
create function referral_private.settle_payer(p_account text, p_livemode boolean, p_payer_id text)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select
    referral_private.settle_redemptions(
      p_account,
      array(select e.redemption_id from referral_private.evidence_of(p_account, p_livemode, p_payer_id) as e)
    );
$$;

revoke execute on function referral_private.settle_payer from public;

-- The inbox and what each event states. functions/stripe-webhook verifies an event and reduces it to the fields that
-- are read here; one call takes one delivery, in one transaction.
create type referral.event_status as enum ('applied', 'duplicate', 'ignored');

-- Nothing here expires: a delivery is recognised as a duplicate however late it comes.
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
  constraint stripe_events_pkey primary key (account, livemode, event_id),
  constraint stripe_events_account_is_an_id check (account ~ '^(acct_[A-Za-z0-9]{1,64})?$'),
  constraint stripe_events_have_an_id check (event_id ~ '^evt_[A-Za-z0-9_]{1,255}$'),
  constraint stripe_events_body_is_hashed check (body_sha256 ~ '^[0-9a-f]{64}$')
);

alter table referral_private.stripe_events enable row level security;

create function referral_private.as_uuid(p_text text)
returns uuid
language sql
immutable
security invoker
set search_path = ''
as $$
  select
    case
      when p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_text::uuid
    end;
$$;

revoke execute on function referral_private.as_uuid from public;

-- Applies one verified Stripe event. Answers `duplicate` for what came before and `ignored` for types that state
-- nothing; both change nothing else. Raises `invalid_event` for what is not an event, and then stores nothing.
create function referral_private.ingest_stripe_event(p_event jsonb)
returns table (event_id text, status referral.event_status)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '10s'
as $$
declare
  v_account text := coalesce(p_event ->> 'account', '');
  v_livemode boolean;
  v_created_at timestamptz;
  v_object jsonb := p_event -> 'data' -> 'object';
  v_payer_id text;
  v_status referral.event_status;
begin
  if coalesce(jsonb_typeof(p_event), '') <> 'object' or jsonb_typeof(v_object) is distinct from 'object' then
    perform referral_private.raise_error('invalid_event');
  end if;
  v_livemode := (p_event -> 'livemode')::boolean;
  v_created_at := to_timestamp((p_event -> 'created')::bigint);
  v_status := case when p_event ->> 'type' in ('checkout.session.completed', 'invoice.paid') then 'applied' else 'ignored' end;

  perform referral_private.lock_account(v_account);
  insert into referral_private.stripe_events (account, livemode, event_id, type, status, created_at, body_sha256, event)
  values (
    v_account, v_livemode, p_event ->> 'id', p_event ->> 'type', v_status, v_created_at,
    p_event ->> 'body_sha256', p_event - 'body_sha256'
  )
  on conflict on constraint stripe_events_pkey do nothing;
  if not found then
    return query select p_event ->> 'id', 'duplicate'::referral.event_status;
    return;
  end if;

  if v_status = 'applied' then
    v_payer_id := case p_event ->> 'type'
      when 'checkout.session.completed' then referral_private.state_checkout_session(v_account, v_livemode, v_created_at, v_object)
      when 'invoice.paid' then referral_private.state_invoice(v_account, v_livemode, v_object)
    end;
    perform referral_private.settle_payer(v_account, v_livemode, v_payer_id);
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

-- Links the payer of an object to the user and the redemption that its metadata names.
create function referral_private.link_payer(
  p_account text,
  p_livemode boolean,
  p_payer_id text,
  p_metadata jsonb,
  p_user_id uuid default null
)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into referral_private.payer_users (account, livemode, payer_id, user_id)
  select p_account, p_livemode, p_payer_id, u
  from unnest(array[p_user_id, referral_private.as_uuid(p_metadata ->> 'referral_user_id')]) as u
  where u is not null
  on conflict do nothing;

  insert into referral_private.payer_redemptions (account, livemode, payer_id, redemption_id)
  select p_account, p_livemode, p_payer_id, r
  from referral_private.as_uuid(p_metadata ->> 'referral_redemption_id') as r
  where r is not null
  on conflict do nothing;
$$;

revoke execute on function referral_private.link_payer from public;

-- A paid amount is a maximum and a time of sale a minimum of what events state, so their order does not matter.
create function referral_private.state_payment(p_payment referral_private.payments)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into referral_private.payments as p
  select p_payment.*
  on conflict on constraint payments_pkey do update
    set
      paid = greatest(p.paid, excluded.paid),
      sale_at = least(p.sale_at, excluded.sale_at);
$$;

revoke execute on function referral_private.state_payment from public;

-- A checkout session links its payer to the user and the redemption it names. It states a payment only in mode
-- `payment`, when paid, and without an invoice: a subscription's money, and an invoiced purchase, come with the
-- invoice. Behind a payment link the buyer can edit `client_reference_id`, so there it names nobody. Returns the payer.
create function referral_private.state_checkout_session(
  p_account text,
  p_livemode boolean,
  p_created_at timestamptz,
  p_session jsonb
)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_payment referral_private.payments;
begin
  v_payment.payment_id := p_session ->> 'payment_intent';
  v_payment.payer_id := coalesce(p_session ->> 'customer', p_session ->> 'customer_account', v_payment.payment_id);
  if v_payment.payer_id is null then
    return null;
  end if;
  perform referral_private.link_payer(
    p_account, p_livemode, v_payment.payer_id, p_session -> 'metadata',
    case when p_session ->> 'payment_link' is null then referral_private.as_uuid(p_session ->> 'client_reference_id') end
  );

  if p_session ->> 'mode' = 'payment' and p_session ->> 'payment_status' = 'paid' and p_session ->> 'invoice' is null
    and v_payment.payment_id is not null
  then
    v_payment.account := p_account;
    v_payment.livemode := p_livemode;
    v_payment.org_id := referral_private.as_uuid(p_session -> 'metadata' ->> 'referral_org_id');
    v_payment.currency := p_session ->> 'currency';
    v_payment.paid := p_session ->> 'amount_total';
    v_payment.total := v_payment.paid;
    v_payment.total_excluding_tax := v_payment.total - (p_session -> 'total_details' ->> 'amount_tax')::bigint;
    v_payment.sale_at := p_created_at;
    perform referral_private.state_payment(v_payment);
  end if;
  return v_payment.payer_id;
end
$$;

revoke execute on function referral_private.state_checkout_session from public;

-- A paid invoice is a sale of its customer, made when the invoice was created. Its metadata is its own and the
-- subscription's, which every renewal carries. Returns the payer.
create function referral_private.state_invoice(p_account text, p_livemode boolean, p_invoice jsonb)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_payment referral_private.payments;
  v_metadata jsonb := coalesce(nullif(p_invoice -> 'parent' -> 'subscription_details' -> 'metadata', 'null'), '{}')
    || coalesce(nullif(p_invoice -> 'metadata', 'null'), '{}');
begin
  v_payment.account := p_account;
  v_payment.livemode := p_livemode;
  v_payment.payment_id := p_invoice ->> 'id';
  v_payment.payer_id := coalesce(p_invoice ->> 'customer', p_invoice ->> 'customer_account', v_payment.payment_id);
  v_payment.org_id := referral_private.as_uuid(v_metadata ->> 'referral_org_id');
  v_payment.currency := p_invoice ->> 'currency';
  v_payment.paid := p_invoice ->> 'amount_paid';
  v_payment.total := p_invoice ->> 'total';
  v_payment.total_excluding_tax := p_invoice ->> 'total_excluding_tax';
  v_payment.sale_at := to_timestamp((p_invoice ->> 'created')::bigint);
  perform referral_private.link_payer(p_account, p_livemode, v_payment.payer_id, v_metadata);
  perform referral_private.state_payment(v_payment);
  return v_payment.payer_id;
end
$$;

revoke execute on function referral_private.state_invoice from public;

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
  'Changes settings: name, active, link_origin, web_destination, ios_destination, android_destination (https), android_package, code_length, codes_per_member, max_uses_cap, rotation_grace; and stripe_account_id, operator only. Unknown keys are refused. Admins and the operator. Errors: not_signed_in, not_a_member, not_allowed, organisation_not_found, invalid_argument, stripe_account_taken, stripe_account_fixed, busy.';

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
  'Creates a referrer''s code; the referrer is the caller unless given, the program the default unless given. A chosen code, a limit and an expiry are for staff. Members for themselves, coordinators, admins and the operator for any member. Errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_not_found, member_deactivated, organisation_not_found, program_not_found, program_inactive, active_code_exists, code_suspended, code_taken, invalid_code, invalid_argument, busy.';

revoke execute on function referral.create_code from public;

grant execute on function referral.create_code to authenticated, service_role;

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
  'What anyone may know of a redeemable code: the code as shown, names, destinations. No row for every other, whatever the reason. Anyone.';

revoke execute on function referral.resolve_code from public;

grant execute on function referral.resolve_code to anon, authenticated, service_role;

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
  'Redeems a code for the caller, once per program. The same code again answers with the same redemption. Channel: lower-case label of up to 32 characters. Signed-in people. Errors: not_signed_in, anonymous_user, invalid_code, code_not_found, code_inactive, code_suspended, code_expired, code_limit_reached, program_inactive, already_redeemed, self_referral, mutual_referral, new_users_only, invalid_click, invalid_argument, busy.';

revoke execute on function referral.redeem_code from public;

grant execute on function referral.redeem_code to authenticated;

create function referral.my_referrals(org_id uuid)
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
  return query select r.* from referral_private.my_referrals(my_referrals.org_id) as r;
end
$$;

comment on function referral.my_referrals is
  'The caller''s referrals in an organisation, newest first: redemption, status, times and channel, never who. Errors: not_signed_in, anonymous_user, invalid_argument.';

revoke execute on function referral.my_referrals from public;

grant execute on function referral.my_referrals to authenticated;

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
