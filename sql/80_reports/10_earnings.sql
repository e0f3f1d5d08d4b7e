-- What earners have, and what the organisation owes. Test mode and live mode are rows of their own.

-- Whose money the caller reads: their own, or, as an admin or the operator, anyone's in the organisation. Coordinators
-- manage codes and members, and read no money of others. Raises `not_signed_in`, `anonymous_user`, `not_a_member`,
-- `not_allowed`, `organisation_not_found`.
create function referral_private.earner_to_read(p_org_id uuid, p_earner_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_earner_id is distinct from auth.uid() and p_earner_id is not null then
    perform referral_private.require_role(p_org_id, 'admin');
  end if;
  return referral_private.acting_for(p_org_id, p_earner_id, 'earner_id');
end
$$;

create type referral.liability as (
  earner_id uuid,
  currency text,
  livemode boolean,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward_pending bigint,
  reward_available bigint
);

-- What these accounts hold, per earner, currency and mode. `owed` is the amount by which `available` is below zero:
-- money can be reversed after it was paid out.
create function referral_private.balances_in(p_accounts referral_private.ledger_accounts[])
returns setof referral.liability
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select a.earner_id, a.currency, a.livemode,
    coalesce(sum(a.balance) filter (where a.kind = 'pending'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'available'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'in_transit'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'paid'), 0)::bigint,
    greatest(0, -coalesce(sum(a.balance) filter (where a.kind = 'available'), 0))::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'reward_pending'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'reward_available'), 0)::bigint
  from unnest(p_accounts) as a
  group by a.earner_id, a.currency, a.livemode
  order by a.earner_id, a.currency, a.livemode;
end
$$;

create type referral.earnings as (
  currency text,
  livemode boolean,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward_pending bigint,
  reward_available bigint,
  settlement_pending boolean
);

create function referral_private.my_earnings(
  p_org_id uuid,
  p_earner_id uuid default null,
  p_livemode boolean default null
)
returns setof referral.earnings
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_earner_id uuid := referral_private.earner_to_read(p_org_id, p_earner_id);
begin
  return query
  select b.currency, b.livemode, b.pending, b.available, b.in_transit, b.paid, b.owed, b.reward_pending,
    b.reward_available, referral_private.is_settlement_pending(p_org_id, b.livemode)
  from referral_private.balances_in(array(
    select a from referral_private.ledger_accounts as a
    where a.org_id = p_org_id and a.earner_id = v_earner_id and (p_livemode is null or a.livemode = p_livemode)
  )) as b;
end
$$;

comment on function referral_private.my_earnings is
  'public: Returns what a person has, per currency in minor units and per mode: commissions that are pending (on hold),
available, in_transit, paid; owed is what they owe after money was reversed; the rewards that they got as a referee are
reward_pending (on hold) and reward_available. settlement_pending: something waits to be settled, and amounts can still
change. Who never had an amount in a mode has no row of it, also while the first sale waits. in_transit and paid
are 0, because payouts are not recorded yet.

group: See referrals and earnings
org_id: the organisation
earner_id: the caller unless given
livemode: true for live money, false for that of test mode; both unless given
callers: the person; admins and the operator for anyone
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 5s';

grant execute on function referral_private.my_earnings to authenticated, service_role;

-- The row that a page comes after. Raises `invalid_argument`.
create function referral_private.liability_of(p_after jsonb)
returns referral.liability
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_after referral.liability;
begin
  if p_after is null then
    return null;
  end if;
  v_after := jsonb_populate_record(null::referral.liability, p_after);
  if num_nulls(v_after.earner_id, v_after.currency, v_after.livemode) > 0 then
    perform referral_private.raise_error('invalid_argument', 'after: the last row of the page before');
  end if;
  return v_after;
exception
  when data_exception then
    perform referral_private.raise_error('invalid_argument', 'after: the last row of the page before');
end
$$;

create function referral_private.org_liabilities(
  p_org_id uuid,
  p_livemode boolean default null,
  p_after jsonb default null,
  p_page_size int default 100
)
returns setof referral.liability
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_custom_plan'
-- In the order of the index, up to a page.
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_after referral.liability;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  v_after := referral_private.liability_of(p_after);
  return query
  select b.* from referral_private.balances_in(array(
    select a
    from (
      select distinct l.earner_id, l.currency, l.livemode
      from referral_private.ledger_accounts as l
      where l.org_id = p_org_id and l.earner_id is not null and (p_livemode is null or l.livemode = p_livemode) and (
        p_after is null
        or (l.earner_id, l.currency, l.livemode) > (v_after.earner_id, v_after.currency, v_after.livemode)
      )
      order by 1, 2, 3
      limit referral_private.page_size(p_page_size)
    ) as page
    join referral_private.ledger_accounts as a
      on a.org_id = p_org_id and a.earner_id = page.earner_id and a.currency = page.currency
      and a.livemode = page.livemode
  )) as b;
end
$$;

comment on function referral_private.org_liabilities is
  'public: Returns what the organisation owes each person, per currency in minor units and per mode, in the order of
earner_id, currency and livemode: commissions, and rewards of referees. The columns are those of my_earnings.

group: See referrals and earnings
org_id: the organisation
livemode: true for live money, false for that of test mode; both unless given
after: the last row of the page before; its earner_id, currency and livemode count; none for the first page
page_size: rows in a page, 1 to 1,000
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 10s';

grant execute on function referral_private.org_liabilities to authenticated, service_role;
