/** The rows that the calls return. Times are ISO 8601, ids are UUIDs. */
import type { Composite, Nullable } from './composite.ts'
import type { Database } from './database.types.ts'

type Schema = Database['referral']

/** A code with its status, referrer and limits. */
export type Code = Schema['Tables']['codes']['Row']

/** A change of a code: its new status, the actor and the reason. */
export type CodeChange = Schema['Tables']['code_changes']['Row']

/** The uses of a code, and its limit. A null limit is unlimited. */
export type CodeUses = Nullable<Composite<'code_use_count'>, 'max_uses'>

/** An organisation with its settings. */
export type Organisation = Schema['Tables']['organisations']['Row']

/** A program. Its terms are stored as versions. */
export type Program = Schema['Tables']['programs']['Row']

/** A member of an organisation with their role. */
export type Member = Schema['Tables']['members']['Row']

/** A redemption, for staff. */
export type Redemption = Schema['Tables']['redemptions']['Row']

/**
 * A change that staff or the operator made. `before` and `after` have the columns that changed: `before` is null if something
 * was made, `after` if it was removed.
 */
export type Change = Omit<Nullable<Composite<'change'>, 'actor_id'>, 'before' | 'after'> & {
  before: Record<string, unknown> | null
  after: Record<string, unknown> | null
}

/** A decision of staff: a confirmed or rejected redemption, a rejected referral, or a forfeit. */
export type Decision = Schema['Tables']['decisions']['Row']

/** A redemption, for its referee. */
export type RedeemedCode = Composite<'redeemed_code'>

/** The public fields of a code that can be redeemed: names, and the destinations of its links. */
export type ResolvedCode = Nullable<
  Composite<'resolved_code'>,
  | 'referrer_name'
  | 'web_destination'
  | 'ios_destination'
  | 'android_destination'
  | 'android_package'
  | 'link_origin'
>

/** A referral, for its referrer. It does not show who the referee is. */
export type Referral = Nullable<Composite<'referral_summary'>, 'confirmed_at' | 'channel'>

/** Usage figures of a code. `recent_users` is for staff only. */
export type CodeUsageStats = Nullable<Composite<'code_usage'>, 'last_used' | 'recent_users'>

/** The counted clicks on a code, per day in UTC, platform and channel. */
export type CodeClicks = Nullable<Composite<'day_clicks'>, 'channel'>

/** A batch of generated campaign codes. */
export type Batch = Composite<'code_batch'>

/** What is wrong in a row of an import: the column, null for all of the row, the error code, and what is expected. */
export type RowFault = { column: string | null; code: string; details: string | null }

/** What a row of an import would do: the code as it will be shown. Where there are faults, `code` is the text given, and nothing else is set. */
export type PlannedCode = {
  row: number
  code: string
  max_uses?: number | null
  expires_at?: string | null
  description?: string | null
  beneficiary_id?: string | null
  looks_like_another?: boolean
  faults: RowFault[]
}

/**
 * An import of campaign codes. After a dry run `batch_id` is null, and `rows` has every row. A refused import has no
 * `batch_id` either, `made` is 0, and `rows` has the first 1,000 rows with faults. After an import `rows` has those whose
 * codes look like one of another organisation, or is null.
 */
export type CodeImport = { batch_id: string | null; made: number; rows: PlannedCode[] | null }

/** A person's earnings in one currency and mode, in minor units. */
export type Earnings = Composite<'earnings'>

/**
 * A ledger entry: an amount that moved from one account of a person to another. `sale_number` is null for a payout. `sale_id`
 * and `caused_by` are null for all but admins.
 */
export type StatementEntry = Nullable<
  Composite<'statement_entry'>,
  'sale_number' | 'sale_id' | 'caused_by'
>

/** The amount that an organisation owes one person in one currency and mode, in minor units. */
export type Liability = Composite<'liability'>

/**
 * The explanation of a commission. `refusal` is the reason if the commission is zero. `sale_number` is null where nothing was
 * ever posted, `sale_id` and `event_ids` for all but admins.
 */
export type CommissionExplanation = Nullable<
  Composite<'commission_explanation'>,
  | 'sale_number'
  | 'sale_id'
  | 'event_ids'
  | 'refusal'
  | 'total_excluding_tax'
  | 'available_at'
  | 'redemption_id'
  | 'rank'
>

/** A check of health. `found` is how many things are concerned, counted up to 1,000; `remedy` is null if it is `ok`. */
export type HealthCheck = Nullable<Composite<'health_check'>, 'found' | 'remedy'>
