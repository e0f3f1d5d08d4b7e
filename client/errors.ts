/** The error codes of a call: every code that the database raises, and three of the client. */
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
  'link_origin_taken',
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
  'code_uses_reserved',
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
  // The client's own: there was no response; the set-up is wrong; the response is unknown.
  'unreachable',
  'misconfigured',
  'unexpected',
] as const

export type ReferralErrorCode = (typeof referralErrorCodes)[number]

/** An error as supabase-js returns it, with one of our codes. docs/errors.md explains each code. */
export type ReferralError = {
  code: ReferralErrorCode
  /** A message for developers. For `misconfigured` it says what to change. Show people your own text. */
  message: string
  /** What the error is about, such as the name of an argument and what it must be, or the platform's own error. */
  details: string | null
  /** Whether the same call can succeed a little later, unchanged. */
  retryable: boolean
  /** Whether the person can never redeem this code: forget it. After any other error keep it for another try. */
  final: boolean
}

const retryable: ReferralErrorCode[] = ['unreachable', 'busy', 'rate_limited']

/** The same as `referral_private.is_final_refusal`, by a test. */
const final: ReferralErrorCode[] = [
  'invalid_code',
  'code_not_found',
  'code_inactive',
  'code_expired',
  'code_limit_reached',
  'already_redeemed',
  'self_referral',
  'mutual_referral',
  'new_users_only',
]

/** Makes an error with one of our codes. */
export function referralError(
  code: ReferralErrorCode,
  message: string,
  details: string | null,
): ReferralError {
  return {
    code,
    message,
    details,
    retryable: retryable.includes(code),
    final: final.includes(code),
  }
}
