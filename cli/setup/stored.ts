import type { Organisation, Program } from '../../client/rows.ts'
import { call } from '../call.ts'
import type { ReferralDatabase } from '../database.ts'

/** What the project has of an organisation already. */
export type Stored = {
  organisation: Organisation | null
  programs: Program[]
  adminId: string | undefined
}

/** Reads what the project has under a slug: the organisation, its programs, and its first admin. */
export async function readStored(database: ReferralDatabase, slug: string): Promise<Stored> {
  const organisation = await call(
    'The organisation cannot be read',
    database.from('organisations').select().eq('slug', slug).maybeSingle(),
  )
  if (!organisation) return { organisation, programs: [], adminId: undefined }
  const programs = await call(
    'The programs cannot be read',
    database.from('programs').select().eq('org_id', organisation.id).order('created_at'),
  )
  const admins = database.from('members').select('user_id').eq('org_id', organisation.id)
  const [admin] = await call(
    'The admins cannot be read',
    admins.eq('role', 'admin').is('deactivated_at', null).order('created_at').limit(1),
  )
  return { organisation, programs, adminId: admin?.user_id }
}
