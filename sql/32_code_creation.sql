-- Codes are created here. Whoever changes a referrer's codes first locks the referrer's member row, so
-- that concurrent changes queue up instead of failing on the unique index.

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
  return v_member;
end
$$;

revoke execute on function referral_private.lock_member from public;

-- Ends the referrer's codes that are past their time. The member row is locked.
create function referral_private.expire_codes_of(p_org_id uuid, p_referrer_id uuid)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  update referral.codes as c
  set
    status = 'expired',
    deactivated_at = c.expires_at,
    updated_at = clock_timestamp()
  where
    c.org_id = p_org_id
    and c.referrer_id = p_referrer_id
    and c.status in ('active', 'suspended')
    and c.expires_at <= clock_timestamp();
$$;

revoke execute on function referral_private.expire_codes_of from public;

-- Prepares a referrer for a new code: locks the member, ends what is past its time, refuses who may have none.
create function referral_private.ready_for_code(p_org_id uuid, p_referrer_id uuid)
returns void
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
  perform referral_private.expire_codes_of(p_org_id, p_referrer_id);
  if exists (
    select from referral.codes as c
    where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.status = 'suspended'
  ) then
    perform referral_private.raise_error('code_suspended');
  end if;
end
$$;

revoke execute on function referral_private.ready_for_code from public;

-- Stores a new code: the wanted string, or, where `p_code.code` is null, one that is drawn. Drawn codes have the
-- organisation's length, and 12 characters at least where the program is invited or the code limited.
create function referral_private.insert_code(p_code referral.codes)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_new referral.codes;
  v_length int;
begin
  if p_code.code is not null and referral_private.normalise_code(p_code.code) is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  select case
    when p_code.quota_id is not null or t.terms ->> 'enrolment' = 'invited' then greatest(12, o.code_length)
    else o.code_length
  end
  into strict v_length
  from referral.organisations as o
  cross join referral_private.terms_in_force(p_code.org_id, p_code.program_id) as t
  where o.id = p_code.org_id;

  for attempt in 1..20 loop
    insert into referral.codes (
      id, org_id, program_id, code, referrer_id, beneficiary_id, description, expires_at, quota_id, rotation, created_by
    )
    values (
      p_code.id, p_code.org_id, p_code.program_id,
      coalesce(referral_private.show_code(p_code.code), referral_private.draw_code(v_length)),
      p_code.referrer_id, p_code.beneficiary_id, p_code.description, p_code.expires_at, p_code.quota_id,
      p_code.rotation, auth.uid()
    )
    on conflict on constraint codes_key_is_unique do nothing
    returning * into v_new;
    if found then
      return v_new;
    end if;
    if p_code.code is not null then
      perform referral_private.raise_error('code_taken');
    end if;
  end loop;
  perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.insert_code from public;

create function referral_private.create_code(
  p_org_id uuid,
  p_referrer_id uuid,
  p_code text,
  p_program_id uuid,
  p_max_uses int,
  p_expires_at timestamptz,
  p_description text
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_violated text;
begin
  v_code.id := gen_random_uuid();
  v_code.org_id := p_org_id;
  v_code.referrer_id := referral_private.acting_for(p_org_id, p_referrer_id);
  v_code.code := p_code;
  v_code.expires_at := p_expires_at;
  v_code.description := p_description;
  v_code.rotation := 0;
  if num_nonnulls(p_code, p_max_uses, p_expires_at) > 0 then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  if p_expires_at <= clock_timestamp() then
    perform referral_private.raise_error('invalid_argument', 'expires_at');
  end if;

  perform referral_private.ready_for_code(p_org_id, v_code.referrer_id);
  v_code.program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
  if p_max_uses is not null then
    v_code.quota_id := referral_private.create_quota(p_org_id, p_max_uses);
  end if;
  return referral_private.insert_code(v_code);
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.create_code from public;

grant execute on function referral_private.create_code to authenticated, service_role;

-- A limit of 1 up to the organisation's cap. Raises `invalid_argument`.
create function referral_private.create_quota(p_org_id uuid, p_max_uses int)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quota_id uuid;
begin
  insert into referral.code_quotas (org_id, max_uses)
  select o.id, p_max_uses from referral.organisations as o where o.id = p_org_id and p_max_uses <= o.max_uses_cap
  returning quota_id into v_quota_id;
  if not found then
    perform referral_private.raise_error('invalid_argument', 'max_uses');
  end if;
  return v_quota_id;
end
$$;

revoke execute on function referral_private.create_quota from public;
