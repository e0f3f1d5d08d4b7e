import type { createCache } from './cache.ts'
import { given, required } from './given.ts'
import { codeText } from './link-text.ts'
import { type Result, type SupabaseResponse, toResult } from './result.ts'
import type { Code, CodeUses } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** Settings of a new code. Without `max_uses` there is no limit. `expires_at` is ISO 8601. */
export type CodeSettings = {
  program_id?: string
  max_uses?: number
  expires_at?: string
  description?: string
}

type Cache = ReturnType<typeof createCache<Code>>

/** Calls about codes, for a referrer, or for staff on behalf of a referrer. */
export function codeCalls(referral: ReferralSchema, activeCodes: Cache) {
  const afterWrite = <Data>(response: SupabaseResponse<Data>): Result<Data> => {
    activeCodes.clear()
    return toResult(response)
  }

  return {
    /**
     * Creates a referrer's code, in the organisation's default program unless `program_id` is given. Only staff may set
     * `code`, `max_uses` and `expires_at`.
     *
     * `looks_like_another` warns that a chosen code looks like one of another organisation on the shared link host.
     *
     * Errors: `active_code_exists`, `code_taken`, `code_reserved`, `code_looks_alike`, `invalid_code`, `not_a_member`, `not_allowed`,
     * `member_not_found`, `member_deactivated`, `member_blocked`, `not_invited`, `program_not_found`,
     * `program_inactive`, `code_suspended`, `too_many_codes`, `rate_limited`.
     */
    async createCode(
      referrerId: string,
      orgId: string,
      code?: string,
      settings: CodeSettings = {},
    ): Promise<Result<Code>> {
      const args = given({ org_id: orgId }, { referrer_id: referrerId, code, ...settings })
      return afterWrite(await referral.rpc('create_code', args))
    },

    /**
     * Returns the signed-in person's active code, or creates one. If the program's enrolment is open, the call makes them a
     * member. The program is the default one unless `programId` is given.
     *
     * Errors: `not_invited`, `active_in_other_program`, and the errors of `createCode`.
     */
    async getOrCreateCode(orgId: string, programId?: string): Promise<Result<Code>> {
      const args = given({ org_id: orgId }, { program_id: programId })
      return afterWrite(await referral.rpc('get_or_create_code', args))
    },

    /**
     * Returns the referrer's active code, or null. A code is cached for `cacheSeconds`, but not past its expiry; null is not
     * cached. A change by staff or by another device shows after that time.
     *
     * Errors: `not_a_member` and `not_allowed` if the caller is neither the referrer nor staff.
     */
    async getActiveCode(referrerId: string, orgId: string): Promise<Result<Code | null>> {
      const key = `${orgId} ${referrerId}`
      const cached = activeCodes.get(key)
      if (cached) return { data: cached, error: null }
      const store = activeCodes.prepare(key)
      const response = await referral
        .rpc('get_active_code', given({ org_id: orgId }, { referrer_id: referrerId }))
        .maybeSingle()
      const result = toResult(response as SupabaseResponse<Code | null>)
      if (result.data) store(result.data, result.data.expires_at)
      return result
    },

    /**
     * Finds a code by its text, in any status. Case and spacing do not matter, and the text can be a link. Null if there is
     * no such code, or if the caller may not see it.
     */
    async findByCode(code: string): Promise<Result<Code | null>> {
      return toResult(await referral.rpc('find_code', { code: codeText(code) }).maybeSingle())
    },

    /**
     * Retires the active code and creates the next one, in one transaction. The old code stays redeemable for `grace`, an
     * interval such as `'2 days'` or `'PT12H'`. Only staff may set `code`.
     *
     * A code in its grace counts as one of the referrer's codes: `too_many_codes`. Referrers replace their codes up to
     * `rotations_per_day` times within 24 hours, a setting of the organisation: `rate_limited`.
     *
     * Errors: `no_active_code`, and the errors of `createCode`.
     */
    async rotateCode(
      referrerId: string,
      orgId: string,
      options: { code?: string; grace?: string; reason?: string } = {},
    ): Promise<Result<Code>> {
      const args = given({ org_id: orgId }, { referrer_id: referrerId, ...options })
      return afterWrite(await referral.rpc('rotate_code', args))
    },

    /** Ends the active code permanently and returns it. Null if there is none. */
    async deactivateCode(
      referrerId: string,
      orgId: string,
      reason?: string,
    ): Promise<Result<Code | null>> {
      const args = given({ org_id: orgId }, { referrer_id: referrerId, reason })
      return afterWrite(await referral.rpc('deactivate_code', args).maybeSingle())
    },

    /**
     * Returns a page of the organisation's codes that the caller may see, newest first. `limit` is 100 unless given, 1,000
     * at most. For the next page, pass the last code of this page as `after`. `referrerId`, `programId` and `batchId` filter
     * the list. `usable` leaves out codes that are suspended, rotated or ended.
     */
    async listCodesByOrganisation(
      orgId: string,
      { limit = 100, after, referrerId, programId, batchId, usable = false }: CodeFilter = {},
    ): Promise<Result<Code[]>> {
      let codes = referral.from('codes').select().eq('org_id', required('org_id', orgId))
      if (referrerId) codes = codes.eq('referrer_id', referrerId)
      if (programId) codes = codes.eq('program_id', programId)
      if (batchId) codes = codes.eq('batch_id', batchId)
      if (usable)
        codes = codes
          .eq('status', 'active')
          .or(`expires_at.is.null,expires_at.gt."${new Date().toISOString()}"`)
      if (after)
        codes = codes.or(
          `created_at.lt."${after.created_at}",and(created_at.eq."${after.created_at}",id.gt."${after.id}")`,
        )
      const result = toResult(
        await codes.order('created_at', { ascending: false }).order('id').limit(limit),
      )
      return result.error ? result : { ...result, data: result.data.map(asOfNow) }
    },

    /**
     * Returns the uses and the limits of up to 1,000 codes. Codes that the caller may not see are left out. To their
     * referrer, the uses are those of the whole chain of rotations.
     */
    async codeUses(codeIds: string[]): Promise<Result<CodeUses[]>> {
      const response = await referral.rpc('code_uses', given({ code_ids: codeIds }))
      return toResult(response as SupabaseResponse<CodeUses[]>)
    },
  }
}

type CodeFilter = {
  limit?: number
  after?: Pick<Code, 'created_at' | 'id'>
  referrerId?: string
  programId?: string
  batchId?: string
  usable?: boolean
}

/** Shows a code past its expiry as expired, also before the job has stored that. */
function asOfNow(code: Code): Code {
  const inUse = code.status === 'active' || code.status === 'suspended'
  const isPast = code.expires_at !== null && Date.parse(code.expires_at) <= Date.now()
  return inUse && isPast ? { ...code, status: 'expired' } : code
}
