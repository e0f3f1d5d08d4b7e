/**
 * `npm start`: runs the local stack until Ctrl-C. `--fresh` starts an empty, temporary stack on free ports. `--env-file FILE`
 * writes its URLs and keys there when all services respond. `--host` lets the devices of the network reach the API.
 * `--until-stdin-ends` stops it with its parent process. `STRIPE_WEBHOOK_SECRET` of the environment is the webhook's secret,
 * so that `stripe listen` can forward events.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { parseArgs } from 'node:util'
import { CliError, runMain } from '../cli/cli-error.ts'
import { whenNpmEnds } from './stack/npm-parent.ts'
import { type Stack, startStack } from './stack/stack.ts'

await runMain(async () => {
  const { fresh, host: exposed, ...options } = readArguments()
  const environmentFile = options['env-file']
  let stopping = false
  const interrupted = new Promise<void>((resolve) => {
    const stop = () => {
      stopping = true
      resolve()
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
    if (options['until-stdin-ends']) process.stdin.once('end', stop).resume()
    whenNpmEnds(stop)
  })
  if (environmentFile) prepareEnvironmentFile(environmentFile)

  let stack: Stack | undefined
  try {
    const webhookSecret = process.env.STRIPE_WEBHOOK_SECRET
    stack = await startStack({ fresh, exposed, webhookSecret })
    if (!stopping) {
      if (environmentFile) writeEnvironmentFile(environmentFile, stack)
      process.stdout.write(report(stack))
      if (exposed) process.stdout.write(exposure(stack))
      await interrupted
      process.stdout.write('\nstopping …\n')
    }
  } catch (error) {
    // Ctrl-C also ends the programs that are starting. Their errors are expected then.
    if (!stopping) throw error
  } finally {
    if (environmentFile) rmSync(environmentFile, { force: true })
    await stack?.stop()
  }
  process.stdout.write('stopped\n')
  // Only streams to log files can still be open.
  process.exit(0)
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

/** Removes an old file, so that no process reads it, and fails early if the file cannot be written. */
function prepareEnvironmentFile(file: string): void {
  try {
    writeFileSync(`${file}.new`, '', { mode: 0o600 })
    rmSync(file, { force: true })
    rmSync(`${file}.new`)
  } catch {
    throw new CliError(`The env file ${file} cannot be written.`)
  }
}

/** Writes the file in one step, so that a waiting process reads it whole. */
function writeEnvironmentFile(file: string, { environment }: Stack): void {
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(`${file}.new`, lines.join(''), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

/** The addresses at which others on the network reach the API. */
function exposure({ environment }: Stack): string {
  const { port } = new URL(environment.SUPABASE_URL ?? '')
  const addresses = Object.values(networkInterfaces())
    .flatMap((found) => found ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address)
  return `
Warning: everybody on your network reaches this stack, for example at
${addresses.map((address) => `  http://${address}:${port}`).join('\n')}
`
}

function report({ environment: e, hasDemo }: Stack): string {
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
