-- Receiving deliveries: into the inbox, and, where nobody else has the Stripe account lock, at once into facts and
-- ledger. A crowd of deliveries is stored, and settled together by whoever gets the lock next.

-- Stores an event in the inbox, and makes it wait to be applied where that is asked for. False if it came before.
create function referral_private.receive(
  p_stated referral_private.stated_event,
  p_status referral.event_status,
  p_event jsonb,
  p_waits boolean
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_new boolean;
begin
  with
    received as (
      insert into referral_private.stripe_events (
        stripe_account, livemode, event_id, type, status, created_at, body_sha256, event
      )
      select
        p_stated.stripe_account, p_stated.livemode, p_stated.event_id, p_event ->> 'type', p_status, p_stated.event_at,
        p_event ->> 'body_sha256',
        case
          when p_status = 'parked' then jsonb_build_object('parked', p_event -> 'parked')
          else p_event - 'body_sha256'
        end
      where not exists (
        select from referral_private.archived_events as a
        where a.event_created_at = p_stated.event_at and a.event_id = p_stated.event_id
          and a.stripe_account = p_stated.stripe_account and a.livemode = p_stated.livemode
      )
      on conflict on constraint stripe_events_pkey do nothing
      returning stripe_account, livemode, event_id, created_at
    ),
    waiting as (
      insert into referral_private.unapplied_events (stripe_account, livemode, event_id, event_created_at)
      select r.stripe_account, r.livemode, r.event_id, r.created_at from received as r where p_waits
    )
  select true into v_is_new from received;
  if v_is_new is null then
    return false;
  end if;
  if p_status = 'parked' then
    insert into referral_private.parked_events (
      stripe_account, livemode, event_id, event_created_at, reason, event
    )
    values (
      p_stated.stripe_account, p_stated.livemode, p_stated.event_id, p_stated.event_at, p_event ->> 'parked',
      p_event - 'parked'
    );
  end if;
  return true;
end
$$;

-- How many events were tried, and the ids of those that could not be applied.
create type referral_private.applied_events as (tried int, unapplied text[]);

-- Applies these new events, and with them those of the Stripe account that have waited longest, so many at most, and
-- fewer each time that time ran out. Those that failed before are tried where that is asked for. The Stripe account
-- lock is held.
create function referral_private.apply_waiting(
  p_stripe_account text,
  p_new referral_private.accepted_event[],
  p_retry boolean default false,
  p_max int default 200
)
returns referral_private.applied_events
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- The planner knows nothing of a table that is empty most of the time.
set enable_seqscan = off
as $$
declare
  -- A new event is applied with those only for which time never ran out.
  v_tries constant int := case
    when cardinality(p_new) > 0 then 0
    else (
      select u.tries from referral_private.unapplied_events as u
      where u.stripe_account = p_stripe_account and (p_retry or u.error is null)
      order by u.tries
      limit 1
    )
  end;
  v_waiting referral_private.accepted_event[];
  v_livemode boolean;
  v_unapplied text[] := '{}';
begin
  if cardinality(p_new) > 0 and not exists (
    select from referral_private.unapplied_events as u
    where u.stripe_account = p_stripe_account and u.tries = 0 and u.error is null
  ) then
    return (cardinality(p_new), referral_private.apply_events(p_new))::referral_private.applied_events;
  end if;
  v_waiting := array(
    select (
      referral_private.object_kind_of(e.type), referral_private.stated_event_of(e.event)
    )::referral_private.accepted_event
    from (
      select u.* from referral_private.unapplied_events as u
      where u.stripe_account = p_stripe_account and (p_retry or u.error is null)
        and u.tries = v_tries
      order by u.tried_at
      limit greatest(p_max >> (3 * v_tries), 1)
    ) as u
    join referral_private.stripe_events as e
      on e.created_at = u.event_created_at and e.event_id = u.event_id
      and e.stripe_account = u.stripe_account and e.livemode = u.livemode
  );
  for v_livemode in
    select distinct (e.stated).livemode from unnest(p_new || v_waiting) as e
  loop
    v_unapplied := v_unapplied || referral_private.apply_events(array(
      select e from unnest(p_new || v_waiting) as e
      where (e.stated).livemode = v_livemode
      order by (e.stated).event_at, (e.stated).event_id
    ));
  end loop;
  perform referral_private.applied_now(array(
    select e from unnest(v_waiting) as e where not (e.stated).event_id = any (v_unapplied)
  ));
  return (cardinality(p_new || v_waiting), v_unapplied)::referral_private.applied_events;
end
$$;

create function referral_private.ingest_stripe_event(p_event jsonb)
returns setof referral.event_result
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stated referral_private.stated_event;
  v_kind constant text := referral_private.object_kind_of(p_event ->> 'type');
  v_status referral.event_status;
  v_is_new boolean;
  v_has_lock boolean := false;
begin
  v_stated := referral_private.stated_event_of(p_event);
  v_status := case
    when p_event ->> 'parked' is not null then 'parked'
    when v_kind is not null then 'applied'
    else 'ignored'
  end;
  perform referral_private.require_read_committed();
  -- It is not waited for: another delivery of this event could hold the lock, and wait for what is stored here.
  if v_status = 'applied' then
    v_has_lock := pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_stated.stripe_account));
  end if;
  v_is_new := referral_private.receive(v_stated, v_status, p_event, v_status = 'applied' and not v_has_lock);
  if v_is_new and v_status = 'applied' and not v_has_lock then
    return query select v_stated.event_id, 'stored'::referral.event_status, true;
    return;
  elsif not v_is_new and v_status = 'applied' and referral_private.is_parked(v_stated) then
    -- A parked event can come again in a form that can be read: from an endpoint of another API version.
    begin
      select r.status into v_status from referral_private.resolve_parked_event(p_event) as r;
    exception
      when sqlstate 'PGRST' then
        v_status := 'duplicate';
    end;
  elsif not v_is_new then
    v_status := 'duplicate';
  end if;
  if v_has_lock and v_stated.event_id = any ((referral_private.apply_waiting(
    v_stated.stripe_account,
    case when v_is_new then array[(v_kind, v_stated)::referral_private.accepted_event] else '{}' end
  )).unapplied) then
    v_status := case
      when referral_private.is_unapplied(v_stated.stripe_account, v_stated.event_id) then 'stored'
      else 'parked'
    end;
  elsif v_status = 'duplicate' and referral_private.is_unapplied(v_stated.stripe_account, v_stated.event_id) then
    v_status := 'stored';
  end if;
  return query
  select v_stated.event_id, v_status, referral_private.is_unsettled(v_stated.stripe_account);
exception
  when data_exception or cannot_coerce or check_violation or not_null_violation then
    perform referral_private.raise_error('invalid_event');
end
$$;

comment on function referral_private.ingest_stripe_event is
  'public: Takes one delivery of a verified Stripe event, reduced to what is needed. Status: applied; stored if it is in
the inbox and waits to be applied, because another call has the Stripe account; duplicate if it came before; ignored for
types that state no fact; parked for what the webhook could not read, or the database refuses. A parked event that comes
again in a form that can be read is applied. unsettled: something of the Stripe account waits, then call
settle_stripe_events; if nobody does, run_maintenance settles it.

group: Take payments
event: the event as functions/stripe-webhook reduces it
callers: the operator
errors: invalid_event, busy
returns: a row
timeout: 20s';

grant execute on function referral_private.ingest_stripe_event to service_role;
