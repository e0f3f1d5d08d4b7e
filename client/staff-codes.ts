import type { CodeSettings } from './codes.ts'
import { given, required } from './given.ts'
import { type Result, type SupabaseResponse, toResult } from './result.ts'
import type { Batch, Code, CodeChange, CodeImport } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** Settings of a new campaign code. Without `max_uses` there is no limit. `expires_at` is ISO 8601. */
export type CampaignCode = CodeSettings & { code?: string; beneficiary_id?: string }

/**
 * A row of an import. `expires_at` is ISO 8601: a date such as `2030-12-31` is the end of that day in the organisation's time
 * zone.
 */
export type ImportedCode = Pick<
  CampaignCode,
  'max_uses' | 'expires_at' | 'description' | 'beneficiary_id'
> & { code: string }

/** Calls about codes, for staff: campaign codes, and any code by its id. */
export function staffCodeCalls(referral: ReferralSchema) {
  return {
    /** Creates a campaign code, which belongs to the organisation. `looks_like_another` warns that a chosen text looks like a code of another organisation. Errors: `code_taken`, `code_reserved`, `code_looks_alike`, `invalid_code`, `too_many_codes`, `invalid_argument`. */
    async createCampaignCode(orgId: string, code: CampaignCode = {}): Promise<Result<Code>> {
      return toResult(await referral.rpc('create_campaign_code', given({ org_id: orgId }, code)))
    },

    /** Generates 1 to 10,000 campaign codes. Errors: `invalid_argument`, `rate_limited`, `busy` while another batch of the organisation is under way. */
    async generateCodes(
      orgId: string,
      count: number,
      shared: Omit<CampaignCode, 'code' | 'beneficiary_id'> = {},
    ): Promise<Result<Batch>> {
      const args = given({ org_id: orgId, count }, shared)
      const response = await referral.rpc('generate_codes', args).single()
      return toResult(response as SupabaseResponse<Batch>)
    },

    /**
     * Imports up to 50,000 rows, all or none. With `dryRun` nothing is stored: `made` is how many codes an import would make,
     * and `rows` is what each row would do. After an import `rows` has those that look like another organisation's code. A text that purchases carry is `code_taken`, except to the operator.
     *
     * Where a row has a fault nothing is stored: `batch_id` is null, and `rows` has what is wrong. `code_taken` is said only
     * if no row has another fault.
     *
     * Errors: `rate_limited`, `busy` while another batch of the organisation is under way.
     *
     * @example
     * const { data } = await staff.importCodes(org, rows)
     * if (!data?.batch_id) console.log(data?.rows?.filter(({ faults }) => faults.length > 0))
     */
    async importCodes(
      orgId: string,
      rows: ImportedCode[],
      { programId, dryRun = false }: { programId?: string; dryRun?: boolean } = {},
    ): Promise<Result<CodeImport>> {
      const args = given({ org_id: orgId, rows }, { program_id: programId, dry_run: dryRun })
      const response = await referral.rpc('import_codes', args).single()
      return toResult(response as SupabaseResponse<CodeImport>)
    },

    /**
     * Suspends an active code until `reactivateCode`. The grace of the referrer's earlier codes ends permanently.
     * Errors: `code_ended`.
     */
    async suspendCode(codeId: string, reason?: string): Promise<Result<Code>> {
      return toResult(await referral.rpc('suspend_code', given({ code_id: codeId }, { reason })))
    },

    /** Reactivates a suspended code. Errors: `code_ended`. */
    async reactivateCode(codeId: string, reason?: string): Promise<Result<Code>> {
      return toResult(await referral.rpc('reactivate_code', given({ code_id: codeId }, { reason })))
    },

    /** Ends a code permanently, and the grace of the referrer's earlier codes. `block` refuses them new codes and ends what they earn from now on. Errors: `not_allowed` for oneself. */
    async endCode(
      codeId: string,
      { reason, block = false }: { reason?: string; block?: boolean } = {},
    ): Promise<Result<Code>> {
      const args = given({ code_id: codeId, block }, { reason })
      return toResult(await referral.rpc('end_code', args))
    },

    /** Updates a code. Null removes a limit or an expiry. Of an ended code only the description can change. Errors: `code_ended`, `invalid_argument`. */
    async updateCode(
      codeId: string,
      changes: {
        description?: string | null
        expires_at?: string | null
        max_uses?: number | null
      },
    ): Promise<Result<Code>> {
      return toResult(await referral.rpc('update_code', given({ code_id: codeId, changes })))
    },

    /** Returns the changes of a code, oldest first: status, actor, reason and time. */
    async codeChanges(codeId: string): Promise<Result<CodeChange[]>> {
      const changes = referral.from('code_changes').select()
      return toResult(await changes.eq('code_id', required('code_id', codeId)).order('id'))
    },
  }
}
