import { redirect } from './answers.ts'
import type { Asked } from './asked.ts'
import { campaignOf } from './campaign.ts'
import type { Recorder } from './clicks.ts'
import { deviceOf, isAhead } from './device.ts'
import type { Finder } from './finder.ts'
import { rowOf } from './lookup.ts'

type Dependencies = {
  finder: Finder
  clicks: Recorder
  /** Where links lead that lead nowhere else. */
  fallback: string
}

/**
 * Redirects whoever taps a link: to the destination of the code’s organisation for their platform, or to the safe place.
 * The click is recorded if it is a person’s who follows the link now; only then is its id in the address.
 */
export function createFollower({ finder, clicks, fallback }: Dependencies) {
  return async ({ request, text, query, visitor }: Asked): Promise<Response> => {
    // Asked at once, so that nobody waits for a database that hangs twice.
    const site = visitor.host === null ? null : finder.siteOf(visitor)
    const found = text === null ? { row: null } : finder.codeOf(text, visitor)
    const code = rowOf(found instanceof Promise ? await found : found)
    const { headers, method } = request
    const userAgent = headers.get('user-agent') ?? ''
    const { platform, person } = deviceOf(userAgent, headers)
    const destination = code?.destinations[platform]
    if (!destination) return redirect((site && rowOf(await site)?.web) ?? fallback)

    const campaign = campaignOf(query)
    // The cheapest question first: a flood must not cost more than it has to.
    const counts = person && method === 'GET' && clicks.hasRoom(visitor) && !isAhead(headers)
    const click = counts
      ? clicks.record({ code: code.code, userAgent, platform, visitor, campaign })
      : null
    return redirect(destination({ click, utm: campaign.utm }))
  }
}
