import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import type { Database } from '../../client/database.types.ts'
import type { StackEnvironment } from '../stack/spawn.ts'

const noSession = { auth: { persistSession: false, autoRefreshToken: false } }

/** A person who is signed in. */
export type Person = { id: string; supabase: SupabaseClient<Database> }

/** Signs a new person up through the Auth API. */
export async function signUp(environment: StackEnvironment, name: string): Promise<Person> {
  const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY } = environment
  const supabase = createClient<Database>(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, noSession)
  const email = `${name}-${crypto.randomUUID()}@example.com`
  const { data, error } = await supabase.auth.signUp({ email, password: crypto.randomUUID() })
  if (error || !data.user) throw new Error(`${name} could not sign up: ${error?.message}`)
  return { id: data.user.id, supabase }
}

/** The operator, who has the secret key. */
export function operator({ SUPABASE_URL, SUPABASE_SECRET_KEY }: StackEnvironment) {
  return createClient<Database>(SUPABASE_URL, SUPABASE_SECRET_KEY, noSession).schema('referral')
}
