import { createWriteStream, renameSync, rmSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import { stringify } from 'csv-stringify'
import {
  type Code,
  createReferralClient,
  type ReferralClient,
  type ReferralError,
} from '../../client/index.ts'
import { toReferralError } from '../../client/platform-errors.ts'
import { CliError } from '../cli-error.ts'
import { type Project, readProject } from '../project.ts'

const columns = [
  'code',
  'status',
  'referrer_id',
  'description',
  'uses_count',
  'max_uses',
  'expires_at',
  'created_at',
  'batch_id',
  'id',
  { key: 'beneficiary_id', header: 'beneficiary' },
] as const

type Options = { org: string; program?: string }

/** `referbase codes export`: newest first. An older file is replaced when all codes are written. */
export const exportCommand = new Command('export')
  .description('Writes all codes of an organisation to a CSV file, with their status and uses.')
  .argument(
    '<file>',
    'the file, which is replaced once all codes are written; - writes to standard output',
  )
  .requiredOption('--org <id>', 'the organisation')
  .option('--program <id>', 'only the codes of this program')
  .action(async (file: string, { org, program }: Options) => {
    const { database } = readProject()
    await requireOrganisation(database, org)
    const bar = new SingleBar({ format: '{bar} {value} codes', stream: process.stderr })
    let written = 0
    const counted = (count: number) => {
      written += count
      bar.setTotal(written)
      bar.update(written)
    }
    const codes = readCodes(createReferralClient(database, { orgId: org }), program, counted)
    bar.start(0, 0)
    try {
      await write(codes, file)
    } finally {
      bar.stop()
    }
    const done = `${written} codes written${file === '-' ? '' : ` to ${file}`}\n`
    ;(file === '-' ? process.stderr : process.stdout).write(done)
  })

async function requireOrganisation(database: Project['database'], org: string): Promise<void> {
  const organisations = database.schema('referral').from('organisations')
  const { data, error, status } = await organisations.select('id').eq('id', org).maybeSingle()
  if (error) throw unread('organisation', toReferralError(error, status))
  if (!data) throw new CliError(`There is no organisation ${org}.`)
}

/** Each code with its uses, page by page. */
async function* readCodes(
  referrals: ReferralClient,
  program: string | undefined,
  counted: (count: number) => void,
): AsyncGenerator<object> {
  for (let after: Code | undefined; ; ) {
    const filter = { pageSize: 1000, after, ...(program && { programId: program }) }
    const { data, error } = await referrals.listCodes(filter)
    if (error) throw unread('codes', error)
    after = data.at(-1)
    if (!after) return
    const uses = await referrals.codeUses({ codeIds: data.map(({ id }) => id) })
    if (uses.error) throw unread('uses', uses.error)
    const usesOf = new Map(uses.data.map((row) => [row.code_id, row]))
    for (const code of data) yield { ...code, ...usesOf.get(code.id) }
    counted(data.length)
  }
}

/** Writes beside the file and then renames, so that the file is whole or as it was, also if the command is interrupted. */
async function write(codes: AsyncGenerator<object>, file: string): Promise<void> {
  const csv = stringify({ header: true, columns: [...columns], escape_formulas: true })
  if (file === '-') return pipeline(Readable.from(codes), csv, process.stdout, { end: false })
  const partial = `${file}.${process.pid}.part`
  const discard = () => rmSync(partial, { force: true })
  const interrupt = () => {
    discard()
    process.exit(130)
  }
  for (const signal of interruptions) process.once(signal, interrupt)
  try {
    await pipeline(Readable.from(codes), csv, createWriteStream(partial, { flags: 'wx' }))
    renameSync(partial, file)
  } catch (error) {
    if (error instanceof CliError) throw error
    throw new CliError(`${file} cannot be written: ${(error as Error).message}`)
  } finally {
    for (const signal of interruptions) process.off(signal, interrupt)
    discard()
  }
}

const interruptions = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function unread(what: string, { code, message, details }: ReferralError): CliError {
  const why = [message, details].filter(Boolean).join(' ')
  return new CliError(`The ${what} cannot be read: ${code}. ${why}`)
}
