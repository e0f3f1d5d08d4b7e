-- The job that keeps the inbox: makes the partitions of months to come, and takes out what is past.
-- `more`: the month that is being taken out is not out yet.
create type referral.event_maintenance as (partitions_made int, partitions_archived int, more boolean);

create function referral_private.maintain_events(p_retention interval default null, p_max_rows int default 100000)
returns setof referral.event_maintenance
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_kept_from timestamptz;
  v_past referral_private.month_partition;
  v_has_begun boolean;
  v_done referral.event_maintenance := (0, 0, false);
begin
  if p_retention is not null then
    v_kept_from := referral_private.kept_from(p_retention);
  end if;
  perform pg_advisory_xact_lock(hashtextextended('referral.maintain_events', 0));
  v_done.partitions_made := referral_private.make_event_months(
    referral_private.missing_months('referral_private.stripe_events', 2)
  );
  select m.* into v_past
  from referral_private.months_of('referral_private.stripe_events') as m
  where (m.month + interval '1 month') at time zone 'utc' <= v_kept_from
    and not referral_private.has_open_events(m.month)
  order by m.month
  limit 1;
  -- The inbox is locked for a moment only: what takes long comes in calls of its own.
  if found and v_done.partitions_made = 0 then
    v_has_begun := referral_private.begin_archiving(v_past.month::date, v_past.partition);
    v_done.more := referral_private.copy_keys(v_past.month::date, v_past.partition, greatest(p_max_rows, 1))
      or v_has_begun;
    if not v_done.more then
      v_done.partitions_archived := referral_private.take_month_out(v_past.month::date, v_past.partition)::int;
    end if;
  end if;
  return next v_done;
end
$$;

comment on function referral_private.maintain_events is
  'public: Keeps the inbox of Stripe''s events: makes the partitions of this month and the next two, and, where a
retention is given, takes out the oldest month that ended before it: copies the keys of its events, in calls of a
bounded size, so that they are recognised as duplicates for ever, and then leaves the month''s table as
referral_private.archived_events_ with year and month, for you to store elsewhere and drop. A month stays while an event
of it waits or is parked. Returns how many partitions it made and took out, and whether the month needs another call.

group: Run jobs
retention: an interval of 90 days at least; without it, nothing is taken out
max_rows: how many keys are copied in this call, those of one second together
callers: the operator
errors: invalid_argument, busy
returns: a row
timeout: 60s';

grant execute on function referral_private.maintain_events to service_role;
