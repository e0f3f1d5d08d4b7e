/** The typed client for staff: codes by id, campaign codes, redemptions, decisions, members, programs, the record of changes, and health. */
import { createCalls } from './calls.ts'
import { requireOrgId } from './org-id.ts'
import type { AnySupabaseClient } from './schema.ts'
import { type StaffChangeCalls, staffChangeCalls } from './staff-changes.ts'
import { type StaffCodeCalls, staffCodeCalls } from './staff-codes.ts'
import { type StaffDecisionCalls, staffDecisionCalls } from './staff-decisions.ts'
import { type StaffHealthCalls, staffHealthCalls } from './staff-health.ts'
import { type StaffMemberCalls, staffMemberCalls } from './staff-members.ts'
import { type StaffRedemptionCalls, staffRedemptionCalls } from './staff-redemptions.ts'
import { type StaffSettingCalls, staffSettingCalls } from './staff-settings.ts'

export type StaffClient = StaffCodeCalls &
  StaffRedemptionCalls &
  StaffDecisionCalls &
  StaffMemberCalls &
  StaffSettingCalls &
  StaffChangeCalls &
  StaffHealthCalls

/**
 * Wraps a supabase-js client. A coordinator or an admin of the organisation is signed in there, or, on a server, it has the
 * secret key. For a code, a redemption or a decision of an organisation where they are not staff the calls return
 * `code_not_found`, `redemption_not_found` or `decision_not_found`. Throws without an `orgId`, and where an option is
 * unknown.
 *
 * @example
 * const staff = createStaffClient(supabase, { orgId })
 * await staff.suspendCode({ codeId: code.id, reason: 'posted as spam' })
 */
export function createStaffClient(
  supabase: AnySupabaseClient,
  options: { orgId: string },
): StaffClient {
  const calls = createCalls(supabase, requireOrgId('createStaffClient', options))
  return {
    ...staffCodeCalls(calls),
    ...staffRedemptionCalls(calls),
    ...staffDecisionCalls(calls),
    ...staffMemberCalls(calls),
    ...staffSettingCalls(calls),
    ...staffChangeCalls(calls),
    ...staffHealthCalls(calls),
  }
}
