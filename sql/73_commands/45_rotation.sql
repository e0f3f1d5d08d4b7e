-- A referrer's active code ends: rotated into the next, or invalidated.

create function referral_private.rotate_code(
  p_org_id uuid,
  p_referrer_id uuid default null,
  p_code text default null,
  p_grace interval default null,
  p_reason text default null
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
  v_grace interval := coalesce(p_grace, interval '0');
  v_now timestamptz := clock_timestamp();
  v_new referral.codes;
  v_old_id uuid;
  v_member referral.members;
begin
  if p_code is not null then
    perform referral_private.ready_to_choose(p_org_id, array[referral_private.normalise_code(p_code)]);
  end if;
  perform referral_private.require_member(p_org_id, v_referrer_id);
  perform referral_private.share_stripe_account_of(p_org_id);
  v_member := referral_private.ready_for_code(p_org_id, v_referrer_id);
  if p_code is not null then
    -- The caller may have lost the role while this waited.
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  -- Compares times, not intervals: as an interval, 1000 years less 359,993 days equals a week.
  if referral_private.later(v_now, v_grace) not between v_now and (
    select referral_private.later(v_now, o.rotation_grace) from referral.organisations as o where o.id = p_org_id
  ) then
    perform referral_private.raise_error('invalid_argument', 'grace: up to rotation_grace of the organisation');
  end if;

  select * into v_new
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = v_referrer_id and c.status = 'active'
  for no key update;
  if not found then
    perform referral_private.raise_error('no_active_code');
  end if;
  perform referral_private.program_for_member(v_member, v_new.program_id);
  if v_grace <> interval '0' then
    perform referral_private.require_code_allowance(p_org_id, v_referrer_id);
  end if;

  -- What is left is inherited: program, expiry, beneficiary, description and the quota, which both codes share.
  v_old_id := v_new.id;
  v_new.id := gen_random_uuid();
  v_new.code := p_code;
  v_new.rotation := v_new.rotation + 1;
  v_new.chain_id := coalesce(v_new.chain_id, v_old_id);
  update referral.codes as c
  set status = 'rotated', replaced_by = v_new.id, ended_at = clock_timestamp(), ended_by = auth.uid(),
    redeemable_until = referral_private.later(clock_timestamp(), nullif(v_grace, interval '0')),
    reason = p_reason, updated_at = clock_timestamp()
  where c.id = v_old_id;
  return referral_private.insert_code(v_new);
exception
  when datetime_field_overflow then
    perform referral_private.raise_error('invalid_argument', 'grace: up to rotation_grace of the organisation');
end
$$;

comment on function referral_private.rotate_code is
  'public: Retires the active code of a referrer and issues the next, in one step. The new code inherits program,
expiry, description and remaining uses. The old one stays redeemable for the grace period, and counts as one of the
member''s codes until then. Members rotate their own code up to rotations_per_day times within 24 hours; a code that
was ended and created anew counts, too. For staff who act for a member there is no such limit.

group: Have a code
org_id: the organisation
referrer_id: the caller unless given
code: the text of the new code, for staff; drawn unless given
grace: an interval from 0 to the organisation''s rotation_grace; 0 unless given
reason: one line of up to 500 characters, kept in the audit
callers: the referrer; coordinators, admins and the operator for any member
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, member_deactivated, member_blocked, not_invited,
  organisation_not_found, member_not_found, program_not_found, no_active_code, program_inactive, too_many_codes,
  code_suspended, code_taken, code_reserved, code_looks_alike, invalid_argument, invalid_code, rate_limited, busy
timeout: 10s';

grant execute on function referral_private.rotate_code to authenticated, service_role;

create function referral_private.deactivate_code(
  p_org_id uuid,
  p_referrer_id uuid default null,
  p_reason text default null
)
returns setof referral.codes
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
begin
  -- Before the lock, by whose wait a stranger would learn that the organisation exists.
  perform referral_private.require_member(p_org_id, v_referrer_id);
  perform referral_private.share_stripe_account_of(p_org_id);
  perform referral_private.lock_member(p_org_id, v_referrer_id);
  return query select c.* from referral_private.end_codes_of(p_org_id, v_referrer_id, '{active}', p_reason) as c;
end
$$;

comment on function referral_private.deactivate_code is
  'public: Ends the active code of a referrer for good, and the grace of earlier ones. No active code is not an error:
no row.

group: Have a code
org_id: the organisation
referrer_id: the caller unless given
reason: one line of up to 500 characters, kept in the audit
callers: the referrer; coordinators, admins and the operator for any member
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
  invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.deactivate_code to authenticated, service_role;
