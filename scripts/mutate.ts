/**
 * `npm run mutate -- [--again] [--hinted] [--workers N] [NAME]`: removes one promise of the schema at a time (a constraint, a
 * policy, a trigger, a lock) and shows which test fails. It exits with code 1 if a mutation survives, which means that no
 * test fails. NAME selects the mutations whose name contains it, or one of several names that are separated by `|`. Results
 * are stored in `.mutate/`, and a mutation runs again only if it, the migration or a test has changed, or with `--again`.
 * `--hinted` runs only the tests that probably notice, and stores no survivors. N mutations run at a time, two unless given.
 */
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import { CliError, runMain } from '../cli/cli-error.ts'
import { catalogMutations } from './mutate/catalog-mutations.ts'
import { groupsOf, hintedGroupsOf } from './mutate/hints.ts'
import type { Mutation } from './mutate/mutation.ts'
import { planMutations } from './mutate/plan-mutations.ts'
import { createHasher, type Result, readResults, storeResult } from './mutate/results.ts'
import { firstFailure } from './mutate/run.ts'
import { schemaMutations } from './mutate/schema-mutations.ts'
import { textMutations } from './mutate/text-mutations.ts'
import { applyMigrations, createProject, execute } from './stack/database.ts'
import type { Postgres } from './stack/postgres.ts'
import { startThrowawayPostgres } from './stack/throwaway.ts'

const template = 'template_migrated'

/** Changes nothing and must survive: otherwise a failing test would prove nothing about the other mutations. */
const control: Mutation = { name: 'control', sql: 'select' }

await runMain(async () => {
  const { wanted, ...how } = readArguments()
  const server = await startThrowawayPostgres()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      process.stderr.write(`stopped by ${signal}; run it again to go on\n`)
      server.stop().finally(() => process.exit(1))
    })
  try {
    const mutations = (await allMutations(server)).filter(({ name }) =>
      wanted.some((part) => name.includes(part)),
    )
    const results = await runAll(server, mutations, how)
    report(results)
  } finally {
    await server.stop()
  }
})

type How = { again: boolean; hinted: boolean; workers: number }

function readArguments(): How & { wanted: string[] } {
  try {
    const options = {
      again: { type: 'boolean', default: false },
      hinted: { type: 'boolean', default: false },
      workers: { type: 'string', default: '2' },
    } as const
    const { values, positionals } = parseArgs({ options, allowPositionals: true })
    const workers = Number(values.workers)
    if (!(Number.isInteger(workers) && workers > 0)) throw new Error('--workers is a number from 1')
    return { ...values, workers, wanted: positionals.join(' ').split('|') }
  } catch (error) {
    const usage = 'npm run mutate -- [--again] [--hinted] [--workers N] [NAME]'
    throw new CliError(`${(error as Error).message}. Usage: ${usage}`)
  }
}

/** Makes the template database, and the mutations of it, each of which is tried once. */
async function allMutations(server: Postgres): Promise<Mutation[]> {
  await execute(server.url('postgres', 'supabase_admin'), `create database ${template}`)
  await createProject(server, template)
  await applyMigrations(server, template)
  const sql = postgres(server.url(template, 'postgres'), { max: 1, onnotice: () => {} })
  try {
    const mutations = [
      control,
      ...(await textMutations(sql)),
      ...schemaMutations,
      ...planMutations,
      ...(await catalogMutations(sql)),
    ]
    for (const mutation of mutations) await requireValid(sql, mutation)
    return mutations
  } finally {
    await sql.end()
  }
}

async function requireValid(sql: postgres.Sql, mutation: Mutation): Promise<void> {
  try {
    await sql.unsafe(`begin; ${mutation.sql}; rollback`).simple()
  } catch (error) {
    throw new CliError(`The mutation "${mutation.name}" is not valid: ${(error as Error).message}`)
  }
}

/** Runs the mutations that have no stored result. Returns the results of all. */
async function runAll(
  server: Postgres,
  mutations: Mutation[],
  { again, hinted, workers }: How,
): Promise<Result[]> {
  const stored = readResults()
  const hashOf = createHasher()
  const results: Result[] = []
  const queue: Mutation[] = []
  for (const mutation of mutations) {
    const last = stored.get(mutation.name)
    if (last && last.hash === hashOf(mutation.sql) && !again) results.push(last)
    else queue.push(mutation)
  }
  if (results.length) process.stdout.write(`${results.length} results are stored\n`)

  const run = async () => {
    for (let mutation = queue.shift(); mutation; mutation = queue.shift()) {
      const { name, sql } = mutation
      const began = performance.now()
      const groups = (hinted ? hintedGroupsOf : groupsOf)(mutation, stored.get(name))
      const outcome = await firstFailure(server, template, mutation, groups)
      const { killedBy, broken } = outcome
      if (name === control.name && killedBy)
        throw new CliError(`Without a mutation a test fails: ${killedBy.file}, ${killedBy.test}`)
      const seconds = Math.round((performance.now() - began) / 100) / 10
      const result = { name, hash: hashOf(sql), ...outcome, seconds }
      if (killedBy || !(hinted || broken)) storeResult(result)
      results.push(result)
      process.stdout.write(`${results.length}/${mutations.length} ${lineOf(result)}\n`)
    }
  }
  await Promise.all(Array.from({ length: workers }, run))
  return results
}

function lineOf({ name, killedBy, broken, seconds }: Result): string {
  if (broken) return `no SQL  ${name}\n        ${broken}`
  if (!killedBy) return `survived  ${name}  (${seconds} s)`
  return `killed  ${name}  (${seconds} s)\n        by ${killedBy.file}: ${killedBy.test}`
}

function report(results: Result[]): void {
  const mutations = results.filter(({ name }) => name !== control.name)
  const survivors = mutations.filter(({ killedBy }) => !killedBy)
  const killed = mutations.length - survivors.length
  process.stdout.write(`\n${mutations.length} mutations, ${killed} killed\n`)
  if (survivors.length === 0) return
  const rows = survivors.map(({ name, seconds }) => `| ${name} | ${seconds} |`)
  throw new CliError(['| survived | seconds |', '| --- | --- |', ...rows].join('\n'))
}
