import { parseReferralLink } from './link-text.ts'
import type { ReferralLink, ShareChannel } from './referral-link.ts'

/**
 * The link of a code. `origin` is the organisation's link origin, or, where it has no host of its own,
 * `https://<project>.supabase.co/functions/v1`. `channel` says how it is passed on.
 *
 * @example shareUrl('https://go.example.org', '7KQ2-M9XT', 'email') // 'https://go.example.org/link/7KQ2-M9XT?via=email'
 */
export function shareUrl(origin: string, code: string, channel?: ShareChannel): string {
  const via = channel === undefined ? '' : `?via=${channel}`
  return `${origin.replace(/\/$/, '')}/link/${encodeURIComponent(code)}${via}`
}

export type ShareText = {
  /** A sentence of yours with `{url}` and, for who must type it, `{code}`. Without one: the code, and the link below it. */
  template?: string
  /** How it is passed on; `share`, as from a share sheet, unless given. */
  channel?: ShareChannel
}

/**
 * A text to share, with nothing of a person in it but their code.
 *
 * @example
 * shareText('https://go.example.org', '7KQ2-M9XT', { template: 'Join me with {code}: {url}', channel: 'sms' })
 * // 'Join me with 7KQ2-M9XT: https://go.example.org/link/7KQ2-M9XT?via=sms'
 */
export function shareText(
  origin: string,
  code: string,
  { template = '{code}\n{url}', channel = 'share' }: ShareText = {},
): string {
  const values = { code, url: shareUrl(origin, code, channel) }
  return template.replace(/\{(code|url)\}/g, (_, name: keyof typeof values) => values[name])
}

/**
 * Links of one organisation: `origin` is where they live, `destinations` the web addresses that they lead to. Needs no
 * connection and no session.
 *
 * @example
 * const links = createReferralLinks({ origin: 'https://go.example.org', destinations: ['https://example.org/welcome'] })
 * links.shareUrl('7KQ2-M9XT') // 'https://go.example.org/link/7KQ2-M9XT'
 */
export function createReferralLinks({
  origin,
  destinations = [],
}: {
  origin: string
  destinations?: readonly string[]
}) {
  const origins = [origin, ...destinations]
  return {
    /** As `shareUrl`, on this origin. */
    shareUrl: (code: string, channel?: ShareChannel): string => shareUrl(origin, code, channel),
    /** As `shareText`, on this origin. */
    shareText: (code: string, options?: ShareText): string => shareText(origin, code, options),
    /** As `parseReferralLink`, for this origin and these destinations. */
    parseReferralLink: (text: string): ReferralLink | null => parseReferralLink(text, origins),
  }
}
