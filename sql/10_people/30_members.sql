-- The people who have a role in an organisation. No foreign key to auth.users: history outlives a user.
create table referral.members (
  org_id uuid not null,
  user_id uuid not null,
  role referral.member_role not null default 'member',
  display_name text,
  public_name boolean not null default false,
  -- Who admitted them: staff, themself where enrolment is open, or, where null, the operator.
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
  constraint members_display_name_is_one_line check (referral_private.is_one_line(display_name)),
  constraint members_reason_is_500_at_most check (length(reason) <= 500),
  constraint members_reason_is_one_line check (referral_private.is_one_line(reason)),
  constraint members_public_name_is_set check (not public_name or display_name is not null)
);

create index members_by_user on referral.members (user_id);

create index members_active_admins on referral.members (org_id, user_id)
where role = 'admin' and deactivated_at is null;

-- Few members have a public name, so look-ups of codes use this small index.
create index members_with_public_name on referral.members (org_id, user_id) include (display_name) where public_name;

comment on table referral.members is
  'Who has which role in an organisation. Read by admins of the organisation; a person reads their own rows with
my_memberships. Written by add_member, set_member_role, deactivate_member, reactivate_member and get_or_create_code.';

-- What an argument that a constraint refuses must be.
comment on constraint members_display_name_is_1_to_80 on referral.members is 'display_name: 1 to 80 characters';
comment on constraint members_display_name_is_one_line on referral.members is
  'display_name: one line, without control and bidirectional characters';
comment on constraint members_reason_is_500_at_most on referral.members is 'reason: up to 500 characters';
comment on constraint members_reason_is_one_line on referral.members is
  'reason: one line, without control and bidirectional characters';
comment on constraint members_public_name_is_set on referral.members is 'public_name: true only with a display_name';

alter table referral.members enable row level security;

create policy members_admin_reads on referral.members
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('admin')));

grant select on referral.members to authenticated, service_role;

-- Who enrols by themself changes nothing of anybody else's: the row says so.
create trigger members_added_are_on_record
after insert on referral.members
for each row
when (new.admitted_by is distinct from new.user_id)
execute function referral_private.record_change('member', 'user_id');

create trigger members_rights_are_on_record
after update of role, admitted_by, deactivated_at, blocked_at on referral.members
for each row
execute function referral_private.record_change('member', 'user_id', 'reason');

create trigger members_removed_are_on_record
after delete on referral.members
for each row
execute function referral_private.record_change('member', 'user_id');

-- A name that nobody but the organisation is shown is not kept.
create trigger members_public_names_are_on_record
after update of display_name, public_name on referral.members
for each row
when (old.public_name or new.public_name)
execute function referral_private.record_change('member', 'user_id');

-- Refuses who is and was no member, without a lock. Raises `not_a_member` of the caller, `member_not_found` of anyone
-- else.
create function referral_private.require_member(p_org_id uuid, p_user_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from referral.members as m where m.org_id = p_org_id and m.user_id = p_user_id) then
    perform referral_private.raise_error(
      case when p_user_id is not distinct from auth.uid() then 'not_a_member' else 'member_not_found' end
    );
  end if;
end
$$;

-- Locks a member row until the transaction ends. Raises `not_a_member` of the caller, `member_not_found` of anyone
-- else.
create function referral_private.lock_member(p_org_id uuid, p_user_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_member referral.members;
begin
  select * into v_member
  from referral.members as m
  where m.org_id = p_org_id and m.user_id = p_user_id
  for no key update;
  if not found then
    perform referral_private.require_member(p_org_id, p_user_id);
  end if;
  -- A caller who acts for another person may have lost that right while this waited.
  if p_user_id is distinct from auth.uid() then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  return v_member;
end
$$;

create function referral_private.my_memberships()
returns setof referral.members
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id constant uuid := referral_private.require_person();
begin
  return query
  select m.* from referral.members as m
  where m.user_id = v_user_id
  order by m.org_id
  limit 1000;
end
$$;

comment on function referral_private.my_memberships is
  'public: Returns what the caller is in which organisation: their rows of members, 1,000 at most.

group: Manage members
callers: signed-in people
errors: not_signed_in, anonymous_user
timeout: 5s';

grant execute on function referral_private.my_memberships to authenticated;
