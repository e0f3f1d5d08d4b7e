-- Staff decide on redemptions and referrals: they confirm a redemption where nothing is paid through Stripe, or reject
-- it, or a referral that has none. What payments say never overrides it.

-- The person of a payer, in one mode, if they have a referral in the program: who pays other organisations on the
-- Stripe account is not named.
create function referral_private.person_to_reject(
  p_stripe_account text,
  p_livemode boolean,
  p_program_id uuid,
  p_payer_id text
)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_referral referral_private.referral_payers := referral_private.referral_of(
    p_stripe_account, p_livemode, null, p_payer_id
  );
begin
  return (
    select v_referral.person
    where exists (
      select from referral.redemptions as r
      where r.referee_id = v_referral.person and r.program_id = p_program_id
    ) or cardinality(referral_private.codes_carried(
      p_stripe_account, p_livemode, p_program_id, v_referral.payer_ids
    )) > 0
  );
end
$$;

-- States that a referral is rejected, and writes down every payer that it has now, in both modes.
create function referral_private.state_rejection(
  p_stripe_account text,
  p_org_id uuid,
  p_program_id uuid,
  p_person_id uuid,
  p_payer_id text,
  p_redemption_id uuid,
  p_reason text
)
returns referral.decisions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_person_id uuid := coalesce(
    p_person_id, referral_private.person_to_reject(p_stripe_account, true, p_program_id, p_payer_id),
    referral_private.person_to_reject(p_stripe_account, false, p_program_id, p_payer_id)
  );
  v_decision referral.decisions;
begin
  insert into referral.decisions (org_id, kind, program_id, person_id, redemption_id, reason, decided_by)
  values (p_org_id, 'reject', p_program_id, v_person_id, p_redemption_id, p_reason, auth.uid())
  returning * into v_decision;
  insert into referral_private.decision_payers (org_id, decision_id, stripe_account, livemode, payer_id)
  select p_org_id, v_decision.id, p_stripe_account, livemode, payer_id
  from unnest('{true,false}'::boolean[]) as livemode
  cross join unnest(
    (referral_private.referral_of(p_stripe_account, livemode, v_person_id, p_payer_id)).payer_ids
  ) as payer_id;
  perform referral_private.require_no_interest(p_stripe_account, v_decision);
  perform referral_private.settle_decision(p_stripe_account, v_decision);
  return v_decision;
end
$$;

-- The redemption, under the Stripe account lock, for staff. Raises `redemption_not_found` for everyone else, and what
-- `require_role` raises if the caller has lost their role meanwhile.
create function referral_private.lock_redemption_for_staff(p_redemption_id uuid)
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
  perform referral_private.lock_drained_account_of(v_redemption.org_id);
  perform referral_private.require_role(v_redemption.org_id, 'coordinator');
  select * into strict v_redemption
  from referral.redemptions as r
  where r.org_id = v_redemption.org_id and r.id = p_redemption_id
  for no key update;
  return v_redemption;
end
$$;

-- Is there a decision of this kind on the redemption itself that stands?
create function referral_private.is_decided(p_redemption referral.redemptions, p_kind referral.decision_kind)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral.decisions as d
    where d.org_id = p_redemption.org_id and d.redemption_id = p_redemption.id and d.kind = p_kind
      and d.withdrawn_at is null
  );
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
declare
  v_redemption referral.redemptions := referral_private.lock_redemption_for_staff(p_redemption_id);
  v_stripe_account text := referral_private.stripe_account_of(v_redemption.org_id);
  v_decision referral.decisions;
begin
  if v_redemption.decision = 'rejected' then
    perform referral_private.raise_error('redemption_rejected');
  end if;
  if not referral_private.is_decided(v_redemption, 'confirm') then
    insert into referral.decisions (org_id, kind, program_id, person_id, redemption_id, reason, decided_by)
    values (
      v_redemption.org_id, 'confirm', v_redemption.program_id, v_redemption.referee_id, v_redemption.id, p_reason,
      auth.uid()
    )
    returning * into v_decision;
    perform referral_private.require_no_interest(v_stripe_account, v_decision);
    perform referral_private.settle_decision(v_stripe_account, v_decision);
  end if;
  select * into strict v_redemption
  from referral.redemptions as r
  where r.org_id = v_redemption.org_id and r.id = v_redemption.id;
  return v_redemption;
end
$$;

comment on function referral_private.confirm_redemption is
  'public: Confirms a redemption by decision of staff, whatever was paid. That earns nothing by itself. The conversion
window no longer limits which sales the redemption wins.

group: Manage redemptions
redemption_id: the redemption
reason: one line of up to 500 characters, kept in the audit
callers: coordinators, admins and the operator, but nobody for a redemption of their own, of a code that is theirs,
  benefits them or was made by them, or where they earn more by it, now or once what waits is settled
errors: not_a_member, not_allowed, redemption_not_found, redemption_rejected, invalid_argument, busy
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
declare
  v_redemption referral.redemptions := referral_private.lock_redemption_for_staff(p_redemption_id);
begin
  if not referral_private.is_decided(v_redemption, 'reject') then
    perform referral_private.state_rejection(
      referral_private.stripe_account_of(v_redemption.org_id), v_redemption.org_id, v_redemption.program_id,
      v_redemption.referee_id, null, v_redemption.id, p_reason
    );
  end if;
  select * into strict v_redemption
  from referral.redemptions as r
  where r.org_id = v_redemption.org_id and r.id = v_redemption.id;
  return v_redemption;
end
$$;

comment on function referral_private.reject_redemption is
  'public: Rejects a redemption and its referral, as reject_referral does for the referee, until the decision is
withdrawn. The person has still used their redemption in the program.

group: Manage redemptions
redemption_id: the redemption
reason: one line of up to 500 characters, kept in the audit
callers: coordinators, admins and the operator, but nobody for a redemption of their own, for a referral of a code
  that is theirs, benefits them or was made by them, or where they earn more by it, now or once what waits is settled
errors: not_a_member, not_allowed, redemption_not_found, invalid_argument, busy
timeout: 10s';

grant execute on function referral_private.reject_redemption to authenticated, service_role;
