import { toReferralError } from '../../client/platform-errors.ts'
import { compareClocks } from './clocks.ts'
import type { Examined } from './examined.ts'
import { type Line, ok, unchecked, wrong } from './line.ts'
import { whyOf } from './why.ts'

/** Every check that the database does by itself: `referral.health`. */
export async function checkHealth({ project, orgId, usesStripe }: Examined): Promise<Line[]> {
  const started = Date.now()
  const given = orgId === undefined ? {} : { org_id: orgId }
  const { data, error, status } = await project.database.rpc('health', given)
  const call = { started, ended: Date.now() }
  if (error) {
    const { code } = toReferralError(error, status)
    const why = whyOf(project, error, status)
    if (code === 'misconfigured')
      return [unchecked('health', 'The database is not checked.', 'Mend the lines above first.')]
    return [wrong('health', `The database cannot be checked: ${code}.`, why)]
  }
  return data.map(({ name, ok: isRight, found, message, remedy }) => {
    const check = String(name)
    const said = `${check.replaceAll('_', ' ')}: ${message}`
    const [time] = /\d{4}-\d\d-\d\dT[\d:.]+Z/.exec(String(message)) ?? []
    if (check === 'clock' && time)
      return compareClocks(check, 'the database', Date.parse(time), call)
    if (check === 'stripe_events' && found === 0 && usesStripe)
      return unchecked(
        check,
        said,
        'Make a payment in test mode, or send an event again: dashboard of Stripe, developers, webhooks.',
      )
    return isRight ? ok(check, said) : wrong(check, said, remedy ?? 'See the page on reliability.')
  })
}
