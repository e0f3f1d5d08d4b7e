import { CsvError, parse } from 'csv-parse/sync'
import type { ImportedCode } from '../../client/index.ts'
import { CliError } from '../cli-error.ts'

/** A row of the file: the line on which it begins, its cells by column, and the row of the import. */
export type CsvRow = { line: number; cells: Record<string, string>; value: ImportedCode }

/** The columns of a file; `beneficiary` is `beneficiaryId` of the import. */
const known = ['code', 'max_uses', 'expires_at', 'description', 'beneficiary']

/** As many rows as one import takes. */
const maxRows = 50_000

type Parsed = { record: string[]; raw: string; info: { lines: number } }

/**
 * Reads campaign codes from the bytes of a CSV file: UTF-8, columns separated by commas and named on the first line. Rows
 * without a value are skipped. Throws a `CliError` that says what is wrong, and where.
 */
export function readCsv(bytes: Uint8Array): CsvRow[] {
  const text = textOf(bytes)
  const first = text.split(/\r\n|[\r\n]/).find((line) => line.trim() !== '')
  if (first !== undefined && !first.split(',').some(isCode)) throw new CliError(withoutCode(first))
  const [header, ...rows] = recordsOf(text)
  if (!header)
    throw new CliError(`The file is empty. Its first line names the columns: ${known.join(', ')}`)
  const names = columnsOf(header.record, rows)
  const uneven = rows.filter(({ record }) => record.length !== names.length)
  if (uneven.length > 0) {
    const places = uneven.slice(0, 20).map((row) => `line ${lineOf(row)} has ${row.record.length}`)
    throw new CliError(`The header names ${names.length} columns, but ${places.join(', ')}`)
  }
  if (rows.length === 0) throw new CliError('The file has a header, and no codes')
  if (rows.length > maxRows)
    throw new CliError(`The file has ${rows.length} codes, and one import takes ${maxRows}`)
  return rows.map((row) => {
    const cells = Object.fromEntries(names.map((name, place) => [name, row.record[place] ?? '']))
    return { line: lineOf(row), cells, value: toCode(cells) }
  })
}

function textOf(bytes: Uint8Array): string {
  if (bytes.subarray(0, 1000).includes(0) || /^(?:fffe|feff)/.test(hex(bytes.subarray(0, 2))))
    throw new CliError('The file is in UTF-16. Save it as “CSV UTF-8”')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new CliError(`Line ${invalidLine(bytes)} is not UTF-8. Save the file as “CSV UTF-8”`)
  }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** The first line that is no UTF-8. */
function invalidLine(bytes: Uint8Array): number {
  let line = 1
  for (let start = 0; start < bytes.length; line += 1) {
    const end = bytes.indexOf(10, start)
    const part = bytes.subarray(start, end < 0 ? bytes.length : end)
    if (Buffer.from(part).toString('utf8').includes('\ufffd') && !hex(part).includes('efbfbd'))
      break
    start = end < 0 ? bytes.length : end + 1
  }
  return line
}

function recordsOf(text: string): Parsed[] {
  try {
    return parse(text, {
      trim: true,
      skip_empty_lines: true,
      skip_records_with_empty_values: true,
      relax_column_count: true,
      info: true,
      raw: true,
    }) as unknown as Parsed[]
  } catch (error) {
    if (error instanceof CsvError)
      throw new CliError(`The file cannot be read as CSV: ${error.message}`)
    throw error
  }
}

/** The line on which a record begins: a cell can have several lines. */
const lineOf = ({ raw, info }: Parsed) =>
  info.lines - (raw.trim().match(/\n|\r(?!\n)/g)?.length ?? 0)

/** The names of the columns. Columns at the end without a name and without a value are none. */
function columnsOf(header: string[], rows: Parsed[]): string[] {
  while (
    header.at(-1) === '' &&
    rows.every(({ record }) => (record[header.length - 1] ?? '') === '')
  ) {
    header.pop()
    for (const { record } of rows) record.splice(header.length)
  }
  const names = header.map((name) => name.toLowerCase().replaceAll(/[\s-]+/g, '_'))
  const unknown = header.filter((_, place) => !known.includes(names[place] ?? ''))
  if (unknown.length > 0) {
    const named = unknown.map((name) => (name === '' ? 'one without a name' : `“${name}”`))
    throw new CliError(`Unknown columns: ${named.join(', ')}. The columns are ${known.join(', ')}`)
  }
  const twice = names.find((name, place) => names.indexOf(name) !== place)
  if (twice) throw new CliError(`The column “${twice}” is there twice`)
  return names
}

/** Why a first line names no column `code`. */
function withoutCode(line: string): string {
  const separator = [';', '\t', '|'].find((sign) => line.split(sign).some(isCode))
  if (/^sep=/i.test(line))
    return 'The first line is “sep=”. Remove it, and separate the columns by commas'
  if (separator) {
    const name = separator === '\t' ? 'tabs' : `“${separator}”`
    return `The columns are separated by ${name}. Separate them by commas`
  }
  const start = `The first line has no column “code”, but “${line.slice(0, 80)}”`
  return `${start}. It is the header, which names the columns: ${known.join(', ')}`
}

const isCode = (cell: string) => /^\W*code\W*$/i.test(cell)

/** Omits empty cells. A limit that is not a number is passed on unchanged, so that the database refuses its row. */
function toCode(cells: Record<string, string>): ImportedCode {
  const { code = '', max_uses, expires_at, description, beneficiary } = cells
  return {
    code,
    ...(max_uses && {
      maxUses: /^\d{1,15}$/.test(max_uses) ? Number(max_uses) : (max_uses as unknown as number),
    }),
    ...(expires_at && { expiresAt: expires_at }),
    ...(description && { description }),
    ...(beneficiary && { beneficiaryId: beneficiary }),
  }
}
