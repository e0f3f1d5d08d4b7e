/**
 * `npm run mutate -- [--again] [NAME]`: removes one promise of the schema at a time (a constraint, a policy, a trigger, a
 * lock) and shows which test fails. It exits with code 1 if a mutation survives, which means that no test fails. NAME selects
 * the mutations whose name contains it. Results are stored in `.mutate/`, and a mutation runs again only if it, the
 * migration or a test has changed, or with `--again`.
 */
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import { catalogMutations } from './mutate/catalog-mutations.ts'
import { groupsOf } from './mutate/hints.ts'
import type { Mutation } from './mutate/mutation.ts'
import { createHasher, type Result, readResults, storeResult } from './mutate/results.ts'
import { firstFailure } from './mutate/run.ts'
import { textMutations } from './mutate/text-mutations.ts'
import { CliError, runMain } from './stack/cli-error.ts'
import { applyMigrations, createProject, execute } from './stack/database.ts'
import type { Postgres } from './stack/postgres.ts'
import { startThrowawayPostgres } from './stack/throwaway.ts'

const template = 'template_migrated'

/** Changes nothing and must survive: otherwise a failing test would prove nothing about the other mutations. */
const control: Mutation = { name: 'control', sql: 'select' }

await runMain(async () => {
  const { again, wanted } = readArguments()
  const server = await startThrowawayPostgres()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      process.stderr.write(`stopped by ${signal}; run it again to go on\n`)
      server.stop().finally(() => process.exit(1))
    })
  try {
    const mutations = (await allMutations(server)).filter(({ name }) => name.includes(wanted))
    const results = await runAll(server, mutations, again)
    report(results)
  } finally {
    await server.stop()
  }
})

function readArguments(): { again: boolean; wanted: string } {
  try {
    const options = { again: { type: 'boolean', default: false } } as const
    const { values, positionals } = parseArgs({ options, allowPositionals: true })
    return { again: values.again, wanted: positionals.join(' ') }
  } catch (error) {
    throw new CliError(`${(error as Error).message}. Usage: npm run mutate -- [--again] [NAME]`)
  }
}

/** Makes the template database, and the mutations of it, each of which is tried once. */
async function allMutations(server: Postgres): Promise<Mutation[]> {
  await execute(server.url('postgres', 'supabase_admin'), `create database ${template}`)
  await createProject(server, template)
  await applyMigrations(server, template)
  const sql = postgres(server.url(template, 'postgres'), { max: 1, onnotice: () => {} })
  try {
    const mutations = [control, ...(await textMutations(sql)), ...(await catalogMutations(sql))]
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

/** Runs the mutations that have no stored result, two at a time. Returns the results of all. */
async function runAll(server: Postgres, mutations: Mutation[], again: boolean): Promise<Result[]> {
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
      const groups = groupsOf(mutation, stored.get(name))
      const killedBy = await firstFailure(server, template, mutation, groups)
      if (name === control.name && killedBy)
        throw new CliError(`Without a mutation a test fails: ${killedBy.file}, ${killedBy.test}`)
      const seconds = Math.round((performance.now() - began) / 100) / 10
      const result = { name, hash: hashOf(sql), killedBy, seconds }
      storeResult(result)
      results.push(result)
      process.stdout.write(`${results.length}/${mutations.length} ${lineOf(result)}\n`)
    }
  }
  await Promise.all([run(), run()])
  return results
}

function lineOf({ name, killedBy, seconds }: Result): string {
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
