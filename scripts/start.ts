/**
 * `npm start`: runs the local stack of this repository until Ctrl-C, as `referbase start` does in an adopter's. `--fresh` starts
 * an empty, temporary stack on free ports. `--env-file FILE` writes its URLs and keys there when all services respond.
 * `--host` lets the devices of the network reach the API. `--until-stdin-ends` stops it with its parent process.
 * `STRIPE_WEBHOOK_SECRET` of the environment is the webhook's secret, so that `stripe listen` can forward events.
 */
import { parseArgs } from 'node:util'
import { CliError, runMain } from '../cli/cli-error.ts'
import { readProject } from './stack/project.ts'
import { root } from './stack/root.ts'
import { runStack } from './stack/run.ts'
import type { Stack } from './stack/stack.ts'

await runMain(async () => {
  const { fresh, host: exposed, ...options } = readArguments()
  await runStack({
    project: readProject(root, 'installed'),
    fresh,
    seed: !fresh,
    exposed,
    webhookSecret: process.env.STRIPE_WEBHOOK_SECRET,
    environmentFile: options['env-file'],
    jobs: !fresh,
    untilStdinEnds: options['until-stdin-ends'],
    report: (stack) => report(stack, { hasDemo: !fresh }),
  })
})

function readArguments() {
  try {
    return parseArgs({
      options: {
        fresh: { type: 'boolean', default: false },
        'env-file': { type: 'string' },
        host: { type: 'boolean', default: false },
        'until-stdin-ends': { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new CliError(
      `${(error as Error).message}. Usage: npm start -- [--fresh] [--env-file FILE] [--host]`,
    )
  }
}

function report({ environment: e }: Stack, { hasDemo }: { hasDemo: boolean }): string {
  const next = hasDemo
    ? [
        'docs/quickstart.md',
        `curl -i '${e.FUNCTIONS_URL}/referbase-link/DEMO-2026'`,
        `curl '${e.SUPABASE_URL}/rest/v1/rpc/resolve_code?code=demo2026' -H 'apikey: ${e.SUPABASE_PUBLISHABLE_KEY}' -H 'accept-profile: referral'`,
        'npm run demo',
      ]
    : ['docs/quickstart.md', 'docs/tour.md', 'npm run demo', `psql '${e.DATABASE_URL}'`]
  return `
referbase is running${hasDemo ? ', with a demo organisation' : ', empty'}. Stop it with Ctrl-C.

  API        ${e.SUPABASE_URL}
  functions  ${e.FUNCTIONS_URL}
  database   ${e.DATABASE_URL}
  keys       ${e.SUPABASE_PUBLISHABLE_KEY}
             ${e.SUPABASE_SECRET_KEY}
  Stripe     ${e.STRIPE_WEBHOOK_SECRET}

Try next:
${next.map((line) => `  ${line}`).join('\n')}
`
}
