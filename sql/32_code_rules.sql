-- Who may have or change a code, and what is made sure before one is. Whoever changes a referrer's codes first locks
-- the referrer's member row, so that concurrent changes queue up instead of failing on the unique index.

-- The referrer the caller may act for: themself, or, for staff and the operator, anyone in the organisation.
-- Raises `not_signed_in`, `anonymous_user`, `not_a_member`, `not_allowed`, `organisation_not_found`.
create function referral_private.acting_for(p_org_id uuid, p_referrer_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id');
  end if;
  if p_referrer_id is null and referral_private.is_operator() then
    perform referral_private.raise_error('invalid_argument', 'referrer_id');
  end if;
  if p_referrer_id is null or p_referrer_id is not distinct from auth.uid() then
    return referral_private.require_person();
  end if;
  perform referral_private.require_role(p_org_id, 'coordinator');
  return p_referrer_id;
end
$$;

revoke execute on function referral_private.acting_for from public;

-- Locks a member row until the transaction ends. Raises `not_a_member` of the caller, `member_not_found` of anyone else.
create function referral_private.lock_member(p_org_id uuid, p_user_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_member referral.members;
begin
  select * into v_member
  from referral.members as m
  where m.org_id = p_org_id and m.user_id = p_user_id
  for no key update;
  if not found then
    perform referral_private.raise_error(
      case when p_user_id is not distinct from auth.uid() then 'not_a_member' else 'member_not_found' end
    );
  end if;
  -- Whoever acts for somebody else may have lost that right while this waited.
  if p_user_id is distinct from auth.uid() then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  return v_member;
end
$$;

revoke execute on function referral_private.lock_member from public;

-- Ends the referrer's codes that are past their time. The member row is locked.
create function referral_private.expire_codes_of(p_org_id uuid, p_referrer_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update referral.codes as c
  set status = 'expired', deactivated_at = c.expires_at, reason = null, updated_at = clock_timestamp()
  where c.org_id = p_org_id and c.referrer_id = p_referrer_id
    and c.status in ('active', 'suspended') and c.expires_at <= clock_timestamp();
end
$$;

revoke execute on function referral_private.expire_codes_of from public;

-- Prepares a referrer for a new code: locks the member, ends what is past its time, refuses who may have none.
create function referral_private.ready_for_code(p_org_id uuid, p_referrer_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_member referral.members := referral_private.lock_member(p_org_id, p_referrer_id);
begin
  if v_member.deactivated_at is not null then
    perform referral_private.raise_error('member_deactivated');
  end if;
  if v_member.blocked_at is not null then
    perform referral_private.raise_error('member_blocked');
  end if;
  perform referral_private.expire_codes_of(p_org_id, p_referrer_id);
  if exists (
    select from referral.codes as c
    where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.status = 'suspended'
  ) then
    perform referral_private.raise_error('code_suspended');
  end if;
  return v_member;
end
$$;

revoke execute on function referral_private.ready_for_code from public;

-- The program of a referrer's code: the given one, or else the organisation's default. Where enrolment is by
-- invitation, whoever let themself in elsewhere is refused. Raises `program_not_found`, `program_inactive`, `not_invited`.
create function referral_private.program_for_member(p_member referral.members, p_program_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_program referral.programs := referral_private.program_for_code(p_member.org_id, p_program_id);
begin
  if p_member.admitted_by = p_member.user_id and not referral_private.has_open_enrolment(p_member.org_id, v_program.id) then
    perform referral_private.raise_error('not_invited');
  end if;
  return v_program.id;
end
$$;

revoke execute on function referral_private.program_for_member from public;

create function referral_private.has_open_enrolment(p_org_id uuid, p_program_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (referral_private.terms_in_force(p_org_id, p_program_id)).terms ->> 'enrolment' = 'open';
end
$$;

revoke execute on function referral_private.has_open_enrolment from public;

-- Refuses one more code than the organisation allows a member, counting what has not ended: their own, and the
-- campaign codes they made. The member row is locked. Raises `too_many_codes`.
create function referral_private.require_code_allowance(p_org_id uuid, p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if (
    select count(*) from referral.codes as c
    where c.org_id = p_org_id and c.status in ('active', 'suspended')
      and (c.expires_at is null or c.expires_at > clock_timestamp())
      and (c.referrer_id = p_user_id or c.referrer_id is null and c.batch_id is null and c.created_by = p_user_id)
  ) >= (select o.codes_per_member from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('too_many_codes');
  end if;
end
$$;

revoke execute on function referral_private.require_code_allowance from public;
