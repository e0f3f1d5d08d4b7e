import type { SupabaseClient } from '@supabase/supabase-js'
import type { Database } from './database.types.ts'

// biome-ignore lint/suspicious/noExplicitAny: the app's client may be typed for any schema
export type AnySupabaseClient = SupabaseClient<any, any, any>

export type ReferralSchema = ReturnType<typeof referralSchema>

/** The app's supabase-js client, typed for schema `referral`. Throws if it is none. */
export function referralSchema(supabase: AnySupabaseClient) {
  if (typeof supabase?.schema !== 'function')
    throw new TypeError('Pass a client of supabase-js: createClient(url, key)')
  return (supabase as unknown as SupabaseClient<Database, 'referral'>).schema('referral')
}
