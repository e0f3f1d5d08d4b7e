-- Staff decide on a redemption: confirm it where nothing is paid through Stripe, or reject it. A decision is a fact,
-- with its actor and time; what payments say never overrides it.

create function referral_private.decide(p_redemption_id uuid, p_decision referral.decision, p_reason text)
returns referral.redemptions
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_redemption referral.redemptions;
  v_violated text;
begin
  select * into v_redemption from referral.redemptions as r where r.id = p_redemption_id;
  if v_redemption.id is null or not referral_private.acts_with_role(v_redemption.org_id, 'coordinator') then
    perform referral_private.raise_error('redemption_not_found');
  end if;
  if auth.uid() in (v_redemption.referee_id, v_redemption.referrer_id) then
    perform referral_private.raise_error('not_allowed');
  end if;
  perform referral_private.lock_account_of(v_redemption.org_id);
  select * into strict v_redemption
  from referral.redemptions as r
  where r.org_id = v_redemption.org_id and r.id = p_redemption_id
  for no key update;

  if v_redemption.decision is not distinct from p_decision then
    return v_redemption;
  end if;
  if v_redemption.decision = 'rejected' then
    perform referral_private.raise_error('redemption_final');
  end if;
  update referral.redemptions as r
  set decision = p_decision, decided_at = clock_timestamp(), decided_by = auth.uid(), decision_reason = p_reason,
    status = p_decision::text::referral.redemption_status,
    confirmed_at = case when p_decision = 'confirmed' then coalesce(r.confirmed_at, clock_timestamp()) end
  where r.org_id = v_redemption.org_id and r.id = p_redemption_id
  returning * into v_redemption;
  perform referral_private.settle_user(
    referral_private.account_of(v_redemption.org_id), v_redemption.referee_id, 'decision on ' || v_redemption.id
  );
  return v_redemption;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.decide from public;

grant execute on function referral_private.decide to authenticated, service_role;

-- Marks pending redemptions whose conversion window is over, at most `p_limit`. Never final: a sale inside the window
-- that is delivered late still confirms.
create function referral_private.expire_redemptions(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_expired int;
begin
  update referral.redemptions as r
  set status = 'expired'
  from (
    select d.org_id, d.id
    from referral.redemptions as d
    join referral.program_terms as t on t.org_id = d.org_id and t.program_id = d.program_id and t.version = d.terms_version
    where d.status = 'pending'
      and d.redeemed_at + make_interval(days => (t.terms ->> 'conversion_window_days')::int) < clock_timestamp()
    order by d.redeemed_at
    limit greatest(p_limit, 0)
    for no key update of d skip locked
  ) as due
  where r.org_id = due.org_id and r.id = due.id;
  get diagnostics v_expired = row_count;
  return v_expired;
end
$$;

revoke execute on function referral_private.expire_redemptions from public;

grant execute on function referral_private.expire_redemptions to service_role;
