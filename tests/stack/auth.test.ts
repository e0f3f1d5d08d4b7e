/** What the local stack adds to @supabase/lite: anonymous users, and `auth.admin`. By supabase-js, as an app has it. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { decode } from 'hono/jwt'
import postgres from 'postgres'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { createReferralClient } from '../../client/index.ts'
import { blocksOf } from '../support/blocks.ts'
import { linkScene } from '../support/link.ts'

const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, SUPABASE_SECRET_KEY, DATABASE_ADMIN_URL } =
  inject('stack')
const sql = postgres(DATABASE_ADMIN_URL, { max: 1, onnotice: () => {} })
afterAll(() => sql.end())

const auth = { persistSession: false, autoRefreshToken: false }
const app = (key = SUPABASE_PUBLISHABLE_KEY) => createClient(SUPABASE_URL, key, { auth })
const { admin } = app(SUPABASE_SECRET_KEY).auth
const anyEmail = () => `${crypto.randomUUID()}@example.org`
const anyId = async () => String((await app().auth.signInAnonymously()).data.user?.id)
const claims = async (supabase: SupabaseClient) =>
  decode((await supabase.auth.getSession()).data.session?.access_token ?? '').payload

describe('an anonymous user', () => {
  const signIn = async (data = {}) => {
    const supabase = app()
    const { data: signedIn, error } = await supabase.auth.signInAnonymously({ options: { data } })
    expect(error).toBeNull()
    return { supabase, id: String(signedIn.user?.id) }
  }

  test('has a session, a token that says so, metadata, and neither address nor identity', async () => {
    const { supabase, id } = await signIn({ tutor: true })
    const shown = {
      id,
      email: '',
      is_anonymous: true,
      user_metadata: { tutor: true },
      app_metadata: {},
      identities: [],
    }
    expect((await supabase.auth.getUser()).data.user).toMatchObject(shown)
    expect(await claims(supabase)).toMatchObject({
      sub: id,
      role: 'authenticated',
      is_anonymous: true,
      user_metadata: { tutor: true },
    })
    expect((await admin.getUserById(id)).data.user).toMatchObject(shown)
  })

  test('stays one when the session is refreshed', async () => {
    const { supabase, id } = await signIn()
    const { data, error } = await supabase.auth.refreshSession()
    expect(error).toBeNull()
    expect(data.user).toMatchObject({ id, is_anonymous: true })
    expect(await claims(supabase)).toMatchObject({ sub: id, is_anonymous: true })
  })

  test('redeems no code, and does once they have an address', async () => {
    const { code, org } = await linkScene()
    const { supabase, id } = await signIn()
    const referrals = createReferralClient(supabase, { orgId: org })
    expect((await referrals.redeem(code)).error?.code).toBe('anonymous_user')

    const [email, password] = [anyEmail(), 'a password of twenty']
    const { data, error } = await supabase.auth.updateUser({ email, password })
    expect(error).toBeNull()
    expect(data.user).toMatchObject({ id, email, is_anonymous: false })
    expect(data.user?.identities).toMatchObject([{ provider: 'email', id }])
    await supabase.auth.refreshSession()
    expect(await claims(supabase)).toMatchObject({ sub: id, email, is_anonymous: false })
    expect((await referrals.redeem(code)).data).toMatchObject({ code })

    const again = await app().auth.signInWithPassword({ email, password })
    expect(again.data.user).toMatchObject({ id, is_anonymous: false })
  })

  test('becomes permanent in the row that the trigger of docs/sign-up.md waits for', async () => {
    const { id, supabase } = await signIn()
    await supabase.auth.updateUser({ data: { more: 1 } })
    const isAnonymous = async () =>
      (await sql`select is_anonymous from auth.users where id = ${id}`)[0]?.is_anonymous
    expect(await isAnonymous()).toBe(true)
    await supabase.auth.updateUser({ email: anyEmail() })
    expect(await isAnonymous()).toBe(false)
  })

  test('gets no password without an address, and no address that another user has', async () => {
    const { supabase, id } = await signIn()
    const password = 'a password of twenty'
    const alone = await supabase.auth.updateUser({ password })
    expect(alone.error).toMatchObject({ status: 422, code: 'validation_failed' })
    const email = anyEmail()
    await app().auth.signUp({ email, password })
    const taken = await supabase.auth.updateUser({ email, password })
    expect(taken.error).toMatchObject({ status: 422, code: 'email_exists' })
    expect((await admin.getUserById(id)).data.user).toMatchObject({ is_anonymous: true, email: '' })
  })

  test('is not made without an API key', async () => {
    const response = await fetch(`${SUPABASE_URL}/auth/v1/signup`, { method: 'POST', body: '{}' })
    expect(response.status).toBe(401)
  })
})

test('the token of any other user says that they are not anonymous', async () => {
  const supabase = app()
  await supabase.auth.signUp({ email: anyEmail(), password: 'a password of twenty' })
  expect(await claims(supabase)).toMatchObject({ is_anonymous: false })
})

describe('auth.admin', () => {
  const createUser = async (more: object = {}) => {
    const given = { email: anyEmail(), password: 'a password of twenty', email_confirm: true }
    const { data, error } = await admin.createUser({ ...given, ...more })
    expect(error).toBeNull()
    return { ...given, id: String(data.user?.id), user: data.user }
  }

  test('creates a user who can sign in, with metadata of both kinds', async () => {
    const metadata = { user_metadata: { name: 'Mia' }, app_metadata: { plan: 'pro' } }
    const { id, email, password, user } = await createUser(metadata)
    expect(user).toMatchObject({
      aud: 'authenticated',
      role: 'authenticated',
      email,
      phone: '',
      is_anonymous: false,
      user_metadata: { name: 'Mia' },
      app_metadata: { provider: 'email', providers: ['email'], plan: 'pro' },
      identities: [{ provider: 'email', id, user_id: id }],
    })
    expect(Date.parse(String(user?.created_at))).toBeGreaterThan(0)
    expect(Date.parse(String(user?.email_confirmed_at))).toBeGreaterThan(0)
    expect(user).not.toHaveProperty('last_sign_in_at')

    const supabase = app()
    expect((await supabase.auth.signInWithPassword({ email, password })).data.user?.id).toBe(id)
    expect(await claims(supabase)).toMatchObject({ app_metadata: { plan: 'pro' } })
  })

  test('creates a user without a password, and one who has yet to confirm', async () => {
    const { email, password } = await createUser({ email_confirm: false })
    const signedIn = await app().auth.signInWithPassword({ email, password })
    expect(signedIn.error?.code).toBe('email_not_confirmed')
    expect((await admin.createUser({ email: anyEmail() })).error).toBeNull()
  })

  test.for([
    ['email_exists', 422, async () => ({ email: (await createUser()).email })],
    ['weak_password', 422, () => ({ email: anyEmail(), password: 'x' })],
    ['validation_failed', 400, () => ({ email: 'no address' })],
    ['validation_failed', 400, () => ({})],
    ['validation_failed', 400, () => ({ email: anyEmail(), ban_duration: '1h' })],
  ] as const)('creates nobody and answers %s, %i', async ([code, status, given]) => {
    expect((await admin.createUser(await given())).error).toMatchObject({ code, status })
  })

  test('invites a person, who has neither confirmed nor signed in, once', async () => {
    const email = anyEmail()
    const { data, error } = await admin.inviteUserByEmail(email, { data: { name: 'Mia' } })
    expect(error).toBeNull()
    expect(data.user).toMatchObject({ email, user_metadata: { name: 'Mia' } })
    expect(Date.parse(String(data.user?.invited_at))).toBeGreaterThan(0)
    expect(data.user).not.toHaveProperty('email_confirmed_at')
    const again = await admin.inviteUserByEmail(email)
    expect(again.error).toMatchObject({ code: 'email_exists', status: 422 })
    const asPerson = await app().auth.admin.inviteUserByEmail(anyEmail())
    expect(asPerson.error).toMatchObject({ code: 'not_admin', status: 403 })
  })

  test('lists users by page, the newest first', async () => {
    const older = await anyId()
    const newer = await anyId()
    const { data, error } = await admin.listUsers({ page: 1, perPage: 2 })
    expect(error).toBeNull()
    expect(data.users).toHaveLength(2)
    expect(data).toMatchObject({ aud: 'authenticated', nextPage: 2 })
    const all = (await admin.listUsers({ perPage: 10_000 })).data
    const ids = all.users.map(({ id }) => id)
    expect(ids.indexOf(newer)).toBeLessThan(ids.indexOf(older))
    expect(all).toMatchObject({ total: ids.length, nextPage: null })
  })

  test('changes what is named and nothing else', async () => {
    const metadata = { user_metadata: { name: 'Mia', old: 1 }, app_metadata: { plan: 'pro' } }
    const { id, email: before, password } = await createUser(metadata)
    const email = anyEmail()
    const change = { email, password: 'another password', user_metadata: { old: null, new: 2 } }
    const { data, error } = await admin.updateUserById(id, change)
    expect(error).toBeNull()
    expect(data.user).toMatchObject({
      email,
      user_metadata: { name: 'Mia', new: 2 },
      app_metadata: { plan: 'pro' },
      identities: [{ identity_data: { email } }],
    })
    expect(data.user?.user_metadata).not.toHaveProperty('old')
    const old = await app().auth.signInWithPassword({ email: before, password })
    expect(old.error?.code).toBe('invalid_credentials')
    const now = await app().auth.signInWithPassword({ email, password: 'another password' })
    expect(now.data.user?.id).toBe(id)
    const taken = await admin.updateUserById(id, { email: (await createUser()).email })
    expect(taken.error?.code).toBe('email_exists')
  })

  test('finds and deletes a user of a seed, whose id has no version', async () => {
    const plain = `11111111-1111-1111-1111-${crypto.randomUUID().slice(-12)}`
    await sql`insert into auth.users (id, email) values (${plain}, ${anyEmail()})`
    expect((await admin.getUserById(plain)).error).toBeNull()
    expect((await admin.deleteUser(plain)).error).toBeNull()
  })

  test('deletes a user, who is then found no more', async () => {
    const { id, email, password } = await createUser()
    expect((await admin.deleteUser(id)).error).toBeNull()
    expect((await admin.getUserById(id)).error).toMatchObject({
      status: 404,
      code: 'user_not_found',
    })
    expect((await admin.deleteUser(id)).error?.code).toBe('user_not_found')
    expect((await app().auth.signInWithPassword({ email, password })).error?.code).toBe(
      'invalid_credentials',
    )
  })

  test.for([
    ['the publishable key', 403, 'not_admin', () => ({ apikey: SUPABASE_PUBLISHABLE_KEY })],
    ['no key', 401, 'no_authorization', () => ({})],
    ['another key', 401, 'no_authorization', () => ({ apikey: 'sb_secret_other' })],
    [
      'a user’s token beside the secret key',
      403,
      'not_admin',
      async () => {
        const { data } = await app().auth.signInAnonymously()
        return {
          apikey: SUPABASE_SECRET_KEY,
          authorization: `Bearer ${data.session?.access_token}`,
        }
      },
    ],
    [
      'a token that others signed',
      403,
      'bad_jwt',
      () => ({ apikey: SUPABASE_SECRET_KEY, authorization: 'Bearer a.b.c' }),
    ],
  ] as const)('refuses %s with %i %s', async ([, status, code, headers]) => {
    const id = await anyId()
    for (const [method, path] of [
      ['GET', '/users'],
      ['POST', '/users'],
      ['GET', `/users/${id}`],
      ['PUT', `/users/${id}`],
      ['DELETE', `/users/${id}`],
    ]) {
      const body = method === 'POST' || method === 'PUT' ? '{}' : null
      const sent = { 'content-type': 'application/json', ...(await headers()) } as HeadersInit
      const response = await fetch(`${SUPABASE_URL}/auth/v1/admin${path}`, {
        method: String(method),
        headers: sent,
        body,
      })
      expect([method, response.status, (await response.json()).error_code]).toEqual([
        method,
        status,
        code,
      ])
    }
    expect((await admin.getUserById(id)).error).toBeNull()
  })
})

test('Auth’s role calls the hook once docs/sign-up.md has been followed', async () => {
  const texts = blocksOf('docs/sign-up.md').map(({ text }) => text)
  const grants = texts.find((text) => text.includes('to supabase_auth_admin')) ?? ''
  const asked = sql.begin(async (tx) => {
    await tx`set local role postgres`
    await tx.unsafe(grants)
    await tx`reset role`
    await tx`set local role supabase_auth_admin`
    const [row] = await tx`select referral_private.require_code_at_sign_up('{"user": {}}') as said`
    expect(row?.said.error.http_code).toBe(403)
    throw new Error('undone')
  })
  await expect(asked).rejects.toThrow('undone')
  const without = sql.begin(async (tx) => {
    await tx`set local role supabase_auth_admin`
    await tx`select referral_private.require_code_at_sign_up('{}')`
  })
  await expect(without).rejects.toMatchObject({ code: '42501' })
})
