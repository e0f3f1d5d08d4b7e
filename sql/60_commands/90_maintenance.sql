-- The one job: everything that has to be done from time to time, in batches of a bounded size.

-- When each job last ran, how much it did then, and whether it left something.
create table referral_private.maintenance_runs (
  job text not null,
  ran_at timestamptz not null,
  done int not null,
  more boolean not null,
  constraint maintenance_runs_pkey primary key (job)
);

alter table referral_private.maintenance_runs enable row level security;

create type referral.maintenance as (job text, done int, more boolean);

-- Runs one batch of a job, and returns how much it did. `more` says that another batch could find something.
create function referral_private.run_batch(p_job text)
returns referral.maintenance
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_done int;
begin
  case p_job
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
      return (p_job, v_done, v_done >= 100);
    when 'release_due_commissions' then
      v_done := referral_private.release_due_commissions(200);
      return (
        p_job, v_done, exists (
          select from referral_private.postings as p
          where p.kind in ('pending', 'reward_pending') and p.amount > 0 and p.due_at <= clock_timestamp()
        )
      );
  end case;
  return (p_job, v_done, v_done >= 1000);
end
$$;

-- Keeps the storage of clicks, and returns how much that was. Where somebody else keeps the table locked, it is left
-- for the next call.
create function referral_private.run_clicks_batch(p_retention interval)
returns referral.maintenance
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_clicks referral.click_maintenance;
begin
  v_clicks := referral_private.maintain_clicks(p_retention, 10000);
  return (
    'maintain_clicks'::text,
    v_clicks.partitions_made + v_clicks.partitions_dropped + v_clicks.clicks_removed + v_clicks.visitors_removed,
    greatest(v_clicks.clicks_removed, v_clicks.visitors_removed) >= 10000
  );
exception
  when lock_not_available then
    return ('maintain_clicks'::text, 0, true);
end
$$;

-- The order keeps locks short and free of deadlocks. The job that can wait, for the table of clicks, comes first, when
-- nothing is locked; where it changes partitions, the table stays locked until the call ends, and no other job begins.
-- The cheap jobs skip what is locked. They have a batch each in turn, so that the backlog of one does not keep the
-- others waiting. Those that lock Stripe accounts come last, and run one batch, however late it is.
create function referral_private.run_maintenance(
  p_max_seconds int default 5,
  p_click_retention interval default '120 days'
)
returns setof referral.maintenance
language plpgsql
volatile
rows 7
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_jobs constant text[] := '{expire_codes,expire_redemptions,purge_rate_limits,purge_sign_up_claims}';
  v_account_jobs constant text[] := '{recognise_users,release_due_commissions}';
  v_months constant name[] := array(select m.partition from referral_private.click_months() as m order by 1);
  v_until timestamptz;
  v_runs referral.maintenance[];
  v_batch referral.maintenance;
begin
  if coalesce(p_max_seconds not between 1 and 30, true) then
    perform referral_private.raise_error('invalid_argument', 'max_seconds: 1 to 30');
  end if;
  perform referral_private.require_read_committed();
  if not pg_try_advisory_xact_lock(hashtextextended('referral.maintenance', 0)) then
    return;
  end if;
  v_until := clock_timestamp() + p_max_seconds * interval '1 second';
  v_runs := array[referral_private.run_clicks_batch(p_click_retention)]
    || array(select (job, 0, true)::referral.maintenance from unnest(v_jobs || v_account_jobs) as job);
  if v_months = array(select m.partition from referral_private.click_months() as m order by 1) then
    loop
      for place in 2..1 + cardinality(v_jobs) loop
        continue when not (v_runs[place]).more;
        v_batch := referral_private.run_batch((v_runs[place]).job);
        v_runs[place] := (v_batch.job, (v_runs[place]).done + v_batch.done, v_batch.more);
      end loop;
      exit when clock_timestamp() >= v_until
        or not exists (select from unnest(v_runs[2:1 + cardinality(v_jobs)]) as r where r.more);
    end loop;
    for place in 2 + cardinality(v_jobs)..cardinality(v_runs) loop
      v_runs[place] := referral_private.run_batch((v_runs[place]).job);
    end loop;
  end if;
  insert into referral_private.maintenance_runs as m (job, ran_at, done, more)
  select r.job, clock_timestamp(), r.done, r.more from unnest(v_runs) as r
  on conflict on constraint maintenance_runs_pkey do update
  set ran_at = excluded.ran_at, done = excluded.done, more = excluded.more;
  return query select r.* from unnest(v_runs) as r;
end
$$;

comment on function referral_private.run_maintenance is
  'public: Runs all jobs: keeps the storage of clicks, expires codes and redemptions, purges rate limits and sign-up
claims, recognises users, and releases commissions and rewards whose hold is over. Call it every minute, or at least
every hour; call it again at once while a row has more. Returns, for each job, how much it did, and whether something is
left; no rows while another call is under way. What another call has locked is left for the next one.

group: Run jobs
max_seconds: 1 to 30: after that only the last two jobs begin a batch, which is small
click_retention: how long clicks are kept, 90 days at least
callers: the operator
errors: invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.run_maintenance to service_role;
