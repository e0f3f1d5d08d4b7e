-- Settling what waits: by the webhook after a delivery, and by run_maintenance.

-- What a call settled: how many events or payers it took, and whether something is left for another call.
create type referral.settled_events as (done int, more boolean);

-- A Stripe account of which something waits, since this time.
create type referral_private.waiting_account as (stripe_account text, since timestamptz);

-- The Stripe accounts of which events, or payers, wait, and since when: of each the oldest of each number of tries is
-- looked at, so that it does not matter how many wait.
create function referral_private.waiting_accounts()
returns setof referral_private.waiting_account
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return query
  with recursive
    events as (
      (
        select u.stripe_account, u.tries, u.tried_at from referral_private.unapplied_events as u
        order by u.stripe_account, u.tries, u.tried_at
        limit 1
      )
      union all
      select next.* from events as e
      cross join lateral (
        select u.stripe_account, u.tries, u.tried_at from referral_private.unapplied_events as u
        where (u.stripe_account, u.tries) > (e.stripe_account, e.tries)
        order by u.stripe_account, u.tries, u.tried_at
        limit 1
      ) as next
    ),
    payers as (
      (
        select q.stripe_account, q.tries, q.tried_at from referral_private.to_settle as q
        order by q.stripe_account, q.tries, q.tried_at
        limit 1
      )
      union all
      select next.* from payers as p
      cross join lateral (
        select q.stripe_account, q.tries, q.tried_at from referral_private.to_settle as q
        where (q.stripe_account, q.tries) > (p.stripe_account, p.tries)
        order by q.stripe_account, q.tries, q.tried_at
        limit 1
      ) as next
    )
  select w.stripe_account, min(w.tried_at)
  from (select * from events union all select * from payers) as w
  group by 1;
end
$$;

-- The Stripe account whose events, or payers, have waited longest, of those that nobody has locked. It is locked; null
-- where none waits.
create function referral_private.lock_longest_waiting()
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text;
begin
  for v_stripe_account in
    select w.stripe_account from referral_private.waiting_accounts() as w order by w.since
  loop
    if pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stripe_account)) then
      return v_stripe_account;
    end if;
  end loop;
  return null;
end
$$;

-- Applies events that wait, or, where none does, settles payers that wait. The Stripe account lock is held.
create function referral_private.settle_piece(p_stripe_account text, p_retry boolean)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_applied referral_private.applied_events :=
    referral_private.apply_waiting(p_stripe_account, '{}', p_retry);
begin
  if v_applied.tried > cardinality(v_applied.unapplied) then
    return v_applied.tried - cardinality(v_applied.unapplied);
  end if;
  return referral_private.settle_waiting(p_stripe_account, p_retry);
end
$$;

create function referral_private.settle_stripe_events(p_stripe_account text default null, p_event_id text default null)
returns setof referral.settled_events
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stripe_account text := p_stripe_account;
  v_done int := 0;
begin
  perform referral_private.require_read_committed();
  if p_stripe_account is null then
    v_stripe_account := referral_private.lock_longest_waiting();
  elsif p_event_id is null or referral_private.is_unapplied(p_stripe_account, p_event_id) then
    perform referral_private.lock_stripe_account(p_stripe_account);
  else
    v_stripe_account := null;
  end if;
  -- The event may have been applied while the lock was waited for.
  if v_stripe_account is not null and (
    p_event_id is null or referral_private.is_unapplied(v_stripe_account, p_event_id)
  ) then
    v_done := referral_private.settle_piece(v_stripe_account, p_stripe_account is null);
  end if;
  return query select v_done, referral_private.is_unsettled(p_stripe_account);
end
$$;

comment on function referral_private.settle_stripe_events is
  'public: Applies events that are stored and wait, up to 200 together, or, where none waits, settles up to 250 payers
that wait because there was too much to do at once. Returns how many it took, and whether more is left. Call it when
ingest_stripe_event says unsettled, and again while there is more; run_maintenance does it too.

group: Run jobs
stripe_account: its id, the empty text for the platform''s own account; the one that has waited longest unless given
event_id: nothing is done if this event of the account does not wait any more
callers: the operator
errors: busy
returns: a row
timeout: 20s';

grant execute on function referral_private.settle_stripe_events to service_role;
