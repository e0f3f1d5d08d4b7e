-- Whether something waits: events to be applied, payers to be settled, parked events to be resolved.

-- Whether an event waits to be applied.
create function referral_private.is_unapplied(p_stripe_account text, p_event_id text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral_private.unapplied_events as u
    where u.event_id = p_event_id and u.stripe_account = p_stripe_account
  );
end
$$;

-- Whether events of a Stripe account are stored and wait, other than those that failed.
create function referral_private.has_stored_events(p_stripe_account text)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return exists (
    select from referral_private.unapplied_events as u where u.stripe_account = p_stripe_account and u.error is null
  );
end
$$;

-- Whether events, or payers, of a Stripe account, or of any, wait. Those that failed before wait for run_maintenance
-- alone.
create function referral_private.is_unsettled(p_stripe_account text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- The planner knows nothing of tables that are empty most of the time. One row is enough, and a bitmap takes all.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  if p_stripe_account is null then
    return exists (select from referral_private.unapplied_events as u where u.error is null)
      or exists (select from referral_private.to_settle as q where q.error is null);
  end if;
  return exists (
    select from referral_private.unapplied_events as u where u.stripe_account = p_stripe_account and u.error is null
  ) or exists (
    select from referral_private.to_settle as q where q.stripe_account = p_stripe_account and q.error is null
  );
end
$$;

-- Whether amounts of an organisation may change, because something of its Stripe account waits.
create function referral_private.is_settlement_pending(p_org_id uuid, p_livemode boolean)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_stripe_account constant text := referral_private.stripe_account_of(p_org_id);
begin
  return exists (
    select from referral_private.unapplied_events as u
    where u.stripe_account = v_stripe_account and u.livemode = p_livemode
  ) or exists (
    select from referral_private.to_settle as q
    where q.stripe_account = v_stripe_account and q.livemode = p_livemode
  );
end
$$;

-- Whether an event is parked.
create function referral_private.is_parked(p_stated referral_private.stated_event)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral_private.parked_events as p
    where p.stripe_account = p_stated.stripe_account and p.livemode = p_stated.livemode
      and p.event_id = p_stated.event_id and p.event_created_at = p_stated.event_at
  );
end
$$;
