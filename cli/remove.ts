/** `referbase remove`: exports all rows; with `--yes` drops the schemas, and takes its files out of the repository. */
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Command } from 'commander'
import { CliError } from './cli-error.ts'
import { pack } from './pack.ts'
import { type Change, diffOf, summaryOf, WriteError, writeChanges } from './repository/changes.ts'
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
import { planRemoval, type RemovalPlan } from './repository/plan-removal.ts'
import { findRepository } from './repository/repository.ts'

type Options = { export: string; dbUrl?: string; yes?: true; cascade?: true }

export const remove = new Command('remove')
  .description('Export all data of referbase. With --yes, drop it and remove our files from here.')
  .requiredOption('--export <folder>', 'a new folder for the rows of every table, as CSV')
  .option('--db-url <url>', 'the database; otherwise DATABASE_URL')
  .option('--cascade', 'drop what of yours depends on the schemas, too')
  .option('--yes', 'drop; without it the data is exported only')
  .action(removeReferbase)

async function removeReferbase(options: Options): Promise<void> {
  const url = options.dbUrl ?? process.env.DATABASE_URL
  if (!url) throw new CliError('Name the database: --db-url URL, or set DATABASE_URL.')
  const folder = resolve(options.export)
  requireEmptyFolder(folder)
  const repository = findRepository()
  const installed = readInstalled(repository)

  await withDatabase(url, async (sql) => {
    process.stdout.write(`The database is ${placeOf(sql)}.\n`)
    const tables = await listTables(sql)
    if (tables.length === 0) throw new CliError('This database has no schema referral.')
    const makePlan = () => planRemoval(sql, repository, installed, options.cascade ?? false)
    const plan = options.yes ? await makePlan() : undefined
    if (plan && options.cascade) process.stderr.write(cascadeIsIgnored(plan))
    await sql.begin('isolation level repeatable read', async (tx) => {
      await setTimeouts(tx)
      // From the first row that is exported to the drop nobody writes.
      if (plan) await lockTables(tx, tables)
      const rows = await exportTables(tx, tables, { folder, version: installed.version })
      const total = Object.values(rows).reduce((sum, count) => sum + count, 0)
      process.stdout.write(`Exported ${total} rows of ${tables.length} tables to ${folder}.\n`)
      if (plan) await dropSchemas(tx, plan)
    })
    if (plan) {
      process.stdout.write('Dropped the schemas referral and referral_private.\n')
      writeOrLeavePatch(repository.root, plan.changes, folder)
      process.stdout.write(summaryOf(plan.changes))
    } else {
      const { changes } = await makePlan()
      process.stdout.write(
        `Nothing was dropped. --yes drops the schemas referral and referral_private, and does this here:\n${summaryOf(changes)}`,
      )
    }
    process.stdout.write(whatStays(installed, plan !== undefined))
  })
}

const cascadeIsIgnored = ({ followed }: RemovalPlan) =>
  followed ? `--cascade has no effect: ${followed} drops the schemas here, as it is.\n` : ''

/** The database is done by then, so what cannot be written is left as a patch. */
function writeOrLeavePatch(root: string, changes: Change[], folder: string): void {
  try {
    writeChanges(root, changes)
  } catch (error) {
    if (!(error instanceof WriteError)) throw error
    const patch = join(folder, 'repository.patch')
    const text = diffOf(error.left)
    try {
      writeFileSync(patch, text, { mode: 0o600 })
    } catch {
      // The same disk may be full.
      process.stdout.write(`What ${patch} should have been:\n\n${text}`)
    }
    throw new CliError(
      `The database is done: the schemas are dropped. ${error.message}\nLeft to do, when this is mended, in ${root}: \`git apply ${patch}\`.`,
    )
  }
}

/** The Data API fails while it exposes a schema that does not exist, and sign-ups while their hook does not. */
function whatStays(installed: Installed, dropped: boolean): string {
  const kept = installed.functions.filter(({ header }) => header.changed).map(({ path }) => path)
  const functions = pack.functions().map(({ name }) => `npx supabase functions delete ${name}`)
  const urgent = `- dashboard, project settings, Data API: take \`referral\` out of "Exposed schemas"
- dashboard, Authentication, Hooks: switch off the hook that requires a code, if you use it
`
  const later = `- functions that are deployed: ${functions.map((command) => `\`${command}\``).join(', ')}
- secrets: \`npx supabase secrets unset LINK_FALLBACK_URL LINK_PROXY_SECRET STRIPE_LIVEMODE STRIPE_WEBHOOK_SECRET\`
- Stripe: the webhook endpoint
- functions of yours whose body calls \`referral.…\`: the database does not know of such calls, and they fail when they run
${kept.map((path) => `- ${path}, which you changed\n`).join('')}`
  return dropped
    ? `\nWhat stays until you remove it:\n${urgent}${later}`
    : `\nDo this before:\n${urgent}\nWhat stays until you remove it:\n${later}`
}
