-- Staff end what somebody earns from a time on: a member, or a code with all that it was rotated from or into.

-- The code of the organisation. Raises `code_not_found`.
create function referral_private.code_to_forfeit(p_org_id uuid, p_code_id uuid)
returns referral.codes
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes;
begin
  select * into v_code from referral.codes as c where c.org_id = p_org_id and c.id = p_code_id;
  if not found then
    perform referral_private.raise_error('code_not_found');
  end if;
  return v_code;
end
$$;

create function referral_private.forfeit_from(
  p_org_id uuid,
  p_member_id uuid default null,
  p_code_id uuid default null,
  p_since timestamptz default null,
  p_until timestamptz default null,
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
  v_code referral.codes;
  v_decision referral.decisions;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if num_nonnulls(p_member_id, p_code_id) <> 1 then
    perform referral_private.raise_error('invalid_argument', 'member_id, code_id: one of the two');
  end if;
  if p_code_id is not null then
    v_code := referral_private.code_to_forfeit(p_org_id, p_code_id);
  elsif not exists (select from referral.members as m where m.org_id = p_org_id and m.user_id = p_member_id) then
    perform referral_private.raise_error('member_not_found');
  end if;
  v_stripe_account := referral_private.lock_drained_account_of(p_org_id);
  perform referral_private.require_role_over(
    p_org_id, array[p_member_id, v_code.referrer_id, v_code.beneficiary_id]
  );
  insert into referral.decisions (org_id, kind, member_id, chain_id, since, until, reason, decided_by)
  values (
    p_org_id, 'forfeit', p_member_id, referral_private.chain_of(v_code.id),
    date_trunc('second', coalesce(p_since, clock_timestamp())), date_trunc('second', p_until), p_reason, auth.uid()
  )
  returning * into v_decision;
  perform referral_private.require_no_interest(v_stripe_account, v_decision);
  perform referral_private.settle_decision(v_stripe_account, v_decision);
  return v_decision;
end
$$;

comment on function referral_private.forfeit_from is
  'public: Ends what sales earn that are paid from a time on: those that a member earns or that their codes earn for
others, or those of a code and of all codes that it was rotated from or into. Nobody else earns them instead, except
where it is from before the first sale that the code could have won.

group: Manage redemptions
org_id: the organisation
member_id: the member; either this or code_id
code_id: the code, of any status
since: from when, past or future; now unless given; rounded down to a second
until: before when, later than since; for ever unless given; rounded down to a second
reason: one line of up to 500 characters, kept in the audit
callers: coordinators for members; admins and the operator for anyone; but nobody for themself, for a code that is
  theirs, benefits them or was made by them, or where they earn more by it, now or once what waits is settled
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
  code_not_found, invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.forfeit_from to authenticated, service_role;
