/**
 * `npm run codes:export -- --org ID [--program ID] FILE`: writes the organisation's codes to a CSV file, newest first. An
 * older file is replaced when all codes are written.
 */
import { once } from 'node:events'
import { createWriteStream, renameSync, rmSync } from 'node:fs'
import type { SupabaseClient } from '@supabase/supabase-js'
import { SingleBar } from 'cli-progress'
import { stringify } from 'csv-stringify'
import { CliError, runMain } from '../../cli/cli-error.ts'
import {
  type Code,
  createReferralClient,
  type ReferralClient,
  type ReferralError,
} from '../../client/index.ts'
import { toReferralError } from '../../client/platform-errors.ts'
import { readArguments } from './arguments.ts'

const usage = 'npm run codes:export -- --org ID [--program ID] FILE'
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

await runMain(async () => {
  const { supabase, org, program, file } = readArguments(usage)
  await requireOrganisation(supabase, org)
  const partial = `${file}.new`
  try {
    const written = await writeCodes(
      createReferralClient(supabase, { orgId: org }),
      program,
      partial,
    )
    renameSync(partial, file)
    process.stdout.write(`${written} codes written to ${file}\n`)
  } finally {
    rmSync(partial, { force: true })
  }
})

async function requireOrganisation(supabase: SupabaseClient, org: string): Promise<void> {
  const organisations = supabase.schema('referral').from('organisations')
  const { data, error, status } = await organisations.select('id').eq('id', org).maybeSingle()
  if (error) throw unread('organisation', toReferralError(error, status))
  if (!data) throw new CliError(`There is no organisation ${org}.`)
}

async function writeCodes(
  referrals: ReferralClient,
  program: string | undefined,
  file: string,
): Promise<number> {
  const csv = stringify({ header: true, columns: [...columns], escape_formulas: true })
  const target = createWriteStream(file)
  await once(target, 'open')
  csv.pipe(target)
  const bar = new SingleBar({ format: '{bar} {value} codes', stream: process.stderr })
  bar.start(0, 0)
  let written = 0
  for (let after: Code | undefined; ; ) {
    const filter = { pageSize: 1000, after, ...(program && { programId: program }) }
    const { data, error } = await referrals.listCodes(filter)
    if (error) throw unread('codes', error)
    const uses = await referrals.codeUses({ codeIds: data.map(({ id }) => id) })
    if (uses.error) throw unread('uses', uses.error)
    const usesOf = new Map(uses.data.map((row) => [row.code_id, row]))
    for (const code of data) csv.write({ ...code, ...usesOf.get(code.id) })
    written += data.length
    bar.setTotal(written)
    bar.update(written)
    after = data.at(-1)
    if (!after) break
  }
  csv.end()
  await once(target, 'finish')
  bar.stop()
  return written
}

function unread(what: string, { code, message, details }: ReferralError): CliError {
  const why = [message, details].filter(Boolean).join(' ')
  return new CliError(`The ${what} cannot be read: ${code}. ${why}`)
}
