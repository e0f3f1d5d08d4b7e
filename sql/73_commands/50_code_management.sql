-- What staff do with a code: suspend, reactivate, end. Codes are named by id, so that campaign codes and codes in
-- their grace period can be reached too.

-- Locks a code for staff: the Stripe account is shared first, as purchases that carry the code may be under way, then
-- the referrer's member row is locked, then the code. Raises `code_not_found` for everyone else.
create function referral_private.lock_code_for_staff(p_code_id uuid)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.id = p_code_id;
  if v_code.id is null or not referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    perform referral_private.raise_error('code_not_found');
  end if;
  perform referral_private.share_stripe_account_of(v_code.org_id);
  if v_code.referrer_id is not null then
    perform referral_private.lock_member(v_code.org_id, v_code.referrer_id);
  end if;
  perform referral_private.expire(array[p_code_id]);
  select * into strict v_code from referral.codes as c where c.id = p_code_id for no key update;
  -- The caller may have lost the role while this waited.
  if not referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    perform referral_private.raise_error('code_not_found');
  end if;
  return v_code;
end
$$;

-- Gives a code that is in use this status: active or suspended. The code is locked. Raises `code_ended`.
create function referral_private.set_code_status(p_code referral.codes, p_status referral.code_status, p_reason text)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_code.status not in ('active', 'suspended') then
    perform referral_private.raise_error('code_ended', p_code.status::text);
  end if;
  if p_code.status <> p_status then
    update referral.codes as c
    set status = p_status, reason = p_reason, updated_at = clock_timestamp()
    where c.id = p_code.id
    returning * into p_code;
  end if;
  return p_code;
end
$$;

create function referral_private.suspend_code(p_code_id uuid, p_reason text default null)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_code referral.codes := referral_private.lock_code_for_staff(p_code_id);
begin
  v_code := referral_private.set_code_status(v_code, 'suspended', p_reason);
  perform referral_private.end_grace_of(v_code.org_id, v_code.referrer_id, p_reason);
  return v_code;
end
$$;

comment on function referral_private.suspend_code is
  'public: Suspends an active code: it cannot be redeemed, and its referrer gets no other code. The grace of the
referrer''s earlier codes ends for good. What was redeemed before still earns.

group: Manage codes
code_id: the code
reason: one line of up to 500 characters, kept in the audit
callers: coordinators, admins and the operator
errors: not_a_member, not_allowed, code_not_found, code_ended, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.suspend_code to authenticated, service_role;

create function referral_private.reactivate_code(p_code_id uuid, p_reason text default null)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
begin
  return referral_private.set_code_status(referral_private.lock_code_for_staff(p_code_id), 'active', p_reason);
end
$$;

comment on function referral_private.reactivate_code is
  'public: Makes a suspended code active again.

group: Manage codes
code_id: the code
reason: one line of up to 500 characters, kept in the audit
callers: coordinators, admins and the operator
errors: not_a_member, not_allowed, code_not_found, code_ended, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.reactivate_code to authenticated, service_role;

-- Locks the Stripe account of a code that staff end with `block`. Raises `code_not_found`.
create function referral_private.lock_to_block(p_code_id uuid)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.id = p_code_id;
  if v_code.id is null or not referral_private.acts_with_role(v_code.org_id, 'coordinator') then
    perform referral_private.raise_error('code_not_found');
  end if;
  return referral_private.lock_stripe_account_of(v_code.org_id);
end
$$;

-- An ended code is returned as it is; one in its grace loses that.
create function referral_private.end_code(p_code_id uuid, p_reason text default null, p_block boolean default false)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text := case when p_block then referral_private.lock_to_block(p_code_id) end;
  v_code referral.codes := referral_private.lock_code_for_staff(p_code_id);
begin
  if p_block then
    perform referral_private.require_role_over(v_code.org_id, array[v_code.referrer_id, v_code.beneficiary_id]);
    perform referral_private.require_no_interest_in(
      referral_private.codes_of_chain(v_code.org_id, referral_private.chain_of(p_code_id))
    );
    update referral.members as m
    set blocked_at = coalesce(m.blocked_at, clock_timestamp()), reason = p_reason
    where m.org_id = v_code.org_id and m.user_id = v_code.referrer_id;
  end if;
  if v_code.status in ('active', 'suspended') then
    perform referral_private.end_grace_of(v_code.org_id, v_code.referrer_id, p_reason);
    perform referral_private.invalidate(array[p_code_id], p_reason);
  else
    perform referral_private.end_grace(array[p_code_id], p_reason);
  end if;
  if p_block then
    perform referral_private.forfeit_by_block(
      v_stripe_account, v_code.org_id, v_code.referrer_id,
      case when v_code.referrer_id is null then referral_private.chain_of(p_code_id) end, p_reason
    );
  end if;
  select * into strict v_code from referral.codes as c where c.id = p_code_id;
  return v_code;
end
$$;

comment on function referral_private.end_code is
  'public: Ends any code for good, campaign codes included, and the grace of the referrer''s earlier ones. An ended code
is returned as it is. What was redeemed before still earns, unless block is true.

group: Manage codes
code_id: the code
reason: one line of up to 500 characters, kept in the audit
block: true: the referrer gets no code again, and what is paid from now on earns nothing for them, and by their codes
  nothing for others; of a campaign code: by this code nobody
callers: coordinators, admins and the operator; with block, who may forfeit_from the code
errors: not_a_member, not_allowed, code_not_found, invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.end_code to authenticated, service_role;
