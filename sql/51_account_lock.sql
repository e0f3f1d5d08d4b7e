-- One lock per Stripe account, held until the transaction ends: whoever states facts or settles takes it first, so that
-- no two settlements see different halves of the truth. Finer locks do not do: a subscription's session and its first
-- invoice share neither a payment nor a sale.
create function referral_private.account_lock_key(p_account text)
returns bigint
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return hashtextextended('referral.account:' || p_account, 0);
end
$$;

revoke execute on function referral_private.account_lock_key from public;

create function referral_private.lock_account(p_account text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(referral_private.account_lock_key(p_account));
end
$$;

revoke execute on function referral_private.lock_account from public;

create function referral_private.account_of(p_org_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (select coalesce(o.stripe_account_id, '') from referral.organisations as o where o.id = p_org_id);
end
$$;

revoke execute on function referral_private.account_of from public;

-- Locks an organisation's account and answers it. Raises `busy` where it was changed while this waited.
create function referral_private.lock_account_of(p_org_id uuid)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_account text := referral_private.account_of(p_org_id);
begin
  perform referral_private.lock_account(v_account);
  if referral_private.account_of(p_org_id) <> v_account then
    perform referral_private.raise_error('busy');
  end if;
  return v_account;
end
$$;

revoke execute on function referral_private.lock_account_of from public;
