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
