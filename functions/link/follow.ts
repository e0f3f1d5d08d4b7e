import { redirect } from './answers.ts'
import type { Asked } from './asked.ts'
import { campaignOf } from './campaign.ts'
import type { Recorder } from './clicks.ts'
import { deviceOf, isAhead } from './device.ts'
import type { Finder } from './finder.ts'
import { rowOf } from './lookup.ts'

type Dependencies = {
  finder: Finder
  record: Recorder
  /** Where links lead that lead nowhere else. */
  fallback: string
}

/**
 * Redirects whoever taps a link: to the destination of the code’s organisation for their platform, or to the safe place.
 * The click is recorded if it is a person’s who follows the link now; only then is its id in the address.
 */
export function createFollower({ finder, record, fallback }: Dependencies) {
  return async ({ request, text, query, visitor }: Asked): Promise<Response> => {
    // Asked at once, so that nobody waits for a database that hangs twice.
    const site = visitor.host === null ? null : finder.siteOf(visitor)
    const code = text === null ? null : rowOf(await finder.codeOf(text, visitor))
    const { headers, method } = request
    const userAgent = headers.get('user-agent') ?? ''
    const { platform, person } = deviceOf(userAgent, headers.get('sec-ch-ua-platform'))
    const destination = code?.destinations[platform]
    if (!destination) return redirect((site && rowOf(await site)?.web) ?? fallback)

    const campaign = campaignOf(query)
    const counts = person && method === 'GET' && !isAhead(headers)
    const ref = code.code
    const click = counts ? record({ code: ref, userAgent, platform, visitor, campaign }) : null
    return redirect(destination({ ref, click, utm: campaign.utm }))
  }
}
