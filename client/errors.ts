import type { DatabaseErrorCode } from './call-errors.ts'

/** The error codes of a call: every code that the database raises, and three of the client. */
export type ReferralErrorCode =
  | DatabaseErrorCode
  // There was no response; the set-up is wrong; the response is unknown.
  | 'unreachable'
  | 'misconfigured'
  | 'unexpected'

/** An error as supabase-js returns it, with one of our codes. docs/errors.md explains each code. */
export type ReferralError<Code extends ReferralErrorCode = ReferralErrorCode> = {
  code: Code
  /** A message for developers. For `misconfigured` it says what to change. Show people your own text. */
  message: string
  /** What the error is about, such as the name of an argument and what it must be, or the platform's own error. */
  details: string | null
  /** Whether the same call can succeed a little later, unchanged. */
  retryable: boolean
  /** Whether the person can never redeem this code: forget it. After any other error keep it for another try. */
  final: boolean
}

const retryable: ReferralErrorCode[] = ['unreachable', 'busy', 'rate_limited', 'code_uses_reserved']

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

/** The code and the message of an error whose `details` name the argument. */
export const invalidArgument = [
  'invalid_argument',
  'An argument is missing or has a value that is not allowed.',
] as const
