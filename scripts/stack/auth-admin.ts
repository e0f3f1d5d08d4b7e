/** `auth.admin` of supabase-js, which @supabase/lite does not have: for callers with the secret key, users by e-mail. */
import { Hono } from 'hono'
import { z } from 'zod'
import type { AuthParts } from './auth.ts'
import { authError } from './auth-error.ts'
import { authUsers } from './auth-users.ts'
import { onlyWithSecretKey } from './only-with-secret-key.ts'

const metadata = z.record(z.string(), z.unknown())
/** An attribute that the local stack does not support is refused, rather than ignored. */
const attributes = z.strictObject({
  email: z.email().optional(),
  password: z.string().optional(),
  email_confirm: z.boolean().optional(),
  user_metadata: metadata.optional(),
  app_metadata: metadata.optional(),
})

/** What a caller states of a user. */
export type UserAttributes = z.infer<typeof attributes>

/** The routes below `/auth/v1/admin`. Everything else there is refused as unknown. */
export function authAdmin(parts: AuthParts): Hono {
  const users = authUsers(parts)
  const app = new Hono()
  app.use(onlyWithSecretKey(parts))
  app.get('/users', async (c) => {
    const page = positive(c.req.query('page'), 1)
    const size = positive(c.req.query('per_page'), 50)
    const { found, total } = await users.list(page, size)
    const last = Math.max(Math.ceil(total / size), 1)
    const link = (n: number, rel: string) =>
      `</admin/users?page=${n}&per_page=${size}>; rel="${rel}"`
    const links = page < last ? [link(page + 1, 'next'), link(last, 'last')] : [link(last, 'last')]
    const headers = { 'x-total-count': String(total), link: links.join(', ') }
    return c.json({ users: found, aud: 'authenticated' }, 200, headers)
  })
  app.post('/users', async (c) => {
    const { data, error } = attributes.safeParse(await c.req.json().catch(() => null))
    return data ? users.create(data) : authError(400, 'validation_failed', z.prettifyError(error))
  })
  app.use('/users/:id', async (c, next) => {
    const id = c.req.param('id')
    if (!z.guid().safeParse(id).success)
      return authError(404, 'validation_failed', 'user_id must be an UUID')
    if (!(await users.find(id))) return authError(404, 'user_not_found', 'User not found')
    return next()
  })
  app.get('/users/:id', async (c) => c.json(await users.find(c.req.param('id'))))
  app.put('/users/:id', async (c) => {
    const { data, error } = attributes.safeParse(await c.req.json().catch(() => null))
    if (error) return authError(400, 'validation_failed', z.prettifyError(error))
    return users.update(c.req.param('id'), data)
  })
  app.delete('/users/:id', async (c) => {
    const { should_soft_delete } = await c.req.json().catch(() => ({}))
    if (should_soft_delete)
      return authError(400, 'validation_failed', 'The local stack has no soft deletion')
    await users.remove(c.req.param('id'))
    return c.json({})
  })
  app.all('/*', () => authError(404, 'not_found', 'The local stack has no such call'))
  return app
}

function positive(text: string | undefined, otherwise: number): number {
  const number = Number(text)
  return Number.isInteger(number) && number > 0 ? number : otherwise
}
