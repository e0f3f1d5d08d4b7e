/** Callers over HTTP, on the local stack of the run: supabase-js clients with tokens of their own. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { sign } from 'hono/jwt'
import postgres from 'postgres'
import { afterAll, inject } from 'vitest'
import type { Database } from '../../client/database.types.ts'

type Client = SupabaseClient<Database, 'referral'>
export type Caller = { id: string; token: string; supabase: Client }

const stack = () => inject('stack')

/** A signed-in person; `claims` add to the token, `secret` signs it. */
export async function personOverHttp(
  id: string = crypto.randomUUID(),
  { claims = {}, secret = stack().JWT_SECRET }: { claims?: object; secret?: string } = {},
): Promise<Caller> {
  const seconds = Math.floor(Date.now() / 1000)
  const token = await sign(
    {
      sub: id,
      role: 'authenticated',
      aud: 'authenticated',
      iat: seconds,
      exp: seconds + 3600,
      ...claims,
    },
    secret,
  )
  return { id, token, supabase: client(stack().SUPABASE_PUBLISHABLE_KEY, token) }
}

/** Somebody with the publishable key only. */
export function anonymousOverHttp(): Client {
  return client(stack().SUPABASE_PUBLISHABLE_KEY)
}

/** The holder of the secret key. */
export function operatorOverHttp(): Client {
  return client(stack().SUPABASE_SECRET_KEY)
}

function client(key: string, token?: string): Client {
  return createClient<Database, 'referral'>(stack().SUPABASE_URL, key, {
    db: { schema: 'referral' },
    auth: { persistSession: false, autoRefreshToken: false },
    ...(token && { accessToken: async () => token }),
  })
}

/** An organisation over HTTP with a destination, an admin, a mentor and the mentor's code. */
export async function sceneOverHttp() {
  const [admin, mentor, friend] = await Promise.all([
    personOverHttp(),
    personOverHttp(),
    personOverHttp(),
  ])
  const operator = operatorOverHttp()
  const slug = `http-${crypto.randomUUID()}`
  const made = await operator
    .rpc('create_organisation', { name: 'Org', slug, admin_id: admin.id })
    .throwOnError()
  const org = made.data.id
  const changes = { web_destination: 'https://example.org/welcome?lang=en' }
  await admin.supabase.rpc('update_organisation', { org_id: org, changes }).throwOnError()
  const program = { org_id: org, key: 'friends', name: 'Friends', terms: { enrolment: 'open' } }
  await admin.supabase.rpc('create_program', program).throwOnError()
  await admin.supabase.rpc('add_member', { org_id: org, user_id: mentor.id }).throwOnError()
  const { data: code } = await mentor.supabase.rpc('create_code', { org_id: org }).throwOnError()
  return { org, admin, mentor, friend, code: code.code }
}

/** The stack's database, for looking behind the API. */
export function stackDatabase(): postgres.Sql {
  const sql = postgres(stack().DATABASE_URL, { max: 2 })
  afterAll(() => sql.end())
  return sql
}
