-- Applies events that are in the inbox: together, and, where that fails, each by itself, so that none stops another.

-- Makes an event wait to be applied; with an error, or if time ran out for it alone, until `run_maintenance` tries
-- again.
create function referral_private.apply_later(p_stated referral_private.stated_event, p_error text default null)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_slow constant boolean := coalesce(p_error = '57014', false);
begin
  insert into referral_private.unapplied_events as u (
    stripe_account, livemode, event_id, event_created_at, tries, error
  )
  values (
    p_stated.stripe_account, p_stated.livemode, p_stated.event_id, p_stated.event_at, v_is_slow::int,
    case when not v_is_slow then p_error end
  )
  on conflict on constraint unapplied_events_pkey do update
  set error = case when not v_is_slow or u.tries >= 3 then p_error end, tried_at = excluded.tried_at,
    tries = least(u.tries + excluded.tries, 4)
  where p_error is not null or u.error is not null;
end
$$;

-- Parks an event of the inbox that the database refuses to apply.
create function referral_private.park(p_stated referral_private.stated_event)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.parked_events (stripe_account, livemode, event_id, event_created_at, reason, event)
  select e.stripe_account, e.livemode, e.event_id, e.created_at, 'refused by the database', e.event
  from referral_private.stripe_events as e
  where e.stripe_account = p_stated.stripe_account and e.livemode = p_stated.livemode
    and e.event_id = p_stated.event_id and e.created_at = p_stated.event_at;
end
$$;

-- Takes events from those that wait.
create function referral_private.applied_now(p_events referral_private.accepted_event[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  delete from referral_private.unapplied_events as u
  using unnest(p_events) as e
  where u.event_id = (e.stated).event_id and u.event_created_at = (e.stated).event_at
    and u.stripe_account = (e.stated).stripe_account and u.livemode = (e.stated).livemode;
end
$$;

-- Applies events of one Stripe account and mode, and returns the ids of those that it could not apply: those that are
-- parked, those that wait with an error of ours, and, after an error of the moment, all. The Stripe account lock is
-- held.
create function referral_private.apply_events(p_events referral_private.accepted_event[])
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count constant int := cardinality(p_events);
  v_sqlstate text;
  v_message text;
begin
  begin
    perform referral_private.apply_together(p_events);
    return '{}';
  exception
    when query_canceled or others then
      v_sqlstate := sqlstate;
      v_message := sqlerrm;
  end;
  if referral_private.is_passing_error(v_sqlstate) then
    raise warning 'referral: % events wait: %: %', v_count, v_sqlstate, v_message;
    perform referral_private.apply_later((e).stated, case v_sqlstate when '57014' then v_sqlstate end)
    from unnest(p_events) as e;
    return array(select ((e).stated).event_id from unnest(p_events) as e);
  elsif v_count > 1 then
    return referral_private.apply_events(p_events[:v_count / 2])
      || referral_private.apply_events(p_events[v_count / 2 + 1:]);
  elsif referral_private.is_data_error(v_sqlstate) then
    perform referral_private.park((p_events[1]).stated);
    perform referral_private.applied_now(p_events);
  else
    raise warning 'referral: event % waits: %: %', ((p_events[1]).stated).event_id, v_sqlstate, v_message;
    perform referral_private.apply_later((p_events[1]).stated, v_sqlstate);
  end if;
  return array[((p_events[1]).stated).event_id];
end
$$;
