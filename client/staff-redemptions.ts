import { reasonOf } from './reason.ts'
import { type Page, pageArguments } from './redemptions.ts'
import { type Result, type SupabaseResponse, toResult } from './result.ts'
import type { CodeClicks, CodeUsageStats, Liability, Redemption } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** Calls about redemptions, decisions and liabilities, for staff. */
export function staffRedemptionCalls(referral: ReferralSchema) {
  return {
    /** Returns a page of the redemptions of a code, newest first. */
    async usageForCode(codeId: string, page: Page = {}): Promise<Result<Redemption[]>> {
      return toResult(
        await referral.rpc('usage_for_code', { code_id: codeId, ...pageArguments(page) }),
      )
    },

    /** Returns a page of a person's redemptions in the organisation, newest first. */
    async usageForUser(
      orgId: string,
      userId: string,
      page: Page = {},
    ): Promise<Result<Redemption[]>> {
      const subject = { org_id: orgId, user_id: userId }
      return toResult(await referral.rpc('usage_for_user', { ...subject, ...pageArguments(page) }))
    },

    /** Returns the usage figures of a code. The code's referrer may call it too, and gets no identities. */
    async codeUsageStats(codeId: string): Promise<Result<CodeUsageStats>> {
      const response = await referral.rpc('code_usage_stats', { code_id: codeId }).single()
      return toResult(response as SupabaseResponse<CodeUsageStats>)
    },

    /**
     * Returns the counted clicks on a code, per day in UTC, platform and channel, oldest first. `fromDay` and `toDay` are
     * inclusive dates such as `2026-11-21`, 31 days at most. The default is the last 31 days. The code's referrer may call it
     * too.
     *
     * Errors: `code_not_found`, `invalid_argument`.
     */
    async codeClicks(
      codeId: string,
      { fromDay, toDay }: { fromDay?: string; toDay?: string } = {},
    ): Promise<Result<CodeClicks[]>> {
      const response = await referral.rpc('code_clicks', {
        code_id: codeId,
        ...(fromDay === undefined ? {} : { from_day: fromDay }),
        ...(toDay === undefined ? {} : { to_day: toDay }),
      })
      return toResult(response as SupabaseResponse<CodeClicks[]>)
    },

    /** Confirms a redemption, with or without a payment. Errors: `redemption_rejected`. */
    async confirmRedemption(redemptionId: string, reason?: string): Promise<Result<Redemption>> {
      return toResult(
        await referral.rpc('confirm_redemption', {
          redemption_id: redemptionId,
          ...reasonOf(reason),
        }),
      )
    },

    /** Rejects a redemption and its referral, until the decision is withdrawn. */
    async rejectRedemption(redemptionId: string, reason?: string): Promise<Result<Redemption>> {
      return toResult(
        await referral.rpc('reject_redemption', {
          redemption_id: redemptionId,
          ...reasonOf(reason),
        }),
      )
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
      const response = await referral.rpc('org_liabilities', {
        org_id: orgId,
        ...(livemode === undefined ? {} : { livemode }),
        ...(after === undefined ? {} : { after }),
        ...(pageSize === undefined ? {} : { page_size: pageSize }),
      })
      return toResult(response as SupabaseResponse<Liability[]>)
    },
  }
}
