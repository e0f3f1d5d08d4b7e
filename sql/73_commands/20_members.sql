-- Commands on members: who is let in, with which role, and under which name.

-- Lets the name of a role pass. Raises `invalid_argument`.
create function referral_private.require_role_name(p_role text)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_role is null or p_role <> all (enum_range(null::referral.member_role)::text[]) then
    perform referral_private.raise_error('invalid_argument', 'role: member, coordinator or admin');
  end if;
end
$$;

-- Coordinators add members, admins add anyone. Raises `not_allowed`.
create function referral_private.require_may_add(p_org_id uuid, p_role text)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.require_role(
    p_org_id, (case when p_role = 'member' then 'coordinator' else 'admin' end)::referral.member_role
  );
end
$$;

-- An existing role is never changed here. A member who enrolled by themself counts as invited from then on.
create function referral_private.add_member(p_org_id uuid, p_user_id uuid, p_role text default 'member')
returns referral.members
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_user_id is null then
    perform referral_private.raise_error('invalid_argument', 'user_id: required');
  end if;
  perform referral_private.require_role_name(p_role);
  perform referral_private.require_may_add(p_org_id, p_role);

  perform referral_private.recognise_user(p_user_id);
  insert into referral.members (org_id, user_id, role, admitted_by)
  values (p_org_id, p_user_id, p_role::referral.member_role, auth.uid())
  on conflict on constraint members_pkey do update
  set admitted_by = auth.uid()
  where members.admitted_by = members.user_id;
  -- The insert waits for others who change the same member.
  perform referral_private.require_may_add(p_org_id, p_role);

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

comment on function referral_private.add_member is
  'public: Adds a person with a role. Adding the same again changes nothing; an existing role is never changed.

group: Manage members
org_id: the organisation
user_id: the person
role: member, coordinator or admin
callers: coordinators for members; admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_deactivated, organisation_not_found,
  member_exists, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.add_member to authenticated, service_role;

-- Coordinators manage members, admins manage everyone. Raises what `require_role` does.
create function referral_private.require_role_over(p_org_id uuid, p_user_ids uuid[])
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.require_role(p_org_id, (case
    when exists (
      select from referral.members as m
      where m.org_id = p_org_id and m.user_id = any (p_user_ids) and m.role <> 'member'
    ) then 'admin'
    else 'coordinator'
  end)::referral.member_role);
end
$$;

-- Locks the organisation, whose number of admins must not change, then the member. The
-- caller's role is that after the locks. Raises `not_allowed`, `member_not_found`.
create function referral_private.lock_member_to_manage(p_org_id uuid, p_user_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  perform from referral.organisations as o where o.id = p_org_id for no key update;
  select * into v_member
  from referral.members as m
  where m.org_id = p_org_id and m.user_id = p_user_id
  for no key update;
  if not found then
    perform referral_private.raise_error('member_not_found');
  end if;
  perform referral_private.require_role_over(p_org_id, array[p_user_id]);
  return v_member;
end
$$;

-- Refuses to take the last admin from an organisation, with `last_admin`. The organisation's row is locked.
create function referral_private.require_other_admin(p_member referral.members)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_member.role = 'admin' and p_member.deactivated_at is null and not exists (
    select from referral.members as m
    where m.org_id = p_member.org_id and m.user_id <> p_member.user_id and m.role = 'admin' and m.deactivated_at is null
  ) then
    perform referral_private.raise_error('last_admin');
  end if;
end
$$;

create function referral_private.set_member_role(p_org_id uuid, p_user_id uuid, p_role text)
returns referral.members
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  perform referral_private.require_role_name(p_role);
  v_member := referral_private.lock_member_to_manage(p_org_id, p_user_id);
  perform referral_private.require_role(p_org_id, 'admin');
  if p_role <> 'admin' then
    perform referral_private.require_other_admin(v_member);
  end if;
  update referral.members as m
  set role = p_role::referral.member_role, reason = null
  where m.org_id = p_org_id and m.user_id = p_user_id
  returning * into v_member;
  return v_member;
end
$$;

comment on function referral_private.set_member_role is
  'public: Changes a member''s role.

group: Manage members
org_id: the organisation
user_id: the member
role: member, coordinator or admin
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
  last_admin, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.set_member_role to authenticated, service_role;

-- Refuses more than 50 changes of a public name in 24 hours, with `rate_limited`: each stays on record. The member row
-- is locked, and this change is among them.
create function referral_private.require_name_allowance(p_member referral.members)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if (
    select count(*) from referral_private.changes as c
    where c.org_id = p_member.org_id and c.subject_id = p_member.user_id
      and c.before ?| '{display_name,public_name}'::text[]
      and c.changed_at > clock_timestamp() - interval '24 hours'
  ) > 50 then
    perform referral_private.raise_error('rate_limited', '50 changes of a public name in 24 hours');
  end if;
end
$$;

-- Members set their own names; nobody does it for them.
create function referral_private.set_my_name(p_org_id uuid, p_display_name text, p_public_name boolean default false)
returns referral.members
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_member referral.members;
begin
  perform referral_private.require_role(p_org_id, 'member');
  update referral.members as m
  set display_name = p_display_name, public_name = coalesce(p_public_name, false)
  where m.org_id = p_org_id and m.user_id = v_user_id
  returning * into v_member;
  -- The update waits for staff who deactivate the member.
  perform referral_private.require_role(p_org_id, 'member');
  perform referral_private.require_name_allowance(v_member);
  return v_member;
end
$$;

comment on function referral_private.set_my_name is
  'public: Sets how the caller is called in an organisation, and whether people who open the caller''s link read it.
Names that they read are on record (list_changes), and can be changed 50 times in 24 hours.

group: Manage members
org_id: the organisation
display_name: one line of 1 to 80 characters, or null
public_name: true: the link shows the name
callers: members, for themselves
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, invalid_argument, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.set_my_name to authenticated;
