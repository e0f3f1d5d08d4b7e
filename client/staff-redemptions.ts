import { optional, required } from './arguments.ts'
import type { Calls } from './calls.ts'
import { first } from './first.ts'
import type { Page } from './page.ts'
import type { Call } from './result.ts'
import { rowAsText } from './row-as-text.ts'
import type { CodeClicks, CodeUsageStats, Liability, Redemption } from './rows.ts'

/** A page of redemptions: `after` is the last redemption of the previous page. */
type RedemptionPage = Page<Pick<Redemption, 'id'>>

/** Calls about redemptions, clicks and liabilities, for staff. */
export type StaffRedemptionCalls = {
  /** Returns a page of the redemptions of a code, newest first. */
  usageForCode(options: RedemptionPage & { codeId: string }): Call<'usage_for_code', Redemption[]>

  /** Returns a page of a person's redemptions in the organisation, newest first. */
  usageForUser(options: RedemptionPage & { userId: string }): Call<'usage_for_user', Redemption[]>

  /**
   * Returns the usage figures of a code. The code's referrer may call it too. They get no identities, and the figures of the
   * code together with those of the codes that it replaced or that replaced it.
   */
  codeUsageStats(options: { codeId: string }): Call<'code_usage_stats', CodeUsageStats>

  /**
   * Returns the counted clicks on a code, per day in UTC, platform and channel, oldest first. `fromDay` and `toDay` are
   * inclusive dates such as `2026-11-21`, 31 days at most. The default is the last 31 days. The code's referrer may call it
   * too, and gets the clicks of the code together with those of the codes that it replaced or that replaced it.
   */
  codeClicks(options: {
    codeId: string
    fromDay?: string
    toDay?: string
  }): Call<'code_clicks', CodeClicks[]>

  /** Confirms a redemption, with or without a payment. */
  confirmRedemption(options: {
    redemptionId: string
    reason?: string
  }): Call<'confirm_redemption', Redemption>

  /** Rejects a redemption and its referral, until the decision is withdrawn. */
  rejectRedemption(options: {
    redemptionId: string
    reason?: string
  }): Call<'reject_redemption', Redemption>

  /**
   * Returns a page of the amounts that the organisation owes: commissions of earners and rewards of referees, per person,
   * currency and mode, in minor units. `livemode` true is live money, false that of test mode; both unless given. Admins only.
   */
  orgLiabilities(
    options?: Page<Pick<Liability, 'earner_id' | 'currency' | 'livemode'>> & {
      livemode?: boolean
    },
  ): Call<'org_liabilities', Liability[]>
}

const ofCode = { codeId: required }
const page = { after: 'id', pageSize: optional }
const decided = { redemptionId: required, reason: optional }

export function staffRedemptionCalls({ rpc, list }: Calls): StaffRedemptionCalls {
  return {
    usageForCode: (options) => list('usage_for_code', { ...ofCode, ...page }, options),
    usageForUser: (options) =>
      list('usage_for_user', { orgId: required, userId: required, ...page }, options),
    codeUsageStats: (options) => first(list('code_usage_stats', ofCode, options)),
    codeClicks: (options) =>
      list('code_clicks', { ...ofCode, fromDay: optional, toDay: optional }, options),
    confirmRedemption: (options) => rpc('confirm_redemption', decided, options),
    rejectRedemption: (options) => rpc('reject_redemption', decided, options),
    orgLiabilities: (options) =>
      list(
        'org_liabilities',
        {
          orgId: required,
          livemode: optional,
          after: ['earner_id', 'currency', 'livemode'],
          pageSize: optional,
        },
        options,
        rowAsText,
      ),
  }
}
