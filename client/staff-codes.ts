import { optional, required, toArguments } from './arguments.ts'
import type { Calls } from './calls.ts'
import type { CodeSettings } from './codes.ts'
import { first } from './first.ts'
import type { Call } from './result.ts'
import type { Batch, Code, CodeChange, CodeImport } from './rows.ts'

/** A campaign code. The organisation makes up the text unless `code` is given. */
export type CampaignCode = CodeSettings & {
  code?: string
  /** The user who earns by the code. */
  beneficiaryId?: string
}

/**
 * A row of an import. `expiresAt` is ISO 8601: a date such as `2030-12-31` is the end of that day in the organisation's time
 * zone.
 */
export type ImportedCode = Omit<CampaignCode, 'programId'> & { code: string }

/** Calls about codes, for staff: campaign codes, and any code by its id. */
export type StaffCodeCalls = {
  /**
   * Creates a campaign code, which belongs to the organisation. `looks_like_another` warns that a chosen text looks like a
   * code of another organisation.
   *
   * @example
   * const { data } = await staff.createCampaignCode({ code: 'SPRING FAIR', maxUses: 100 })
   */
  createCampaignCode(code?: CampaignCode): Call<'create_campaign_code', Code>

  /** Generates 1 to 10,000 campaign codes. `busy` while another batch of the organisation is under way. */
  generateCodes(batch: CodeSettings & { count: number }): Call<'generate_codes', Batch>

  /**
   * Imports up to 50,000 rows, all or none. With `dryRun` nothing is stored: `made` is how many codes an import would make,
   * and `rows` is what each row would do. After an import `rows` has those that look like another organisation's code. A text
   * that purchases carry is `code_taken`, except to the operator. `busy` while another batch of the organisation is under way.
   *
   * Where a row has a fault nothing is stored: `batch_id` is null, and `rows` has what is wrong. `code_taken` is said only
   * if no row has another fault.
   *
   * @example
   * const { data } = await staff.importCodes({ rows: [{ code: 'FAIR-1', maxUses: 5 }] })
   * if (!data?.batch_id) console.log(data?.rows?.filter(({ faults }) => faults.length > 0))
   */
  importCodes(options: {
    rows: ImportedCode[]
    programId?: string
    dryRun?: boolean
  }): Call<'import_codes', CodeImport>

  /** Suspends an active code until `reactivateCode`. The grace of the referrer's earlier codes ends permanently. */
  suspendCode(options: { codeId: string; reason?: string }): Call<'suspend_code', Code>

  /** Reactivates a suspended code. */
  reactivateCode(options: { codeId: string; reason?: string }): Call<'reactivate_code', Code>

  /**
   * Ends a code permanently, and the grace of the referrer's earlier codes. `block` refuses them new codes and ends what
   * they earn from now on; nobody blocks themself.
   */
  endCode(options: { codeId: string; reason?: string; block?: boolean }): Call<'end_code', Code>

  /** Updates a code. Null removes a description, an expiry or a limit. Of an ended code only the description can change. */
  updateCode(options: {
    codeId: string
    description?: string | null
    expiresAt?: string | null
    maxUses?: number | null
  }): Call<'update_code', Code>

  /** Returns the changes of a code, oldest first: status, actor, reason and time. */
  codeChanges(options: { codeId: string }): Call<never, CodeChange[]>
}

const ofCode = { codeId: required }
const decided = { ...ofCode, reason: optional }
const limits = { maxUses: optional, expiresAt: optional, description: optional }
const settings = { orgId: required, programId: optional, ...limits }
const ofRow = { code: optional, ...limits, beneficiaryId: optional }

export function staffCodeCalls({ rpc, read }: Calls): StaffCodeCalls {
  return {
    createCampaignCode: (code) =>
      rpc('create_campaign_code', { ...settings, code: optional, beneficiaryId: optional }, code),

    generateCodes: (batch) => first(rpc('generate_codes', { ...settings, count: required }, batch)),

    importCodes: (options) =>
      first(
        rpc(
          'import_codes',
          { orgId: required, rows: required, programId: optional, dryRun: optional },
          options,
          ({ rows, ...args }) => {
            if (!Array.isArray(rows)) return 'rows: a list'
            const codes = rows.map((row) => toArguments(ofRow, row))
            const wrong = codes.findIndex((code) => typeof code === 'string')
            return wrong < 0 ? { ...args, rows: codes } : `rows[${wrong}].${codes[wrong]}`
          },
        ),
      ),

    suspendCode: (options) => rpc('suspend_code', decided, options),
    reactivateCode: (options) => rpc('reactivate_code', decided, options),
    endCode: (options) => rpc('end_code', { ...decided, block: optional }, options),

    updateCode: (options) =>
      rpc('update_code', { ...ofCode, ...limits }, options, ({ code_id, ...changes }) => ({
        code_id,
        changes,
      })),

    codeChanges: (options) =>
      read(ofCode, options, (referral, { code_id }) =>
        referral.from('code_changes').select().eq('code_id', code_id).order('id'),
      ),
  }
}
