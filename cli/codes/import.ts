import { readFileSync, statSync } from 'node:fs'
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import { createStaffClient, type PlannedCode } from '../../client/index.ts'
import { CliError } from '../cli-error.ts'
import { readProject } from '../project.ts'
import { type CsvRow, readCsv } from './csv.ts'

type Options = { org: string; program?: string; dryRun?: boolean; json?: boolean }

/** `referbase codes import`: all rows of a CSV file, or none; every fault with its line and column. */
export const importCommand = new Command('import')
  .description(
    'Imports campaign codes from a CSV file: all of its lines, or none if one has a fault.',
  )
  .argument('<file>', 'CSV in UTF-8; - reads standard input')
  .requiredOption('--org <id>', 'the organisation')
  .option('--program <id>', 'the program; needed if the organisation has several')
  .option('--dry-run', 'says what each line would do, and stores nothing')
  .option('--json', 'prints one JSON object: made, batch_id and lines')
  .addHelpText(
    'after',
    '\nThe first line of the file names its columns: code (required), max_uses, expires_at, description, beneficiary.',
  )
  .action(async (file: string, options: Options) => {
    const { database } = readProject()
    const rows = readRows(file)
    const bar = new SingleBar({ format: '{bar} {value}/{total} {step}', stream: process.stderr })
    bar.start(rows.length, 0, { step: 'sending' })
    const { data, error } = await createStaffClient(database, { orgId: options.org }).importCodes({
      rows: rows.map(({ value }) => value),
      dryRun: options.dryRun ?? false,
      ...(options.program && { programId: options.program }),
    })
    bar.update(data?.made ?? 0, { step: data?.made ? 'imported' : 'refused' })
    bar.stop()
    if (error) {
      const why = [error.message, error.details].filter(Boolean).join(' ')
      throw new CliError(`Nothing was imported: ${error.code}. ${why}`)
    }
    const { made, batch_id } = data
    const lines = (data.rows ?? []).map((plan) => ({ plan, of: rows[plan.row - 1] }))
    if (options.json) print({ made, batch_id, lines: lines.map((line) => toJson(line, rows)) })
    else {
      const planned = lines
        .filter(({ plan }) => plan.faults.length === 0)
        .map(describe)
        .join('')
      ;(options.dryRun ? process.stdout : process.stderr).write(planned)
    }
    if (made < rows.length) {
      if (!options.json)
        process.stderr.write(lines.flatMap((line) => faultsOf(line, rows)).join(''))
      throw new CliError('Nothing was imported. Correct these lines, and try again.')
    }
    if (options.json) return
    process.stdout.write(
      options.dryRun
        ? `A dry run: ${made} codes would be imported\n`
        : `${made} codes imported, as batch ${batch_id}\n`,
    )
  })

/** What the import says of a line, and the line. */
type Line = { plan: PlannedCode; of: CsvRow | undefined }

const print = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`)

/** 50,000 codes with long descriptions are smaller. */
const maxBytes = 100 * 1024 * 1024

function readRows(file: string): CsvRow[] {
  const bytes = (() => {
    try {
      if (file === '-') return readFileSync(0)
      if (statSync(file).size > maxBytes)
        throw new Error('it is larger than a file of 50,000 codes can be')
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
function describe({ plan, of }: Line): string {
  const { code, max_uses, expires_at, beneficiary_id, looks_like_another } = plan
  const uses = max_uses ? `${max_uses} uses` : 'no limit'
  const end = expires_at ? `until ${expires_at}` : 'no end'
  const earner = beneficiary_id && `for ${beneficiary_id}`
  const warning = looks_like_another && 'looks like a code of another organisation'
  return `line ${of?.line}: ${[code, uses, end, earner, warning].filter(Boolean).join(', ')}\n`
}

/** Each fault of a line by its column of the file, with the number of another line instead of a row's. */
function namedFaults({ plan }: Line, rows: CsvRow[]) {
  return plan.faults.map(({ column, code, details }) => {
    const other = /^the same as row (\d+)$/.exec(details ?? '')?.[1]
    return {
      column: column === 'beneficiary_id' ? 'beneficiary' : (column ?? 'code'),
      code,
      details: other ? `the same as line ${rows[Number(other) - 1]?.line}` : details,
    }
  })
}

function faultsOf(line: Line, rows: CsvRow[]): string[] {
  const { line: number, cells = {} } = line.of ?? {}
  return namedFaults(line, rows).map(({ column, code, details }) => {
    const why = details ? ` (${details})` : ''
    return `line ${number}, column ${column}: ${code}: ${cells[column]}${why}\n`
  })
}

function toJson(line: Line, rows: CsvRow[]): object {
  const { row, faults, ...code } = line.plan
  return { line: line.of?.line, ...code, faults: namedFaults(line, rows) }
}
