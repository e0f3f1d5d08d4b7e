import type { Context, Next } from 'hono'
import { verify } from 'hono/jwt'
import type { AuthParts } from './auth.ts'
import { authError } from './auth-error.ts'

/** The role is that of the token, if there is one, else that of the key: as in Auth behind Supabase's gateway. */
export function onlyWithSecretKey({ keys }: AuthParts) {
  return async (c: Context, next: Next) => {
    const apikey = c.req.header('apikey') ?? ''
    if (apikey !== keys.secret && apikey !== keys.publishable)
      return authError(401, 'no_authorization', 'This endpoint requires a valid API key')
    const bearer = c.req.header('authorization')?.replace(/^bearer /i, '')
    if (!bearer?.includes('.')) return (bearer ?? apikey) === keys.secret ? next() : notAdmin()
    const token = await verify(bearer, keys.jwtSecret, 'HS256').catch(() => null)
    if (!token) return authError(403, 'bad_jwt', 'invalid JWT: unable to parse or verify signature')
    return token.role === 'service_role' ? next() : notAdmin()
  }
}

const notAdmin = () => authError(403, 'not_admin', 'User not allowed')
