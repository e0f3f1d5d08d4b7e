-- The one job: everything that has to be done from time to time, in batches of a bounded size.

-- When each job last ran, how much it did then, whether it left something, and the code of the error if it failed.
create table referral_private.maintenance_runs (
  job text collate "C" not null,
  ran_at timestamptz not null,
  done int not null,
  more boolean not null,
  error text,
  -- Since when every run has left something or failed; null if the last one did neither.
  behind_since timestamptz,
  constraint maintenance_runs_pkey primary key (job)
);

alter table referral_private.maintenance_runs enable row level security;

create type referral.maintenance as (job text, done int, more boolean, error text);

-- The code of the error with which a job failed: ours, or Postgres' own. Null if it met a lock: then nothing is wrong,
-- and the next call does it. The database's log has the message, which can have values of rows in it.
create function referral_private.error_of_job(p_job text, p_sqlstate text, p_message text)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code constant text := case when p_sqlstate = 'PGRST' then p_message::json ->> 'code' else p_sqlstate end;
begin
  if v_code in ('busy', '55P03') then
    return null;
  end if;
  raise warning 'referral: the job % failed: %: %', p_job, v_code, p_message;
  return v_code;
end
$$;

-- Runs one batch of a job, and returns how much it did. `more` says that another batch could find something. The batch
-- is a subtransaction: an error undoes it, releases its locks, and leaves what the other jobs did.
create function referral_private.run_batch(p_job text, p_click_retention interval, p_event_retention interval)
returns referral.maintenance
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_clicks referral.click_maintenance;
  v_events referral.event_maintenance;
  v_done int;
  v_more boolean;
  -- A constant, because clock_timestamp() in a condition keeps Postgres from using an index.
  v_now constant timestamptz := clock_timestamp();
begin
  case p_job
    when 'maintain_clicks' then
      v_clicks := referral_private.maintain_clicks(p_click_retention, 10000);
      v_done := v_clicks.partitions_made + v_clicks.partitions_dropped + v_clicks.clicks_removed
        + v_clicks.visitors_removed;
      v_more := greatest(v_clicks.clicks_removed, v_clicks.visitors_removed) >= 10000;
    when 'maintain_events' then
      v_events := referral_private.maintain_events(p_event_retention);
      v_done := v_events.partitions_made + v_events.partitions_archived;
      v_more := v_events.more;
    when 'expire_codes' then
      v_done := referral_private.expire_codes(1000);
    when 'expire_redemptions' then
      v_done := referral_private.expire_redemptions(1000);
    when 'purge_rate_limits' then
      v_done := referral_private.purge_rate_limits(1000);
    when 'purge_sign_up_claims' then
      v_done := referral_private.purge_sign_up_claims(1000);
    when 'recognise_users' then
      v_done := referral_private.recognise_users(100);
      v_more := v_done >= 100;
    when 'settle_stripe_events' then
      select s.done, s.more into v_done, v_more from referral_private.settle_stripe_events() as s;
    when 'release_due_commissions' then
      v_done := referral_private.release_due_commissions(200);
      v_more := exists (
        select from referral_private.postings as p
        where p.kind in ('pending', 'reward_pending') and p.amount > 0 and p.due_at <= v_now
      );
  end case;
  return (p_job, v_done, coalesce(v_more, v_done >= 1000), null)::referral.maintenance;
exception
  when others then
    return (p_job, 0, true, referral_private.error_of_job(p_job, sqlstate, sqlerrm))::referral.maintenance;
end
$$;

-- The partitions of tables by month.
create function referral_private.all_months()
returns oid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select i.inhrelid from pg_inherits as i
    where i.inhparent in ('referral_private.clicks'::regclass, 'referral_private.stripe_events'::regclass)
    order by 1
  );
end
$$;

