import { randomUUID } from 'node:crypto'
import { sign } from 'hono/jwt'
import type { JSONValue } from 'postgres'
import { z } from 'zod'
import type { AuthParts } from './auth.ts'
import type { UserAttributes } from './auth-admin.ts'
import { authError } from './auth-error.ts'

const refusal = z.looseObject({ error_code: z.string() })

/** The users in the database, in the form in which Auth gives them. Passwords are hashed by @supabase/lite. */
export function authUsers({ lite, sql, keys }: AuthParts) {
  const shown = sql`
    jsonb_strip_nulls(
      jsonb_build_object(
        'id', u.id, 'aud', u.aud, 'role', u.role, 'email', coalesce(u.email, ''), 'phone', coalesce(u.phone, ''),
        'email_confirmed_at', u.email_confirmed_at, 'confirmed_at', u.confirmed_at,
        'invited_at', u.invited_at, 'last_sign_in_at', u.last_sign_in_at, 'created_at', u.created_at, 'updated_at', u.updated_at,
        'is_anonymous', u.is_anonymous
      )
    ) || jsonb_build_object(
      'app_metadata', u.raw_app_meta_data, 'user_metadata', u.raw_user_meta_data,
      'identities', array(
        select
          to_jsonb(i) - 'id' - 'provider_id'
          || jsonb_build_object('identity_id', i.id, 'id', i.provider_id)
        from auth.identities as i
        where i.user_id = u.id
      )
    ) as shown`

  async function find(id: string): Promise<object | undefined> {
    const [row] = await sql`select ${shown} from auth.users as u where id = ${id}`
    return row?.shown
  }

  const call = (method: string, path: string, body: object, headers: HeadersInit = {}) =>
    lite(
      new Request(`http://localhost/auth/v1${path}`, {
        method,
        headers: { apikey: keys.publishable, 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
    )

  /** Sets a password as the user would; it may be the one that they have. */
  async function setPassword(id: string, password: string): Promise<Response | null> {
    const exp = Math.floor(Date.now() / 1000) + 60
    const token = await sign({ sub: id, role: 'authenticated', exp }, keys.jwtSecret, 'HS256')
    const response = await call('PUT', '/user', { password }, { authorization: `Bearer ${token}` })
    return response.ok || (await refusedAs(response)) === 'same_password' ? null : response
  }

  const hasOther = async (email: string, id: string) =>
    (await sql`select from auth.users where email = ${email} and id <> ${id}`).length > 0

  /** Signs the user up, ends the session that this begins, and states what a sign-up cannot. */
  async function create(given: UserAttributes): Promise<Response> {
    const { email, password = randomUUID(), email_confirm = false } = given
    if (!email) return authError(400, 'validation_failed', 'Cannot create a user without an email')
    const data = given.user_metadata ?? {}
    const response = await call('POST', '/signup', { email, password, data })
    if (!response.ok)
      return (await refusedAs(response)) === 'user_already_exists' ? emailExists() : response
    const { user } = (await response.json()) as { user: { id: string } }
    await sql`
      with ended as (delete from auth.sessions where user_id = ${user.id})
      update auth.users
      set last_sign_in_at = null, raw_user_meta_data = ${json(data)},
        raw_app_meta_data = raw_app_meta_data || ${json(given.app_metadata ?? {})},
        email_confirmed_at = case when ${email_confirm} then email_confirmed_at end
      where id = ${user.id}`
    return Response.json(await find(user.id))
  }

  return {
    find,
    create,

    /** Adds a user whose password and address are still to come. */
    invite: async (email: string, user_metadata: Record<string, unknown>): Promise<Response> => {
      const response = await create({ email, user_metadata })
      if (!response.ok) return response
      const { id } = (await response.json()) as { id: string }
      await sql`update auth.users set invited_at = now() where id = ${id}`
      return Response.json(await find(id))
    },

    list: async (page: number, size: number) => {
      const rows = await sql`
        select ${shown} from auth.users as u
        order by created_at desc, id
        limit ${size} offset ${(page - 1) * size}`
      const [count] = await sql<{ total: number }[]>`select count(*)::int as total from auth.users`
      return { found: rows.map((row) => row.shown), total: count?.total ?? 0 }
    },

    /** Metadata is merged; a key whose value is null is removed. */
    update: async (id: string, given: UserAttributes): Promise<Response> => {
      const email = given.email?.toLowerCase() ?? null
      if (email && (await hasOther(email, id))) return emailExists()
      const refused = given.password ? await setPassword(id, given.password) : null
      if (refused) return refused
      const merged = (column: 'raw_user_meta_data' | 'raw_app_meta_data', changes: object = {}) => {
        const removed = Object.entries(changes).flatMap(([key, value]) =>
          value === null ? key : [],
        )
        return sql`(${sql(column)} || ${json(changes)}) - ${removed}::text[]`
      }
      await sql`
        with identity as (
          update auth.identities
          set identity_data = identity_data || jsonb_build_object('email', ${email}::text), updated_at = now()
          where user_id = ${id} and provider = 'email' and ${email}::text is not null
        )
        update auth.users
        set email = coalesce(${email}, email), updated_at = now(),
          email_confirmed_at = case
            when ${given.email_confirm ?? false} then coalesce(email_confirmed_at, now())
            else email_confirmed_at
          end,
          raw_user_meta_data = ${merged('raw_user_meta_data', given.user_metadata)},
          raw_app_meta_data = ${merged('raw_app_meta_data', given.app_metadata)}
        where id = ${id}`
      return Response.json(await find(id))
    },

    remove: (id: string) => sql`delete from auth.users where id = ${id}`,
  }

  function json(value: object) {
    return sql.json(value as JSONValue)
  }
}

const refusedAs = async (response: Response): Promise<string | undefined> =>
  refusal.safeParse(await response.clone().json()).data?.error_code

const emailExists = () =>
  authError(422, 'email_exists', 'A user with this email address has already been registered')
