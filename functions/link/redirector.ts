import { type Found, rowOf } from './cached-lookup.ts'
import { campaignOf } from './campaign.ts'
import type { ClickRecorder } from './click-recorder.ts'
import type { Code } from './code-lookup.ts'
import type { CodeRequest } from './code-request.ts'
import { deviceOf, isPrefetch } from './device.ts'
import type { Finder } from './finder.ts'
import { redirect, redirectAgain } from './responses.ts'
import type { Site } from './site-lookup.ts'

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
  const toFallback = (site: Found<Site> | null) =>
    redirectAgain((site && rowOf(site)?.web) ?? fallbackUrl)

  function toCode({ request, query, visitor }: CodeRequest, code: Code | null): Response | null {
    const { headers, method } = request
    const userAgent = headers.get('user-agent') ?? ''
    const { platform, person } = deviceOf(userAgent, headers)
    const destination = code?.destinations[platform]
    if (!code || !destination) return null

    const campaign = campaignOf(query)
    // The cheapest check comes first, so that a flood costs little.
    const counts = person && method === 'GET' && clicks.hasRoom(visitor) && !isPrefetch(headers)
    const click = counts
      ? clicks.record({ code: code.code, userAgent, platform, visitor, campaign })
      : null
    const location = destination({ click, utm: campaign.utm })
    return click ? redirect(location) : redirectAgain(location)
  }

  // Without a promise where nothing is waited for.
  return (request: CodeRequest): Response | Promise<Response> => {
    const { text, visitor } = request
    // Both look-ups start at once, so that a visitor waits for one time-out of the database, not for two.
    const site = visitor.host === null ? null : finder.siteOf(visitor)
    const lead = (found: Found<Code>) =>
      toCode(request, rowOf(found)) ?? (site ? site.then(toFallback) : toFallback(null))
    const found = text === null ? { row: null } : finder.codeOf(text, visitor)
    return found instanceof Promise ? found.then(lead) : lead(found)
  }
}
