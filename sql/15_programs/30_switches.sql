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
