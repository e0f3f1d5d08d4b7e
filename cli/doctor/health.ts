import { toReferralError } from '../../client/platform-errors.ts'
import type { Examined } from './examined.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'

/** Every check that the database does by itself: `referral.health`. */
export async function checkHealth({ project, orgId }: Examined): Promise<Line[]> {
  const given = orgId === undefined ? {} : { org_id: orgId }
  const { data, error, status } = await project.database.rpc('health', given)
  if (error) {
    const { code, message, details } = toReferralError(error, status)
    const why = [message, details].filter(Boolean).join(' ')
    if (code === 'misconfigured')
      return [unchecked('health', 'The database is not checked.', 'Mend the lines above first.')]
    return [wrong('health', `The database cannot be checked: ${code}.`, why)]
  }
  return data.map(({ name, ok: isRight, message, remedy }) => {
    const check = String(name)
    const said = `${check.replaceAll('_', ' ')}: ${message}`
    return isRight ? ok(check, said) : wrong(check, said, remedy ?? 'See the page on reliability.')
  })
}
