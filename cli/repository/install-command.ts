import { Command } from 'commander'

/** A command with the options that `init` and `upgrade` share. */
export const installCommand = (name: string): Command =>
  new Command(name)
    .option('--dry-run', 'show what would be written as a diff, and write nothing')
    .option('--cron', 'add a migration that runs the jobs every minute, with pg_cron')
    .option('--overwrite', 'replace edge functions of ours that you changed')
    .option('--json', 'print one JSON object')
    .option(
      '--db-url <url>',
      'read the history of migrations there, to number ours after it; otherwise DATABASE_URL, if set',
    )
