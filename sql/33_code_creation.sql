-- How a code begins: drawn, chosen by staff, or had for the asking.

-- How long a drawn code is: the organisation's length, and 12 characters at least where the program is invited or the
-- code limited, so that such a code is not found by trying.
create function referral_private.drawn_length(p_org_id uuid, p_program_id uuid, p_limited boolean)
returns int
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_length int := (select o.code_length from referral.organisations as o where o.id = p_org_id);
begin
  if p_limited or not referral_private.has_open_enrolment(p_org_id, p_program_id) then
    return greatest(12, v_length);
  end if;
  return v_length;
end
$$;

revoke execute on function referral_private.drawn_length from public;

-- Stores a new code: the wanted string, or, where `p_code.code` is null, one that is drawn.
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
  v_string text;
begin
  if p_code.code is not null and referral_private.normalise_code(p_code.code) is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  if referral_private.is_reserved(referral_private.normalise_code(p_code.code)) then
    perform referral_private.raise_error('code_reserved');
  end if;
  if p_code.code is not null and referral_private.is_named_ahead(referral_private.normalise_code(p_code.code)) then
    perform referral_private.raise_error('code_taken');
  end if;
  v_length := referral_private.drawn_length(p_code.org_id, p_code.program_id, p_code.quota_id is not null);
  for attempt in 1..20 loop
    v_string := coalesce(referral_private.show_code(p_code.code), referral_private.draw_code(v_length));
    continue when p_code.code is null and referral_private.is_reserved(referral_private.normalise_code(v_string));
    insert into referral.codes (
      id, org_id, program_id, code, referrer_id, beneficiary_id, description, expires_at, quota_id, rotation, batch_id, created_by
    )
    values (
      p_code.id, p_code.org_id, p_code.program_id,
      v_string,
      p_code.referrer_id, p_code.beneficiary_id, p_code.description, p_code.expires_at, p_code.quota_id,
      p_code.rotation, p_code.batch_id, coalesce(p_code.created_by, auth.uid())
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
  v_member referral.members;
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

  v_member := referral_private.ready_for_code(p_org_id, v_code.referrer_id);
  v_code.program_id := referral_private.program_for_member(v_member, p_program_id);
  perform referral_private.require_code_allowance(p_org_id, v_code.referrer_id);
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

-- The caller's code in a program: the active one, or a new one. Where enrolment is open the caller becomes a member by
-- asking; whoever was deactivated is not let in again by that.
create function referral_private.get_or_create_code(p_org_id uuid, p_program_id uuid)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_code referral.codes;
  v_member referral.members;
  v_program_id uuid;
  v_violated text;
begin
  v_code := referral_private.get_active_code(p_org_id, null);
  if v_code.id is null then
    if not exists (select from referral.members as m where m.org_id = p_org_id and m.user_id = v_user_id) then
      v_program_id := (referral_private.program_for_code(p_org_id, p_program_id)).id;
      if not referral_private.has_open_enrolment(p_org_id, v_program_id) then
        perform referral_private.raise_error('not_invited');
      end if;
      insert into referral.members (org_id, user_id, admitted_by) values (p_org_id, v_user_id, v_user_id)
      on conflict on constraint members_pkey do nothing;
    end if;
    v_member := referral_private.ready_for_code(p_org_id, v_user_id);
    -- Under the lock: another connection of the same person may have been faster.
    v_code := referral_private.get_active_code(p_org_id, null);
  end if;

  if v_code.id is not null then
    if v_code.program_id <> p_program_id then
      perform referral_private.raise_error('active_in_other_program');
    end if;
    return v_code;
  end if;
  v_code.id := gen_random_uuid();
  v_code.org_id := p_org_id;
  v_code.referrer_id := v_user_id;
  v_code.program_id := referral_private.program_for_member(v_member, p_program_id);
  v_code.rotation := 0;
  perform referral_private.require_code_allowance(p_org_id, v_user_id);
  return referral_private.insert_code(v_code);
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.get_or_create_code from public;

grant execute on function referral_private.get_or_create_code to authenticated;
