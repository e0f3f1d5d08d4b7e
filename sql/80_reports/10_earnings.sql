-- What earners have, and what the organisation owes.

-- The mode that an organisation's balances are of: live, once there is anything live; test before that.
create function referral_private.mode_of(p_org_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from referral_private.ledger_accounts as a where a.org_id = p_org_id and a.livemode);
end
$$;

create type referral.liability as (
  earner_id uuid,
  currency text,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward bigint
);

-- The balances of one earner, or of all, in an organisation. `owed` is the amount by which `available` is below zero:
-- money can be reversed after it was paid out.
create function referral_private.balances_of(p_org_id uuid, p_earner_id uuid)
returns setof referral.liability
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select a.earner_id, a.currency,
    coalesce(sum(a.balance) filter (where a.kind = 'pending'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'available'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'in_transit'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'paid'), 0)::bigint,
    greatest(0, -coalesce(sum(a.balance) filter (where a.kind = 'available'), 0))::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'reward'), 0)::bigint
  from referral_private.ledger_accounts as a
  where a.org_id = p_org_id and a.livemode = referral_private.mode_of(p_org_id) and a.kind <> 'expense'
    and (p_earner_id is null or a.earner_id = p_earner_id)
  group by a.earner_id, a.currency
  order by a.earner_id, a.currency;
end
$$;

create type referral.earnings as (
  currency text,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint
);

create function referral_private.my_earnings(p_org_id uuid, p_earner_id uuid default null)
returns setof referral.earnings
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_earner_id uuid := referral_private.acting_for(p_org_id, p_earner_id, 'earner_id');
begin
  return query
  select b.currency, b.pending, b.available, b.in_transit, b.paid, b.owed
  from referral_private.balances_of(p_org_id, v_earner_id) as b;
end
$$;

comment on function referral_private.my_earnings is
  'public: Returns what an earner has, per currency in minor units: pending (on hold), available, in_transit, paid; owed
is what they owe after money was reversed.

group: See referrals and earnings
org_id: the organisation
earner_id: the caller unless given
callers: the earner; coordinators, admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.my_earnings to authenticated, service_role;

create function referral_private.org_liabilities(p_org_id uuid)
returns setof referral.liability
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.require_role(p_org_id, 'admin');
  return query select b.* from referral_private.balances_of(p_org_id, null) as b;
end
$$;

comment on function referral_private.org_liabilities is
  'public: Returns what the organisation owes each earner, and each referee (reward), per currency in minor units.

group: See referrals and earnings
org_id: the organisation
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 10s';

grant execute on function referral_private.org_liabilities to authenticated, service_role;