-- The order keeps locks short and free of deadlocks. The jobs that can wait, for tables by month, come first, when
-- nothing is locked, and whoever uses both tables uses them in this order; where they change partitions, these tables
-- stay locked until the call ends, and no other job begins.
-- The cheap jobs skip what is locked. They have a batch each in turn, so that the backlog of one does not keep the
-- others waiting: 14 each at most, because a transaction of more than 64 subtransactions slows other sessions down.
-- Those that lock Stripe accounts come last, and run one batch, however late it is.
create function referral_private.run_maintenance(
  p_max_seconds int default 5,
  p_click_retention interval default '120 days',
  p_event_retention interval default null
)
returns setof referral.maintenance
language plpgsql
volatile
rows 9
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_month_jobs constant text[] := '{maintain_clicks,maintain_events}';
  v_jobs constant text[] := '{expire_codes,expire_redemptions,purge_rate_limits,purge_sign_up_claims}';
  v_account_jobs constant text[] := '{recognise_users,settle_stripe_events,release_due_commissions}';
  v_months constant oid[] := referral_private.all_months();
  v_until timestamptz;
  v_left boolean[] := array_fill(true, array[cardinality(v_jobs)]);
  v_runs referral.maintenance[];
  v_batch referral.maintenance;
  v_at int;
begin
  if coalesce(p_max_seconds not between 1 and 30, true) then
    perform referral_private.raise_error('invalid_argument', 'max_seconds: 1 to 30');
  end if;
  perform referral_private.kept_from(p_click_retention);
  perform referral_private.kept_from(p_event_retention) where p_event_retention is not null;
  perform referral_private.require_read_committed();
  if not pg_try_advisory_xact_lock(hashtextextended('referral.maintenance', 0)) then
    return;
  end if;
  v_until := clock_timestamp() + p_max_seconds * interval '1 second';
  v_runs := array(
    select (job, 0, true, null)::referral.maintenance from unnest(v_month_jobs || v_jobs || v_account_jobs) as job
  );
  for place in 1..cardinality(v_month_jobs) loop
    v_runs[place] := referral_private.run_batch(v_month_jobs[place], p_click_retention, p_event_retention);
  end loop;
  if v_months = referral_private.all_months() then
    for round in 1..14 loop
      for place in 1..cardinality(v_jobs) loop
        continue when not v_left[place];
        v_batch := referral_private.run_batch(v_jobs[place], null, null);
        v_left[place] := v_batch.more and v_batch.done > 0;
        v_at := place + cardinality(v_month_jobs);
        v_runs[v_at] := (v_batch.job, (v_runs[v_at]).done + v_batch.done, v_batch.more, v_batch.error);
      end loop;
      exit when clock_timestamp() >= v_until or true <> all (v_left);
    end loop;
    for place in 1 + cardinality(v_month_jobs || v_jobs)..cardinality(v_runs) loop
      v_runs[place] := referral_private.run_batch((v_runs[place]).job, null, null);
    end loop;
  end if;
  insert into referral_private.maintenance_runs as m (job, ran_at, done, more, error, behind_since)
  select r.job, clock_timestamp(), r.done, r.more, r.error, case when r.more then clock_timestamp() end
  from unnest(v_runs) as r
  on conflict on constraint maintenance_runs_pkey do update
  set ran_at = excluded.ran_at, done = excluded.done, more = excluded.more, error = excluded.error,
    behind_since = case when excluded.more then coalesce(m.behind_since, excluded.behind_since) end;
  return query select r.* from unnest(v_runs) as r;
end
$$;

comment on function referral_private.run_maintenance is
  'public: Runs all jobs: keeps the storage of clicks and events, expires codes and redemptions, purges rate limits and
sign-up claims, recognises users, settles what waits, and releases commissions and rewards whose hold is over. Call it
every minute, or at least every hour; call it again at once while a row has more. Returns, for each job, how much it
did, whether something is left, and error: the code of the error that undid its last batch, null if there was none. An
error of one job leaves what the others did, and its message is in the database''s log. No rows while another call is
under way. What another call has locked is left for the next one.

group: Run jobs
max_seconds: 1 to 30: after that only the last three jobs begin a batch, which is small
click_retention: how long clicks are kept, 90 days at least
event_retention: how long Stripe''s events stay in the inbox, 90 days at least; unless given, for ever
callers: the operator
errors: invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.run_maintenance to service_role;
