-- The job that keeps clicks: makes the partitions of months to come, and deletes what is past.

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
  v_missing constant timestamp[] := referral_private.missing_months('referral_private.clicks', 2);
  v_past constant name[] := array(
    select m.partition from referral_private.months_of('referral_private.clicks') as m
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
    v_done.partitions_made := v_done.partitions_made
      + (referral_private.make_month('referral_private.clicks', v_month) is not null)::int;
  end loop;
  foreach v_partition in array v_past loop
    execute format('drop table referral_private.%I', v_partition);
  end loop;
  v_done.partitions_dropped := cardinality(v_past);
  return v_done;
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
  v_kept_from constant timestamptz := referral_private.kept_from(p_retention);
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
