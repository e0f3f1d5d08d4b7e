-- The Stripe account lock: one per Stripe account, held until the transaction ends. Every function that states facts or
-- settles takes it first, so that no two settlements see different halves of the truth. Finer locks do not suffice:
-- the session of a subscription and its first invoice share neither a payment nor a sale.
create function referral_private.stripe_account_lock_key(p_stripe_account text)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return hashtextextended('referral.account:' || p_stripe_account, 0);
end
$$;

create function referral_private.lock_stripe_account(p_stripe_account text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(referral_private.stripe_account_lock_key(p_stripe_account));
end
$$;

-- The Stripe account of an organisation; '' is the platform's own.
create function referral_private.stripe_account_of(p_org_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select coalesce(o.stripe_account_id, '') from referral.organisations as o where o.id = p_org_id);
end
$$;

-- Locks an organisation's Stripe account and returns it. Raises `busy` if the organisation changed it meanwhile.
create function referral_private.lock_stripe_account_of(p_org_id uuid)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text := referral_private.stripe_account_of(p_org_id);
begin
  perform referral_private.lock_stripe_account(v_stripe_account);
  if referral_private.stripe_account_of(p_org_id) <> v_stripe_account then
    perform referral_private.raise_error('busy');
  end if;
  return v_stripe_account;
end
$$;
