-- Who has used which code. Lists come newest first, in pages: `p_after` is the redemption that ended the page before.

-- Where a page begins: after this redemption.
create type referral_private.page_position as (redeemed_at timestamptz, redemption_id uuid);

-- The position after this redemption of the organisation, or, where a referrer is given, of theirs there; without one,
-- that of the first page. Raises `invalid_argument`.
create function referral_private.position_after(p_org_id uuid, p_after uuid, p_referrer_id uuid default null)
returns referral_private.page_position
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_position referral_private.page_position;
begin
  if p_after is null then
    return ('infinity', null)::referral_private.page_position;
  end if;
  select r.redeemed_at, r.id into v_position
  from referral.redemptions as r
  where r.org_id = p_org_id and r.id = p_after and (p_referrer_id is null or r.referrer_id = p_referrer_id);
  if not found then
    perform referral_private.raise_error('invalid_argument', 'after: the id of the last row of the page before');
  end if;
  return v_position;
end
$$;

create type referral.referral_summary as (
  redemption_id uuid,
  status referral.redemption_status,
  redeemed_at timestamptz,
  confirmed_at timestamptz,
  channel text
);

create function referral_private.my_referrals(p_org_id uuid, p_after uuid default null, p_page_size int default 100)
returns setof referral.referral_summary
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_position referral_private.page_position;
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id: required');
  end if;
  v_position := referral_private.position_after(p_org_id, p_after, v_user_id);
  return query
  select r.id, r.status, r.redeemed_at, r.confirmed_at, r.channel
  from referral.redemptions as r
  where r.referrer_id = v_user_id and r.org_id = p_org_id
    and (r.redeemed_at, r.id) < (v_position.redeemed_at, v_position.redemption_id)
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

comment on function referral_private.my_referrals is
  'public: Returns the caller''s referrals, newest first: redemption, status, times and channel, never who.

group: See referrals and earnings
org_id: the organisation
after: the last redemption of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
callers: signed-in people
errors: not_signed_in, anonymous_user, invalid_argument
timeout: 5s';

grant execute on function referral_private.my_referrals to authenticated;

create function referral_private.usage_for_code(p_code_id uuid, p_after uuid default null, p_page_size int default 100)
returns setof referral.redemptions
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_org_id uuid;
  v_position referral_private.page_position;
begin
  select c.org_id into v_org_id from referral.codes as c where c.id = p_code_id;
  if not coalesce(referral_private.acts_with_role(v_org_id, 'coordinator'), false) or v_org_id is null then
    perform referral_private.raise_error('code_not_found');
  end if;
  v_position := referral_private.position_after(v_org_id, p_after);
  return query
  select r.*
  from referral.redemptions as r
  where r.org_id = v_org_id and r.code_id = p_code_id
    and (r.redeemed_at, r.id) < (v_position.redeemed_at, v_position.redemption_id)
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

comment on function referral_private.usage_for_code is
  'public: Returns the redemptions of a code, newest first.

group: Manage redemptions
code_id: the code
after: the last redemption of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
callers: coordinators, admins and the operator
errors: code_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.usage_for_code to authenticated, service_role;

create function referral_private.usage_for_user(
  p_org_id uuid,
  p_user_id uuid,
  p_after uuid default null,
  p_page_size int default 100
)
returns setof referral.redemptions
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_position referral_private.page_position;
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  if p_user_id is null then
    perform referral_private.raise_error('invalid_argument', 'user_id: required');
  end if;
  v_position := referral_private.position_after(p_org_id, p_after);
  return query
  select r.*
  from referral.redemptions as r
  where r.org_id = p_org_id and r.referee_id = p_user_id
    and (r.redeemed_at, r.id) < (v_position.redeemed_at, v_position.redemption_id)
  order by r.redeemed_at desc, r.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

comment on function referral_private.usage_for_user is
  'public: Returns the redemptions that a person made in an organisation, newest first.

group: Manage redemptions
org_id: the organisation
user_id: the referee
after: the last redemption of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
callers: coordinators, admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.usage_for_user to authenticated, service_role;
