import { nullable, optional, required } from './arguments.ts'
import type { Calls } from './calls.ts'
import { first } from './first.ts'
import { codeText } from './link-text.ts'
import type { Page } from './page.ts'
import type { Call } from './result.ts'
import type { Member, RedeemedCode, Referral, ResolvedCode } from './rows.ts'

/** How a person came to a code: the result of `parseReferralLink` or `parseInstallReferrer`. */
export type RedeemOptions = {
  clickId?: string | null
  /** The source of the click, `link` unless given. Without a `clickId` it has no effect, and the code counts as typed. */
  provenance?: 'link' | 'install_referrer' | 'clipboard'
  /** The channel of the link, or your own label, such as `qr` or `share`. */
  channel?: string | null
}

/** Calls about redemptions, for a referee and for a referrer. */
export type RedemptionCalls = {
  /**
   * Checks whether the signed-in person could redeem a code. Returns the code's public fields, or the error that `redeem`
   * would return. Without a signed-in person it returns null for every code that cannot be redeemed.
   */
  validate(code: string): Call<'validate_code', ResolvedCode | null>

  /**
   * Redeems a code, or the code in a link, for the signed-in person. The same code again returns the same redemption. The
   * code can be of any organisation in your project: look at `org_id`. With a `clickId` the redemption is attributed to that
   * click. A click that is too old, or that another redemption has, is refused with `invalid_click`: call again without it.
   * Forget a code that you keep when it is redeemed, or when `error.final` is true.
   *
   * @example
   * const link = links.parseReferralLink(openedUrl)
   * if (link) await referrals.redeem(link.code, link)
   */
  redeem(code: string, options?: RedeemOptions): Call<'redeem_code', RedeemedCode>

  /**
   * Redeems the code that the person gave at sign-up. Null if they gave none, or after a final refusal. After an error the
   * code is kept: call again later. `code_uses_reserved` means that other sign-ups hold the last uses.
   */
  redeemSignUpCode(): Call<'redeem_sign_up_code', RedeemedCode | null>

  /** Returns the public fields of a code that can be redeemed now, or null. */
  resolve(code: string): Call<'resolve_code', ResolvedCode | null>

  /** Sets the person's name in the organisation; null removes it. `isPublic` shows it to every visitor of their link. */
  setMyName(options: { name: string | null; isPublic?: boolean }): Call<'set_my_name', Member>

  /** Returns what the person is in which organisation. Members are who enrolled or was added; staff have another role. */
  myMemberships(): Call<'my_memberships', Member[]>

  /** Returns the person's redemption in a program, or null. The program is the default one unless given. */
  myRedemption(options?: { programId?: string }): Call<'my_redemption', RedeemedCode | null>

  /** Returns whether the person has redeemed this code. */
  hasRedeemed(code: string): Call<'has_redeemed', boolean>

  /** Returns a page of the person's referrals, newest first. It does not show who the referees are. */
  myReferrals(page?: Page<Pick<Referral, 'redemption_id'>>): Call<'my_referrals', Referral[]>
}

const ofCode = { code: required }

export function redemptionCalls({ rpc, list }: Calls): RedemptionCalls {
  return {
    validate: (code) => first(rpc('validate_code', ofCode, { code: codeText(code) })),

    redeem: (code, options) =>
      first(
        rpc(
          'redeem_code',
          { ...ofCode, clickId: optional, provenance: optional, channel: optional },
          { ...options, code: codeText(code) },
          ({ click_id, provenance = 'link', channel, ...args }) => ({
            ...args,
            ...((click_id && { click_id, provenance }) as object),
            ...((channel && { channel }) as object),
          }),
        ),
      ),

    redeemSignUpCode: () => first(rpc('redeem_sign_up_code', {}, {})),

    resolve: (code) => first(rpc('resolve_code', ofCode, { code: codeText(code) })),

    setMyName: (options) =>
      rpc(
        'set_my_name',
        { orgId: required, name: nullable, isPublic: optional },
        options,
        ({ name: display_name, is_public: public_name, ...args }) => ({
          ...args,
          display_name,
          public_name,
        }),
      ),

    myMemberships: () => list('my_memberships', {}, {}),

    myRedemption: (options) =>
      first(rpc('my_redemption', { orgId: required, programId: optional }, options)),

    hasRedeemed: (code) => rpc('has_redeemed', ofCode, { code: codeText(code) }),

    myReferrals: (page) =>
      list('my_referrals', { orgId: required, after: 'redemption_id', pageSize: optional }, page),
  }
}
