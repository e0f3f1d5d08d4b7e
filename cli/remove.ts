/** `referbase remove`: exports all rows; with `--yes` drops the schemas, and takes its files out of the repository. */
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Command } from 'commander'
import type postgres from 'postgres'
import { CliError } from './cli-error.ts'
import { leftOf, leftText } from './repository/after-removal.ts'
import {
  type Change,
  diffOf,
  summaryJson,
  summaryOf,
  WriteError,
  writeChanges,
} from './repository/changes.ts'
import { placeOf, withDatabase } from './repository/database.ts'
import { dropSchemas } from './repository/drop.ts'
import {
  exportTables,
  listTables,
  lockTables,
  requireEmptyFolder,
  setTimeouts,
} from './repository/export.ts'
import { type Installed, readInstalled } from './repository/installed.ts'
import { planRemoval, type RemovalPlan, restOfRemoval } from './repository/plan-removal.ts'
import { findRepository, type Repository } from './repository/repository.ts'

type Options = { export: string; dbUrl?: string; yes?: true; cascade?: true; json?: true }

/** What was done, or would be. */
type Outcome = {
  dropped: boolean
  /** The number of rows of each table. */
  rows: Record<string, number>
  changes: Change[]
}

export const remove = new Command('remove')
  .description('Export all data of referbase. With --yes, drop it and remove our files from here.')
  .requiredOption('--export <folder>', 'a new folder for the rows of every table, as CSV')
  .option('--db-url <url>', 'the database; otherwise DATABASE_URL')
  .option('--cascade', 'drop what of yours depends on the schemas, too')
  .option('--yes', 'drop; without it the data is exported only')
  .option('--json', 'print one JSON object')
  .action(removeReferbase)

async function removeReferbase(options: Options): Promise<void> {
  const url = options.dbUrl ?? process.env.DATABASE_URL
  if (!url) throw new CliError('Name the database: --db-url URL, or set DATABASE_URL.')
  const folder = resolve(options.export)
  requireEmptyFolder(folder)
  const repository = findRepository()
  const installed = readInstalled(repository)
  const say = (text: string) => (options.json ? process.stderr : process.stdout).write(text)

  await withDatabase(url, async (sql) => {
    const database = placeOf(sql)
    say(`The database is ${database}.\n`)
    const work = { sql, repository, installed, folder, options, say }
    const outcome = (await finish(work)) ?? (await exportAndDrop(work))
    const { dropped, rows, changes } = outcome
    const failure = options.yes && writeOrLeavePatch(repository.root, changes, folder, say)
    const left = leftOf(installed)
    if (options.json) {
      const done = { database, dropped, export: folder, rows, changes: summaryJson(changes) }
      process.stdout.write(`${JSON.stringify({ ...done, left }, null, 2)}\n`)
    } else if (!failure) say(summaryOf(changes) + leftText(left, dropped))
    if (failure) throw failure
  })
}

type Work = {
  sql: postgres.Sql
  repository: Repository
  installed: Installed
  folder: string
  options: Options
  say: (text: string) => void
}

/** What an earlier call left that has dropped the schemas; undefined where they are there. */
async function finish({ sql, repository, installed, options, say }: Work) {
  if ((await listTables(sql)).length > 0) return undefined
  const changes = await restOfRemoval(sql, repository, installed)
  if (changes.length === 0) throw new CliError('This database has no schema referral.')
  const does = options.yes ? 'This is left to do here:' : '--yes does here what is left:'
  say(`The schemas referral and referral_private were dropped before. ${does}\n`)
  return { dropped: true, rows: {}, changes } satisfies Outcome
}

async function exportAndDrop(work: Work): Promise<Outcome> {
  const { sql, repository, installed, folder, options, say } = work
  const tables = await listTables(sql)
  const makePlan = () => planRemoval(sql, repository, installed, options.cascade ?? false)
  const plan = options.yes ? await makePlan() : undefined
  if (plan && options.cascade) process.stderr.write(cascadeIsIgnored(plan))
  const rows = await sql.begin('isolation level repeatable read', async (tx) => {
    await setTimeouts(tx)
    // From the first row that is exported to the drop nobody writes.
    if (plan) await lockTables(tx, tables)
    const rows = await exportTables(tx, tables, { folder, version: installed.version })
    const total = Object.values(rows).reduce((sum, count) => sum + count, 0)
    say(`Exported ${total} rows of ${tables.length} tables to ${folder}.\n`)
    if (plan) await dropSchemas(tx, plan)
    return rows
  })
  say(
    plan
      ? 'Dropped the schemas referral and referral_private.\n'
      : 'Nothing was dropped. --yes drops the schemas referral and referral_private, and does this here:\n',
  )
  return { dropped: plan !== undefined, rows, changes: (plan ?? (await makePlan())).changes }
}

const cascadeIsIgnored = ({ followed }: RemovalPlan) =>
  followed ? `--cascade has no effect: ${followed} drops the schemas here, as it is.\n` : ''

/** The database is done by then, so what cannot be written is left as a patch. Returns the error of that. */
function writeOrLeavePatch(
  root: string,
  changes: Change[],
  folder: string,
  say: (text: string) => void,
): CliError | undefined {
  try {
    writeChanges(root, changes)
    return undefined
  } catch (error) {
    if (!(error instanceof WriteError)) throw error
    const patch = join(folder, 'repository.patch')
    const text = diffOf(error.left)
    try {
      writeFileSync(patch, text, { mode: 0o600 })
    } catch {
      // The same disk may be full.
      say(`What ${patch} should have been:\n\n${text}`)
    }
    return new CliError(
      `The database is done: the schemas are dropped. ${error.message}\nWhen this is mended, run the same command again, with another folder. Or, in ${root}: \`git apply ${patch}\`.`,
    )
  }
}
