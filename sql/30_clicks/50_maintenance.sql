-- The job that keeps clicks: makes the partitions of months to come, and deletes what is past.

-- The months, in UTC, that have a partition of their own.
create type referral_private.click_month as (partition name, month timestamp);

-- The months that have a partition.
create function referral_private.click_months()
returns setof referral_private.click_month
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select c.relname, to_date(c.relname, '"clicks_"YYYY_MM')::timestamp
  from pg_inherits as i
  join pg_class as c on c.oid = i.inhrelid
  where i.inhparent = 'referral_private.clicks'::regclass and c.relname <> 'clicks_default';
end
$$;

-- Whether the default partition has clicks of this month. Then it keeps the month, where a look-up finds them as well,
-- and nothing has to be moved while clicks wait.
create function referral_private.is_kept_by_default(p_month timestamp)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral_private.clicks_default as k
    where k.clicked_at >= p_month at time zone 'utc'
      and k.clicked_at < (p_month + interval '1 month') at time zone 'utc'
  );
end
$$;

-- Makes a month's partition, unless the default partition keeps the month. The table is locked.
create function referral_private.make_click_partition(p_month timestamp)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $$
declare
  v_partition constant text := to_char(p_month, '"clicks_"YYYY_MM');
  v_from constant timestamptz := p_month at time zone 'utc';
  v_to constant timestamptz := (p_month + interval '1 month') at time zone 'utc';
begin
  if referral_private.is_kept_by_default(p_month) then
    return false;
  end if;
  execute format(
    'create table referral_private.%I partition of referral_private.clicks for values from (%L) to (%L)',
    v_partition, v_from, v_to
  );
  execute format('alter table referral_private.%I enable row level security', v_partition);
  execute format('revoke all on referral_private.%I from public, anon, authenticated, service_role', v_partition);
  return true;
end
$$;

create type referral.click_maintenance as (
  partitions_made int,
  partitions_dropped int,
  clicks_removed int,
  visitors_removed int
);

-- Makes the partitions of this month and the next two, and drops those of months that ended before this time. The
-- table is locked before its partitions and in its strongest mode at once, so that clicks and redemptions wait and
-- cannot deadlock; not, where there is nothing to make or drop.
create function referral_private.renew_click_partitions(p_kept_from timestamptz)
returns referral.click_maintenance
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_this_month constant timestamp := date_trunc('month', clock_timestamp() at time zone 'utc');
  v_missing timestamp[] := array(
    select ahead.month
    from (select v_this_month + n * interval '1 month' as month from generate_series(0, 2) as n) as ahead
    where not referral_private.is_kept_by_default(ahead.month)
    except
    select m.month from referral_private.click_months() as m
    order by 1
  );
  v_past name[] := array(
    select m.partition from referral_private.click_months() as m
    where (m.month + interval '1 month') at time zone 'utc' <= p_kept_from
  );
  v_month timestamp;
  v_partition name;
  v_done referral.click_maintenance;
begin
  if v_missing <> '{}' or v_past <> '{}' then
    lock table only referral_private.clicks in access exclusive mode;
  end if;
  v_done.partitions_made := 0;
  foreach v_month in array v_missing loop
    v_done.partitions_made := v_done.partitions_made + referral_private.make_click_partition(v_month)::int;
  end loop;
  foreach v_partition in array v_past loop
    execute format('drop table referral_private.%I', v_partition);
  end loop;
  v_done.partitions_dropped := cardinality(v_past);
  return v_done;
end
$$;

-- Since when clicks are kept. Raises `invalid_argument` for less than 90 days: no click_window is longer.
create function referral_private.clicks_kept_from(p_retention interval)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_kept_from timestamptz;
begin
  v_kept_from := referral_private.later(v_now, -p_retention);
  if coalesce(v_kept_from > referral_private.later(v_now, interval '-90 days'), true) then
    perform referral_private.raise_error('invalid_argument', 'retention: 90 days or more');
  end if;
  return v_kept_from;
exception
  when datetime_field_overflow then
    perform referral_private.raise_error('invalid_argument', 'retention: 90 days or more');
end
$$;

create function referral_private.maintain_clicks(p_retention interval default '120 days', p_max_rows int default 100000)
returns setof referral.click_maintenance
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
-- The statistics of a table that was emptied mislead: rows are found by an index, and deleted by their place.
set enable_seqscan = off
set lock_timeout = '3s'
as $$
declare
  v_today constant date := clock_timestamp() at time zone 'utc';
  v_kept_from constant timestamptz := referral_private.clicks_kept_from(p_retention);
  v_done referral.click_maintenance;
begin
  perform pg_advisory_xact_lock(hashtextextended('referral.maintain_clicks', 0));
  v_done := referral_private.renew_click_partitions(v_kept_from);

  delete from referral_private.clicks_default as k
  where k.ctid = any (
    array(
      select d.ctid from referral_private.clicks_default as d
      where d.clicked_at < v_kept_from
      limit greatest(p_max_rows, 0)
    )
  );
  get diagnostics v_done.clicks_removed = row_count;

  perform referral_private.forget_keys_before(v_today);
  delete from referral_private.visitors as v
  where v.ctid = any (
    array(
      select d.ctid from referral_private.visitors as d
      where d.day < v_today
      limit greatest(p_max_rows, 0)
    )
  );
  get diagnostics v_done.visitors_removed = row_count;
  return next v_done;
end
$$;

comment on function referral_private.maintain_clicks is
  'public: Keeps the storage of clicks: makes the partitions of this month and the next two, drops those of months that
ended before the retention began, and deletes visitors and keys of past days. Returns how much it did.

group: Run jobs
retention: an interval of 90 days at least
max_rows: how many clicks and how many visitors at most in this call
callers: the operator
errors: invalid_argument, busy
returns: a row
timeout: 60s';

grant execute on function referral_private.maintain_clicks to service_role;
