import { codeText } from './link-text.ts'
import { type Answer, type Result, settle } from './result.ts'
import type { Member, RedeemedCode, Referral, ResolvedCode } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** A page of a list: `pageSize` is 100 unless given, 1,000 at most; `after` the id that ended the page before. */
export type Page = { after?: string; pageSize?: number }

export const pageArguments = ({ after, pageSize }: Page) => ({
  ...(after === undefined ? {} : { after }),
  ...(pageSize === undefined ? {} : { page_size: pageSize }),
})

/**
 * How a person came to a code, beside the code itself: what `parseReferralLink` or `parseInstallReferrer` found.
 * `provenance` says where the click was found (in a `link` that opened the app unless given). It counts with a `clickId`
 * only: without one a code is as good as typed.
 */
export type RedeemOptions = {
  clickId?: string | null
  provenance?: 'link' | 'install_referrer' | 'clipboard'
  /** A label of yours or of the link's: `qr`, `share`. */
  channel?: string | null
}

/** What a referee does with a code, and what a referrer sees of it. */
export function redemptionCalls(referral: ReferralSchema) {
  return {
    /**
     * Says before redeeming whether the signed-in person could: what a link shows of the code, or the reason why not.
     * Without an account, null is the one answer for every code that cannot be redeemed.
     *
     * Errors: those of `redeem`.
     */
    async validate(code: string): Promise<Result<ResolvedCode | null>> {
      const answer = await referral.rpc('validate_code', { code: codeText(code) }).maybeSingle()
      return settle(answer as Answer<ResolvedCode | null>)
    },

    /**
     * Redeems a code, or a link that carries one, for the signed-in person. The same code again answers the same.
     * With a `clickId` the redemption goes down as the click's; a click that is too old, or backs another redemption, is
     * `invalid_click`: redeem without it then.
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
      const answer = await referral.rpc('redeem_code', args).single()
      return settle(answer as Answer<RedeemedCode>)
    },

    /**
     * Redeems the code that the person gave at sign-up; null where they gave none, or none that could ever be redeemed.
     *
     * Errors, after which the code stays for another try: `rate_limited`, `code_suspended`, `program_inactive`, `busy`.
     */
    async redeemSignUpCode(): Promise<Result<RedeemedCode | null>> {
      const answer = await referral.rpc('redeem_sign_up_code').maybeSingle()
      return settle(answer as Answer<RedeemedCode | null>)
    },

    /** What anyone may know of a code that can be redeemed now; null is the one answer for every other. */
    async resolve(code: string): Promise<Result<ResolvedCode | null>> {
      const answer = await referral.rpc('resolve_code', { code: codeText(code) }).maybeSingle()
      return settle(answer as Answer<ResolvedCode | null>)
    },

    /** Says how the person is called in an organisation, and whether whoever opens their link may read it. */
    async setMyName(
      orgId: string,
      name: string,
      { isPublic = false }: { isPublic?: boolean } = {},
    ): Promise<Result<Member>> {
      const args = { org_id: orgId, display_name: name, public_name: isPublic }
      return settle(await referral.rpc('set_my_name', args))
    },

    /** The person's redemption in a program, the organisation's default unless given, or null. */
    async myRedemption(orgId: string, programId?: string): Promise<Result<RedeemedCode | null>> {
      const program = programId === undefined ? {} : { program_id: programId }
      const answer = await referral
        .rpc('my_redemption', { org_id: orgId, ...program })
        .maybeSingle()
      return settle(answer as Answer<RedeemedCode | null>)
    },

    /** Has the person redeemed this very code? */
    async hasRedeemed(code: string): Promise<Result<boolean>> {
      return settle(await referral.rpc('has_redeemed', { code: codeText(code) }))
    },

    /** The person's referrals in an organisation, newest first, page by page: status and times, never who. */
    async myReferrals(orgId: string, page: Page = {}): Promise<Result<Referral[]>> {
      return settle(await referral.rpc('my_referrals', { org_id: orgId, ...pageArguments(page) }))
    },
  }
}
