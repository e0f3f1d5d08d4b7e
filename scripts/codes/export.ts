/** `npm run codes:export -- --org ID [--program ID] FILE`: writes the organisation's codes to a CSV file, newest first. */

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { SingleBar } from 'cli-progress'
import { stringify } from 'csv-stringify'
import { type Code, createReferralClient } from '../../client/index.ts'
import { CliError, runMain } from '../stack/cli-error.ts'
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
  const referrals = createReferralClient(supabase)
  const csv = stringify({ header: true, columns: [...columns], escape_formulas: true })
  const target = createWriteStream(file)
  csv.pipe(target)
  const bar = new SingleBar({ format: '{bar} {value} codes', stream: process.stderr })
  bar.start(0, 0)
  let written = 0
  for (let after: Code | undefined; ; ) {
    const filter = { limit: 1000, ...(after && { after }), ...(program && { programId: program }) }
    const { data, error } = await referrals.listCodesByOrganisation(org, filter)
    if (error) throw new CliError(`The codes cannot be read: ${error.code}. ${error.message}`)
    const uses = await referrals.codeUses(data.map(({ id }) => id))
    if (uses.error)
      throw new CliError(`The uses cannot be read: ${uses.error.code}. ${uses.error.message}`)
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
  process.stdout.write(`${written} codes written to ${file}\n`)
})
