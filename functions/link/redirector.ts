import { rowOf } from './cached-lookup.ts'
import { campaignOf } from './campaign.ts'
import type { ClickRecorder } from './click-recorder.ts'
import type { CodeRequest } from './code-request.ts'
import { deviceOf, isPrefetch } from './device.ts'
import type { Finder } from './finder.ts'
import { redirect } from './responses.ts'

type Dependencies = {
  finder: Finder
  clicks: ClickRecorder
  /** The fallback URL without a link host. */
  fallbackUrl: string
}

/**
 * Redirects every visitor of a link: to the destination of the code’s organisation for the visitor’s platform, else to
 * the fallback URL, which an organisation with a link host sets itself. The click is recorded if a person follows the link
 * now. Only then does the location carry the click’s id.
 */
export function createRedirector({ finder, clicks, fallbackUrl }: Dependencies) {
  return async ({ request, text, query, visitor }: CodeRequest): Promise<Response> => {
    // Both look-ups start at once, so that a visitor waits for one time-out of the database, not for two.
    const site = visitor.host === null ? null : finder.siteOf(visitor)
    const found = text === null ? { row: null } : finder.codeOf(text, visitor)
    const code = rowOf(found instanceof Promise ? await found : found)
    const { headers, method } = request
    const userAgent = headers.get('user-agent') ?? ''
    const { platform, person } = deviceOf(userAgent, headers)
    const destination = code?.destinations[platform]
    if (!destination) return redirect((site && rowOf(await site)?.web) ?? fallbackUrl)

    const campaign = campaignOf(query)
    // The cheapest check comes first, so that a flood costs little.
    const counts = person && method === 'GET' && clicks.hasRoom(visitor) && !isPrefetch(headers)
    const click = counts
      ? clicks.record({ code: code.code, userAgent, platform, visitor, campaign })
      : null
    return redirect(destination({ click, utm: campaign.utm }))
  }
}
