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
