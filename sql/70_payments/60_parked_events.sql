-- Parked events: counted, listed, and applied once a later version can read them.
create type referral.parked_event as (
  stripe_account text,
  livemode boolean,
  event_id text,
  type text,
  reason text,
  received_at timestamptz,
  event jsonb
);

create type referral.parked_event_count as (
  livemode boolean,
  type text,
  api_version text,
  reason text,
  events bigint,
  stripe_accounts bigint,
  first_at timestamptz,
  last_at timestamptz
);

create function referral_private.count_parked_events(p_livemode boolean default null)
returns setof referral.parked_event_count
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select p.livemode, p.event ->> 'type', p.event ->> 'api_version', p.reason, count(*),
    count(distinct p.stripe_account), min(p.event_created_at), max(p.event_created_at)
  from referral_private.parked_events as p
  where p_livemode is null or p.livemode = p_livemode
  group by 1, 2, 3, 4
  order by 5 desc, 2, 4, 3, 1
  limit 1000;
end
$$;

comment on function referral_private.count_parked_events is
  'public: Counts the events that could not be read when they came, by mode, type, API version and reason, most
first. They earn nothing until they are resolved. api_version is null if the event had none of a known form. first_at
and last_at are the times at which Stripe made the first and the last of them, and stripe_accounts counts the Stripe
accounts.

group: Take payments
livemode: true for live events, false for those of test mode; both unless given
callers: the operator
errors: none
timeout: 20s';

grant execute on function referral_private.count_parked_events to service_role;

create function referral_private.list_parked_events(p_max_rows int default 100, p_after_event text default null)
returns setof referral.parked_event
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Few are parked of very many events.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  -- The row of the page before may be resolved by now.
  v_after timestamptz := coalesce(
    (
      select min(e.received_at)
      from (
        select p.event_created_at, p.stripe_account, p.livemode from referral_private.parked_events as p
        where p.event_id = p_after_event
        union all
        select r.event_created_at, r.stripe_account, r.livemode from referral_private.resolved_events as r
        where r.event_id = p_after_event
      ) as known
      join referral_private.stripe_events as e
        on e.created_at = known.event_created_at and e.event_id = p_after_event
        and e.stripe_account = known.stripe_account and e.livemode = known.livemode
    ),
    case when p_after_event is null then '-infinity'::timestamptz end
  );
begin
  if v_after is null then
    perform referral_private.raise_error('invalid_argument', 'after_event: the last event_id of the page before');
  end if;
  return query
  select p.stripe_account, p.livemode, p.event_id, e.type, p.reason, e.received_at, p.event
  from referral_private.parked_events as p
  join referral_private.stripe_events as e
    on e.created_at = p.event_created_at and e.event_id = p.event_id
    and e.stripe_account = p.stripe_account and e.livemode = p.livemode
  where (e.received_at, p.event_id) > (v_after, coalesce(p_after_event, ''))
  order by e.received_at, p.event_id
  limit referral_private.page_size(p_max_rows);
end
$$;

comment on function referral_private.list_parked_events is
  'public: Returns events that could not be read when they came, oldest first, without what is personal.

group: Take payments
max_rows: 1 to 1,000
after_event: the last event_id of the page before; none for the first page
callers: the operator
errors: invalid_argument
timeout: 10s';

grant execute on function referral_private.list_parked_events to service_role;

create function referral_private.resolve_parked_event(p_event jsonb)
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
  v_status referral.event_status := 'duplicate';
begin
  v_stated := referral_private.stated_event_of(p_event);
  perform referral_private.lock_stripe_account(v_stated.stripe_account);
  if referral_private.unpark(v_stated, p_event) then
    v_status := case when v_kind is null then 'ignored' else 'applied' end;
  end if;
  if v_status = 'applied' then
    perform referral_private.apply_together(array[(v_kind, v_stated)::referral_private.accepted_event]);
  end if;
  return query select v_stated.event_id, v_status, referral_private.is_unsettled(v_stated.stripe_account);
exception
  when data_exception or cannot_coerce or check_violation or not_null_violation then
    perform referral_private.raise_error('invalid_event');
end
$$;

comment on function referral_private.resolve_parked_event is
  'public: Applies a parked event that can be read now, and deletes what was parked. Status: applied; duplicate if it is
not parked any more.

group: Take payments
event: the event as functions/stripe-webhook reduces it
callers: the operator
errors: invalid_event, busy
returns: a row
timeout: 10s';

grant execute on function referral_private.resolve_parked_event to service_role;
