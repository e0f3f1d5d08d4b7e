/** The typed client for an app: codes, redemptions and earnings, over supabase-js. */
import { createCache } from './cache.ts'
import { createCalls } from './calls.ts'
import { codeCalls } from './code-calls.ts'
import type { CodeCalls } from './codes.ts'
import { type EarningCalls, earningCalls } from './earnings.ts'
import { requireOrgId } from './org-id.ts'
import { type RedemptionCalls, redemptionCalls } from './redemptions.ts'
import type { Code } from './rows.ts'
import type { AnySupabaseClient } from './schema.ts'

export type { CodeFilter, CodeSettings, NewCode, Rotation } from './codes.ts'
export type { MoneyOf } from './earnings.ts'
export type { ReferralError, ReferralErrorCode } from './errors.ts'
export { parseInstallReferrer } from './install-referrer.ts'
export { parseReferralLink } from './link-text.ts'
export { createReferralLinks, type ShareText, shareText, shareUrl } from './links.ts'
export { createOperatorClient, type OperatorClient } from './operator.ts'
export type { RecordedClick } from './operator-organisations.ts'
export type { RecordedPayment, RecordedRefund } from './operator-payments.ts'
export type {
  ClickMaintenance,
  EventMaintenance,
  EventResult,
  JobRun,
  LedgerFault,
  LedgerSlice,
  ParkedEvent,
  ParkedEventCount,
  RecordedFact,
  SettledEvents,
  UnattributedSale,
} from './operator-rows.ts'
export type { Page } from './page.ts'
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
  HealthCheck,
  Liability,
  Member,
  Organisation,
  PlannedCode,
  Program,
  RedeemedCode,
  Redemption,
  Referral,
  ResolvedCode,
  RowFault,
  StatementEntry,
} from './rows.ts'
export { createStaffClient, type StaffClient } from './staff.ts'
export type { CampaignCode, ImportedCode } from './staff-codes.ts'
export type { DecisionFilter, Forfeit, RejectedReferral } from './staff-decisions.ts'
export type { OrganisationSettings, ProgramChanges } from './staff-settings.ts'
export type { Amounts, ProgramTerms, Reward } from './terms.ts'

export type ReferralClient = CodeCalls &
  RedemptionCalls &
  EarningCalls & {
    /** Clears the cache. Apps that pass `accessToken` to supabase-js call it when another person signs in. */
    clearCache(): void
  }

/**
 * Wraps a supabase-js client for one organisation. The person who is signed in there is the caller. `cacheSeconds` is how
 * long `getActiveCode` caches a code, for QR screens that poll it: 10 unless given, 0 switches the cache off. A write by this
 * client and a change of the session clear the cache. Throws without an `orgId`, and where an option is unknown.
 *
 * @example
 * const referrals = createReferralClient(createClient(url, publishableKey), { orgId })
 * const { data, error } = await referrals.getOrCreateCode()
 */
export function createReferralClient(
  supabase: AnySupabaseClient,
  options: { orgId: string; cacheSeconds?: number },
): ReferralClient {
  const calls = createCalls(supabase, requireOrgId('createReferralClient', options, 'cacheSeconds'))
  const activeCodes = createCache<Code>(options.cacheSeconds ?? 10)
  try {
    supabase.auth.onAuthStateChange(activeCodes.clear as never)
  } catch {
    // A client with the option `accessToken` has no session, and `auth` throws. The app calls `clearCache` then.
  }
  return {
    ...codeCalls(calls, activeCodes),
    ...redemptionCalls(calls),
    ...earningCalls(calls),
    clearCache: activeCodes.clear,
  }
}
