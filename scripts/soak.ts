/**
 * `npm run soak`: runs the long proofs, and prints a table for docs/reliability.md. `-- --minutes N` repeats the model of
 * codes and the races with new seeds for N minutes. `-- --money` runs the proofs of money, `-- --year` a made-up year of
 * 1,000,000 events (`YEAR_EVENTS` says how many, `YEAR_SEED` which year), `-- --links` the proofs of links,
 * `-- --columns` the tests of the database on one whose tables have their columns in the reversed order,
 * `-- --release` a release of a copy of this repository, `-- --cli` what is rare of `npm start`, and every release of a made-up
 * project in full. Without an option it runs all, with ten minutes of codes.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { CliError, runMain } from '../cli/cli-error.ts'
import { crash } from './soak/crash.ts'
import { root } from './stack/root.ts'

/** How often each proof runs. The environment can override it. */
const money: Record<string, string> = {
  STORY_ORDERS: '5000',
  TOLD_ORDERS: '500',
  TOGETHER_ORDERS: '100',
  // More of them in one run take more memory than a machine may have: run them again, with another seed.
  MIXED_WORLDS: '600',
  QUEUED_WORLDS: '300',
  BURSTS: '170',
  DELIVERIES: '500',
  ROLLBACKS: '200',
  AMOUNTS: '200000',
  SIGNATURES: '100000',
  FAILURES: '3',
}
const ofMoney = [
  'tests/properties/stories.test.ts',
  'tests/properties/told.test.ts',
  'tests/properties/together.test.ts',
  'tests/properties/mixed-events.test.ts',
  'tests/properties/waiting-worlds.test.ts',
  'tests/properties/amounts.test.ts',
  'tests/properties/splits.test.ts',
  'tests/concurrency/money.test.ts',
  'tests/concurrency/mixed.test.ts',
  'tests/concurrency/locks.test.ts',
  'tests/functions/signature.test.ts',
  'tests/protocol/protocol.test.ts',
]
/** A made-up year, in which Postgres is killed now and then. */
const year: Record<string, string> = { YEAR_EVENTS: '1000000', YEAR_KILLS: '50' }

/** Random requests to the deployed `link`. */
const links = { LINK_REQUESTS: process.env.LINK_REQUESTS ?? '100000' }

/** What a database with reversed columns is tried with. */
const ofColumns = [
  'tests/sql',
  'tests/security',
  'tests/concurrency',
  'tests/properties/told.test.ts',
  'tests/properties/mixed-events.test.ts',
]

const crashes = Number(process.env.CRASHES ?? 100)

const folder = mkdtempSync(join(tmpdir(), 'referbase-soak-'))
const report = join(folder, 'report')

/** Runs tests with the numbers of a soak. On a failure it stops, and prints the seed. */
function prove(
  files: string[],
  seed: string,
  numbers: Record<string, string>,
  needs: 'database' | 'stack' = 'database',
): void {
  process.stdout.write(`seed ${seed}: ${files.join(' ')}\n`)
  const { status } = spawnSync(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--reporter=dot', ...files],
    {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        ...numbers,
        MODEL_SEED: seed,
        STORY_SEED: seed,
        LINK_SEED: seed,
        SOAK_REPORT: report,
        // With a mutation, here one that changes nothing, no stack is started.
        ...(needs === 'database' && { MUTATION: 'select' }),
      },
    },
  )
  if (status !== 0) throw new CliError(`A proof failed, with seed ${seed}.`)
}

/** The numbers, but for those that the environment says. */
const asked = (numbers: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(numbers).map(([name, number]) => [name, process.env[name] ?? number]),
  )

const newSeed = () => String(Math.floor(Math.random() * 2 ** 31))

/** The sums of the counts that the tests reported. */
function table(more: Record<string, number>): string {
  const lines = existsSync(report) ? readFileSync(report, 'utf8').trim().split('\n') : []
  const counts = new Map<string, number>(Object.entries(more))
  for (const { what, count } of lines.map(
    (line) => JSON.parse(line) as { what: string; count: number },
  ))
    counts.set(what, (counts.get(what) ?? 0) + count)
  const rows = [...counts].map(([what, count]) => `| ${what} | ${count.toLocaleString('en')} |`)
  return ['| proved | times |', '| --- | --- |', ...rows, ''].join('\n')
}

await runMain(async () => {
  const options = {
    minutes: { type: 'string' },
    money: { type: 'boolean' },
    year: { type: 'boolean' },
    links: { type: 'boolean' },
    columns: { type: 'boolean' },
    release: { type: 'boolean' },
    cli: { type: 'boolean' },
  } as const
  const { values } = parseArgs({ options })
  const all = Object.keys(values).length === 0
  const minutes = Number(values.minutes ?? (all ? 10 : 0))
  if (!(minutes >= 0))
    throw new CliError(
      'Usage: npm run soak -- [--minutes N] [--money] [--year] [--links] [--columns] [--release] [--cli]',
    )
  const more: Record<string, number> = {}
  try {
    let rounds = 0
    for (const until = Date.now() + minutes * 60_000; Date.now() < until; rounds++)
      prove(['tests/properties/code-lifecycle.test.ts', 'tests/concurrency'], newSeed(), {
        MODEL_RUNS: '500',
      })
    if (rounds) more['lives of codes, 50 commands or more each'] = rounds * 500
    if (values.links || all) prove(['tests/functions/link-fuzz.test.ts'], newSeed(), links, 'stack')
    if (values.columns || all) {
      prove(ofColumns, newSeed(), { COLUMNS_REVERSED: '1' })
      more['runs of the tests of the database with reversed columns'] = 1
    }
    if (values.release || all) {
      prove(['tests/stack/release.test.ts'], newSeed(), { RELEASE_A_COPY: '1' })
      more['releases of a copy of the repository'] = 1
    }
    if (values.cli || all) {
      const files = ['tests/stack/start-rarely.test.ts', 'tests/schema/upgrades.test.ts']
      prove(files, newSeed(), { SOAK_CLI: '1' }, 'stack')
      more['runs of what is rare of commands'] = 1
    }
    if (values.money || all) {
      prove(ofMoney, newSeed(), asked(money))
      more['deliveries acknowledged before a crash, none lost'] = await crash(crashes)
      more['kills of Postgres under load'] = crashes
    }
    if (values.year || all)
      prove(['tests/properties/year.test.ts'], process.env.YEAR_SEED ?? newSeed(), asked(year))
    process.stdout.write(`\n${table(more)}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
