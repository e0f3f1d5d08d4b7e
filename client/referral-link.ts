import type { Database } from './database.types.ts'
import { writtenCode } from './written-code.ts'

/**
 * The way in which a link is shared, the `via` of its address: `qr`, `share` (the share sheet), `email`, `sms`, `whatsapp`,
 * `social`, `web` or `print`.
 */
export type ShareChannel = Database['referral']['Enums']['click_channel']

/** The channels of a link, which are the values of its `via`. Other values are dropped. */
export const shareChannels: readonly ShareChannel[] = [
  'qr',
  'share',
  'email',
  'sms',
  'whatsapp',
  'social',
  'web',
  'print',
]

/** The content of a link, a pasted text or an install referrer. */
export type ReferralLink = {
  /** The code as it was written, without what surrounds it, 128 characters at most. The database decides whether it is a code. */
  code: string
  /** The UUID of the click, for `redeem`, or null. */
  clickId: string | null
  channel: ShareChannel | null
}

/**
 * Reads a code with its click and channel. Null if the text cannot be a code. Of several clicks the last counts, because a
 * redirect appends its own. Of several channels the first counts, as in `functions/link`.
 */
export function referralLink(
  text: string | undefined,
  parameters?: URLSearchParams,
): ReferralLink | null {
  const code = writtenCode(text)
  if (code === null) return null
  const click = parameters?.getAll('click').at(-1) ?? ''
  const via = parameters?.get('via')
  return {
    code,
    clickId: uuid.test(click) ? click.toLowerCase() : null,
    channel: shareChannels.find((channel) => channel === via) ?? null,
  }
}

const uuid = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i
