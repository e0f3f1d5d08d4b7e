-- Tables by month: each month, in UTC, can have a partition of its own, and the default partition has the rest.

-- A month that has a partition of its own.
create type referral_private.month_partition as (partition name, month timestamp);

-- The months of this table that have a partition.
create function referral_private.months_of(p_table regclass)
returns setof referral_private.month_partition
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select c.relname, to_date(right(c.relname, 7), 'YYYY_MM')::timestamp
  from pg_inherits as i
  join pg_class as c on c.oid = i.inhrelid
  join pg_partitioned_table as t on t.partrelid = i.inhparent
  where i.inhparent = p_table and c.oid <> t.partdefid;
end
$$;

-- Whether the default partition has rows of this month. Then it keeps the month, where a look-up finds them as well,
-- and nothing has to be moved while others wait.
create function referral_private.is_kept_by_default(p_table regclass, p_month timestamp)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- Nearly always there is none, and a table that is read to its end says so late.
set enable_seqscan = off
as $$
declare
  v_default regclass;
  v_time name;
  v_is_kept boolean;
begin
  select t.partdefid, a.attname into strict v_default, v_time
  from pg_partitioned_table as t
  join pg_attribute as a on a.attrelid = t.partrelid and a.attnum = t.partattrs[0]
  where t.partrelid = p_table;
  execute format('select exists (select from %s where %2$I >= $1 and %2$I < $2)', v_default, v_time)
  into v_is_kept
  using p_month at time zone 'utc', (p_month + interval '1 month') at time zone 'utc';
  return v_is_kept;
end
$$;

-- Which of this month and so many after it should have a partition, and have none.
create function referral_private.missing_months(p_table regclass, p_ahead int)
returns timestamp[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_this_month constant timestamp := date_trunc('month', clock_timestamp() at time zone 'utc');
begin
  return array(
    select ahead.month
    from (select v_this_month + n * interval '1 month' as month from generate_series(0, p_ahead) as n) as ahead
    where ahead.month not in (select m.month from referral_private.months_of(p_table) as m)
      and not referral_private.is_kept_by_default(p_table, ahead.month)
    order by 1
  );
end
$$;

-- Makes a month's partition and returns its name; null, where the default partition keeps the month. The table is
-- locked.
create function referral_private.make_month(p_table regclass, p_month timestamp)
returns name
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $$
declare
  v_partition constant name := (select c.relname from pg_class as c where c.oid = p_table)
    || to_char(p_month, '"_"YYYY_MM');
  v_from constant timestamptz := p_month at time zone 'utc';
  v_to constant timestamptz := (p_month + interval '1 month') at time zone 'utc';
begin
  if referral_private.is_kept_by_default(p_table, p_month) then
    return null;
  end if;
  execute format(
    'create table referral_private.%I partition of %s for values from (%L) to (%L)',
    v_partition, p_table, v_from, v_to
  );
  execute format('alter table referral_private.%I enable row level security', v_partition);
  execute format('revoke all on referral_private.%I from public, anon, authenticated, service_role', v_partition);
  return v_partition;
end
$$;

-- Since when rows are kept. Raises `invalid_argument` for less than 90 days: no click_window is longer, and Stripe
-- delivers no event that late.
create function referral_private.kept_from(p_retention interval)
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
