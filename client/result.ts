import type { PostgrestError } from '@supabase/supabase-js'
import type { ReferralError } from './errors.ts'
import { toReferralError } from './platform-errors.ts'

/** Either `data` or `error`, as supabase-js returns them. */
export type Result<Data> = { data: Data; error: null } | { data: null; error: ReferralError }

/** A response of supabase-js, with its HTTP status. */
export type SupabaseResponse<Data> =
  | { data: Data; error: null; status?: number }
  | { data: null; error: PostgrestError; status?: number }

/** Turns a response into a result, and maps its error to one of our codes. */
export function toResult<Data>(response: SupabaseResponse<Data>): Result<Data> {
  // supabase-js makes a 204 of a 404 without a body. No call of ours has such a response.
  if (response.error || response.status === 204)
    return { data: null, error: toReferralError(response.error ?? {}, response.status) }
  return { data: response.data, error: null }
}
