-- Staff reject a referral by its person or its payer: guests and codes in payments have no redemption to reject.

create function referral_private.reject_referral(
  p_org_id uuid,
  p_program_id uuid,
  p_person_id uuid default null,
  p_payer_id text default null,
  p_reason text default null
)
returns referral.decisions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if num_nonnulls(p_person_id, p_payer_id) <> 1 then
    perform referral_private.raise_error('invalid_argument', 'person_id, payer_id: one of the two');
  end if;
  if length(p_payer_id) not between 1 and 500 then
    perform referral_private.raise_error('invalid_argument', 'payer_id: 1 to 500 characters');
  end if;
  if not exists (select from referral.programs as p where p.org_id = p_org_id and p.id = p_program_id) then
    perform referral_private.raise_error('program_not_found');
  end if;
  v_stripe_account := referral_private.lock_drained_account_of(p_org_id);
  perform referral_private.require_role(p_org_id, 'coordinator');
  return referral_private.state_rejection(
    v_stripe_account, p_org_id, p_program_id, p_person_id, p_payer_id, null, p_reason
  );
end
$$;

comment on function referral_private.reject_referral is
  'public: Rejects a referral until the decision is withdrawn: what the person buys, what the payers buy that the
referral has now, and what redemptions of the person win, earns nobody anything in the program. A redemption of the
person is rejected too, also a later one.

group: Manage redemptions
org_id: the organisation
program_id: the program
person_id: whose referral it is; either this or payer_id
payer_id: a customer of Stripe, or the invoice or payment of a guest
reason: one line of up to 500 characters, kept in the audit
callers: coordinators, admins and the operator, but nobody for a referral of their own, of a code that is theirs,
  benefits them or was made by them, or where they earn more by it, now or once what waits is settled
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, program_not_found,
  invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.reject_referral to authenticated, service_role;
