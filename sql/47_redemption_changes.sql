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
