-- Whom and what a decision is about, and that nobody decides who is interested. The Stripe account lock is held.

-- The payers that a rejected referral had when it was rejected, by what they are called now.
create function referral_private.payers_written_down(
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
  return referral_private.payers_of_carriers(p_stripe_account, p_livemode, array(
    select w.payer_id from referral_private.decision_payers as w
    where w.org_id = p_decision.org_id and w.decision_id = p_decision.id
      and w.stripe_account = p_stripe_account and w.livemode = p_livemode
  ));
end
$$;

-- The payers that a rejected referral has now, in one mode: those written down, and all payers of its people. Payers
-- and people may have become known since it was rejected.
create function referral_private.payers_rejected(
  p_stripe_account text,
  p_livemode boolean,
  p_decision referral.decisions
)
returns setof referral_private.payer
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_written text[] := referral_private.payers_written_down(p_stripe_account, p_livemode, p_decision);
  v_payers referral_private.payer[] := (referral_private.payers_together(
    p_stripe_account, p_livemode, v_written || referral_private.payers_of_users(
      p_stripe_account, p_livemode, array_remove(array[p_decision.person_id], null)
    )
  )).payers;
begin
  return query
  select p.*
  from unnest(v_payers) as p
  where p.payer_id = any (v_written) or p.person = p_decision.person_id or p.person in (
    select w.person from unnest(v_payers) as w where w.payer_id = any (v_written)
  );
end
$$;

-- The people whom a decision is about: the member, or everybody whose referral is rejected or confirmed.
create function referral_private.people_of_decision(p_stripe_account text, p_decision referral.decisions)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_remove(array[p_decision.member_id, p_decision.person_id], null) || array(
    select p.person
    from unnest('{true,false}'::boolean[]) as livemode
    cross join lateral referral_private.payers_rejected(p_stripe_account, livemode, p_decision) as p
    where p_decision.kind = 'reject' and p.person is not null
  );
end
$$;

-- The codes whose sales a decision is about.
create function referral_private.codes_of_decision(p_stripe_account text, p_decision referral.decisions)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_people uuid[] := referral_private.people_of_decision(p_stripe_account, p_decision);
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
    where r.org_id = p_decision.org_id and r.program_id = p_decision.program_id and r.referee_id = any (v_people)
    union
    select unnest(referral_private.codes_carried(p_stripe_account, livemode, p_decision.program_id, array(
      select p.payer_id from referral_private.payers_rejected(p_stripe_account, livemode, p_decision) as p
    )))
    from unnest('{true,false}'::boolean[]) as livemode
    where p_decision.kind = 'reject'
  );
end
$$;

-- Nobody decides on a code that is theirs, benefits them, or was made by them. Raises `not_allowed`.
create function referral_private.require_no_interest_in(p_code_ids uuid[])
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if auth.uid() is not null and exists (
    select from referral.codes as c
    where c.id = any (p_code_ids) and auth.uid() in (c.referrer_id, c.beneficiary_id, c.created_by)
  ) then
    perform referral_private.raise_error(
      'not_allowed',
      'you decide on a code that is yours, benefits you or was made by you: ask somebody else, or the operator'
    );
  end if;
end
$$;

-- Nobody decides on themself, either. Raises `not_allowed`.
create function referral_private.require_no_interest(p_stripe_account text, p_decision referral.decisions)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if auth.uid() = any (referral_private.people_of_decision(p_stripe_account, p_decision)) then
    perform referral_private.raise_error(
      'not_allowed', 'you decide on yourself: ask somebody else, or the operator'
    );
  end if;
  perform referral_private.require_no_interest_in(
    referral_private.codes_of_decision(p_stripe_account, p_decision)
  );
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
  return referral_private.payers_of_users(
    p_stripe_account, p_livemode, array_remove(array[p_decision.person_id], null)
  ) || referral_private.payers_written_down(p_stripe_account, p_livemode, p_decision);
end
$$;
