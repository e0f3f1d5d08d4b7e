-- How a code ends: rotated into a new one, deactivated, or past its time.
create function referral_private.rotate_code(
  p_org_id uuid,
  p_referrer_id uuid,
  p_code text,
  p_grace interval,
  p_reason text
)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
  v_grace interval := coalesce(p_grace, interval '0');
  v_now timestamptz := clock_timestamp();
  v_new referral.codes;
  v_old_id uuid;
  v_member referral.members;
  v_violated text;
begin
  if p_code is not null then
    perform referral_private.require_role(p_org_id, 'coordinator');
  end if;
  v_member := referral_private.ready_for_code(p_org_id, v_referrer_id);
  -- Instants are compared: as intervals, 1000 years less 359,993 days are a week.
  if v_now + v_grace < v_now
    or v_now + v_grace > (select v_now + o.rotation_grace from referral.organisations as o where o.id = p_org_id)
  then
    perform referral_private.raise_error('invalid_argument', 'grace');
  end if;

  select * into v_new
  from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = v_referrer_id and c.status = 'active'
  for no key update;
  if not found then
    perform referral_private.raise_error('no_active_code');
  end if;
  perform referral_private.program_for_member(v_member, v_new.program_id);

  -- What is left is inherited: program, expiry, beneficiary, description and the quota, which both codes share.
  v_old_id := v_new.id;
  v_new.id := gen_random_uuid();
  v_new.code := p_code;
  v_new.rotation := v_new.rotation + 1;
  update referral.codes as c
  set status = 'rotated', replaced_by = v_new.id, deactivated_at = clock_timestamp(), deactivated_by = auth.uid(),
    reason = p_reason, redeemable_until = clock_timestamp() + nullif(v_grace, interval '0'), updated_at = clock_timestamp()
  where c.id = v_old_id;
  return referral_private.insert_code(v_new);
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when datetime_field_overflow then
    perform referral_private.raise_error('invalid_argument', 'grace');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.rotate_code from public;

grant execute on function referral_private.rotate_code to authenticated, service_role;

-- Ends the grace of a referrer's rotated codes. The member row is locked. The codes are locked first: the time of the
-- end is taken after a redemption under way is done.
create function referral_private.end_grace_of(p_org_id uuid, p_referrer_id uuid, p_reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform from referral.codes as c
  where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.redeemable_until > clock_timestamp()
  for no key update;
  update referral.codes as c
  set redeemable_until = clock_timestamp(), deactivated_by = auth.uid(), reason = p_reason, updated_at = clock_timestamp()
  where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.redeemable_until > clock_timestamp();
end
$$;

revoke execute on function referral_private.end_grace_of from public;

-- Ends a referrer's codes of these statuses, and every grace, and answers the last that ended. The member row is locked.
create function referral_private.end_codes_of(
  p_org_id uuid,
  p_referrer_id uuid,
  p_statuses referral.code_status[],
  p_reason text
)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_code referral.codes;
begin
  perform referral_private.expire_codes_of(p_org_id, p_referrer_id);
  perform referral_private.end_grace_of(p_org_id, p_referrer_id, p_reason);
  for v_code in
    select * from referral.codes as c
    where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.status = any (p_statuses)
    for no key update
  loop
    update referral.codes as c
    set status = 'invalidated', deactivated_at = clock_timestamp(), deactivated_by = auth.uid(), reason = p_reason,
      updated_at = clock_timestamp()
    where c.id = v_code.id
    returning * into v_code;
  end loop;
  return v_code;
end
$$;

revoke execute on function referral_private.end_codes_of from public;

create function referral_private.deactivate_code(p_org_id uuid, p_referrer_id uuid, p_reason text)
returns referral.codes
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_referrer_id uuid := referral_private.acting_for(p_org_id, p_referrer_id);
  v_code referral.codes;
  v_violated text;
begin
  perform referral_private.lock_member(p_org_id, v_referrer_id);
  v_code := referral_private.end_codes_of(p_org_id, v_referrer_id, '{active}', p_reason);
  return v_code;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.deactivate_code from public;

grant execute on function referral_private.deactivate_code to authenticated, service_role;

-- Ends codes that are past their time, at most `p_limit`: for pg_cron or any scheduler, which calls again while the
-- answer is the limit. Rows that others hold are left for the next time.
create function referral_private.expire_codes(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_expired int;
begin
  update referral.codes as c
  set status = 'expired', deactivated_at = c.expires_at, reason = null, updated_at = clock_timestamp()
  from (
    select d.id from referral.codes as d
    where d.status in ('active', 'suspended') and d.expires_at <= clock_timestamp()
    order by d.expires_at
    limit greatest(p_limit, 0)
    for no key update skip locked
  ) as due
  where c.id = due.id;
  get diagnostics v_expired = row_count;
  return v_expired;
end
$$;

revoke execute on function referral_private.expire_codes from public;

grant execute on function referral_private.expire_codes to service_role;
