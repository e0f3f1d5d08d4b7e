/** A response of supabase-js, with its HTTP status. */
export type SupabaseResponse = { data: unknown; error: object | null; status: number }

/** The rows of a table, as supabase-js filters them. */
export type Query = PromiseLike<SupabaseResponse> & {
  eq(column: string, value: unknown): Query
  is(column: string, value: null): Query
  or(filters: string): Query
  order(column: string, options?: { ascending: boolean }): Query
  limit(rows: number): Query
}

/** The part of supabase-js that the calls use. */
export type ReferralSchema = {
  rpc(
    name: string,
    args: object,
    options: { get: boolean | undefined },
  ): PromiseLike<SupabaseResponse>
  from(table: string): { select(): Query }
}

/** A client of supabase-js 2: of any 2.x, typed for any schema, an ES module or CommonJS. */
export type AnySupabaseClient = {
  schema(name: never): { rpc(name: never, args: never): unknown; from(table: never): unknown }
  auth: { onAuthStateChange(callback: never): unknown }
}

/** The app's supabase-js client for schema `referral`. Throws if it is none. */
export function referralSchema(supabase: AnySupabaseClient): ReferralSchema {
  if (!supabase?.schema) throw new TypeError('Pass a client of supabase-js: createClient(url, key)')
  return supabase.schema('referral' as never) as ReferralSchema
}
