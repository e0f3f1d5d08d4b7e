import type { Organisation } from '../../client/rows.ts'
import { call } from '../call.ts'
import type { Work } from './work.ts'

/** Makes the organisation unless it is there, and changes the settings that the options state otherwise. */
export async function ensureOrganisation(
  { database, say }: Work,
  stored: Organisation | null,
  wanted: { name: string | undefined; slug: string; settings: Record<string, string | string[]> },
  adminId: string,
): Promise<Organisation> {
  const { name = wanted.slug, slug, settings } = wanted
  let organisation = stored
  if (!organisation) {
    organisation = await call(
      'The organisation was not made',
      database.rpc('create_organisation', { name, slug, admin_id: adminId }),
    )
    say('made', `organisation ${slug}`)
  }
  const current: Record<string, unknown> = organisation
  const changes = Object.entries({ ...settings, ...(wanted.name && { name }) }).filter(
    ([column, value]) => JSON.stringify(current[column]) !== JSON.stringify(value),
  )
  if (changes.length === 0) return organisation
  const org_id = organisation.id
  const changed = await call(
    'The settings were not changed',
    database.rpc('update_organisation', { org_id, changes: Object.fromEntries(changes) }),
  )
  for (const [column, value] of changes) say('changed', column, current[column], value)
  return changed
}
