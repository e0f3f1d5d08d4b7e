/** The typed client for staff: campaign codes, what becomes of codes, who used them, decisions, members. */
import { type Page, pageArguments } from './redemptions.ts'
import { type Answer, type Result, settle } from './result.ts'
import type { Batch, Code, CodeUsageStats, Member, Redemption } from './rows.ts'
import { type AnySupabaseClient, referralSchema } from './schema.ts'

/** Settings of a new campaign code. `max_uses` null, or none, is no limit; `expires_at` is ISO 8601. */
export type CampaignCode = {
  code?: string
  program_id?: string
  beneficiary_id?: string
  max_uses?: number
  expires_at?: string
  description?: string
}

/** A row of an import. */
export type ImportedCode = Pick<CampaignCode, 'max_uses' | 'expires_at' | 'description'> & {
  code: string
}

export type StaffClient = ReturnType<typeof createStaffClient>

/**
 * Wraps a supabase-js client in which a coordinator or an admin is signed in, or, on a server, one with the secret key.
 * Calls about a code or a redemption of another organisation answer `code_not_found` or `redemption_not_found`.
 *
 * @example
 * const staff = createStaffClient(supabase)
 * await staff.suspendCode(code.id, 'posted as spam')
 */
export function createStaffClient(supabase: AnySupabaseClient) {
  const referral = referralSchema(supabase)
  const reasonOf = (reason?: string) => (reason === undefined ? {} : { reason })

  return {
    /** Creates a code of the organisation's own. Errors: `code_taken`, `code_reserved`, `invalid_code`, `too_many_codes`, `invalid_argument`. */
    async createCampaignCode(orgId: string, code: CampaignCode = {}): Promise<Result<Code>> {
      return settle(await referral.rpc('create_campaign_code', { org_id: orgId, ...code }))
    },

    /** Draws 1 to 10,000 campaign codes in one call. Errors: `invalid_argument`. */
    async generateCodes(
      orgId: string,
      count: number,
      shared: Omit<CampaignCode, 'code' | 'beneficiary_id'> = {},
    ): Promise<Result<Batch>> {
      const answer = await referral
        .rpc('generate_codes', { org_id: orgId, count, ...shared })
        .single()
      return settle(answer as Answer<Batch>)
    },

    /** Takes all of the rows or none. Errors: `invalid_rows`, whose `details` is JSON: `[{"row": 3, "code": "code_taken"}]`. */
    async importCodes(
      orgId: string,
      rows: ImportedCode[],
      programId?: string,
    ): Promise<Result<Batch>> {
      const program = programId === undefined ? {} : { program_id: programId }
      const answer = await referral
        .rpc('import_codes', { org_id: orgId, rows, ...program })
        .single()
      return settle(answer as Answer<Batch>)
    },

    /** Takes an active code out of use until it is reactivated. Errors: `code_final`. */
    async suspendCode(codeId: string, reason?: string): Promise<Result<Code>> {
      return settle(await referral.rpc('suspend_code', { code_id: codeId, ...reasonOf(reason) }))
    },

    /** Brings a suspended code back. Errors: `code_final`. */
    async reactivateCode(codeId: string): Promise<Result<Code>> {
      return settle(await referral.rpc('reactivate_code', { code_id: codeId }))
    },

    /** Ends any code for good, and the grace of one that was rotated. */
    async endCode(codeId: string, reason?: string): Promise<Result<Code>> {
      return settle(await referral.rpc('end_code', { code_id: codeId, ...reasonOf(reason) }))
    },

    /** Edits a code; null takes the limit or the expiry away. An ended code: its description only. Errors: `code_final`, `invalid_argument`. */
    async updateCode(
      codeId: string,
      changes: {
        description?: string | null
        expires_at?: string | null
        max_uses?: number | null
      },
    ): Promise<Result<Code>> {
      return settle(await referral.rpc('update_code', { code_id: codeId, changes }))
    },

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

    /** Takes a member's rights and ends their codes; `block` keeps codes from them for good. Errors: `last_admin`, `not_allowed`. */
    async deactivateMember(
      orgId: string,
      userId: string,
      { reason, block = false }: { reason?: string; block?: boolean } = {},
    ): Promise<Result<Member>> {
      const args = { org_id: orgId, user_id: userId, block, ...reasonOf(reason) }
      return settle(await referral.rpc('deactivate_member', args))
    },
  }
}
