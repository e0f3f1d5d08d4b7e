import { about } from '../_shared/about.ts'
import type { DataApi } from '../_shared/data-api.ts'
import { errorResponse } from '../_shared/errors.ts'
import { createClickRecorder } from './click-recorder.ts'
import { isOwnMachine } from './destinations.ts'
import { createFinder } from './finder.ts'
import { createRedirector } from './redirector.ts'
import { createResources } from './resources.ts'
import { preflight } from './responses.ts'
import { routeOf } from './route.ts'
import { visitorOf } from './visitor.ts'

type Dependencies = {
  /** Looks up codes and hosts, with the publishable key. */
  database: DataApi
  /** Records clicks, with the secret key. */
  operator: DataApi
  /** The fallback URL without a link host. */
  fallbackUrl: string
  /**
   * The address before `/<slug>/…`, for an organisation without a link origin. If it is of this machine, as in the local stack,
   * links lead to development servers, too.
   */
  origin: string
  /** The secrets that authenticate the adopter’s proxy; more than one while a secret is replaced. */
  proxySecrets?: readonly string[]
  /** Keeps the instance alive until the promise is settled. */
  waitUntil?: (promise: Promise<void>) => void
  /** The clock, in milliseconds. */
  now?: () => number
}

/**
 * Handles every request under `/<slug>`, the name under which the function is deployed: redirects, QR codes, the context
 * for an app, the association files of a link host, and the function's version. A link always redirects, also when the
 * database fails. docs/links.md lists the locations.
 */
export function createLinkHandler({
  database,
  operator,
  fallbackUrl,
  origin,
  proxySecrets = [],
  waitUntil = () => {},
  now = Date.now,
}: Dependencies): (request: Request) => Response | Promise<Response> {
  const finder = createFinder(database, now, isOwnMachine(new URL(origin)))
  const clicks = createClickRecorder({ operator, waitUntil, now })
  const redirect = createRedirector({ finder, clicks, fallbackUrl })
  const { qr, context, association } = createResources({ finder, origin, now })

  return (request) => {
    const { kind, slug, text, query } = routeOf(request.url)
    const isPublic = kind !== 'redirect'
    if (request.method === 'OPTIONS' && isPublic) return preflight()
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return errorResponse('method_not_allowed', { allow: 'GET, HEAD' })

    const visitor = visitorOf(request.headers, proxySecrets)
    const codeRequest = { request, slug, text, query, visitor }
    switch (kind) {
      case 'redirect':
        return redirect(codeRequest)
      case 'referbase':
        // On a link host it is a path like any other.
        return visitor.host === null ? about('referbase-link') : redirect(codeRequest)
      case 'qr.svg':
        return qr('svg', codeRequest)
      case 'qr.png':
        return qr('png', codeRequest)
      case 'context':
        return context(codeRequest)
      case 'apple-app-site-association':
        return association('ios', codeRequest.visitor)
      case 'assetlinks.json':
        return association('android', codeRequest.visitor)
    }
  }
}
