import type { Code } from '../../client/rows.ts'
import { call } from '../call.ts'
import type { Work } from './work.ts'

/** The active code of a member, or a new one. */
export async function ensureCode(
  { database, say }: Work,
  org_id: string,
  referrer_id: string,
  program_id: string,
): Promise<Code> {
  const member = { org_id, referrer_id }
  const active = await call(
    'The code cannot be read',
    database.rpc('get_active_code', member).maybeSingle(),
  )
  if (active) return active
  const code = await call(
    'The code was not made',
    database.rpc('create_code', { ...member, program_id }),
  )
  say('made', `code ${code.code}`)
  return code
}
