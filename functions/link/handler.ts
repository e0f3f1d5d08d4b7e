import type { ReferralDatabase } from '../_shared/database.ts'
import { errorResponse } from '../_shared/errors.ts'
import { preflight } from './answers.ts'
import { createRecorder } from './clicks.ts'
import { createContents } from './contents.ts'
import { createFinder } from './finder.ts'
import { createFollower } from './follow.ts'
import { routeOf } from './route.ts'
import { visitorOf } from './visitor.ts'

type Dependencies = {
  /** Looks up codes and hosts, with the publishable key. */
  database: ReferralDatabase
  /** Records clicks, with the secret key. */
  operator: ReferralDatabase
  /** Where links lead that lead nowhere else. */
  fallback: string
  /** Before `/link/…` in the links of an organisation that has no link origin. */
  origin: string
  /** What a proxy of the adopter’s shows to be believed; more than one while a secret is being replaced. */
  proxySecrets?: readonly string[]
  /** Keeps the instance alive until the promise is settled. */
  waitUntil?: (promise: Promise<void>) => void
  /** The clock, in milliseconds. */
  now?: () => number
}

/**
 * Everything under `/link`: redirects, QR codes, what an app shows to whom a link welcomes, and the files that tie a link
 * host to apps. Whoever taps a link is redirected, whatever fails. docs/links.md says where to.
 */
export function createLinkHandler({
  database,
  operator,
  fallback,
  origin,
  proxySecrets = [],
  waitUntil = () => {},
  now = Date.now,
}: Dependencies): (request: Request) => Promise<Response> {
  const finder = createFinder(database, now)
  const clicks = createRecorder({ operator, waitUntil, now })
  const follow = createFollower({ finder, clicks, fallback })
  const { qr, context, association } = createContents({ finder, origin, now })

  return async (request) => {
    const { kind, text, query } = routeOf(request.url)
    const isPublic = kind !== 'redirect'
    if (request.method === 'OPTIONS' && isPublic) return preflight()
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return errorResponse('method_not_allowed', { allow: 'GET, HEAD' })

    const asked = { request, text, query, visitor: visitorOf(request.headers, proxySecrets) }
    switch (kind) {
      case 'redirect':
        return follow(asked)
      case 'qr.svg':
        return qr('svg', asked)
      case 'qr.png':
        return qr('png', asked)
      case 'context':
        return context(asked)
      case 'apple-app-site-association':
        return association('ios', asked.visitor)
      case 'assetlinks.json':
        return association('android', asked.visitor)
    }
  }
}
