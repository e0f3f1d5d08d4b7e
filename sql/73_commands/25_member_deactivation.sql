-- A member loses their rights, and gets them back.

-- Locks a member as `lock_member_to_manage` does, and the Stripe account before, which is returned: where the member is
-- blocked or unblocked (`p_settles`), for this alone; where codes end (`p_ends_codes`) it is shared, as purchases that
-- carry them may be under way.
create function referral_private.lock_member_to_block(
  p_org_id uuid,
  p_user_id uuid,
  p_settles boolean,
  p_ends_codes boolean
)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_settles and p_user_id = auth.uid() then
    perform referral_private.raise_error(
      'not_allowed', 'you decide on yourself: ask somebody else, or the operator'
    );
  end if;
  if p_settles then
    v_stripe_account := referral_private.lock_drained_account_of(p_org_id);
  elsif p_ends_codes then
    perform referral_private.share_stripe_account_of(p_org_id);
  end if;
  perform referral_private.lock_member_to_manage(p_org_id, p_user_id);
  return v_stripe_account;
end
$$;

create function referral_private.deactivate_member(
  p_org_id uuid,
  p_user_id uuid,
  p_reason text default null,
  p_block boolean default false
)
returns referral.members
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text := referral_private.lock_member_to_block(p_org_id, p_user_id, p_block, true);
  v_member referral.members;
begin
  select * into strict v_member from referral.members as m where m.org_id = p_org_id and m.user_id = p_user_id;
  perform referral_private.require_other_admin(v_member);
  update referral.members as m
  set deactivated_at = coalesce(m.deactivated_at, clock_timestamp()), reason = p_reason,
    blocked_at = case when p_block then coalesce(m.blocked_at, clock_timestamp()) else m.blocked_at end
  where m.org_id = p_org_id and m.user_id = p_user_id
  returning * into v_member;
  perform referral_private.end_codes_of(p_org_id, p_user_id, '{active,suspended}', p_reason);
  if p_block then
    perform referral_private.forfeit_by_block(v_stripe_account, p_org_id, p_user_id, null, p_reason);
  end if;
  return v_member;
end
$$;

comment on function referral_private.deactivate_member is
  'public: Takes a member''s rights and ends their codes. What was redeemed before still earns for them, unless block is
true.

group: Manage members
org_id: the organisation
user_id: the member
reason: one line of up to 500 characters, kept in the audit
block: true: the member gets no code again, and what is paid from now on earns nothing for them, and by their codes
  nothing for others; nobody blocks themself
callers: coordinators for members; admins and the operator for anyone but the last admin; with block nobody who
  earns more by it, now or once what waits is settled
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
  last_admin, invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.deactivate_member to authenticated, service_role;

create function referral_private.reactivate_member(
  p_org_id uuid,
  p_user_id uuid,
  p_unblock boolean default false,
  p_reason text default null
)
returns referral.members
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text := referral_private.lock_member_to_block(
    p_org_id, p_user_id, p_unblock, false
  );
  v_member referral.members;
begin
  if p_unblock then
    perform referral_private.require_role(p_org_id, 'admin');
  end if;
  update referral.members as m
  set deactivated_at = null, blocked_at = case when not p_unblock then m.blocked_at end, reason = p_reason
  where m.org_id = p_org_id and m.user_id = p_user_id
  returning * into v_member;
  if p_unblock then
    perform referral_private.end_forfeits_by_block(v_stripe_account, p_org_id, p_user_id);
  end if;
  return v_member;
end
$$;

comment on function referral_private.reactivate_member is
  'public: Gives a deactivated member their role back; ended codes stay ended.

group: Manage members
org_id: the organisation
user_id: the member
unblock: true, for admins: the member may have codes again, and what is paid from now on earns again; nobody unblocks
  themself, a member with a code that benefits them or was made by them, or where they earn more by it, now or once
  what waits is settled
reason: one line of up to 500 characters, kept in the audit
callers: coordinators for members; admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, member_not_found,
  invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.reactivate_member to authenticated, service_role;
