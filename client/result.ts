import type { CallErrors } from './call-errors.ts'
import type { ReferralError, ReferralErrorCode } from './errors.ts'

/** Either `data` or `error`, as supabase-js returns them. */
export type Result<Data, Code extends ReferralErrorCode = ReferralErrorCode> =
  | { data: Data; error: null }
  | { data: null; error: ReferralError<Code> }

/** The error codes that every call can return: a wrong argument, an expired session, a platform that is busy or away. */
type AnyCallError =
  | 'invalid_argument'
  | 'not_signed_in'
  | 'rate_limited'
  | 'busy'
  | 'unreachable'
  | 'misconfigured'
  | 'unexpected'

/** The result of a call of an RPC, with the error codes of that RPC. Of a table that is read, `Name` is `never`. */
export type Call<Name extends keyof CallErrors, Data> = Promise<
  Result<Data, CallErrors[Name] | AnyCallError>
>
