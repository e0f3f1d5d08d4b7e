/** Anonymous users, whom @supabase/lite does not have, and the claims that tokens of a hosted project carry. */
import { randomBytes } from 'node:crypto'
import { type Context, Hono } from 'hono'
import { decode, sign } from 'hono/jwt'
import type { JSONValue } from 'postgres'
import { z } from 'zod'
import type { AuthParts } from './auth.ts'
import { authError } from './auth-error.ts'

const credentials = z.looseObject({
  email: z.string().nullish(),
  phone: z.string().nullish(),
  password: z.string().nullish(),
  data: z.record(z.string(), z.unknown()).nullish(),
})
const user = z.looseObject({
  id: z.guid(),
  app_metadata: z.unknown(),
  user_metadata: z.unknown(),
})
const session = z.looseObject({ access_token: z.string(), user })

/**
 * A sign-up without e-mail and phone is an anonymous sign-in. An anonymous user who sets an e-mail address becomes a
 * permanent one at once, as in a project that does not ask for confirmation.
 */
export function anonymousUsers({ lite, sql, keys }: AuthParts): Hono {
  const app = new Hono()
  app.post('/signup', async (c) => {
    const { email, phone, data } = await credentialsOf(c)
    const hasKey = [keys.publishable, keys.secret].includes(c.req.header('apikey') ?? '')
    return complete(await (email || phone || !hasKey ? lite(c.req.raw) : signIn(c, data ?? {})))
  })
  app.post('/token', async (c) => complete(await lite(c.req.raw)))
  app.post('/verify', async (c) => complete(await lite(c.req.raw)))
  app.get('/user', async (c) => complete(await lite(c.req.raw)))
  app.put('/user', async (c) => {
    const { email, password } = await credentialsOf(c)
    if (password && !email && (await isAnonymous(callerOf(c)))) {
      const reason = 'of an anonymous user without an email or phone is not allowed'
      return authError(422, 'validation_failed', `Updating password ${reason}`)
    }
    const response = await lite(c.req.raw)
    if (!response.ok || !(await becomesPermanent(callerOf(c)))) return complete(response)
    return complete(await lite(new Request(c.req.url, { headers: c.req.raw.headers })))
  })
  return app

  /** Adds a user with a session, for which lite then makes the tokens, as it does when a session is refreshed. */
  async function signIn(c: Context, data: Record<string, unknown>): Promise<Response> {
    const refresh_token = randomBytes(16).toString('base64url')
    await sql`
      with new_user as (
        insert into auth.users (id, is_anonymous, raw_app_meta_data, raw_user_meta_data)
        values (gen_random_uuid(), true, '{}', ${sql.json(data as JSONValue)})
        returning id
      ),
      new_session as (
        insert into auth.sessions (id, user_id, aal)
        select gen_random_uuid(), id, 'aal1' from new_user
        returning id, user_id
      )
      insert into auth.refresh_tokens (id, token, user_id, session_id)
      select gen_random_uuid(), ${refresh_token}, user_id, id from new_session`
    const headers = { apikey: keys.publishable, 'content-type': 'application/json' }
    const body = JSON.stringify({ refresh_token })
    const url = new URL('/auth/v1/token?grant_type=refresh_token', c.req.url)
    return lite(new Request(url, { method: 'POST', headers, body }))
  }

  async function isAnonymous(id: string | undefined): Promise<boolean> {
    const [row] = await sql`select is_anonymous from auth.users where id = ${id ?? null}`
    return row?.is_anonymous === true
  }

  /** The address that lite would have confirmed by e-mail becomes that of the user, who is permanent from now on. */
  async function becomesPermanent(id: string | undefined): Promise<boolean> {
    const changed = await sql`
      with permanent as (
        update auth.users
        set email = email_change, email_confirmed_at = now(), is_anonymous = false,
          email_change = null, email_change_token_new = null, email_change_sent_at = null,
          raw_app_meta_data = raw_app_meta_data || '{"provider": "email", "providers": ["email"]}'
        where id = ${id ?? null} and is_anonymous and email_change <> ''
        returning id, email
      )
      insert into auth.identities (id, provider, provider_id, user_id, identity_data, last_sign_in_at)
      select gen_random_uuid(), 'email', id, id, now_claims, now()
      from permanent,
        jsonb_build_object('sub', id, 'email', email, 'email_verified', true, 'phone_verified', false) as now_claims
      returning user_id`
    return changed.length > 0
  }

  /** Adds `is_anonymous` to the user, and to the token what policies of a hosted project can read there. */
  async function complete(response: Response): Promise<Response> {
    const body = response.ok ? await bodyOf(response) : null
    const found = session.safeParse(body).data?.user ?? user.safeParse(body).data
    if (!found) return response
    const is_anonymous = await isAnonymous(found.id)
    const person = { ...found, is_anonymous }
    const headers = new Headers(response.headers)
    headers.delete('content-length')
    const tokens = session.safeParse(body).data
    if (!tokens) return Response.json(person, { headers })
    const { app_metadata, user_metadata } = person
    const claims = {
      ...decode(tokens.access_token).payload,
      app_metadata,
      user_metadata,
      is_anonymous,
    }
    const access_token = await sign(claims, keys.jwtSecret, 'HS256')
    return Response.json({ ...tokens, access_token, user: person }, { headers })
  }
}

/** The user of the token, which lite verifies. */
function callerOf(c: Context): string | undefined {
  try {
    return z.guid().parse(decode(c.req.header('authorization')?.slice(7) ?? '').payload.sub)
  } catch {
    return undefined
  }
}

async function credentialsOf(c: Context): Promise<z.infer<typeof credentials>> {
  return credentials.safeParse(await bodyOf(c.req.raw)).data ?? { email: 'unreadable' }
}

/** The JSON of a body, which can still be read by others. */
const bodyOf = (message: Request | Response): Promise<unknown> =>
  message
    .clone()
    .json()
    .catch(() => null)
