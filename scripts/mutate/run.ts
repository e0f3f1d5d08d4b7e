/** Runs test files on a mutated database, until the first failure. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { CliError } from '../stack/cli-error.ts'
import { execute } from '../stack/database.ts'
import type { Postgres } from '../stack/postgres.ts'
import { root } from '../stack/root.ts'
import type { Mutation } from './mutation.ts'
import type { Failure } from './results.ts'

/** Runs groups of test files, one after another, on a copy of the template with the mutation. Null if no test fails. */
export async function firstFailure(
  server: Postgres,
  template: string,
  { name, sql }: Mutation,
  groups: string[][],
): Promise<Failure | null> {
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
      if (failure) return failure
    }
    return null
  } finally {
    await execute(admin, `drop database ${database} with (force)`)
  }
}

async function runVitest(name: string, files: string[], servers: string): Promise<Failure | null> {
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
        env: { ...process.env, TEST_SERVERS: servers, MODEL_RUNS: '40' },
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
    assertionResults: { fullName: string; status: string }[]
  }[]
}

/** The first failed test, else the first file that failed as a whole, as its staging did. */
function failureIn({ testResults }: Report): Failure {
  for (const { name, assertionResults } of testResults) {
    const failed = assertionResults.find(({ status }) => status === 'failed')
    if (failed) return { file: relative(root, name), test: failed.fullName }
  }
  const file = testResults.find(({ status }) => status === 'failed')
  const [message = ''] = file?.message.split('\n') ?? []
  return {
    file: file ? relative(root, file.name) : '',
    test: `outside of a test: ${message}`,
  }
}
