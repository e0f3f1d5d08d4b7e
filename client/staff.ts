/** The typed client for staff: codes by id, campaign codes, redemptions, decisions, members, programs, and the record of changes. */
import { guarded } from './guarded.ts'
import { type AnySupabaseClient, referralSchema } from './schema.ts'
import { staffChangeCalls } from './staff-changes.ts'
import { staffCodeCalls } from './staff-codes.ts'
import { staffDecisionCalls } from './staff-decisions.ts'
import { staffMemberCalls } from './staff-members.ts'
import { staffRedemptionCalls } from './staff-redemptions.ts'

export type StaffClient = ReturnType<typeof createStaffClient>

/**
 * Wraps a supabase-js client. A coordinator or an admin is signed in there, or, on a server, it has the secret key. For a
 * code, a redemption or a decision of another organisation the calls return `code_not_found`, `redemption_not_found` or
 * `decision_not_found`.
 *
 * @example
 * const staff = createStaffClient(supabase)
 * await staff.suspendCode(code.id, 'posted as spam')
 */
export function createStaffClient(supabase: AnySupabaseClient) {
  const referral = referralSchema(supabase)
  return guarded({
    ...staffCodeCalls(referral),
    ...staffRedemptionCalls(referral),
    ...staffDecisionCalls(referral),
    ...staffMemberCalls(referral),
    ...staffChangeCalls(referral),
  })
}
