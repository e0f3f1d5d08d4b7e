/**
 * `npm start`: runs the local stack until Ctrl-C. `--fresh`: empty, temporary, on free ports. `--env-file FILE`: where its
 * URLs and keys are written once everything answers. `--until-stdin-ends`: for a parent process that may be killed.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { CliError, runMain } from './stack/cli-error.ts'
import { type Stack, startStack } from './stack/stack.ts'

await runMain(async () => {
  const { fresh, 'env-file': environmentFile, 'until-stdin-ends': untilStdinEnds } = readArguments()
  let stopping = false
  const interrupted = new Promise<void>((resolve) => {
    const stop = () => {
      stopping = true
      resolve()
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
    if (untilStdinEnds) process.stdin.once('end', stop).resume()
  })
  if (environmentFile) prepareEnvironmentFile(environmentFile)

  let stack: Stack | undefined
  try {
    stack = await startStack({ fresh })
    if (!stopping) {
      if (environmentFile) writeEnvironmentFile(environmentFile, stack)
      process.stdout.write(report(stack))
      await interrupted
      process.stdout.write('\nstopping …\n')
    }
  } catch (error) {
    // Ctrl-C reaches the programs that are being started, too; that they failed is no news then.
    if (!stopping) throw error
  } finally {
    if (environmentFile) rmSync(environmentFile, { force: true })
    await stack?.stop()
  }
  process.stdout.write('stopped\n')
  // Streams to log files may be open still; nothing else is.
  process.exit(0)
})

function readArguments() {
  try {
    return parseArgs({
      options: {
        fresh: { type: 'boolean', default: false },
        'env-file': { type: 'string' },
        'until-stdin-ends': { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new CliError(
      `${(error as Error).message}. Usage: npm start -- [--fresh] [--env-file FILE]`,
    )
  }
}

/** Whoever waits for the file must not find an old one, nor start a stack whose keys cannot be written. */
function prepareEnvironmentFile(file: string): void {
  try {
    writeFileSync(`${file}.new`, '', { mode: 0o600 })
    rmSync(file, { force: true })
    rmSync(`${file}.new`)
  } catch {
    throw new CliError(`The env file ${file} cannot be written.`)
  }
}

/** Whoever waits for the file must find it whole. */
function writeEnvironmentFile(file: string, { environment }: Stack): void {
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(`${file}.new`, lines.join(''), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

function report({ environment: e, hasDemo }: Stack): string {
  const next = hasDemo
    ? [
        `curl -i '${e.FUNCTIONS_URL}/link/DEMO-2026'`,
        `curl '${e.SUPABASE_URL}/rest/v1/rpc/resolve_code?code=demo2026' -H 'apikey: ${e.SUPABASE_PUBLISHABLE_KEY}' -H 'accept-profile: referral'`,
        'npm run demo',
      ]
    : ['the five-minute tour in README.md', 'npm run demo', `psql '${e.DATABASE_URL}'`]
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
