/** `referbase start`: the project in this folder on this machine, without Docker. */
import { Command } from 'commander'
import type { Stack } from '../scripts/stack/stack.ts'

type Options = { fresh: boolean; host: boolean; writeEnv?: string }

export const start = new Command('start')
  .description('run the project in this folder on this machine, without Docker, until Ctrl-C')
  .option('--fresh', 'start on an empty database and free ports, and keep nothing', false)
  .option('--write-env <file>', 'write its URLs and keys to this file once everything answers')
  .option('--host', 'let the devices of your network reach it', false)
  .addHelpText(
    'after',
    `
It applies supabase/migrations and the seed files, serves the database, Auth, the Data API and the
functions, and runs the jobs of referbase every minute. It has no Storage, no Realtime and no Studio: "supabase start" has them, and needs Docker.
Functions read supabase/functions/.env. Data, keys and logs are in .referbase, which git ignores.`,
  )
  .action(async ({ fresh, host, writeEnv }: Options) => {
    // Other commands run without what it needs.
    const { runStack } = await import('../scripts/stack/run.ts')
    const { readProject } = await import('../scripts/stack/project.ts')
    await runStack({
      project: readProject(process.cwd()),
      fresh,
      seed: true,
      jobs: true,
      exposed: host,
      webhookSecret: process.env.STRIPE_WEBHOOK_SECRET,
      environmentFile: writeEnv,
      progress: (text) => process.stderr.write(`${text}\n`),
      report,
    })
  })

function report({ environment: e, home }: Stack): string {
  return `
Your project is running. Stop it with Ctrl-C.

  API        ${e.SUPABASE_URL}
  functions  ${e.FUNCTIONS_URL}
  database   ${e.DATABASE_URL}
  keys       ${e.SUPABASE_PUBLISHABLE_KEY}
             ${e.SUPABASE_SECRET_KEY}
  Stripe     ${e.STRIPE_WEBHOOK_SECRET}
  logs       ${home}
`
}
