import { type ReferralLink, referralLink } from './referral-link.ts'

/**
 * Reads the install referrer of Google Play: `ref=<code>&click=<uuid>`, which can be URL-encoded up to twice. Null if the
 * person did not come from a link, as in Play's `utm_source=google-play&utm_medium=organic`.
 *
 * @example
 * parseInstallReferrer('ref=7KQ2-M9XT&click=1f8f4a34-93a9-4b6e-8b9f-6d7d2d1f2c11')
 * // { code: '7KQ2-M9XT', clickId: '1f8f4a34-93a9-4b6e-8b9f-6d7d2d1f2c11', channel: null }
 */
export function parseInstallReferrer(raw: string | null | undefined): ReferralLink | null {
  if (typeof raw !== 'string' || raw.length > 4096) return null
  let text = raw.trim()
  for (let timesEncoded = 0; timesEncoded <= 2; timesEncoded++) {
    const parameters = new URLSearchParams(text)
    const codes = parameters.getAll('ref')
    if (codes.length > 0) return referralLink(codes.at(-1), parameters)
    try {
      text = decodeURIComponent(text)
    } catch {
      return null
    }
  }
  return null
}
