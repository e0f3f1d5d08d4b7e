-- What is settled when an organisation, a program or a code changes.

-- Settles payers whose code came from an address that a buyer can edit, from a time on: it counts on an account of one
-- organisation only.
create function referral_private.settle_payment_links(p_stripe_account text, p_since timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle(
    p_stripe_account, carrying.livemode,
    referral_private.payers_of_carriers(p_stripe_account, carrying.livemode, carrying.carriers), '{}',
    'Stripe account changed'
  )
  from (
    select e.livemode, array_agg(distinct e.carrier) as carriers
    from referral_private.payer_evidence as e
    where e.stripe_account = p_stripe_account and e.kind = 'payment_link'
      and e.carried_at >= date_trunc('second', p_since)
    group by e.livemode
  ) as carrying;
end
$$;

-- Settles the payers with this evidence, and the sales of others that it says something about.
create function referral_private.settle_evidence(
  p_stripe_account text,
  p_livemode boolean,
  p_evidence referral_private.payer_evidence[],
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_of_others constant text[] := referral_private.payments_of_others(p_evidence);
begin
  perform referral_private.settle(
    p_stripe_account, p_livemode,
    referral_private.payers_of_carriers(
      p_stripe_account, p_livemode, array(select distinct e.carrier from unnest(p_evidence) as e)
    ) || array(
      select s.payer_id from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (v_of_others)
    ), '{}', p_cause
  );
end
$$;

-- Settles what a change of an organisation's Stripe account touches, on either account: users who redeemed, objects
-- that name a redemption, and what came by a payment link.
create function referral_private.settle_organisation(p_org_id uuid, p_stripe_accounts text[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle_users(
    stripe_account, array(select r.referee_id from referral.redemptions as r where r.org_id = p_org_id),
    'Stripe account changed'
  )
  from unnest(p_stripe_accounts) as stripe_account;
  perform referral_private.settle_evidence(stripe_account, livemode, array(
    select e
    from referral.redemptions as r
    join referral_private.payer_evidence as e on e.named = r.id::text and e.kind = 'redemption_id'
    where r.org_id = p_org_id and e.stripe_account = account.stripe_account and e.livemode = mode.livemode
  ), 'Stripe account changed')
  from unnest(p_stripe_accounts) as account (stripe_account)
  cross join unnest('{true,false}'::boolean[]) as mode (livemode);
  perform referral_private.settle_payment_links(stripe_account, '-infinity')
  from unnest(p_stripe_accounts) as stripe_account;
end
$$;

-- Settles payers whose evidence names a code of the program and is later than a change of the program: clocks of test
-- mode run ahead.
create function referral_private.settle_program(p_stripe_account text, p_program_id uuid, p_since timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle(
    p_stripe_account, ahead.livemode,
    referral_private.payers_of_carriers(p_stripe_account, ahead.livemode, ahead.carriers), '{}', 'terms changed'
  )
  from (
    select e.livemode, array_agg(distinct e.carrier) as carriers
    from referral_private.payer_evidence as e
    left join referral_private.promotion_code_statements as p
      on e.kind = 'promotion_code' and p.promotion_code_id = e.named
      and p.stripe_account = e.stripe_account and p.livemode = e.livemode
    join referral.codes as c on c.code_key in (p.code_key, p.previous_key, e.named)
    where e.stripe_account = p_stripe_account and e.kind >= 'metadata_code' and c.program_id = p_program_id
      and e.carried_at >= date_trunc('second', p_since)
    group by e.livemode
  ) as ahead;
end
$$;

-- Settles payers whose objects carry one of these keys from a time on, and the sales of others that these are about.
create function referral_private.settle_keys(p_stripe_account text, p_keys text[], p_since timestamptz, p_cause text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.settle_evidence(p_stripe_account, livemode, array(
    select e from referral_private.evidence_of_keys(p_stripe_account, livemode, p_keys, p_since) as e
  ), p_cause)
  from unnest('{true,false}'::boolean[]) as livemode;
end
$$;

-- Settles purchases that carry a code and are dated ahead, as those of test clocks are, when the code's state changes:
-- an earlier purchase was judged by the state of its own time. The code is locked already, so the Stripe account lock
-- is not waited for: that could deadlock. Raises `busy`.
create function referral_private.settle_ahead_of_code()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text;
  -- Where a code becomes usable, purchases of the last minute count as well.
  v_since timestamptz := date_trunc('second', clock_timestamp())
    - case when new.status = 'active' then interval '1 minute' else '0' end;
begin
  if referral_private.keys_carried_since(array[new.code_key], v_since) = '{}' then
    return null;
  end if;
  perform referral_private.require_read_committed();
  v_stripe_account := referral_private.stripe_account_of(new.org_id);
  if not pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stripe_account)) then
    perform referral_private.raise_error('busy');
  end if;
  perform referral_private.settle_keys(
    v_stripe_account, array[new.code_key], v_since, 'code ' || new.id
  );
  return null;
end
$$;

create trigger codes_settle_purchases_ahead
after update of status, expires_at, redeemable_until on referral.codes
for each row
when
  (
    (new.status, new.expires_at, new.redeemable_until) is distinct from (
      old.status,
      old.expires_at,
      old.redeemable_until
    )
  )
execute function referral_private.settle_ahead_of_code();
