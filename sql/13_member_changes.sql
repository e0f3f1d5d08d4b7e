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
