/** Auth of the local stack: what @supabase/lite answers, and what a hosted project has beside it. */
import { Hono } from 'hono'
import type { Sql } from 'postgres'
import { anonymousUsers } from './anonymous.ts'
import { authAdmin } from './auth-admin.ts'
import { authError } from './auth-error.ts'
import { authInvite } from './auth-invite.ts'
import type { Keys } from './keys.ts'

/** What the parts of Auth work with. */
export type AuthParts = {
  /** Answers as @supabase/lite does. */
  lite: (request: Request) => Promise<Response>
  /** The database, as its superuser. */
  sql: Sql
  keys: Pick<Keys, 'publishable' | 'secret' | 'jwtSecret'>
}

/** Answers every request to Auth and to the Data API. */
export function withAuth(parts: AuthParts): (request: Request) => Promise<Response> {
  const app = new Hono()
    .route('/auth/v1/admin', authAdmin(parts))
    .route('/auth/v1', authInvite(parts))
    .route('/auth/v1', anonymousUsers(parts))
    .all('*', (c) => parts.lite(c.req.raw))
    .onError((error) => {
      console.error(error)
      return authError(500, 'unexpected_failure', 'The database refused the change.')
    })
  return async (request) => app.fetch(request)
}
