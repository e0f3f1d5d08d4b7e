import { content, refuse } from './answers.ts'
import type { Asked } from './asked.ts'
import { androidAssociation, appleAssociation } from './association.ts'
import type { Code } from './codes.ts'
import type { Finder } from './finder.ts'
import { createLimiter } from './limiter.ts'
import { drawQr, type QrFormat, qrSettingsOf } from './qr.ts'
import type { Visitor } from './visitor.ts'

type Dependencies = {
  finder: Finder
  /** Before `/link/…` in the links of an organisation that has no link origin. */
  origin: string
  /** The clock, in milliseconds. */
  now: () => number
}

/** A minute’s QR codes for one network and for one instance. */
const drawings = { perNetwork: 60, perInstance: 600 }

/** How long each may be kept, in seconds. */
const lifetimes = { qr: 86_400, context: 60, association: 3_600 }

const types = { svg: 'image/svg+xml', png: 'image/png', json: 'application/json' }

/** What is shown of a link, rather than followed. Whatever the reason, a code that cannot be redeemed is the same 404. */
export function createContents({ finder, origin, now }: Dependencies) {
  const mayDraw = createLimiter({ ...drawings, now })

  async function withCode(
    { text, visitor }: Asked,
    answer: (code: Code) => Response,
  ): Promise<Response> {
    const found = text === null ? { row: null } : await finder.codeOf(text, visitor)
    if (found === 'limited') return refuse('rate_limited', 60)
    if (found === 'unavailable') return refuse('unavailable', 10)
    return found.row ? answer(found.row) : refuse('link_not_found')
  }

  return {
    /** The share URL of a code, for the channel `qr`, as an image. */
    qr: async (format: QrFormat, asked: Asked): Promise<Response> => {
      const settings = qrSettingsOf(asked.query)
      if (!settings) return refuse('invalid_qr_settings')
      return withCode(asked, (code) => {
        if (!mayDraw(asked.visitor.network)) return refuse('rate_limited', 60)
        const url = `${code.origin ?? origin}/link/${encodeURIComponent(code.code)}?via=qr`
        return content(drawQr(format, url, settings), types[format], lifetimes.qr)
      })
    },

    /** What an app shows to whom a link welcomes. */
    context: (asked: Asked): Promise<Response> =>
      withCode(asked, ({ code, organisation, program, referrer }) => {
        const shown = JSON.stringify({ code, organisation, program, referrer })
        return content(shown, types.json, lifetimes.context)
      }),

    /** The file that ties the visitor’s link host to an app. */
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
