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
