/** The typed client for an app: codes, redemptions and earnings, over supabase-js. */
import { createCache } from './cache.ts'
import { codeCalls } from './codes.ts'
import { earningCalls } from './earnings.ts'
import { guarded } from './guarded.ts'
import { redemptionCalls } from './redemptions.ts'
import type { Code } from './rows.ts'
import { type AnySupabaseClient, referralSchema } from './schema.ts'

export type { CodeSettings } from './codes.ts'
export type { MoneyOf } from './earnings.ts'
export type { ReferralError, ReferralErrorCode } from './errors.ts'
export { parseInstallReferrer } from './install-referrer.ts'
export { parseReferralLink } from './link-text.ts'
export { createReferralLinks, type ShareText, shareText, shareUrl } from './links.ts'
export { createOperatorClient, type OperatorClient } from './operator.ts'
export type { RedeemOptions } from './redemptions.ts'
export { type ReferralLink, type ShareChannel, shareChannels } from './referral-link.ts'
export type { Result } from './result.ts'
export type {
  Batch,
  Change,
  Code,
  CodeChange,
  CodeClicks,
  CodeImport,
  CodeUsageStats,
  CodeUses,
  CommissionExplanation,
  Decision,
  Earnings,
  LedgerFault,
  LedgerSlice,
  Liability,
  Member,
  Organisation,
  ParkedEventCount,
  PlannedCode,
  Program,
  RedeemedCode,
  Redemption,
  Referral,
  ResolvedCode,
  RowFault,
  StatementEntry,
  UnattributedSale,
} from './rows.ts'
export { createStaffClient, type StaffClient } from './staff.ts'
export type { CampaignCode, ImportedCode } from './staff-codes.ts'
export type { Forfeited, RejectedReferral } from './staff-decisions.ts'

export type ReferralClient = ReturnType<typeof createReferralClient>

/**
 * Wraps a supabase-js client. The person who is signed in there is the caller. `cacheSeconds` is how long `getActiveCode`
 * caches a code, for QR screens that poll it: 10 unless given, 0 switches the cache off. A write by this client and a
 * change of the session clear the cache.
 *
 * @example
 * const referrals = createReferralClient(createClient(url, publishableKey))
 * const { data, error } = await referrals.redeem('7kq2 m9xt')
 * if (error?.code === 'already_redeemed') …
 */
export function createReferralClient(supabase: AnySupabaseClient, { cacheSeconds = 10 } = {}) {
  const referral = referralSchema(supabase)
  const activeCodes = createCache<Code>(cacheSeconds)
  try {
    supabase.auth.onAuthStateChange(() => activeCodes.clear())
  } catch {
    // A client with the option `accessToken` has no session, and `auth` throws. The app calls `clearCache` then.
  }
  return {
    ...guarded({
      ...codeCalls(referral, activeCodes),
      ...redemptionCalls(referral),
      ...earningCalls(referral),
    }),
    /** Clears the cache. Apps that pass `accessToken` to supabase-js call it when another person signs in. */
    clearCache: () => activeCodes.clear(),
  }
}
