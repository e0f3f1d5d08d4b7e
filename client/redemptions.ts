import { given, required } from './given.ts'
import { codeText } from './link-text.ts'
import { type Result, type SupabaseResponse, toResult } from './result.ts'
import type { Member, RedeemedCode, Referral, ResolvedCode } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** A page of a list. `pageSize` is 100 unless given, 1,000 at most. `after` is the last id of the previous page. */
export type Page = { after?: string; pageSize?: number }

export const pageArguments = ({ after, pageSize }: Page) => ({ after, page_size: pageSize })

/**
 * How a person came to a code: the result of `parseReferralLink` or `parseInstallReferrer`. `provenance` is the source of
 * the click, `link` unless given. It has an effect only with a `clickId`; without one the code counts as typed.
 */
export type RedeemOptions = {
  clickId?: string | null
  provenance?: 'link' | 'install_referrer' | 'clipboard'
  /** The channel of the link, or your own label, such as `qr` or `share`. */
  channel?: string | null
}

/** Calls about redemptions, for a referee and for a referrer. */
export function redemptionCalls(referral: ReferralSchema) {
  return {
    /**
     * Checks whether the signed-in person could redeem a code. Returns the code's public fields, or the error that `redeem`
     * would return. Without a signed-in person it returns null for every code that cannot be redeemed.
     *
     * Errors: the errors of `redeem`.
     */
    async validate(code: string): Promise<Result<ResolvedCode | null>> {
      const response = await referral.rpc('validate_code', { code: codeText(code) }).maybeSingle()
      return toResult(response as SupabaseResponse<ResolvedCode | null>)
    },

    /**
     * Redeems a code, or the code in a link, for the signed-in person. The same code again returns the same redemption.
     * With a `clickId` the redemption is attributed to that click. A click that is too old, or that another redemption has,
     * is refused with `invalid_click`: call again without it. Forget a code that you keep when it is redeemed, or when
     * `error.final` is true.
     *
     * Errors: `invalid_code`, `code_not_found`, `code_inactive`, `code_suspended`, `code_expired`,
     * `code_limit_reached`, `program_inactive`, `already_redeemed`, `self_referral`, `mutual_referral`,
     * `new_users_only`, `invalid_click`, `rate_limited`, `not_signed_in`, `anonymous_user`, `busy`.
     *
     * @example
     * const link = links.parseReferralLink(openedUrl)
     * if (link) await referrals.redeem(link.code, link)
     */
    async redeem(
      code: string,
      { clickId, provenance = 'link', channel }: RedeemOptions = {},
    ): Promise<Result<RedeemedCode>> {
      const click = clickId ? { click_id: clickId, provenance } : {}
      const via = channel ? { channel } : {}
      const args = { code: codeText(code), ...click, ...via }
      const response = await referral.rpc('redeem_code', args).single()
      return toResult(response as SupabaseResponse<RedeemedCode>)
    },

    /**
     * Redeems the code that the person gave at sign-up. Null if they gave none, or after a final refusal.
     *
     * Errors: `rate_limited`, `code_suspended`, `program_inactive`, `busy`, and `code_uses_reserved` while other sign-ups
     * have reserved the uses that are left. The code is kept, so that you can call again.
     */
    async redeemSignUpCode(): Promise<Result<RedeemedCode | null>> {
      const response = await referral.rpc('redeem_sign_up_code').maybeSingle()
      return toResult(response as SupabaseResponse<RedeemedCode | null>)
    },

    /** Returns the public fields of a code that can be redeemed now, or null. */
    async resolve(code: string): Promise<Result<ResolvedCode | null>> {
      const response = await referral.rpc('resolve_code', { code: codeText(code) }).maybeSingle()
      return toResult(response as SupabaseResponse<ResolvedCode | null>)
    },

    /** Sets the person's name in an organisation; null removes it. `isPublic` shows it to every visitor of their link. Errors: `rate_limited`. */
    async setMyName(
      orgId: string,
      name: string | null,
      { isPublic = false }: { isPublic?: boolean } = {},
    ): Promise<Result<Member>> {
      const display_name = name === null ? null : required('name', name)
      const args = given({ org_id: orgId, public_name: isPublic }, { display_name })
      return toResult(await referral.rpc('set_my_name', args as never))
    },

    /** Returns the person's redemption in a program, or null. The program is the default one unless given. */
    async myRedemption(orgId: string, programId?: string): Promise<Result<RedeemedCode | null>> {
      const args = given({ org_id: orgId }, { program_id: programId })
      const response = await referral.rpc('my_redemption', args).maybeSingle()
      return toResult(response as SupabaseResponse<RedeemedCode | null>)
    },

    /** Returns whether the person has redeemed this code. */
    async hasRedeemed(code: string): Promise<Result<boolean>> {
      return toResult(await referral.rpc('has_redeemed', { code: codeText(code) }))
    },

    /** Returns a page of the person's referrals in an organisation, newest first. It does not show who the referees are. */
    async myReferrals(orgId: string, page: Page = {}): Promise<Result<Referral[]>> {
      const args = given({ org_id: orgId }, pageArguments(page))
      const response = await referral.rpc('my_referrals', args)
      return toResult(response as SupabaseResponse<Referral[]>)
    },
  }
}
