-- What follows from a decision: redemptions and the ledger are brought to what then stands, and nobody gains by what
-- they decided. Blocking states decisions of its own. The Stripe account lock is held.

-- What a user is owed in an organisation in one currency and mode, whether it is on hold, available or paid out.
create type referral_private.owed_amount as (livemode boolean, currency text, amount numeric);

-- Everything that a user is owed in an organisation.
create function referral_private.amounts_owed(p_org_id uuid, p_user_id uuid)
returns setof referral_private.owed_amount
language plpgsql
stable
rows 2
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select a.livemode, a.currency, sum(a.balance)
  from referral_private.ledger_accounts as a
  where a.org_id = p_org_id and a.earner_id = p_user_id
  group by a.livemode, a.currency;
end
$$;

-- Whether a decision waits to be settled, and somebody may earn by it: payers whom it is about are theirs, or carry
-- codes of theirs. What a block ends begins now, and stays the winner's.
create function referral_private.may_earn_later(p_stripe_account text, p_decision referral.decisions, p_user_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select
    from unnest('{true,false}'::boolean[]) as mode
    cross join lateral referral_private.payers_of_decision(p_stripe_account, mode, p_decision) as payer_ids
    where p_user_id is not null and not p_decision.by_block and exists (
      select from referral_private.to_settle as q
      where q.stripe_account = p_stripe_account and q.livemode = mode and q.payer_id = any (payer_ids)
    ) and payer_ids && (
      referral_private.payers_of_users(p_stripe_account, mode, array[p_user_id])
      || referral_private.payers_of_codes(p_stripe_account, mode, p_decision.org_id, array(
        select c.id from referral.codes as c
        where c.org_id = p_decision.org_id and p_user_id in (c.referrer_id, c.beneficiary_id)
      ))
    )
  );
end
$$;

-- Brings the redemption and all sales that a decision is about to what the decisions say now. One pass per mode: a
-- forfeit of a referrer with many payers holds the Stripe account lock for all of them. Raises `not_allowed` where the
-- caller, other than the operator, is owed more by it.
create function referral_private.settle_decision(p_stripe_account text, p_decision referral.decisions)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before referral_private.owed_amount[] := array(
    select o from referral_private.amounts_owed(p_decision.org_id, auth.uid()) as o
  );
begin
  perform referral_private.project_decision(p_decision.org_id, p_decision.program_id, p_decision.person_id);
  perform referral_private.settle(
    p_stripe_account, livemode, referral_private.payers_of_decision(p_stripe_account, livemode, p_decision), '{}',
    'decision ' || p_decision.id
  )
  from unnest('{true,false}'::boolean[]) as livemode;
  if exists (
    select from referral_private.amounts_owed(p_decision.org_id, auth.uid()) as o
    left join unnest(v_before) as b on b.livemode = o.livemode and b.currency = o.currency
    where o.amount > coalesce(b.amount, 0)
  ) or referral_private.may_earn_later(p_stripe_account, p_decision, auth.uid()) then
    perform referral_private.raise_error(
      'not_allowed', 'you would earn more by what you decide: ask somebody else, or the operator'
    );
  end if;
end
$$;

-- States a forfeit of a member or a chain from this second on, because they are blocked, unless one is open.
create function referral_private.forfeit_by_block(
  p_stripe_account text,
  p_org_id uuid,
  p_member_id uuid,
  p_chain_id uuid,
  p_reason text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision referral.decisions;
begin
  if exists (
    select from referral.decisions as d
    where d.org_id = p_org_id and (d.member_id = p_member_id or d.chain_id = p_chain_id) and d.by_block
      and d.until is null and d.withdrawn_at is null
  ) then
    return;
  end if;
  insert into referral.decisions (org_id, kind, member_id, chain_id, since, by_block, reason, decided_by)
  values (
    p_org_id, 'forfeit', p_member_id, p_chain_id, date_trunc('second', clock_timestamp()), true, p_reason, auth.uid()
  )
  returning * into v_decision;
  perform referral_private.settle_decision(p_stripe_account, v_decision);
end
$$;

-- Ends the open forfeits that blocking a member stated. Each lasts a second at least. Raises `not_allowed` where the
-- caller has an interest in it.
create function referral_private.end_forfeits_by_block(p_stripe_account text, p_org_id uuid, p_member_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision referral.decisions;
begin
  for v_decision in
    update referral.decisions as d
    set until = greatest(date_trunc('second', clock_timestamp()), d.since + interval '1 second')
    where d.org_id = p_org_id and d.member_id = p_member_id and d.by_block and d.until is null
      and d.withdrawn_at is null
    returning d.*
  loop
    perform referral_private.require_no_interest(p_stripe_account, v_decision);
    perform referral_private.settle_decision(p_stripe_account, v_decision);
  end loop;
end
$$;
