import type { CodeSettings } from './codes.ts'
import { reasonOf } from './reason.ts'
import { type Answer, type Result, settle } from './result.ts'
import type { Batch, Code, CodeChange } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** Settings of a new campaign code. Without `max_uses` there is no limit; `expires_at` is ISO 8601. */
export type CampaignCode = CodeSettings & { code?: string; beneficiary_id?: string }

/** A row of an import. */
export type ImportedCode = Pick<CampaignCode, 'max_uses' | 'expires_at' | 'description'> & {
  code: string
}

/** What staff do with codes: the organisation's own, and any by its id. */
export function staffCodeCalls(referral: ReferralSchema) {
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

    /**
     * Takes an active code out of use until it is reactivated; the grace of the referrer's earlier codes ends for good.
     * Errors: `code_final`.
     */
    async suspendCode(codeId: string, reason?: string): Promise<Result<Code>> {
      return settle(await referral.rpc('suspend_code', { code_id: codeId, ...reasonOf(reason) }))
    },

    /** Brings a suspended code back. Errors: `code_final`. */
    async reactivateCode(codeId: string, reason?: string): Promise<Result<Code>> {
      return settle(await referral.rpc('reactivate_code', { code_id: codeId, ...reasonOf(reason) }))
    },

    /** Ends any code for good, and the grace of the referrer's earlier ones; `block` keeps new codes from them. */
    async endCode(
      codeId: string,
      { reason, block = false }: { reason?: string; block?: boolean } = {},
    ): Promise<Result<Code>> {
      return settle(await referral.rpc('end_code', { code_id: codeId, block, ...reasonOf(reason) }))
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

    /** Every change of a code, oldest first: status, actor, reason, time. */
    async codeChanges(codeId: string): Promise<Result<CodeChange[]>> {
      return settle(await referral.from('code_changes').select().eq('code_id', codeId).order('id'))
    },
  }
}
