import { given } from './given.ts'
import { type Page, pageArguments } from './redemptions.ts'
import { type Result, type SupabaseResponse, toResult } from './result.ts'
import type { CodeClicks, CodeUsageStats, Liability, Redemption } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** Calls about redemptions, decisions and liabilities, for staff. */
export function staffRedemptionCalls(referral: ReferralSchema) {
  return {
    /** Returns a page of the redemptions of a code, newest first. */
    async usageForCode(codeId: string, page: Page = {}): Promise<Result<Redemption[]>> {
      const args = given({ code_id: codeId }, pageArguments(page))
      return toResult(await referral.rpc('usage_for_code', args))
    },

    /** Returns a page of a person's redemptions in the organisation, newest first. */
    async usageForUser(
      orgId: string,
      userId: string,
      page: Page = {},
    ): Promise<Result<Redemption[]>> {
      const args = given({ org_id: orgId, user_id: userId }, pageArguments(page))
      return toResult(await referral.rpc('usage_for_user', args))
    },

    /**
     * Returns the usage figures of a code. The code's referrer may call it too, and gets no identities, and the figures of
     * the whole chain of rotations.
     */
    async codeUsageStats(codeId: string): Promise<Result<CodeUsageStats>> {
      const args = given({ code_id: codeId })
      const response = await referral.rpc('code_usage_stats', args).single()
      return toResult(response as SupabaseResponse<CodeUsageStats>)
    },

    /**
     * Returns the counted clicks on a code, per day in UTC, platform and channel, oldest first. `fromDay` and `toDay` are
     * inclusive dates such as `2026-11-21`, 31 days at most. The default is the last 31 days. The code's referrer may call it
     * too, and gets the clicks of the whole chain of rotations.
     *
     * Errors: `code_not_found`, `invalid_argument`.
     */
    async codeClicks(
      codeId: string,
      { fromDay, toDay }: { fromDay?: string; toDay?: string } = {},
    ): Promise<Result<CodeClicks[]>> {
      const args = given({ code_id: codeId }, { from_day: fromDay, to_day: toDay })
      const response = await referral.rpc('code_clicks', args)
      return toResult(response as SupabaseResponse<CodeClicks[]>)
    },

    /** Confirms a redemption, with or without a payment. Errors: `redemption_rejected`. */
    async confirmRedemption(redemptionId: string, reason?: string): Promise<Result<Redemption>> {
      const args = given({ redemption_id: redemptionId }, { reason })
      return toResult(await referral.rpc('confirm_redemption', args))
    },

    /** Rejects a redemption and its referral, until the decision is withdrawn. */
    async rejectRedemption(redemptionId: string, reason?: string): Promise<Result<Redemption>> {
      const args = given({ redemption_id: redemptionId }, { reason })
      return toResult(await referral.rpc('reject_redemption', args))
    },

    /**
     * Returns a page of the amounts that the organisation owes: commissions of earners and rewards of referees, per person,
     * currency and mode, in minor units. For the next page, pass the last row as `after`. `pageSize` is 100 unless given, 1,000
     * at most. Admins only.
     */
    async orgLiabilities(
      orgId: string,
      {
        livemode,
        after,
        pageSize,
      }: { livemode?: boolean; after?: Liability; pageSize?: number } = {},
    ): Promise<Result<Liability[]>> {
      const args = given({ org_id: orgId }, { livemode, after, page_size: pageSize })
      const response = await referral.rpc('org_liabilities', args)
      return toResult(response as SupabaseResponse<Liability[]>)
    },
  }
}
