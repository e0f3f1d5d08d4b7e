import type { PostgrestError } from '@supabase/supabase-js'
import { type ReferralError, toReferralError } from './errors.ts'

/** `data` or `error`, as supabase-js answers; never both. */
export type Result<Data> = { data: Data; error: null } | { data: null; error: ReferralError }

export type Answer<Data> =
  | { data: Data; error: null; status?: number }
  | { data: null; error: PostgrestError; status?: number }

/** Gives the error of an answer, if there is one, a code of ours. */
export function settle<Data>(answer: Answer<Data>): Result<Data> {
  return answer.error
    ? { data: null, error: toReferralError(answer.error, answer.status) }
    : { data: answer.data, error: null }
}
