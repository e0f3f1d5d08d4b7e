/**
 * `npm run codes:import -- --org ID [--program ID] [--dry-run] FILE`: imports campaign codes from a CSV file with the columns
 * code (required), max_uses, expires_at, description and beneficiary. It imports all rows or none, and lists every fault with
 * its line and column. A dry run says what each line would do, and stores nothing.
 */
import { readFileSync } from 'node:fs'
import { SingleBar } from 'cli-progress'
import { CliError, runMain } from '../../cli/cli-error.ts'
import { createStaffClient, type PlannedCode } from '../../client/index.ts'
import { readArguments } from './arguments.ts'
import { type CsvRow, readCsv } from './csv.ts'

const usage = 'npm run codes:import -- --org ID [--program ID] [--dry-run] FILE'

await runMain(async () => {
  const { supabase, org, program, file, dryRun } = readArguments(usage)
  const rows = readRows(file)
  const bar = new SingleBar({ format: '{bar} {value}/{total} {step}', stream: process.stderr })
  bar.start(rows.length, 0, { step: 'sending' })
  const { data, error } = await createStaffClient(supabase, { orgId: org }).importCodes({
    rows: rows.map(({ value }) => value),
    dryRun,
    ...(program && { programId: program }),
  })
  bar.update(data?.made ?? 0, { step: data?.made ? 'taken' : 'refused' })
  bar.stop()
  if (error) {
    const why = [error.message, error.details].filter(Boolean).join(' ')
    throw new CliError(`Nothing was taken: ${error.code}. ${why}`)
  }
  const plans = data.rows ?? []
  for (const plan of plans.filter(({ faults }) => faults.length === 0))
    (dryRun ? process.stdout : process.stderr).write(
      `line ${rows[plan.row - 1]?.line}: ${shown(plan)}\n`,
    )
  if (data.made < rows.length) refuse(rows, plans)
  process.stdout.write(
    dryRun
      ? `A dry run: ${data.made} codes would be taken\n`
      : `${data.made} codes taken, as batch ${data.batch_id}\n`,
  )
})

function readRows(file: string): CsvRow[] {
  const bytes = (() => {
    try {
      return readFileSync(file)
    } catch (error) {
      throw new CliError(`${file} cannot be read: ${(error as Error).message}`)
    }
  })()
  try {
    return readCsv(bytes)
  } catch (error) {
    throw error instanceof CliError ? new CliError(`${file}: ${error.message}.`) : error
  }
}

/** The code that a line would make. */
function shown(plan: PlannedCode): string {
  const { code, max_uses, expires_at, beneficiary_id, looks_like_another } = plan
  const uses = max_uses ? `${max_uses} uses` : 'no limit'
  const end = expires_at ? `until ${expires_at}` : 'no end'
  const earner = beneficiary_id && `for ${beneficiary_id}`
  const warning = looks_like_another && 'looks like a code of another organisation'
  return [code, uses, end, earner, warning].filter(Boolean).join(', ')
}

function refuse(rows: CsvRow[], plans: PlannedCode[]): never {
  for (const { row, faults } of plans) {
    const { line, cells = {} } = rows[row - 1] ?? {}
    for (const { column, code, details } of faults) {
      const name = column === 'beneficiary_id' ? 'beneficiary' : (column ?? 'code')
      const other = /^the same as row (\d+)$/.exec(details ?? '')?.[1]
      const why = other ? `the same as line ${rows[Number(other) - 1]?.line}` : details
      process.stderr.write(
        `line ${line}, column ${name}: ${code}: ${cells[name]}${why ? ` (${why})` : ''}\n`,
      )
    }
  }
  throw new CliError('Nothing was taken: correct these lines, and try again.')
}
