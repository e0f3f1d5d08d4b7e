import type { SupabaseClient } from '@supabase/supabase-js'
import type { Database } from './database.types.ts'

// biome-ignore lint/suspicious/noExplicitAny: the app's client may be typed for any schema
export type AnySupabaseClient = SupabaseClient<any, any, any>

export type ReferralSchema = ReturnType<typeof referralSchema>

/** The app's supabase-js client, typed for schema `referral`. */
export function referralSchema(supabase: AnySupabaseClient) {
  return (supabase as unknown as SupabaseClient<Database, 'referral'>).schema('referral')
}
