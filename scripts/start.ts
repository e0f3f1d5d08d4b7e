/** `npm start`: runs the local stack until Ctrl-C. `--fresh`: empty, temporary, on free ports. `--env-file FILE`. */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runMain, Sentence } from './stack/sentence.ts'
import { type Stack, startStack } from './stack/stack.ts'

await runMain(async () => {
  const { fresh, 'env-file': environmentFile } = readArguments()
  const interrupted = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => resolve())
  })
  const stack = await startStack({ fresh })
  if (environmentFile) {
    const lines = Object.entries(stack.environment).map(([name, value]) => `${name}=${value}\n`)
    // Whoever waits for the file must find it whole.
    writeFileSync(`${environmentFile}.new`, lines.join(''), { mode: 0o600 })
    renameSync(`${environmentFile}.new`, environmentFile)
  }
  process.stdout.write(report(stack))
  await interrupted
  process.stdout.write('\nstopping …\n')
  if (environmentFile) rmSync(environmentFile, { force: true })
  await stack.stop()
  process.stdout.write('stopped\n')
  // Streams to log files may be open still; nothing else is.
  process.exit(0)
})

function readArguments() {
  try {
    return parseArgs({
      options: { fresh: { type: 'boolean', default: false }, 'env-file': { type: 'string' } },
    }).values
  } catch (error) {
    throw new Sentence(
      `${(error as Error).message}. Usage: npm start -- [--fresh] [--env-file FILE]`,
    )
  }
}

function report({ environment: e, firstStart }: Stack): string {
  return `
referbase is running${firstStart ? ', with a demo organisation' : ''}. Stop it with Ctrl-C.

  API        ${e.SUPABASE_URL}
  functions  ${e.FUNCTIONS_URL}
  database   ${e.DATABASE_URL}
  keys       ${e.SUPABASE_PUBLISHABLE_KEY}
             ${e.SUPABASE_SECRET_KEY}
  Stripe     ${e.STRIPE_WEBHOOK_SECRET}

Try next:
  curl -i '${e.FUNCTIONS_URL}/link/DEMO-2026'
  curl '${e.SUPABASE_URL}/rest/v1/rpc/resolve_code?code=demo2026' -H 'apikey: ${e.SUPABASE_PUBLISHABLE_KEY}' -H 'accept-profile: referral'
  npm run demo
`
}
