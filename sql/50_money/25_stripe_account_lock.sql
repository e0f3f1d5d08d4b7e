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

-- Who waited for the lock must see what its last holder committed. A transaction that reads an older snapshot would
-- settle half of the truth, and its lock would prove nothing. Raises `busy`.
create function referral_private.require_read_committed()
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform referral_private.raise_error(
      'busy', 'call again in a transaction of isolation level READ COMMITTED, not '
        || upper(current_setting('transaction_isolation'))
    );
  end if;
end
$$;

-- Locks a Stripe account until the transaction ends. Raises `busy` unless that is READ COMMITTED.
create function referral_private.lock_stripe_account(p_stripe_account text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.require_read_committed();
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

-- Shares the lock of an organisation's Stripe account until the transaction ends: this waits for events under way, and
-- later ones wait for it. Raises `busy` if the organisation changed its Stripe account meanwhile.
create function referral_private.share_stripe_account_of(p_org_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text := referral_private.stripe_account_of(p_org_id);
begin
  perform referral_private.require_read_committed();
  perform pg_advisory_xact_lock_shared(referral_private.stripe_account_lock_key(v_stripe_account));
  if referral_private.stripe_account_of(p_org_id) <> v_stripe_account then
    perform referral_private.raise_error('busy');
  end if;
end
$$;
