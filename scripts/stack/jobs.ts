import { execute } from './database.ts'

/** A project without referbase has no jobs. */
const run = `do $$
begin
  if to_regproc('referral.run_maintenance') is not null then
    perform referral.run_maintenance();
  end if;
end
$$`

/** Runs the jobs of referbase now and every minute, as pg_cron does in a hosted project. Returns how to stop. */
export async function startJobs(databaseUrl: string): Promise<() => void> {
  await execute(databaseUrl, run)
  // An error is in the database's log, and the next minute tries again.
  const timer = setInterval(() => void execute(databaseUrl, run).catch(() => {}), 60_000)
  return () => clearInterval(timer)
}
