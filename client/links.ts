import { parseReferralLink } from './link-text.ts'
import { onlyOptions } from './only-options.ts'
import type { ReferralLink, ShareChannel } from './referral-link.ts'

/**
 * Returns the link of a code. `origin` is the organisation's link origin, or `https://<project>.supabase.co/functions/v1`
 * if it has none: then the function's name, `referbase-link`, stands in the place of `link`. `channel` is the way in which
 * the person shares the link. Throws if the origin is no such address, or if the code is no text.
 *
 * @example shareUrl('https://go.example.org', '7KQ2-M9XT', 'email') // 'https://go.example.org/link/7KQ2-M9XT?via=email'
 */
export function shareUrl(origin: string, code: string, channel?: ShareChannel): string {
  requireAddress('origin', origin)
  if (typeof code !== 'string') throw new TypeError('code: a text')
  const via = channel === undefined ? '' : `?via=${channel}`
  const base = origin.replace(/\/$/, '')
  const path = base.endsWith('/functions/v1') ? 'referbase-link' : 'link'
  return `${base}/${path}/${encodeURIComponent(code)}${via}`
}

/** Throws unless the value is an address that `/link/…` can follow. */
function requireAddress(name: string, value: unknown): void {
  const isAddress = typeof value === 'string' && /^https?:\/\/[^/\s]/i.test(value)
  if (!isAddress || /\/(referbase-)?link\/?$/.test(value))
    throw new TypeError(`${name}: an address such as https://go.example.org`)
}

/** How a text to share is made. */
export type ShareText = {
  /** Your text, with `{url}` and `{code}` as placeholders. The default is the code with the link below it. */
  template?: string
  /** The way in which the person shares it. The default is `share`, for a share sheet. */
  channel?: ShareChannel
}

/**
 * Returns a text to share. It holds no personal data except the code.
 *
 * @example
 * shareText('https://go.example.org', '7KQ2-M9XT', { template: 'Join me with {code}: {url}', channel: 'sms' })
 * // 'Join me with 7KQ2-M9XT: https://go.example.org/link/7KQ2-M9XT?via=sms'
 */
export function shareText(origin: string, code: string, options: ShareText = {}): string {
  onlyOptions(options, ['template', 'channel'])
  const { template = '{code}\n{url}', channel = 'share' } = options
  const values = { code, url: shareUrl(origin, code, channel) }
  return template.replace(/\{(code|url)\}/g, (_, name: keyof typeof values) => values[name])
}

/**
 * The link functions for one organisation. `origin` is its link origin, and `destinations` are the web destinations of its
 * links. It needs no connection and no session. It returns three functions: `shareUrl(code, channel?)`,
 * `shareText(code, options?)` and `parseReferralLink(text)`. Throws if one is no address, or if there is another option.
 *
 * @example
 * const links = createReferralLinks({ origin: 'https://go.example.org', destinations: ['https://example.org/welcome'] })
 * links.shareUrl('7KQ2-M9XT', 'email') // 'https://go.example.org/link/7KQ2-M9XT?via=email'
 * links.shareText('7KQ2-M9XT', { template: 'Join me: {url}' }) // 'Join me: https://go.example.org/link/7KQ2-M9XT?via=share'
 * links.parseReferralLink(openedUrl) // { code: '7KQ2-M9XT', clickId: null, channel: 'email' }
 */
export function createReferralLinks(options: { origin: string; destinations?: readonly string[] }) {
  onlyOptions(options, ['origin', 'destinations'])
  const { origin, destinations = [] } = options
  const origins = [origin, ...destinations]
  requireAddress('origin', origin)
  for (const destination of destinations) requireAddress('destinations', destination)
  return {
    /** Calls `shareUrl` with this origin. */
    shareUrl: (code: string, channel?: ShareChannel): string => shareUrl(origin, code, channel),
    /** Calls `shareText` with this origin. */
    shareText: (code: string, options?: ShareText): string => shareText(origin, code, options),
    /** Calls `parseReferralLink` with this origin and these destinations. */
    parseReferralLink: (text: string | null | undefined): ReferralLink | null =>
      parseReferralLink(text, origins),
  }
}
