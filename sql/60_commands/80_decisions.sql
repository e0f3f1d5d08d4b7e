-- Staff decide on a redemption: they confirm it where nothing is paid through Stripe, or reject it. A decision is a
-- fact, with its actor and time; what payments say never overrides it.

create function referral_private.decide(p_redemption_id uuid, p_decision referral.decision, p_reason text)
returns referral.redemptions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_redemption referral.redemptions;
begin
  select * into v_redemption from referral.redemptions as r where r.id = p_redemption_id;
  if v_redemption.id is null or not referral_private.acts_with_role(v_redemption.org_id, 'coordinator') then
    perform referral_private.raise_error('redemption_not_found');
  end if;
  if auth.uid() in (v_redemption.referee_id, v_redemption.referrer_id) then
    perform referral_private.raise_error('not_allowed');
  end if;
  perform referral_private.lock_stripe_account_of(v_redemption.org_id);
  select * into strict v_redemption
  from referral.redemptions as r
  where r.org_id = v_redemption.org_id and r.id = p_redemption_id
  for no key update;

  if v_redemption.decision is not distinct from p_decision then
    return v_redemption;
  end if;
  if v_redemption.decision = 'rejected' then
    perform referral_private.raise_error('redemption_rejected');
  end if;
  update referral.redemptions as r
  set decision = p_decision, decided_at = clock_timestamp(), decided_by = auth.uid(), decision_reason = p_reason,
    status = p_decision::text::referral.redemption_status,
    confirmed_at = case when p_decision = 'confirmed' then coalesce(r.confirmed_at, clock_timestamp()) end
  where r.org_id = v_redemption.org_id and r.id = p_redemption_id
  returning * into v_redemption;
  perform referral_private.settle_user(
    referral_private.stripe_account_of(v_redemption.org_id), v_redemption.referee_id, 'decision on ' || v_redemption.id
  );
  return v_redemption;
end
$$;

create function referral_private.confirm_redemption(p_redemption_id uuid, p_reason text default null)
returns referral.redemptions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
begin
  return referral_private.decide(p_redemption_id, 'confirmed', p_reason);
end
$$;

comment on function referral_private.confirm_redemption is
  'public: Confirms a redemption by decision of staff, whatever was paid.

group: Manage redemptions
redemption_id: the redemption
reason: up to 500 characters, kept in the audit
callers: coordinators, admins and the operator, but nobody for a redemption or a referral of their own
errors: not_allowed, redemption_not_found, redemption_rejected, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.confirm_redemption to authenticated, service_role;

create function referral_private.reject_redemption(p_redemption_id uuid, p_reason text default null)
returns referral.redemptions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
begin
  return referral_private.decide(p_redemption_id, 'rejected', p_reason);
end
$$;

comment on function referral_private.reject_redemption is
  'public: Rejects a redemption for good; the person has still used their redemption in the program.

group: Manage redemptions
redemption_id: the redemption
reason: up to 500 characters, kept in the audit
callers: coordinators, admins and the operator, but nobody for a redemption or a referral of their own
errors: not_allowed, redemption_not_found, redemption_rejected, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.reject_redemption to authenticated, service_role;
