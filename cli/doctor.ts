/** `referbase doctor`: what is wrong with an installation, and what mends it. It changes nothing. */
import { Command } from 'commander'
import { checkDatabase } from './doctor/database.ts'
import { checkEnvironment } from './doctor/environment.ts'
import type { Examined } from './doctor/examined.ts'
import { checkFunctions } from './doctor/functions.ts'
import { checkHealth } from './doctor/health.ts'
import { checkHistory } from './doctor/history.ts'
import type { Line } from './doctor/line.ts'
import { checkLinkHosts } from './doctor/link-hosts.ts'
import { groupText, summaryText } from './doctor/print.ts'
import { checkStripe } from './doctor/stripe.ts'
import { pack } from './pack.ts'

type Options = { org?: string; dbUrl?: string; live?: boolean; stripe: boolean; json?: true }

export const doctor = new Command('doctor')
  .description('Examines the project, and says what is wrong and what mends it. Changes nothing.')
  .option('--org <id>', 'only this organisation')
  .option('--db-url <url>', 'the database, to compare the migrations (default: DATABASE_URL)')
  .option('--live', 'payments are to be live ones')
  .option('--no-stripe', 'the project takes no payments by Stripe')
  .option('--json', 'print one JSON object')
  .addHelpText(
    'after',
    '\nEnvironment: SUPABASE_URL, SUPABASE_SECRET_KEY; optional: SUPABASE_PUBLISHABLE_KEY, FUNCTIONS_URL, DATABASE_URL,\nSTRIPE_SECRET_KEY. The exit code is 1 if something is wrong.',
  )
  .action(async (options: Options) => {
    const inColour = process.stdout.isTTY && !process.env.NO_COLOR
    const found: (Line & { group: string })[] = []
    for await (const { group, lines } of examine(options)) {
      found.push(...lines.map((line) => ({ group, ...line })))
      if (!options.json) process.stdout.write(groupText(group, lines, inColour))
    }
    const ok = found.every(({ state }) => state !== 'wrong')
    process.stdout.write(
      options.json
        ? `${JSON.stringify({ ok, version: pack.version, checks: found }, null, 2)}\n`
        : summaryText(found),
    )
    if (!ok) process.exitCode = 1
  })

/** The groups of checks, each when it is done. */
async function* examine({ org: orgId, dbUrl, live, stripe: usesStripe }: Options) {
  const { lines, project } = await checkEnvironment()
  yield { group: 'Environment', lines }
  if (!project) return
  const examined: Examined = { project, orgId, live, usesStripe }
  yield { group: 'Data API', lines: await checkDatabase(project) }
  yield { group: 'Migrations', lines: await checkHistory(dbUrl ?? process.env.DATABASE_URL) }
  yield { group: 'Database', lines: await checkHealth(examined) }
  const functions = await checkFunctions(examined)
  yield { group: 'Functions', lines: functions.lines }
  yield { group: 'Link hosts', lines: await checkLinkHosts(examined) }
  if (usesStripe) yield { group: 'Stripe', lines: await checkStripe(examined, functions.livemode) }
}
