-- What every command that decides does: it states the decision, refuses who is interested, and brings redemptions and
-- the ledger to what then stands. The Stripe account lock is held.

-- The codes whose sales a decision is about.
create function referral_private.codes_of_decision(p_stripe_account text, p_decision referral.decisions)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_decision.chain_id is not null then
    return referral_private.codes_of_chain(p_decision.org_id, p_decision.chain_id);
  elsif p_decision.member_id is not null then
    return array(
      select c.id from referral.codes as c
      where c.org_id = p_decision.org_id and c.referrer_id = p_decision.member_id
      union
      select c.id from referral.codes as c
      where c.org_id = p_decision.org_id and c.beneficiary_id = p_decision.member_id
    );
  end if;
  return array(
    select r.code_id from referral.redemptions as r
    where r.org_id = p_decision.org_id and r.program_id = p_decision.program_id and r.referee_id = p_decision.person_id
    union
    select unnest(
      referral_private.codes_carried(p_stripe_account, w.livemode, p_decision.program_id, array_agg(w.payer_id))
    )
    from referral_private.decision_payers as w
    where w.org_id = p_decision.org_id and w.decision_id = p_decision.id and w.stripe_account = p_stripe_account
    group by w.livemode
  );
end
$$;

-- Nobody decides on themself, or on a code that is theirs, benefits them, or was made by them. Raises `not_allowed`.
create function referral_private.require_no_interest(p_stripe_account text, p_decision referral.decisions)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if auth.uid() in (p_decision.person_id, p_decision.member_id) or auth.uid() is not null and exists (
    select from referral.codes as c
    where c.id = any (referral_private.codes_of_decision(p_stripe_account, p_decision))
      and auth.uid() in (c.referrer_id, c.beneficiary_id, c.created_by)
  ) then
    perform referral_private.raise_error('not_allowed');
  end if;
end
$$;

-- The payers whose sales a decision is about, in one mode.
create function referral_private.payers_of_decision(
  p_stripe_account text,
  p_livemode boolean,
  p_decision referral.decisions
)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_decision.kind = 'forfeit' then
    return referral_private.payers_of_codes(
      p_stripe_account, p_livemode, p_decision.org_id,
      referral_private.codes_of_decision(p_stripe_account, p_decision)
    );
  end if;
  return array(
    select unnest(
      referral_private.payers_of_users(p_stripe_account, p_livemode, array_remove(array[p_decision.person_id], null))
    )
    union
    -- A payer may be known by another name by now.
    select unnest(referral_private.payers_of_carriers(p_stripe_account, p_livemode, array(
      select w.payer_id from referral_private.decision_payers as w
      where w.org_id = p_decision.org_id and w.decision_id = p_decision.id
        and w.stripe_account = p_stripe_account and w.livemode = p_livemode
    )))
  );
end
$$;

-- Brings the redemption and all sales that a decision is about to what the decisions say now. One pass per mode: a
-- forfeit of a referrer with many payers holds the Stripe account lock for all of them.
create function referral_private.settle_decision(p_stripe_account text, p_decision referral.decisions)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.project_decision(p_decision.org_id, p_decision.program_id, p_decision.person_id);
  perform referral_private.settle(
    p_stripe_account, livemode, referral_private.payers_of_decision(p_stripe_account, livemode, p_decision), '{}',
    'decision ' || p_decision.id
  )
  from unnest('{true,false}'::boolean[]) as livemode;
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
