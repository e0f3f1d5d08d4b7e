import { reasonOf } from './reason.ts'
import { type Page, pageArguments } from './redemptions.ts'
import { type Answer, type Result, settle } from './result.ts'
import type { CodeClicks, CodeUsageStats, Liability, Redemption } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** What staff see of redemptions, decide on them, and owe for them. */
export function staffRedemptionCalls(referral: ReferralSchema) {
  return {
    /** Who redeemed a code, newest first, page by page. */
    async usageForCode(codeId: string, page: Page = {}): Promise<Result<Redemption[]>> {
      return settle(
        await referral.rpc('usage_for_code', { code_id: codeId, ...pageArguments(page) }),
      )
    },

    /** What a person redeemed in the organisation, newest first, page by page. */
    async usageForUser(
      orgId: string,
      userId: string,
      page: Page = {},
    ): Promise<Result<Redemption[]>> {
      const whose = { org_id: orgId, user_id: userId }
      return settle(await referral.rpc('usage_for_user', { ...whose, ...pageArguments(page) }))
    },

    /** How much a code was used. The code's owner may ask too, and gets no identities. */
    async codeUsageStats(codeId: string): Promise<Result<CodeUsageStats>> {
      const answer = await referral.rpc('code_usage_stats', { code_id: codeId }).single()
      return settle(answer as Answer<CodeUsageStats>)
    },

    /**
     * How many clicks on a code counted, per day in UTC, platform and channel, oldest first. The days are inclusive, as
     * `2026-11-21`, and 31 at most: the last 31 unless given. The code's owner may ask too.
     *
     * Errors: `code_not_found`, `invalid_argument`.
     */
    async codeClicks(
      codeId: string,
      { fromDay, toDay }: { fromDay?: string; toDay?: string } = {},
    ): Promise<Result<CodeClicks[]>> {
      return settle(
        await referral.rpc('code_clicks', {
          code_id: codeId,
          ...(fromDay === undefined ? {} : { from_day: fromDay }),
          ...(toDay === undefined ? {} : { to_day: toDay }),
        }),
      )
    },

    /** Confirms a redemption whatever was paid. Errors: `redemption_final`. */
    async confirmRedemption(redemptionId: string, reason?: string): Promise<Result<Redemption>> {
      return settle(
        await referral.rpc('confirm_redemption', {
          redemption_id: redemptionId,
          ...reasonOf(reason),
        }),
      )
    },

    /** Rejects a redemption for good. */
    async rejectRedemption(redemptionId: string, reason?: string): Promise<Result<Redemption>> {
      return settle(
        await referral.rpc('reject_redemption', {
          redemption_id: redemptionId,
          ...reasonOf(reason),
        }),
      )
    },

    /** What the organisation owes each owner of codes, and each referee as a reward, per currency in minor units. For admins. */
    async orgLiabilities(orgId: string): Promise<Result<Liability[]>> {
      return settle(await referral.rpc('org_liabilities', { org_id: orgId }))
    },
  }
}
