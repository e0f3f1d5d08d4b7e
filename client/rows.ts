/** What the calls answer with. Times are ISO 8601, ids UUIDs. */
import type { Database } from './database.types.ts'

type Schema = Database['referral']
type Composite<Name extends keyof Schema['CompositeTypes']> = {
  [Field in keyof Schema['CompositeTypes'][Name]]: NonNullable<
    Schema['CompositeTypes'][Name][Field]
  >
}
type Nullable<Row, Field extends keyof Row> = Omit<Row, Field> & { [F in Field]: Row[F] | null }

/** A code with its status, owner and limits. */
export type Code = Schema['Tables']['codes']['Row']

/** A change of a code: what its status became, by whom and why. */
export type CodeChange = Schema['Tables']['code_changes']['Row']

/** How often a code was used, and how often it may be; null is without limit. */
export type CodeUses = Nullable<Schema['Functions']['code_uses']['Returns'][number], 'max_uses'>

/** An organisation with its settings. */
export type Organisation = Schema['Tables']['organisations']['Row']

/** A program; its terms are versions of their own. */
export type Program = Schema['Tables']['programs']['Row']

/** A member of an organisation with their role. */
export type Member = Schema['Tables']['members']['Row']

/** A redemption as staff see it. */
export type Redemption = Schema['Tables']['redemptions']['Row']

/** What a referee learns of their redemption. */
export type RedeemedCode = Composite<'redeemed_code'>

/** What a link shows of a redeemable code: names, and where the organisation's links lead. */
export type ResolvedCode = Nullable<
  Composite<'resolved_code'>,
  | 'referrer_name'
  | 'web_destination'
  | 'ios_destination'
  | 'android_destination'
  | 'android_package'
  | 'link_origin'
>

/** A referral as its referrer sees it: never who. */
export type Referral = Nullable<
  Schema['Functions']['my_referrals']['Returns'][number],
  'confirmed_at' | 'channel'
>

/** How much a code was used. `recent_users` is for staff only. */
export type CodeUsageStats = Nullable<
  Schema['Functions']['code_usage_stats']['Returns'][number],
  'last_used' | 'recent_users'
>

/** How many clicks on a code counted on a day in UTC, on a platform and a channel. */
export type CodeClicks = Nullable<Schema['Functions']['code_clicks']['Returns'][number], 'channel'>

/** A batch of generated or imported campaign codes. */
export type Batch = Schema['Functions']['generate_codes']['Returns'][number]

/** What an owner of codes has of one currency, in minor units. */
export type Earnings = Schema['Functions']['my_earnings']['Returns'][number]

/** An amount that went from one of an owner's accounts to another. */
export type StatementEntry = Schema['Functions']['my_statement']['Returns'][number]

/** What an organisation owes one person of one currency, in minor units. */
export type Liability = Schema['Functions']['org_liabilities']['Returns'][number]

/** How a commission came about. `refusal` says why it is nothing, where it is. */
export type CommissionExplanation = Nullable<
  Composite<'commission_explanation'>,
  'refusal' | 'total_excluding_tax' | 'available_at' | 'redemption_id' | 'rank'
>
