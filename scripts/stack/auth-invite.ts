/** `auth.admin.inviteUserByEmail` of supabase-js: adds a user who has not confirmed the address yet. It sends no e-mail. */
import { Hono } from 'hono'
import { z } from 'zod'
import type { AuthParts } from './auth.ts'
import { authError } from './auth-error.ts'
import { authUsers } from './auth-users.ts'
import { onlyWithSecretKey } from './only-with-secret-key.ts'

const invitation = z.object({ email: z.email(), data: z.record(z.string(), z.unknown()).nullish() })

/** The route `/auth/v1/invite`. */
export function authInvite(parts: AuthParts): Hono {
  const users = authUsers(parts)
  const app = new Hono()
  app.post('/invite', onlyWithSecretKey(parts), async (c) => {
    const { data, error } = invitation.safeParse(await c.req.json().catch(() => null))
    if (error) return authError(400, 'validation_failed', z.prettifyError(error))
    return users.invite(data.email, data.data ?? {})
  })
  return app
}
