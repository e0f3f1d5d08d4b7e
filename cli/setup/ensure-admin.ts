import { call } from '../call.ts'
import { CliError } from '../cli-error.ts'
import type { Work } from './work.ts'

/** Makes a person an admin of the organisation. The role of a member is changed with `--update` only. */
export async function ensureAdmin(
  { database, update, say }: Work,
  org_id: string,
  user_id: string,
): Promise<void> {
  const member = await call(
    'The members cannot be read',
    database.from('members').select().eq('org_id', org_id).eq('user_id', user_id).maybeSingle(),
  )
  if (member?.deactivated_at)
    throw new CliError(
      `The member ${user_id} is deactivated. Call reactivate_member first, or name another --admin.`,
    )
  if (member?.role === 'admin') return
  if (!member) {
    const admin = { org_id, user_id, role: 'admin' }
    await call('The admin was not added', database.rpc('add_member', admin))
    say('made', `admin ${user_id}`)
  } else if (update) {
    const admin = { org_id, user_id, role: 'admin' }
    await call('The role was not changed', database.rpc('set_member_role', admin))
    say('changed', `role of ${user_id}`, member.role, 'admin')
  } else say('different', `role of ${user_id}`, member.role, 'admin')
}
