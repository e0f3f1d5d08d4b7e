import type { createCache } from './cache.ts'
import { codeText } from './link-text.ts'
import { type Answer, type Result, settle } from './result.ts'
import type { Code, CodeUses } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** Settings of a new code. Without `max_uses` there is no limit; `expires_at` is ISO 8601. */
export type CodeSettings = {
  program_id?: string
  max_uses?: number
  expires_at?: string
  description?: string
}

type Cache = ReturnType<typeof createCache<Code>>

/** What a referrer, or staff for them, does with codes. */
export function codeCalls(referral: ReferralSchema, activeCodes: Cache) {
  const written = <Data>(answer: Answer<Data>): Result<Data> => {
    activeCodes.clear()
    return settle(answer)
  }

  return {
    /**
     * Creates a referrer's code, in the organisation's default program unless `program_id` is given. Choosing the code,
     * a limit and an expiry are for staff.
     *
     * Errors: `active_code_exists`, `code_taken`, `code_reserved`, `invalid_code`, `not_a_member`, `not_allowed`,
     * `member_not_found`, `member_deactivated`, `member_blocked`, `not_invited`, `program_not_found`,
     * `program_inactive`, `code_suspended`, `too_many_codes`.
     */
    async createCode(
      referrerId: string,
      orgId: string,
      code?: string,
      settings: CodeSettings = {},
    ): Promise<Result<Code>> {
      const args = { org_id: orgId, referrer_id: referrerId, ...settings }
      return written(
        await referral.rpc('create_code', code === undefined ? args : { ...args, code }),
      )
    },

    /**
     * The signed-in person's active code, or a new one. Where the program's enrolment is open they become a member by
     * asking. In the default program unless another is given.
     *
     * Errors: `not_invited`, `active_in_other_program`, and those of `createCode`.
     */
    async getOrCreateCode(orgId: string, programId?: string): Promise<Result<Code>> {
      const program = programId === undefined ? {} : { program_id: programId }
      return written(await referral.rpc('get_or_create_code', { org_id: orgId, ...program }))
    },

    /**
     * The referrer's active code, or null. A code is remembered for `cacheSeconds`, and not past its expiry; that there is
     * none is not. What staff or another device do is seen when that time is over.
     *
     * Errors: `not_a_member` and `not_allowed` for whoever is neither the referrer nor staff.
     */
    async getActiveCode(referrerId: string, orgId: string): Promise<Result<Code | null>> {
      const key = `${orgId} ${referrerId}`
      const remembered = activeCodes.get(key)
      if (remembered) return { data: remembered, error: null }
      const keep = activeCodes.keeper(key)
      const found = await referral
        .rpc('get_active_code', { org_id: orgId, referrer_id: referrerId })
        .maybeSingle()
      const answer = settle(found as Answer<Code | null>)
      if (answer.data) keep(answer.data, answer.data.expires_at)
      return answer
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
      return written(
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
      return written(
        await referral
          .rpc('deactivate_code', { org_id: orgId, referrer_id: referrerId, ...because })
          .maybeSingle(),
      )
    },

    /**
     * A page of the organisation's codes that the caller may see, newest first. `limit` is 100 unless given, 1,000 at
     * most; for the next page, pass the last code of this one as `after`. `referrerId`, `programId` and `batchId` narrow
     * it; `usable` leaves out what is suspended, rotated or has ended.
     */
    async listCodesByOrganisation(
      orgId: string,
      { limit = 100, after, referrerId, programId, batchId, usable = false }: CodeFilter = {},
    ): Promise<Result<Code[]>> {
      let codes = referral.from('codes').select().eq('org_id', orgId)
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
      const answer = settle(
        await codes.order('created_at', { ascending: false }).order('id').limit(limit),
      )
      return answer.error ? answer : { ...answer, data: answer.data.map(asOfNow) }
    },

    /** How often each of up to 1,000 codes was used, and how often it may be: those that the caller may see. */
    async codeUses(codeIds: string[]): Promise<Result<CodeUses[]>> {
      return settle(await referral.rpc('code_uses', { code_ids: codeIds }))
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

/** A code past its time is expired, also before a job has stored that. */
function asOfNow(code: Code): Code {
  const inUse = code.status === 'active' || code.status === 'suspended'
  const isPast = code.expires_at !== null && Date.parse(code.expires_at) <= Date.now()
  return inUse && isPast ? { ...code, status: 'expired' } : code
}
