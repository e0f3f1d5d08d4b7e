-- A decision is withdrawn: it counts as never made. Others on the same subject stay.

create function referral_private.withdraw_decision(p_decision_id uuid, p_reason text default null)
returns referral.decisions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_decision referral.decisions;
  v_stripe_account text;
begin
  select * into v_decision from referral.decisions as d where d.id = p_decision_id;
  if v_decision.id is null or not referral_private.acts_with_role(v_decision.org_id, 'coordinator') then
    perform referral_private.raise_error('decision_not_found');
  end if;
  perform referral_private.require_role(v_decision.org_id, 'admin');
  v_stripe_account := referral_private.lock_drained_account_of(v_decision.org_id);
  perform referral_private.require_role(v_decision.org_id, 'admin');
  perform referral_private.require_no_interest(v_stripe_account, v_decision);
  update referral.decisions as d
  set withdrawn_at = clock_timestamp(), withdrawn_by = auth.uid(), withdrawal_reason = p_reason
  where d.org_id = v_decision.org_id and d.id = p_decision_id and d.withdrawn_at is null
  returning * into v_decision;
  if found then
    perform referral_private.settle_decision(v_stripe_account, v_decision);
  else
    select * into strict v_decision from referral.decisions as d where d.id = p_decision_id;
  end if;
  return v_decision;
end
$$;

comment on function referral_private.withdraw_decision is
  'public: Withdraws a decision, which then counts as never made. Other decisions on the same subject stay. A withdrawn
decision is returned as it is.

group: Manage redemptions
decision_id: the decision
reason: one line of up to 500 characters, kept in the audit
callers: admins and the operator, but nobody for a decision on themself, on a code that is theirs, benefits them or
  was made by them, also if that became known later, or where they earn more by it, now or once what waits is settled
errors: not_a_member, not_allowed, decision_not_found, invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.withdraw_decision to authenticated, service_role;
