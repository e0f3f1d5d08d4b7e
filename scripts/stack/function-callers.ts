import { verify } from 'hono/jwt'
import type { Keys } from './keys.ts'

/**
 * The platform's check before a function with `verify_jwt`: callers have a token of a user, or an API key. Returns the refusal
 * in the platform's form. Preflights pass, because they carry neither.
 */
export async function refuseStranger(
  { method, headers }: Request,
  { publishable, secret, jwtSecret }: Pick<Keys, 'publishable' | 'secret' | 'jwtSecret'>,
): Promise<Response | undefined> {
  const isKey = (text: string | null | undefined) => text === publishable || text === secret
  const bearer = headers.get('authorization')?.replace(/^bearer /i, '')
  if (method === 'OPTIONS' || isKey(bearer)) return undefined
  if (bearer === undefined)
    return isKey(headers.get('apikey'))
      ? undefined
      : refusal('UNAUTHORIZED_NO_AUTH_HEADER', 'Missing authorization header')
  const isToken = await verify(bearer, jwtSecret, 'HS256').then(
    () => true,
    () => false,
  )
  return isToken ? undefined : refusal('UNAUTHORIZED_INVALID_JWT_FORMAT', 'Invalid JWT')
}

const refusal = (code: string, message: string) =>
  Response.json({ code, message }, { status: 401, headers: { 'access-control-allow-origin': '*' } })
