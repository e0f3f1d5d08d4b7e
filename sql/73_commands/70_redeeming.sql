-- From a code to a redemption, in one transaction.

-- Takes the Stripe account lock in the mode that a redemption needs, and returns whether to settle: if the referee or
-- the referrer is known as a payer, the redemption may change what their sales earn, and the lock is exclusive. Locks
-- are never upgraded: the shared one is given back with the inner block before the exclusive one is taken.
create function referral_private.lock_stripe_account_to_redeem(p_stripe_account text, p_user_ids uuid[])
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- While `redemptions` has no statistics, all of it would be read for one person's.
set enable_seqscan = off
as $$
begin
  perform referral_private.require_read_committed();
  perform pg_advisory_xact_lock_shared(referral_private.stripe_account_lock_key(p_stripe_account));
  if exists (
    select from referral_private.payer_users as l
    where l.user_id = any (p_user_ids) and l.stripe_account = p_stripe_account
  ) or exists (
    select from referral_private.payer_evidence as e
    where e.named = any (array(select r.id::text from referral.redemptions as r where r.referee_id = any (p_user_ids)))
      and e.kind = 'redemption_id' and e.stripe_account = p_stripe_account
  ) then
    raise sqlstate 'RB001';
  end if;
  return false;
exception
  when sqlstate 'RB001' then
    perform referral_private.lock_stripe_account(p_stripe_account);
    return true;
end
$$;

-- Locks a code, shared, and returns it: no redemption commits after a call that ends the code has returned. Raises
-- `busy` where the organisation has another Stripe account by now than the one that is locked.
create function referral_private.lock_code_to_redeem(p_code_id uuid, p_stripe_account text)
returns referral.codes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_code referral.codes;
begin
  select c.* into v_code
  from referral.codes as c
  join referral.organisations as o on o.id = c.org_id
  where c.id = p_code_id and coalesce(o.stripe_account_id, '') = p_stripe_account
  for share of c;
  if not found then
    perform referral_private.raise_error('busy');
  end if;
  return v_code;
end
$$;

