/** The typed client: what a mobile app and its staff tools do with codes, over supabase-js. */
import type { SupabaseClient } from '@supabase/supabase-js'
import { codeText } from './code-text.ts'
import type { Database } from './database.types.ts'
import { type Answer, type Result, settle } from './result.ts'

export type { ReferralError, ReferralErrorCode } from './errors.ts'
export type { Result } from './result.ts'

type Schema = Database['referral']

/** A code with its status, owner and limits. Times are ISO 8601. */
export type Code = Schema['Tables']['codes']['Row']
/** What a referee learns of their redemption. */
export type RedeemedCode = Required<{
  [Field in keyof Schema['CompositeTypes']['redeemed_code']]: NonNullable<
    Schema['CompositeTypes']['redeemed_code'][Field]
  >
}>
/** A referral as its referrer sees it: never who. */
export type Referral = Omit<
  Schema['Functions']['my_referrals']['Returns'][number],
  'confirmed_at' | 'channel'
> & { confirmed_at: string | null; channel: string | null }

export type ReferralClient = ReturnType<typeof createReferralClient>

/**
 * Wraps a supabase-js client. Who is signed in there is who acts here.
 *
 * @example
 * const referrals = createReferralClient(createClient(url, publishableKey))
 * const { data, error } = await referrals.redeem('7kq2 m9xt')
 * if (error?.code === 'already_redeemed') …
 */
// biome-ignore lint/suspicious/noExplicitAny: any client will do, whatever schema of the app it is typed for
export function createReferralClient(supabase: SupabaseClient<any, any, any>) {
  const referral = (supabase as unknown as SupabaseClient<Database, 'referral'>).schema('referral')

  return {
    /**
     * Creates a referrer's code in the organisation's default program. Choosing the code is for staff.
     *
     * Errors: `active_code_exists`, `code_taken`, `invalid_code`, `not_a_member`, `not_allowed`, `member_not_found`,
     * `member_deactivated`, `program_not_found`, `program_inactive`, `code_suspended`.
     */
    async createCode(referrerId: string, orgId: string, code?: string): Promise<Result<Code>> {
      const chosen = code === undefined ? {} : { code }
      return settle(
        await referral.rpc('create_code', { org_id: orgId, referrer_id: referrerId, ...chosen }),
      )
    },

    /**
     * The referrer's active code, or null.
     *
     * Errors: `not_a_member` and `not_allowed` for whoever is neither the referrer nor staff.
     */
    async getActiveCode(referrerId: string, orgId: string): Promise<Result<Code | null>> {
      return settle(
        await referral
          .rpc('get_active_code', { org_id: orgId, referrer_id: referrerId })
          .maybeSingle(),
      )
    },

    /**
     * The code that this text means, in any status, case and spacing, also inside a link; null where there is none,
     * or none that the caller may see.
     */
    async findByCode(code: string): Promise<Result<Code | null>> {
      return settle(await referral.rpc('find_code', { code: codeText(code) }).maybeSingle())
    },

    /**
     * Retires the active code and issues the next, in one step. `grace` keeps the old one redeemable for a while,
     * as an interval: `'2 days'`, `'PT12H'`. Choosing the new code is for staff.
     *
     * Errors: as `createCode`, and `no_active_code`.
     */
    async rotateCode(
      referrerId: string,
      orgId: string,
      options: { code?: string; grace?: string; reason?: string } = {},
    ): Promise<Result<Code>> {
      return settle(
        await referral.rpc('rotate_code', { org_id: orgId, referrer_id: referrerId, ...options }),
      )
    },

    /** Ends the active code for good and returns it; null where there was none, which is not an error. */
    async deactivateCode(
      referrerId: string,
      orgId: string,
      reason?: string,
    ): Promise<Result<Code | null>> {
      const because = reason === undefined ? {} : { reason }
      return settle(
        await referral
          .rpc('deactivate_code', { org_id: orgId, referrer_id: referrerId, ...because })
          .maybeSingle(),
      )
    },

    /**
     * A page of the organisation's codes that the caller may see, newest first. `limit` is 100 unless given, 1,000 at
     * most; for the next page, pass the last code of this one as `after`.
     */
    async listCodesByOrganisation(
      orgId: string,
      { limit = 100, after }: { limit?: number; after?: Pick<Code, 'created_at' | 'id'> } = {},
    ): Promise<Result<Code[]>> {
      const codes = referral
        .from('codes')
        .select()
        .eq('org_id', orgId)
        .order('created_at', { ascending: false })
        .order('id')
        .limit(limit)
      const next =
        after &&
        `created_at.lt."${after.created_at}",and(created_at.eq."${after.created_at}",id.gt."${after.id}")`
      const answer = settle(await (next ? codes.or(next) : codes))
      return answer.error ? answer : { ...answer, data: answer.data.map(asOfNow) }
    },

    /**
     * Redeems a code, or a link that carries one, for the signed-in person. The same code again answers the same.
     * `channel` is a label of yours: `qr`, `share`.
     *
     * Errors: `invalid_code`, `code_not_found`, `code_inactive`, `code_suspended`, `code_expired`,
     * `code_limit_reached`, `program_inactive`, `already_redeemed`, `self_referral`, `mutual_referral`,
     * `new_users_only`, `not_signed_in`, `anonymous_user`, `busy`.
     */
    async redeem(
      code: string,
      { channel }: { channel?: string } = {},
    ): Promise<Result<RedeemedCode>> {
      const via = channel === undefined ? {} : { channel }
      const answer = await referral.rpc('redeem_code', { code: codeText(code), ...via }).single()
      return settle(answer as Answer<RedeemedCode>)
    },

    /** The signed-in person's referrals in an organisation, newest first: status and times, never who. */
    async myReferrals(orgId: string): Promise<Result<Referral[]>> {
      return settle(await referral.rpc('my_referrals', { org_id: orgId }))
    },
  }
}

/** A code past its time is expired, also before a job has stored that. */
function asOfNow(code: Code): Code {
  const inUse = code.status === 'active' || code.status === 'suspended'
  const isPast = code.expires_at !== null && Date.parse(code.expires_at) <= Date.now()
  return inUse && isPast ? { ...code, status: 'expired' } : code
}
