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

-- For the policy.
create index program_terms_by_program on referral.program_terms (program_id);

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
