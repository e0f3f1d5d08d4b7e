-- How a code begins: drawn, chosen by staff, or made for the person who asks for theirs.

-- Stores a new code with the chosen text, or, where `p_code.code` is null, with one that is drawn. Raises
-- `rate_limited`, `invalid_code`, `code_reserved`, `code_taken`, `code_looks_alike`.
create function referral_private.insert_code(p_code referral.codes)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_chosen constant boolean := p_code.code is not null;
  v_key constant text := referral_private.normalise_code(p_code.code);
  v_word text;
  v_new referral.codes;
  v_length int;
  v_text text;
begin
  perform referral_private.require_rotation_allowance(p_code.org_id, p_code.referrer_id);
  if v_is_chosen and v_key is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  v_word := referral_private.reserved_word_in(p_code.org_id, p_code.code);
  if v_word is not null then
    perform referral_private.raise_error('code_reserved', v_word);
  end if;
  if v_is_chosen and referral_private.carried_keys(array[v_key]) <> '{}' then
    perform referral_private.raise_error('code_taken');
  end if;
  p_code.looks_like_another := v_is_chosen and referral_private.looks_like_another(p_code.org_id, p_code.code);
  if p_code.looks_like_another
    and (select o.refuse_look_alikes from referral.organisations as o where o.id = p_code.org_id)
  then
    perform referral_private.raise_error('code_looks_alike');
  end if;
  v_length := referral_private.drawn_length(p_code.org_id, p_code.program_id, p_code.quota_id is not null);
  for attempt in 1..20 loop
    v_text := coalesce(referral_private.show_code(p_code.code), (referral_private.draw_texts(1, v_length))[1]);
    continue when v_text is null;
    insert into referral.codes (
      id, org_id, program_id, code, referrer_id, beneficiary_id, description, expires_at, quota_id, rotation, chain_id,
      batch_id, created_by, looks_like_another
    )
    values (
      p_code.id, p_code.org_id, p_code.program_id, v_text, p_code.referrer_id, p_code.beneficiary_id,
      p_code.description, p_code.expires_at, p_code.quota_id, p_code.rotation, p_code.chain_id,
      p_code.batch_id, coalesce(p_code.created_by, auth.uid()), p_code.looks_like_another
    )
    on conflict on constraint codes_key_is_unique do nothing
    returning * into v_new;
    if found then
      return v_new;
    end if;
    if v_is_chosen then
      perform referral_private.raise_error('code_taken');
    end if;
  end loop;
  perform referral_private.raise_error('busy');
end
$$;

create function referral_private.create_code(
  p_org_id uuid,
  p_referrer_id uuid default null,
  p_code text default null,
  p_program_id uuid default null,
  p_max_uses int default null,
  p_expires_at timestamptz default null,
  p_description text default null
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes;
  v_member referral.members;
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
  perform referral_private.require_future_expiry(p_expires_at);
  if p_code is not null then
    perform referral_private.ready_to_choose(p_org_id, array[referral_private.normalise_code(p_code)]);
  end if;

  v_member := referral_private.ready_for_code(p_org_id, v_code.referrer_id);
  if num_nonnulls(p_code, p_max_uses, p_expires_at) > 0 then
    -- The caller may have lost the role while this waited.
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  v_code.program_id := referral_private.program_for_member(v_member, p_program_id);
  perform referral_private.require_code_allowance(p_org_id, v_code.referrer_id);
  if p_max_uses is not null then
    v_code.quota_id := referral_private.create_quota(p_org_id, p_max_uses);
  end if;
  return referral_private.insert_code(v_code);
end
$$;

comment on function referral_private.create_code is
  'public: Creates a code of a referrer. A chosen code, a limit and an expiry are for staff. Of a chosen code
looks_like_another warns that one of another organisation on the shared link host looks like it.

group: Have a code
org_id: the organisation
referrer_id: the caller unless given
code: the text of the code, 3 to 32 letters and digits; drawn unless given
program_id: the default program unless given
max_uses: redemptions at most, not purchases that carry the code; no limit unless given
expires_at: when the code ends; never unless given
description: one line of up to 500 characters
callers: the referrer; coordinators, admins and the operator for any member
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_deactivated, member_blocked, not_invited,
  organisation_not_found, member_not_found, program_not_found, program_inactive, active_code_exists, too_many_codes,
  code_suspended, code_taken, code_reserved, code_looks_alike, invalid_argument, invalid_code, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.create_code to authenticated, service_role;

-- A deactivated member does not become active by this call.
create function referral_private.get_or_create_code(p_org_id uuid, p_program_id uuid default null)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_code referral.codes;
  v_member referral.members;
begin
  select * into v_code from referral_private.get_active_code(p_org_id, null);
  if v_code.id is null then
    if not exists (select from referral.members as m where m.org_id = p_org_id and m.user_id = v_user_id) then
      perform referral_private.require_open_program(p_org_id, p_program_id);
      perform referral_private.recognise_user(v_user_id);
      insert into referral.members (org_id, user_id, admitted_by) values (p_org_id, v_user_id, v_user_id)
      on conflict on constraint members_pkey do nothing;
    end if;
    v_member := referral_private.ready_for_code(p_org_id, v_user_id);
    -- Under the lock: another connection of the same person may have been faster.
    select * into v_code from referral_private.get_active_code(p_org_id, null);
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
end
$$;

comment on function referral_private.get_or_create_code is
  'public: Returns the caller''s active code, or makes one. In a program with open enrolment the caller becomes a
member. A person who cannot enrol gets not_invited, whether or not the organisation and the program exist.

group: Have a code
org_id: the organisation
program_id: the default program unless given
callers: signed-in people
errors: not_signed_in, anonymous_user, member_deactivated, member_blocked, not_invited, program_not_found,
  program_inactive, active_in_other_program, too_many_codes, code_suspended, invalid_argument, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.get_or_create_code to authenticated;
