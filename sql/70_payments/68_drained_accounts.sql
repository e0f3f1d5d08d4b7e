-- Commands whose answer depends on purchases see every purchase that was acknowledged: also one that is stored and
-- waits to be applied.

-- Applies what is stored of a Stripe account whose lock is held exclusively. Raises `busy` where more is stored than
-- one transaction takes: it is applied meanwhile by deliveries and jobs. What has failed waits for `run_maintenance`.
create function referral_private.drain_events(p_stripe_account text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.has_stored_events(p_stripe_account) then
    perform referral_private.apply_waiting(p_stripe_account, '{}');
    if referral_private.has_stored_events(p_stripe_account) then
      perform referral_private.raise_error('busy');
    end if;
  end if;
end
$$;

-- Locks the Stripe account of an organisation, as `lock_stripe_account_of`, and applies what is stored of it.
create function referral_private.lock_drained_account_of(p_org_id uuid)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account constant text := referral_private.lock_stripe_account_of(p_org_id);
begin
  perform referral_private.drain_events(v_stripe_account);
  return v_stripe_account;
end
$$;

-- The text of an event as the normal form of codes has it, without all that is not part of one.
create function referral_private.letters_of(p_event jsonb)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return regexp_replace(
    translate(
      normalize(p_event::text, NFKC) collate "C", 'abcdefghijklmnopqrstuvwxyzOIL', 'ABCDEFGH1JK1MN0PQRSTUVWXYZ011'
    ),
    '[^0-9A-Z]+', '', 'g'
  );
end
$$;

-- Whether an event that is stored and waits may carry one of these texts. Where many wait, or many texts are asked for,
-- any may. It can say yes of a text that is no code there: ask again when nothing waits.
create function referral_private.may_be_carried(p_stripe_account text, p_keys text[])
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_letters text[];
begin
  if cardinality(p_keys) = 0 then
    return false;
  end if;
  v_letters := array(
    select referral_private.letters_of(e.event)
    from (
      select u.* from referral_private.unapplied_events as u
      where u.stripe_account = p_stripe_account
      limit 1000
    ) as w
    join referral_private.stripe_events as e
      on e.stripe_account = w.stripe_account and e.livemode = w.livemode and e.event_id = w.event_id
      and e.created_at = w.event_created_at
  );
  return cardinality(v_letters) >= 1000 or cardinality(v_letters) * cardinality(p_keys) > 100000 or exists (
    select from unnest(v_letters) as l, unnest(p_keys) as k where position(k in l) > 0
  );
end
$$;
