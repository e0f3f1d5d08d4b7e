import { type ReferralLink, referralLink } from './referral-link.ts'
import { writtenCode } from './written-code.ts'

/**
 * Finds your link in a text that was opened, pasted or scanned, or a code that is the whole text. Null for any other text,
 * so that it does not leave the phone, and for no text. Of several links the first of yours counts.
 *
 * `origins` are your addresses: the link origin (`<origin>/link/<code>` or `<origin>/referbase-link/<code>`), and every web
 * destination (any URL on its host with `ref=<code>`). It throws if an origin is not a URL.
 *
 * @example
 * parseReferralLink('Join me: https://go.example.org/link/7KQ2-M9XT?via=sms', ['https://go.example.org'])
 * // { code: '7KQ2-M9XT', clickId: null, channel: 'sms' }
 */
export function parseReferralLink(
  text: string | null | undefined,
  origins: readonly string[],
): ReferralLink | null {
  const ours = origins.map((origin) => new URL(origin))
  if (typeof text !== 'string') return null
  const isOurs = (host: string, path?: string) =>
    ours.some(
      (url) =>
        url.host === host && (path === undefined || path === url.pathname.replace(/\/$/, '')),
    )
  return (
    findLink(text, isOurs, referralLink) ??
    (isOneCode(text.normalize('NFKC').trim()) ? referralLink(text) : null)
  )
}

/**
 * Whether a text is one word, or a code in groups of four with spaces between them. Sentences, pass phrases and card
 * numbers are not, because they must not leave the phone.
 */
const isOneCode = (text: string) =>
  /^[^\s!?]+$/.test(text)
    ? !/^\W*[\d-]{13,}\W*$/.test(text)
    : /^[^\W_]{4}(?:\s[^\W_]{4}){1,3}$/.test(text) && /[a-z]/i.test(text)

/**
 * Returns the code in a text that the app passes as a code: the code of a link on any host, or else the trimmed text. What
 * is no text is returned as it is, and refused by the call.
 *
 * @example codeText(' go.example.org/link/7KQ2-M9XT ') // '7KQ2-M9XT'
 */
export function codeText(text: string): string {
  if (typeof text !== 'string') return text
  return findLink(text, () => true, writtenCode) ?? text.trim()
}

type IsOurs = (host: string, path?: string) => boolean

/** Reads the code of a link, and the parameters beside it. */
type Read<Found> = (code: string | undefined, parameters: URLSearchParams) => Found | null

/** Characters that cannot be part of a URL in running text, and characters that can follow one. */
const edges =
  /[\s<>()[\]{}"`“”„«»‹›\u200b-\u200f\u202a-\u202e\u2060-\u206f、。〈-】！（），：；？｛｝]+/
const endings = /[.,;:!?*_~'’…]+$/

function findLink<Found>(text: string, isOurs: IsOurs, read: Read<Found>): Found | null {
  const whole = text.trim()
  if (!/\s/.test(whole)) {
    const link = readAddress(whole, isOurs, read)
    if (link) return link
  }
  for (const word of whole.split(edges)) {
    const link = readAddress(word, isOurs, read)
    if (link) return link
  }
  return null
}

/** Reads the link of one URL. A code in the path counts before one in the query, as in `functions/link`. */
function readAddress<Found>(text: string, isOurs: IsOurs, read: Read<Found>): Found | null {
  const url = addressIn(text)
  if (!url) return null
  const [, path, segment] = /^(.*)\/(?:referbase-)?link\/([^/]+)\/?$/.exec(url.pathname) ?? []
  if (segment !== undefined && isOurs(url.host, path)) {
    return read(decoded(segment), url.searchParams)
  }
  if (!isOurs(url.host)) return null
  return read(url.searchParams.getAll('ref').at(-1), url.searchParams)
}

/**
 * Reads a word as an http(s) URL, with or without its scheme. Null without a code, with user information, or over 4,096
 * characters.
 */
function addressIn(word: string): URL | null {
  if (word.length > 4096 || !/link\/|[?&]ref=/.test(word)) return null
  const text = word.replace(endings, '').replace(/^[^\da-z]+/i, '')
  const [, scheme] = /^([^/?#]*):\/\//.exec(text) ?? []
  if (scheme && !/^https?$/i.test(scheme)) return null
  try {
    const url = new URL(scheme ? text : `https://${text}`)
    return url.username || url.password ? null : url
  } catch {
    return null
  }
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
