/** Runs test files on a mutated database, until the first failure. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { CliError } from '../../cli/cli-error.ts'
import { execute } from '../stack/database.ts'
import type { Postgres } from '../stack/postgres.ts'
import { root } from '../stack/root.ts'
import type { Mutation } from './mutation.ts'
import type { Failure, Result } from './results.ts'

type Outcome = Pick<Result, 'killedBy' | 'broken'>

/** Runs groups of test files, one after another, on a copy of the template with the mutation, until a test fails. */
export async function firstFailure(
  server: Postgres,
  template: string,
  { name, sql }: Mutation,
  groups: string[][],
): Promise<Outcome> {
  const database = `mutated_${crypto.randomUUID().replaceAll('-', '')}`
  const admin = server.url('postgres', 'supabase_admin')
  await execute(admin, `create database ${database} template ${template} owner postgres`)
  try {
    await execute(server.url(database, 'postgres'), sql)
    const servers = {
      admin: server.url('DATABASE', 'supabase_admin'),
      postgres: server.url('DATABASE', 'postgres'),
      template: database,
    }
    for (const files of groups) {
      const failure = await runVitest(name, files, JSON.stringify(servers))
      const [broken] = noSql.exec(failure?.message ?? '') ?? []
      if (broken) return { killedBy: null, broken }
      if (failure) return { killedBy: { file: failure.file, test: failure.test } }
    }
    return { killedBy: null }
  } finally {
    await execute(admin, `drop database ${database} with (force)`)
  }
}

type Failed = Failure & { message: string }

async function runVitest(name: string, files: string[], servers: string): Promise<Failed | null> {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-mutation-'))
  try {
    const report = join(folder, 'report.json')
    // A test that fails only once proves nothing.
    const options = [
      '--bail=1',
      '--retry=1',
      '--maxWorkers=1',
      '--reporter=json',
      `--outputFile=${report}`,
    ]
    const vitest = spawn(
      process.execPath,
      ['node_modules/vitest/vitest.mjs', 'run', ...options, ...files],
      {
        cwd: root,
        env: {
          ...process.env,
          TEST_SERVERS: servers,
          MODEL_RUNS: '40',
          TOLD_ORDERS: '1',
          YEAR_EVENTS: '1000',
        },
        stdio: 'ignore',
      },
    )
    const [code] = await once(vitest, 'close')
    if (code === 0) return null
    if (!existsSync(report)) throw new CliError(`The tests of "${name}" did not start.`)
    return failureIn(JSON.parse(readFileSync(report, 'utf8')) as Report)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

type Report = {
  testResults: {
    name: string
    status: string
    message: string
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[]
  }[]
}

/** Errors of a function whose text cannot be run. */
const noSql =
  /PostgresError: (syntax error|structure of query|.* (cannot be matched|is ambiguous|is of type|does not exist)).*|expected '42(601|702|703|804|883|P01)'.*/

/** The first failed test, else the first file that failed as a whole, as its staging did. */
function failureIn({ testResults }: Report): Failed {
  for (const { name, assertionResults } of testResults) {
    const failed = assertionResults.find(({ status }) => status === 'failed')
    if (failed)
      return {
        file: relative(root, name),
        test: failed.fullName,
        message: failed.failureMessages.join('\n'),
      }
  }
  const file = testResults.find(({ status }) => status === 'failed')
  const [message = ''] = file?.message.split('\n') ?? []
  return {
    file: file ? relative(root, file.name) : '',
    test: `outside of a test: ${message}`,
    message: file?.message ?? '',
  }
}
