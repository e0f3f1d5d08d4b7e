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

-- Runs one batch of a job, and returns how much it did. `more` says that another batch could find something. The table
-- of clicks is left for the next call while somebody else keeps it locked.
create function referral_private.run_batch(p_job text)
returns referral.maintenance
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_clicks referral.click_maintenance;
  v_done int;
begin
  case p_job
    when 'maintain_clicks' then
      v_clicks := referral_private.maintain_clicks(p_max_rows => 10000);
      v_done := v_clicks.partitions_made + v_clicks.partitions_dropped + v_clicks.clicks_removed
        + v_clicks.visitors_removed;
      return (p_job, v_done, greatest(v_clicks.clicks_removed, v_clicks.visitors_removed) >= 10000);
    when 'release_due_commissions' then
      v_done := referral_private.release_due_commissions(200);
      return (
        p_job, v_done, exists (
          select from referral_private.postings as p
          where p.kind in ('pending', 'reward_pending') and p.amount > 0 and p.due_at <= clock_timestamp()
        )
      );
    when 'recognise_users' then
      v_done := referral_private.recognise_users(100);
      return (p_job, v_done, v_done >= 100);
    when 'expire_codes' then
      v_done := referral_private.expire_codes(1000);
    when 'expire_redemptions' then
      v_done := referral_private.expire_redemptions(1000);
    when 'purge_rate_limits' then
      v_done := referral_private.purge_rate_limits(1000);
    when 'purge_sign_up_claims' then
      v_done := referral_private.purge_sign_up_claims(1000);
  end case;
  return (p_job, v_done, v_done >= 1000);
exception
  when lock_not_available then
    return (p_job, 0, true);
end
$$;

-- The order keeps locks short and free of deadlocks. The job that can wait, for the table of clicks, comes first, when
-- nothing is locked; where it changes partitions, the table stays locked until the call ends, and no other job begins.
-- The others skip what is locked. Those that lock Stripe accounts come last, and run one batch.
create function referral_private.run_maintenance(p_max_seconds int default 5)
returns setof referral.maintenance
language plpgsql
volatile
rows 7
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz;
  v_months name[] := array(select m.partition from referral_private.click_months() as m order by 1);
  v_job text;
  v_batch referral.maintenance;
  v_run referral.maintenance;
begin
  if coalesce(p_max_seconds not between 1 and 30, true) then
    perform referral_private.raise_error('invalid_argument', 'max_seconds: 1 to 30');
  end if;
  perform referral_private.require_read_committed();
  v_until := clock_timestamp() + p_max_seconds * interval '1 second';
  if not pg_try_advisory_xact_lock(hashtextextended('referral.maintenance', 0)) then
    return;
  end if;
  foreach v_job in array '{
    maintain_clicks,expire_codes,expire_redemptions,purge_rate_limits,purge_sign_up_claims,recognise_users,
    release_due_commissions
  }'::text[] loop
    v_run := (v_job, 0, true);
    while v_run.more and clock_timestamp() < v_until loop
      v_batch := referral_private.run_batch(v_job);
      v_run := (v_job, v_run.done + v_batch.done, v_batch.more);
      exit when v_batch.done = 0 or v_job in ('recognise_users', 'release_due_commissions');
    end loop;
    if v_job = 'maintain_clicks'
      and v_months <> array(select m.partition from referral_private.click_months() as m order by 1)
    then
      v_until := clock_timestamp();
    end if;
    insert into referral_private.maintenance_runs as r (job, ran_at, done, more)
    values (v_job, clock_timestamp(), v_run.done, v_run.more)
    on conflict on constraint maintenance_runs_pkey do update
    set ran_at = excluded.ran_at, done = excluded.done, more = excluded.more;
    return next v_run;
  end loop;
end
$$;

comment on function referral_private.run_maintenance is
  'public: Runs all jobs: keeps the storage of clicks, expires codes and redemptions, purges rate limits and sign-up
claims, recognises users, and releases commissions and rewards whose hold is over. Call it every minute, or at least
every hour; call it again at once while a row has more. Returns, for each job, how much it did, and whether something is
left; no rows while another call is under way.

group: Run jobs
max_seconds: 1 to 30: no batch begins later
callers: the operator
errors: invalid_argument, busy
timeout: 60s';

grant execute on function referral_private.run_maintenance to service_role;
