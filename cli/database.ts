import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import type { Database } from '../client/database.types.ts'

export type ReferralDatabase = SupabaseClient<Database, 'referral'>

/** A client of schema `referral` with an API key and without a session. `fetch` sends its requests. */
export function connect(
  url: string,
  key: string,
  fetch?: typeof globalThis.fetch,
): ReferralDatabase {
  return createClient<Database, 'referral'>(url, key, {
    db: { schema: 'referral' },
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    ...(fetch && { global: { fetch } }),
  })
}
