/** The calls of pg_cron, which the tests' Postgres does not have. */
export const standInForCron = `
create schema cron;
create table cron.job (jobid bigint generated always as identity, jobname text, schedule text, command text);
create function cron.schedule(job_name text, schedule text, command text) returns bigint language sql as $$
  insert into cron.job (jobname, schedule, command) values ($1, $2, $3) returning jobid;
$$;
create function cron.unschedule(job_id bigint) returns boolean language sql as $$
  delete from cron.job where jobid = $1 returning true;
$$;
`
