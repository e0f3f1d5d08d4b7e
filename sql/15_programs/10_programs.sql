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
