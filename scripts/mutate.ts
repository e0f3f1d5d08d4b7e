/**
 * `npm run mutate`: takes one promise of the schema away at a time (a constraint, a policy, a trigger, a lock) and shows
 * which test fails. What no test notices is printed last, and fails the run. `-- NAME` runs the mutations whose name
 * contains the text.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import postgres from 'postgres'
import { clickMutations } from './mutate/click-mutations.ts'
import { codeMutations } from './mutate/code-mutations.ts'
import { moneyRowMutations } from './mutate/money-row-mutations.ts'
import { oracleMutations } from './mutate/oracle-mutations.ts'
import { CliError, runMain } from './stack/cli-error.ts'
import { applyMigrations, createProject } from './stack/database.ts'
import { root } from './stack/root.ts'
import { startThrowawayPostgres } from './stack/throwaway.ts'

export type Mutation = { name: string; sql: string }

/** Whatever the catalog lists: each constraint, unique index, policy and trigger, gone; row-level security, off. */
async function catalogMutations(sql: postgres.Sql): Promise<Mutation[]> {
  const rows = await sql<Mutation[]>`
    select 'constraint ' || conname as name, format('alter table %s drop constraint %I cascade', conrelid::regclass, conname) as sql
    from pg_constraint
    where connamespace::regnamespace::text like 'referral%' and contype in ('c', 'f', 'u') and conname not like '%_org_and_id_are_unique'
    union all
    select 'unique index ' || i.indexrelid::regclass, format('drop index %s', i.indexrelid::regclass)
    from pg_index as i join pg_class as c on c.oid = i.indexrelid
    where c.relnamespace::regnamespace::text like 'referral%' and i.indisunique
      and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)
    union all
    select 'policy ' || policyname || ' gone', format('drop policy %I on %I.%I', policyname, schemaname, tablename)
    from pg_policies where schemaname like 'referral%'
    union all
    select 'policy ' || policyname || ' for all', format('alter policy %I on %I.%I using (true)', policyname, schemaname, tablename)
    from pg_policies where schemaname like 'referral%'
    union all
    select 'row-level security of ' || c.oid::regclass, format('alter table %s disable row level security', c.oid::regclass)
    from pg_class as c where c.relnamespace::regnamespace::text like 'referral%' and c.relkind in ('r', 'p')
    union all
    select 'trigger ' || tgname, format('drop trigger %I on %s', tgname, tgrelid::regclass)
    from pg_trigger where not tgisinternal and tgrelid::regclass::text like 'referral%'
    union all
    select format('grant %s on %s to %s', privilege, c.oid::regclass, role), format('grant %s on %s to %s', privilege, c.oid::regclass, role)
    from pg_class as c, unnest('{insert,update,delete,truncate}'::text[]) as privilege, unnest('{authenticated,service_role}'::text[]) as role
    where c.oid = 'referral.codes'::regclass`
  return [...rows]
}

/** Changes of a function's text, made from what the database has: a text that is not there any more is an error. */
async function functionMutations(sql: postgres.Sql): Promise<Mutation[]> {
  const made: Mutation[] = []
  const all = [...codeMutations, ...clickMutations, ...moneyRowMutations, ...oracleMutations]
  for (const { name, in: function_, replace, by } of all) {
    const [row] =
      await sql`select pg_get_functiondef(${`referral_private.${function_}`}::regproc) as text`
    const text = String(row?.text)
    if (!text.includes(replace))
      throw new CliError(`The mutation "${name}" finds no "${replace}" in ${function_}.`)
    made.push({ name, sql: text.replace(replace, by) })
  }
  return made
}

/** Runs the database tests on a schema with the mutation; gives the first test that failed, or null. */
function firstFailure({ sql }: Mutation): Promise<string | null> {
  const folders = [
    'tests/schema/constraints.test.ts',
    'tests/security',
    'tests/sql',
    'tests/concurrency',
    'tests/properties',
  ]
  const report = join(mkdtempSync(join(tmpdir(), 'referbase-mutation-')), 'report.json')
  const args = [
    'run',
    '--bail=1',
    '--exclude=tests/sql/plans.test.ts',
    '--reporter=json',
    `--outputFile=${report}`,
    ...folders,
  ]
  return new Promise((resolve) => {
    const vitest = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', ...args], {
      cwd: root,
      env: { ...process.env, MUTATION: sql, MODEL_RUNS: '40' },
      stdio: 'ignore',
    })
    vitest.once('close', (code) => {
      const failed = code === 0 ? null : failedTest(report)
      rmSync(dirname(report), { recursive: true })
      resolve(failed)
    })
  })
}

type Report = {
  testResults: { assertionResults: { fullName: string; status: string }[] }[]
}

/** The first failed test in vitest's report; without one, the mutation is no valid SQL, and proves nothing. */
function failedTest(report: string): string {
  if (!existsSync(report)) throw new CliError('The tests did not start: the mutation is not valid.')
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report
  const results = testResults.flatMap(({ assertionResults }) => assertionResults)
  const failed = results.find(({ status }) => status === 'failed')?.fullName
  if (!failed) throw new CliError('The tests failed without a failed test.')
  return failed
}

await runMain(async () => {
  const wanted = process.argv.slice(2).join(' ')
  const server = await startThrowawayPostgres()
  let mutations: Mutation[]
  try {
    await createProject(server, 'postgres')
    await applyMigrations(server, 'postgres')
    const sql = postgres(server.url('postgres', 'postgres'), { max: 1 })
    mutations = [...(await functionMutations(sql)), ...(await catalogMutations(sql))]
    await sql.end()
  } finally {
    await server.stop()
  }

  const queue = mutations.filter(({ name }) => name.includes(wanted))
  const survived: string[] = []
  const total = queue.length
  const work = async () => {
    for (let mutation = queue.shift(); mutation; mutation = queue.shift()) {
      const failure = await firstFailure(mutation)
      if (!failure) survived.push(mutation.name)
      process.stdout.write(
        `${failure ? 'killed  ' : 'SURVIVED'}  ${mutation.name}${failure ? `\n            by ${failure}` : ''}\n`,
      )
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, availableParallelism() - 1) }, work))
  process.stdout.write(`\n${total} mutations, ${total - survived.length} killed\n`)
  if (survived.length) throw new CliError(`No test notices: ${survived.join('; ')}`)
})
