/** The error codes of a call: every code that the database raises, and two of the client. */
export const referralErrorCodes = [
  'not_signed_in',
  'anonymous_user',
  'not_a_member',
  'not_allowed',
  'member_deactivated',
  'member_blocked',
  'not_invited',
  'self_referral',
  'new_users_only',
  'organisation_not_found',
  'member_not_found',
  'program_not_found',
  'code_not_found',
  'redemption_not_found',
  'decision_not_found',
  'no_active_code',
  'organisation_exists',
  'stripe_account_taken',
  'stripe_account_fixed',
  'last_admin',
  'member_exists',
  'program_exists',
  'program_inactive',
  'active_code_exists',
  'active_in_other_program',
  'too_many_codes',
  'code_suspended',
  'code_taken',
  'code_reserved',
  'code_looks_alike',
  'code_inactive',
  'code_expired',
  'code_limit_reached',
  'code_ended',
  'record_conflict',
  'redemption_rejected',
  'already_redeemed',
  'mutual_referral',
  'invalid_argument',
  'invalid_code',
  'invalid_terms',
  'invalid_click',
  'invalid_event',
  'rate_limited',
  'busy',
  // The client's own: the request got no response; the error has an unknown code, which is in `details`.
  'unreachable',
  'unexpected',
] as const

export type ReferralErrorCode = (typeof referralErrorCodes)[number]

/** An error as supabase-js returns it, with one of our codes. docs/errors.md explains each code. */
export type ReferralError = {
  code: ReferralErrorCode
  /** A message for developers. Show people your own text. */
  message: string
  details: string | null
}

type PlatformError = { code?: string; message: string; details?: string | null }

/** SQL's `insufficient_privilege`. The status is 401 for the anonymous role, and 403 for a signed-in person. */
const notAllowed = '42501'

/** Errors that the platform raises before our SQL runs, and our code for each. */
const platformCodes: Record<string, ReferralErrorCode> = {
  '22P02': 'invalid_argument', // not a UUID, not a number
  '22P05': 'invalid_argument', // U+0000 in JSON
  '22021': 'invalid_argument', // U+0000 in text
  '22007': 'invalid_argument', // not a time or an interval
  '22003': 'invalid_argument', // a number out of range
  '22008': 'invalid_argument', // a time out of range
  '22015': 'invalid_argument', // an interval out of range
  '57014': 'busy', // took longer than a call may
  PGRST301: 'not_signed_in', // a token that cannot be verified
  PGRST303: 'not_signed_in', // a token that has expired
}

/** Maps an error of supabase-js to one of our codes. */
export function toReferralError(
  { code = '', message, details }: PlatformError,
  status?: number,
): ReferralError {
  if (code === notAllowed)
    return { code: status === 403 ? 'not_allowed' : 'not_signed_in', message, details: null }
  const known = referralErrorCodes.find((candidate) => candidate === code) ?? platformCodes[code]
  if (known) return { code: known, message, details: details ?? null }
  if (code === '') return { code: 'unreachable', message, details: null }
  return { code: 'unexpected', message, details: code }
}
