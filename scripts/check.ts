/**
 * `npm run check`: runs all checks, two at a time, and then the tests, which use two processors. It prints what each says
 * when it has ended, and stops at the first that fails.
 */
import { spawn } from 'node:child_process'
import { root } from './stack/root.ts'

type Step = [name: string, command: string]

/** The longest first. */
const checks: Step[] = [
  [
    'migrations equal sql/, generated types are fresh, advisors are content',
    'node scripts/schema.ts',
  ],
  ['the lock file installs on every platform (npm run lock)', 'node scripts/lock.ts --check'],
  ['format and lint (npm run format)', 'biome check --error-on-warnings .'],
  [
    'format of SQL (npm run format)',
    'prettier --check --log-level warn "sql/**/*.sql" "scripts/**/*.sql" supabase/seed.sql',
  ],
  ['types', 'tsc'],
  [
    'types of the edge functions',
    'deno check --quiet --no-lock --node-modules-dir=manual --config=functions/deno.json functions/*/index.ts scripts/stack/end-with-parent.ts scripts/stack/edge-runtime.ts',
  ],
  ['nothing unused (knip)', 'knip'],
]
const tests: Step = [
  'tests, also behind nginx and PgBouncer, in a browser and of backups (on Debian: apt-get install nginx pgbouncer chromium postgresql)',
  'npm run --silent build && vitest run',
]

const failed: string[] = []

/** Runs a step. Its output is shown at once, or together when it has ended. */
async function run([name, command]: Step, shown: 'at once' | 'together'): Promise<void> {
  const title = `\n— ${name}\n`
  if (shown === 'at once') process.stdout.write(title)
  const began = performance.now()
  const output = shown === 'at once' ? 'inherit' : 'pipe'
  const child = spawn(command, {
    cwd: root,
    shell: true,
    stdio: ['ignore', output, output],
    env: { ...process.env, DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' },
  })
  const said: Buffer[] = []
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part) => said.push(part))
  const status = await new Promise((resolve) => child.once('close', resolve))
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  if (shown === 'together') process.stdout.write(title + Buffer.concat(said))
  if (status === 0) process.stdout.write(`  passed in ${seconds} s\n`)
  else failed.push(name)
}

async function runInTurn(): Promise<void> {
  for (let step = checks.shift(); step && !failed.length; step = checks.shift())
    await run(step, 'together')
}

await Promise.all([runInTurn(), runInTurn()])
if (!failed.length) await run(tests, 'at once')
if (failed.length) {
  process.stderr.write(`\ncheck failed at: ${failed.join('; ')}\n`)
  process.exit(1)
}
process.stdout.write('\ncheck passed\n')
