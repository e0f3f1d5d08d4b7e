import type { SupabaseClient } from '@supabase/supabase-js'
import type { Database } from './database.types.ts'

// biome-ignore lint/suspicious/noExplicitAny: any client will do, whatever schema of the app it is typed for
export type AnySupabaseClient = SupabaseClient<any, any, any>

export type ReferralSchema = ReturnType<typeof referralSchema>

/** The app's supabase-js client, on schema `referral` and typed for it. */
export function referralSchema(supabase: AnySupabaseClient) {
  return (supabase as unknown as SupabaseClient<Database, 'referral'>).schema('referral')
}
