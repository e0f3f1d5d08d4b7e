-- Health of the installation: whether the jobs run and leave nothing, and what waits for somebody. These checks are of
-- all organisations together.

-- A time in ISO 8601, in UTC.
create function referral_private.iso_time(p_at timestamptz)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (to_jsonb(p_at at time zone 'utc') #>> '{}') || 'Z';
end
$$;

-- Whether run_maintenance is called, and whether its jobs succeed and keep up.
create function referral_private.check_jobs()
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hour_ago constant timestamptz := clock_timestamp() - interval '1 hour';
  v_schedule constant text :=
    'In the SQL editor, after "create extension if not exists pg_cron": select cron.schedule(''referral maintenance'', '
    || '''* * * * *'', ''select * from referral.run_maintenance()'')';
  v_last constant timestamptz := (select max(m.ran_at) from referral_private.maintenance_runs as m);
  v_failed text;
  v_behind text;
  v_found bigint;
begin
  select string_agg(m.job || ' (' || m.error || ')', ', ' order by m.job) filter (where m.error is not null),
    string_agg(m.job, ', ' order by m.job) filter (where m.behind_since < v_hour_ago),
    nullif(count(*) filter (where m.error is not null or m.behind_since < v_hour_ago), 0)
  into v_failed, v_behind, v_found
  from referral_private.maintenance_runs as m;
  if v_last is null then
    return referral_private.checked('jobs', 'No job has run yet.', null, v_schedule, null);
  elsif v_last < v_hour_ago then
    return referral_private.checked(
      'jobs', 'No job has run since ' || referral_private.iso_time(v_last) || '.', null, v_schedule, null
    );
  elsif v_failed is not null then
    return referral_private.checked(
      'jobs', 'Jobs that fail: ' || v_failed || '.', null,
      'Read the message in the log of the database, and report it. The page on reliability says '
        || 'which jobs there are.', v_found
    );
  end if;
  return referral_private.checked(
    'jobs', 'Jobs that have left something for more than an hour: ' || v_behind || '.',
    'The jobs ran last at ' || referral_private.iso_time(v_last) || '.',
    'In the SQL editor, until no row has more: select * from referral.run_maintenance(max_seconds => 30)', v_found
  );
end
$$;

-- Whether this month and the next have a partition of this table. A month that the default partition keeps needs none.
create function referral_private.check_partitions(p_name text, p_table regclass, p_rows text)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_missing constant text[] := array(
    select left(to_jsonb(month) #>> '{}', 7) from unnest(referral_private.missing_months(p_table, 1)) as month
  );
  v_in_default bigint;
begin
  execute format(
    'select count(*) from (select from %s limit 1000) as d',
    (select t.partdefid::regclass from pg_partitioned_table as t where t.partrelid = p_table)
  )
  into v_in_default;
  return referral_private.checked(
    p_name,
    'Months that have no partition of ' || p_rows || ': ' || nullif(array_to_string(v_missing, ', '), '') || '.',
    'No month lacks its partition of ' || p_rows || '; ' || p_rows || ' in the default partition: '
      || referral_private.counted(v_in_default) || '.',
    'In the SQL editor: select * from referral.run_maintenance()', nullif(cardinality(v_missing), 0)
  );
end
$$;

-- What a job should have done an hour ago. `p_what` ends with a colon, before the number of these.
create function referral_private.check_overdue(p_name text, p_what text, p_fine text, p_found bigint)
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.checked(
    p_name, case when p_found > 0 then p_what || ' ' || referral_private.counted(p_found) || '.' end, p_fine,
    'In the SQL editor, until no row has more: select * from referral.run_maintenance(max_seconds '
      || '=> 30)', nullif(p_found, 0)
  );
end
$$;

-- Whether events that are stored, and payers, wait for their settlement longer than a few minutes.
create function referral_private.check_settlement()
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_since timestamptz;
  v_errors text;
  v_found bigint;
begin
  select min(w.since), string_agg(distinct w.error, ', ' order by w.error), count(*)
  into v_since, v_errors, v_found
  from (
    (
      select u.stored_at as since, u.error from referral_private.unapplied_events as u
      order by u.stored_at
      limit 1000
    )
    union all
    (select q.queued_at, q.error from referral_private.to_settle as q order by q.queued_at limit 1000)
  ) as w;
  return referral_private.checked(
    'settlement', case
      when v_since < clock_timestamp() - interval '10 minutes' or v_errors is not null then
        'Events and payers that wait to be settled: ' || referral_private.counted(v_found) || ', since '
          || referral_private.iso_time(v_since) || coalesce(', with errors: ' || v_errors, '') || '.'
    end, 'Nothing waits to be settled for long.',
    'In the SQL editor, until no row has more: select * from referral.settle_stripe_events()', nullif(v_found, 0)
  );
end
$$;

-- What the jobs have left for more than an hour.
create function referral_private.checks_of_overdue()
returns setof referral.health_check
language plpgsql
stable
rows 4
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hour_ago constant timestamptz := clock_timestamp() - interval '1 hour';
  v_found bigint;
begin
  select count(*) into v_found from (
    select from referral_private.postings as p
    where p.kind in ('pending', 'reward_pending') and p.amount > 0 and p.due_at < v_hour_ago
    limit 1000
  ) as due;
  return next referral_private.check_overdue(
    'due_commissions', 'Commissions and rewards that are pending for more than an hour after their hold:',
    'No commission or reward is pending after its hold.', v_found
  );
  select count(*) into v_found from (
    select from referral.codes as c
    where c.status in ('active', 'suspended') and c.expires_at < v_hour_ago
    limit 1000
  ) as due;
  return next referral_private.check_overdue(
    'expired_codes', 'Codes that are not stored as expired more than an hour after their time:',
    'Every code that is past its time is stored as expired.', v_found
  );
  select count(*) into v_found from (
    (
      select from referral_private.sign_up_claims as s
      where s.claimed_at < referral_private.later(v_hour_ago, interval '-90 days')
      limit 1000
    )
    union all
    (select from referral_private.sign_up_reservations as r where r.expires_at < v_hour_ago limit 1000)
  ) as due;
  return next referral_private.check_overdue(
    'sign_up_claims', 'Codes given at sign-up, and reservations, that should be deleted:',
    'No code given at sign-up is kept for too long.', least(v_found, 1000)
  );
  select count(*) into v_found from referral_private.day_keys as k where k.day < (v_hour_ago at time zone 'utc')::date;
  return next referral_private.check_overdue(
    'day_keys', 'Keys of past days, under which addresses are hashed, that should be deleted:',
    'No key of a past day is kept, under which addresses are hashed.', v_found
  );
end
$$;

-- Whether the triggers are there that guard what is written once. The remedy has a statement for each trigger that is
-- there, and that a replica skips, as after a restore that disabled triggers.
create function referral_private.check_ledger_triggers()
returns referral.health_check
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tables text;
  v_missing text;
  v_statements text;
  v_found bigint;
begin
  select string_agg(g.name, ', ' order by g.name), nullif(count(*), 0),
    string_agg(g.name, ', ' order by g.name) filter (where g.trigger is null),
    string_agg(format('alter table %s enable always trigger %I; ', g.relation, g.trigger), '' order by g.name)
      filter (where g.trigger is not null)
  into v_tables, v_found, v_missing, v_statements
  from referral_private.guards() as g
  where g.mode is distinct from 'A';
  return referral_private.checked(
    'ledger_triggers', 'Tables without the trigger that guards what is written once: ' || v_tables || '.',
    'What is written once is guarded.',
    coalesce('Make the trigger as the migration does, for: ' || v_missing || '. ', '')
      || 'In the SQL editor: ' || coalesce(v_statements, '') || 'select * from referral.verify_ledger()', v_found
  );
end
$$;