-- A client may say `typed` freely; every other provenance is proved by a click. Raises `invalid_argument`,
-- `invalid_click`.
create function referral_private.require_provenance(p_provenance text, p_click_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(p_provenance <> all (enum_range(null::referral.provenance)::text[]), true) then
    perform referral_private.raise_error('invalid_argument', 'provenance: typed, link, install_referrer or clipboard');
  end if;
  if (p_provenance = 'typed') <> (p_click_id is null) then
    perform referral_private.raise_error('invalid_click');
  end if;
end
$$;

-- Stores a redemption, unless another session was faster: then nothing is returned. The code is locked.
create function referral_private.insert_redemption(
  p_code referral.codes,
  p_terms_version int,
  p_user_id uuid,
  p_click referral_private.clicks,
  p_provenance text,
  p_channel text
)
returns referral.redemptions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_redemption referral.redemptions;
begin
  insert into referral.redemptions (
    org_id, program_id, terms_version, code_id, referrer_id, referee_id, provenance, channel, click_id, clicked_at
  )
  values (
    p_code.org_id, p_code.program_id, p_terms_version, p_code.id, p_code.referrer_id, p_user_id,
    p_provenance::referral.provenance, coalesce(p_click.channel::text, p_channel), p_click.click_id, p_click.clicked_at
  )
  on conflict do nothing
  returning * into v_redemption;
  return v_redemption;
end
$$;

-- The person's redemption in the program of this code, which another session made first. Raises `invalid_click` if a
-- redemption has used the click, and `mutual_referral` if the referrer has redeemed a code of this person.
create function referral_private.require_earlier_redemption(p_code referral.codes, p_user_id uuid, p_click_id uuid)
returns referral.redemptions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_redemption referral.redemptions;
begin
  select * into v_redemption
  from referral.redemptions as r
  where r.org_id = p_code.org_id and r.program_id = p_code.program_id and r.referee_id = p_user_id;
  if found then
    return v_redemption;
  end if;
  perform referral_private.raise_error(
    case
      when exists (select from referral.redemptions as r where r.org_id = p_code.org_id and r.click_id = p_click_id)
        then 'invalid_click'
      else 'mutual_referral'
    end
  );
end
$$;

-- Settles what a redemption of a known payer changes, and returns the redemption as it is then. Purchases of the
-- referrer that carry a code of this person may be mutual now. The Stripe account lock is held exclusively.
create function referral_private.settle_redemption(p_stripe_account text, p_redemption referral.redemptions)
returns referral.redemptions
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cause constant text := 'redemption ' || p_redemption.id;
begin
  perform referral_private.know_users(p_stripe_account, array[p_redemption.referee_id]);
  perform referral_private.settle_users(p_stripe_account, array[p_redemption.referee_id], v_cause);
  perform referral_private.settle_users(p_stripe_account, array[p_redemption.referrer_id], v_cause);
  select * into strict p_redemption
  from referral.redemptions as r
  where r.org_id = p_redemption.org_id and r.id = p_redemption.id;
  return p_redemption;
end
$$;

create function referral_private.redeem_code(
  p_code text,
  p_click_id uuid default null,
  p_provenance text default 'typed',
  p_channel text default null
)
returns setof referral.redeemed_code
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_key text := referral_private.normalise_code(p_code);
  v_stripe_account text;
  v_has_paid boolean;
  v_is_payer boolean;
  v_code referral.codes;
  v_redemption referral.redemptions;
begin
  if v_key is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  if p_provenance is distinct from 'typed' or p_click_id is not null then
    perform referral_private.require_provenance(p_provenance, p_click_id);
  end if;
  select c.id, c.referrer_id, coalesce(o.stripe_account_id, ''),
    exists (select from referral_private.payer_users as l where l.user_id = v_user_id)
  into v_code.id, v_code.referrer_id, v_stripe_account, v_has_paid
  from referral.codes as c join referral.organisations as o on o.id = c.org_id
  where c.code_key = v_key;
  if not found then
    perform referral_private.raise_error('code_not_found');
  end if;
  if v_has_paid then
    perform referral_private.recognise_user(v_user_id);
  end if;
  v_is_payer := referral_private.lock_stripe_account_to_redeem(v_stripe_account, array[v_user_id, v_code.referrer_id]);
  v_code := referral_private.lock_code_to_redeem(v_code.id, v_stripe_account);
  select * into v_redemption
  from referral.redemptions as r
  where r.org_id = v_code.org_id and r.program_id = v_code.program_id and r.referee_id = v_user_id;
  if not found then
    v_redemption := referral_private.insert_redemption(
      v_code, referral_private.require_redeemable(v_code, v_user_id), v_user_id,
      referral_private.click_of(v_code, p_click_id), p_provenance, p_channel
    );
    if v_redemption.id is null then
      v_redemption := referral_private.require_earlier_redemption(v_code, v_user_id, p_click_id);
    else
      if v_is_payer then
        v_redemption := referral_private.settle_redemption(v_stripe_account, v_redemption);
      end if;
      -- The rows that many redemptions share are locked last.
      perform referral_private.use_quota(v_code, v_user_id);
      perform referral_private.count_redemption(v_code.org_id, v_user_id);
    end if;
  end if;
  if v_redemption.code_id <> v_code.id then
    perform referral_private.raise_error('already_redeemed');
  end if;
  return next (v_redemption.id, v_redemption.org_id, v_redemption.program_id, v_code.code, v_redemption.status,
    v_redemption.redeemed_at)::referral.redeemed_code;
end
$$;

comment on function referral_private.redeem_code is
  'public: Redeems a code for the caller, once per program. The same code again returns the same redemption.

group: Redeem a code
code: the text as typed
click_id: a click on this very code, not older than the organisation''s click_window, that proves no other redemption
provenance: typed without a click; link, install_referrer or clipboard with one
channel: a lower-case label of up to 32 characters; the click''s own channel counts instead, where it has one
callers: signed-in people
errors: not_signed_in, anonymous_user, self_referral, new_users_only, code_not_found, program_inactive,
  code_suspended, code_inactive, code_expired, code_limit_reached, code_uses_reserved, already_redeemed,
  mutual_referral, invalid_argument, invalid_code, invalid_click, rate_limited, busy
returns: a row
timeout: 10s';

grant execute on function referral_private.redeem_code to authenticated;
