import { Command } from 'commander'
import postgres from 'postgres'
import { CliError } from './cli-error.ts'
import { compare } from './replay/compare.ts'
import { copyTables } from './replay/copy.ts'
import { archivedMonths, replayEvents, replayRecords } from './replay/facts.ts'

/** As many differences are printed. */
const shown = 20

/**
 * `referbase replay`: rebuilds facts and ledger in an empty migrated database from the data that cannot be derived, and then
 * compares all balances and redemptions with the source.
 */
export const replay = new Command('replay')
  .description(
    'Makes facts and ledger anew in an empty migrated database from the data that cannot be derived, and compares all balances with the source. Exits with 1 if they differ.',
  )
  .argument('<source>', 'the Postgres URL of the database to check, as the owner of the schema')
  .argument('<target>', 'the Postgres URL of an empty database with the migrations of this version')
  .option('--json', 'prints one JSON object: events, records, lacking (months) and differences')
  .addHelpText(
    'after',
    '\nThe source keeps its data. Commissions that are due are released in it first, as the job does.',
  )
  .action(async (from: string, to: string, options: { json?: boolean }) => {
    const [source, target] = [open(from, 'source'), open(to, 'target')]
    try {
      await requireSchema(source, 'source')
      await requireSchema(target, 'target')
      const [row] = await target`select exists (select from referral.organisations) as used`
      if (row?.used) throw new CliError('The target is not empty.')
      const say = (step: string) => process.stderr.write(`${step}\n`)
      say('copying what is not derived')
      await copyTables(source, target)
      say('replaying events and records')
      const months = await archivedMonths(source)
      const lacking = months.filter(({ found }) => !found).map(({ month }) => month)
      const tables = months.filter(({ found }) => found).map(({ table }) => table)
      const events = await replayEvents(source, target, tables)
      if (lacking.length)
        say(`the events of ${lacking.join(', ')} are missing: their tables were dropped`)
      const records = await replayRecords(source, target)
      say('comparing')
      const differences = await compare(source, target)
      process.stdout.write(
        options.json
          ? `${JSON.stringify({ events, records, lacking, differences })}\n`
          : `${events} events and ${records} records replayed, ${differences.length} differences\n`,
      )
      if (differences.length) throw new CliError(differences.slice(0, shown).join('\n'))
    } catch (error) {
      if (error instanceof postgres.PostgresError)
        throw new CliError(`The replay failed: ${error.message} (${error.code})`)
      throw error
    } finally {
      await Promise.all([source.end({ timeout: 1 }), target.end({ timeout: 1 })])
    }
  })

function open(url: string, which: string): postgres.Sql {
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url))
    throw new CliError(
      `The ${which} is not a URL such as postgresql://postgres:…@host:5432/postgres.`,
    )
  const ssl = new URL(url).searchParams.has('sslmode') ? {} : { ssl: 'prefer' as const }
  return postgres(url, { max: 1, onnotice: () => {}, connect_timeout: 15, ...ssl })
}

/** Whether the database answers and has our tables. */
async function requireSchema(sql: postgres.Sql, which: string): Promise<void> {
  const [row] = await sql`select to_regclass('referral.organisations') is not null as found`.catch(
    (error: Error & { code?: string }) => {
      throw new CliError(`The ${which} cannot be reached: ${error.message || error.code}.`)
    },
  )
  if (!row?.found)
    throw new CliError(`The ${which} has no schema of referbase. Apply its migrations first.`)
}
