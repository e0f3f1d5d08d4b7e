import { Constants } from './database.types.ts'

/** The ways in which a link is passed on, as its `via` says; no other is kept. */
export const shareChannels = Constants.referral.Enums.click_channel

export type ShareChannel = (typeof shareChannels)[number]

/** What a link, a pasted text or an install referrer carries. */
export type ReferralLink = {
  /** As it was written, 128 characters at most. Which code it is, and whether it is one, the database decides. */
  code: string
  /** The click that led here, a UUID, for `redeem`; null where there is none. */
  clickId: string | null
  channel: ShareChannel | null
}

/**
 * A code with what stands beside it; null where the text cannot be a code. Of several clicks the last counts, because a
 * redirect adds its own after what the destination has; of several channels the first, as for `functions/link`.
 */
export function referralLink(
  code: string | undefined,
  parameters?: URLSearchParams,
): ReferralLink | null {
  const written = code?.trim() ?? ''
  if (!canBeCode(written)) return null
  const click = parameters?.getAll('click').at(-1) ?? ''
  const via = parameters?.get('via')
  return {
    code: written,
    clickId: uuid.test(click) ? click.toLowerCase() : null,
    channel: shareChannels.find((channel) => channel === via) ?? null,
  }
}

const uuid = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i

/** 3 to 32 letters and digits, however spaced: what else a person pastes by mistake stays on the phone. */
function canBeCode(text: string): boolean {
  return (
    text.length <= 128 &&
    /^[\da-z](?:[\s\u2010-\u2015-]*[\da-z]){2,31}$/i.test(text.normalize('NFKC'))
  )
}
