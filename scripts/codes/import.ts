/**
 * `npm run codes:import -- --org ID [--program ID] FILE`: imports campaign codes from a CSV file with the columns code
 * (required), max_uses, expires_at and description. It imports all rows or none, and lists every refused row with its line.
 */
import { readFileSync } from 'node:fs'
import { SingleBar } from 'cli-progress'
import { parse } from 'csv-parse/sync'
import { z } from 'zod'
import { createStaffClient, type ImportedCode } from '../../client/index.ts'
import { CliError, runMain } from '../stack/cli-error.ts'
import { readArguments } from './arguments.ts'

const usage = 'npm run codes:import -- --org ID [--program ID] FILE'
const limit = 10_000
const refusals = z.array(z.object({ row: z.number(), code: z.string() }))

await runMain(async () => {
  const { supabase, org, program, file } = readArguments(usage)
  const rows = readRows(file)
  if (rows.length > limit)
    throw new CliError(
      `${file} has ${rows.length} rows; ${limit} can be taken at once, all or none.`,
    )
  const bar = new SingleBar({ format: '{bar} {value}/{total} {step}', stream: process.stderr })
  bar.start(rows.length, 0, { step: 'sending' })
  const { data, error } = await createStaffClient(supabase).importCodes(
    org,
    rows.map(({ value }) => value),
    program,
  )
  bar.update(data?.made ?? 0, { step: data ? 'taken' : 'refused' })
  bar.stop()
  if (data) {
    process.stdout.write(`${data.made} codes taken, as batch ${data.batch_id}\n`)
    return
  }
  if (error.code !== 'invalid_rows')
    throw new CliError(`Nothing was taken: ${error.code}. ${error.message}`)
  for (const { row, code } of refusals.parse(JSON.parse(error.details ?? '[]'))) {
    process.stderr.write(`line ${rows[row - 1]?.line}: ${code}: ${rows[row - 1]?.value.code}\n`)
  }
  throw new CliError('Nothing was taken: correct these lines, and try again.')
})

type Row = { line: number; value: ImportedCode }

function readRows(file: string): Row[] {
  try {
    const records: { record: Record<string, string>; info: { lines: number } }[] = parse(
      readFileSync(file),
      {
        columns: (names: string[]) => names.map((name) => name.trim().toLowerCase()),
        bom: true,
        trim: true,
        skip_empty_lines: true,
        info: true,
      },
    )
    return records.map(({ record, info }) => ({ line: info.lines, value: toCode(record) }))
  } catch (error) {
    throw new CliError(`${file} cannot be read as CSV: ${(error as Error).message}`)
  }
}

/** Omits empty cells. A limit that is not a number is passed on unchanged, so that the database refuses its row. */
function toCode({
  code = '',
  max_uses,
  expires_at,
  description,
}: Record<string, string>): ImportedCode {
  return {
    code,
    ...(max_uses && {
      max_uses: /^\d+$/.test(max_uses) ? Number(max_uses) : (max_uses as unknown as number),
    }),
    ...(expires_at && { expires_at }),
    ...(description && { description }),
  }
}
