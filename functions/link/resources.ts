import { androidAssociation, appleAssociation } from './association.ts'
import type { Code } from './code-lookup.ts'
import type { CodeRequest } from './code-request.ts'
import type { Finder } from './finder.ts'
import { createLimiter } from './limiter.ts'
import { drawQr, type QrFormat, qrSettingsOf } from './qr.ts'
import { content, refuse } from './responses.ts'
import type { Visitor } from './visitor.ts'

type Dependencies = {
  finder: Finder
  /** The address before `/<slug>/…`, for an organisation without a link origin. */
  origin: string
  /** The clock, in milliseconds. */
  now: () => number
}

/** QR codes per minute, for one network and for one instance. */
const drawings = { perNetwork: 60, perInstance: 600 }

/** How long caches may store each resource, in seconds. */
const lifetimes = { qr: 86_400, context: 60, association: 3_600 }

const types = { svg: 'image/svg+xml', png: 'image/png', json: 'application/json' }

/**
 * The resources beside a link: QR codes, the context for an app, and the association files. A code that cannot be redeemed
 * is the same 404 for every reason.
 */
export function createResources({ finder, origin, now }: Dependencies) {
  const mayDraw = createLimiter({ ...drawings, now })

  async function withCode(
    { text, visitor }: CodeRequest,
    respond: (code: Code) => Response | Promise<Response>,
  ): Promise<Response> {
    const found = text === null ? { row: null } : await finder.codeOf(text, visitor)
    if (found === 'limited') return refuse('rate_limited', 60)
    if (found === 'unavailable') return refuse('unavailable', 10)
    return found.row ? respond(found.row) : refuse('link_not_found')
  }

  return {
    /** The share URL of a code, for the channel `qr`, as an image. */
    qr: async (format: QrFormat, request: CodeRequest): Promise<Response> => {
      const settings = qrSettingsOf(request.query)
      if (!settings) return refuse('invalid_qr_settings')
      return withCode(request, async (code) => {
        if (!mayDraw(request.visitor.network)) return refuse('rate_limited', 60)
        const base = code.origin ? `${code.origin}/link` : `${origin}/${request.slug}`
        const url = `${base}/${encodeURIComponent(code.code)}?via=qr`
        return content(await drawQr(format, url, settings), types[format], lifetimes.qr)
      })
    },

    /** The JSON from which an app welcomes the visitor of a link. */
    context: (request: CodeRequest): Promise<Response> =>
      withCode(request, ({ code, organisation, program, referrer }) => {
        const shown = JSON.stringify({ code, organisation, program, referrer })
        return content(shown, types.json, lifetimes.context)
      }),

    /** The file that associates the visitor’s link host with an app. */
    association: async (platform: 'ios' | 'android', visitor: Visitor): Promise<Response> => {
      const site = await finder.siteOf(visitor)
      if (typeof site === 'string') return refuse('unavailable', 10)
      const file =
        site.row && (platform === 'ios' ? appleAssociation : androidAssociation)(site.row)
      if (!file) return refuse('link_not_found')
      return content(JSON.stringify(file), types.json, lifetimes.association)
    },
  }
}
