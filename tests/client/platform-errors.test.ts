/** Errors that are not ours: what the platform answers, what it means, and the sentence that mends it. */
import { createClient } from '@supabase/supabase-js'
import { describe, expect, inject, test } from 'vitest'
import { createReferralClient } from '../../client/index.ts'
import type { AnySupabaseClient } from '../../client/schema.ts'
import { anonymousOverHttp, operatorOverHttp, personOverHttp } from '../support/http.ts'

const stack = inject('stack')
const url = stack.SUPABASE_URL
const publishable = stack.SUPABASE_PUBLISHABLE_KEY

const clientOf = (supabase: AnySupabaseClient) =>
  createReferralClient(supabase, { orgId: crypto.randomUUID() })

/** The client of an app whose requests go through `fetch`. */
const appWith = (fetch: typeof globalThis.fetch, key = publishable) =>
  clientOf(createClient(url, key, { global: { fetch } }))

/** What `redeem` returns where the platform answers with this. */
const answered = async (status: number, body: unknown) => {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const fetch = async () => new Response(status === 204 ? null : text, { status })
  return (await appWith(fetch).redeem('7KQ2-M9XT')).error
}

const page = `<!DOCTYPE html><html>${'x'.repeat(5000)}</html>`

describe('what may pass is retryable, and what the set-up lacks is not', () => {
  test.for([
    ['busy', 503, { code: 'PGRST000', message: 'Database connection error.' }],
    ['busy', 503, { code: 'PGRST001', message: 'Database client error. Retrying the connection.' }],
    ['busy', 503, { code: 'PGRST002', message: 'Could not query the database' }],
    ['busy', 504, { code: 'PGRST003', message: 'Timed out acquiring connection' }],
    ['busy', 503, { code: '53300', message: 'sorry, too many clients already' }],
    ['busy', 500, { code: '53400', message: 'configuration limit exceeded' }],
    ['busy', 503, { code: '57P01', message: 'terminating connection' }],
    ['busy', 500, { code: '57P03', message: 'the database system is starting up' }],
    ['busy', 500, { code: '57014', message: 'canceling statement due to statement timeout' }],
    ['busy', 500, { code: '40001', message: 'could not serialize access' }],
    ['busy', 503, { code: '08006', message: 'connection failure' }],
    ['busy', 405, { code: '25006', message: 'cannot execute INSERT in a read-only transaction' }],
    ['busy', 500, { code: 'XX000', message: 'internal error' }],
    ['busy', 502, page],
    ['busy', 503, { message: 'name resolution failed' }],
    ['busy', 520, page],
    ['busy', 522, ''],
    ['busy', 544, { message: 'timeout' }],
    ['rate_limited', 429, { message: 'API rate limit exceeded' }],
    ['misconfigured', 401, { message: 'Invalid API key', hint: 'Double check' }],
    ['misconfigured', 401, { message: 'No API key found in request' }],
    ['misconfigured', 401, { message: 'Unregistered API key', code: 401 }],
    ['misconfigured', 401, { message: 'Forbidden use of secret API key in browser' }],
    ['misconfigured', 401, ''],
    ['misconfigured', 403, { message: 'Invalid authentication credentials' }],
    ['misconfigured', 402, { message: 'exceed_egress_quota' }],
    ['misconfigured', 540, { message: 'Project paused' }],
    ['misconfigured', 404, { message: 'no Route matched with those values' }],
    ['misconfigured', 404, page],
    ['misconfigured', 404, ''],
    ['misconfigured', 200, page],
    ['misconfigured', 404, { code: 'not_found', message: 'Nothing is here.' }],
    ['busy', 503, { code: 'starting', message: 'The local stack is starting.' }],
    ['busy', 502, { code: 'bad_gateway', message: 'The service did not answer.' }],
    ['invalid_argument', 413, { code: 'body_too_large', message: 'Over 2 MiB.' }],
    ['misconfigured', 406, { code: 'PGRST106', message: 'Invalid schema: referral' }],
    ['misconfigured', 404, { code: 'PGRST202', message: 'Could not find the function' }],
    ['misconfigured', 404, { code: 'PGRST205', message: 'Could not find the table' }],
    ['misconfigured', 404, { code: 'PGRST125', message: 'Invalid path specified in request URL' }],
    ['misconfigured', 403, { code: '42501', message: 'permission denied for function x' }],
    ['not_signed_in', 401, { code: '42501', message: 'permission denied for function x' }],
    ['not_signed_in', 401, { code: 'PGRST301', message: 'No suitable key or wrong key type' }],
    ['not_signed_in', 401, { code: 'PGRST302', message: 'Anonymous access is disabled' }],
    ['not_signed_in', 401, { code: 'PGRST303', message: 'JWT expired' }],
    ['invalid_argument', 416, { code: 'PGRST103', message: 'Requested range not satisfiable' }],
    ['invalid_argument', 413, page],
    ['unexpected', 409, { code: '23505', message: 'duplicate key value' }],
    ['unexpected', 418, ''],
    ['unexpected', 400, []],
  ] as const)('%s: %i %o', async ([code, status, body]) => {
    const error = await answered(status, body)
    expect(error?.code).toBe(code)
    expect(error?.retryable).toBe(code === 'busy' || code === 'rate_limited')
    expect(error?.final).toBe(false)
    expect(error?.message).toMatch(/^[A-Z].*\.$|createClient\.$/)
    expect(error?.details?.length ?? 0).toBeLessThanOrEqual(300)
    if (typeof body === 'object' && 'message' in body)
      expect(error?.details).toContain(body.message)
  })

  test('an error of ours keeps its message and details, whatever the status', async () => {
    const told = { code: 'busy', message: 'The database is busy. Try again.', details: 'x' }
    const error = { ...told, retryable: true, final: false }
    expect(await answered(503, { ...told, hint: null })).toEqual(error)
  })

  test('an error of a newer database is passed on, and one of a proxy is not', async () => {
    const body = { code: 'code_too_new', message: 'Unknown here.', details: null }
    expect(await answered(409, { ...body, hint: null })).toMatchObject({ code: 'code_too_new' })
    expect((await answered(409, body))?.code).toBe('unexpected')
  })

  test('no response is unreachable, and names the cause', async () => {
    const nowhere = createClient('http://127.0.0.1:9', publishable)
    const { error } = await clientOf(nowhere).redeem('7KQ2-M9XT')
    expect(error).toMatchObject({ code: 'unreachable', retryable: true, final: false })
    expect(error?.details).toMatch(/fetch failed.*Caused by: /)
    expect(error?.details).not.toContain(' at ')
  })
})

/** Sends the requests to the stack, changed. */
const changed =
  (change: (address: string, headers: Headers) => string): typeof fetch =>
  (input, init) => {
    const headers = new Headers(init?.headers)
    return fetch(change(String(input), headers), { ...init, headers })
  }

describe('the stack itself', () => {
  test('refuses a wrong key, or none', async () => {
    for (const key of ['sb_publishable_wrong', 'sb_secret_wrong', 'eyJ.old.key']) {
      const { error } = await clientOf(createClient(url, key)).resolve('ABC')
      expect(error).toMatchObject({ code: 'misconfigured', retryable: false })
      expect(error?.message).toContain('API key')
    }
  })

  test('has no schema that is not exposed', async () => {
    const fetch = changed((address, headers) => {
      headers.set('content-profile', 'referral_private')
      return address
    })
    const { error } = await appWith(fetch).resolve('ABC')
    expect(error).toMatchObject({ code: 'misconfigured', retryable: false })
    expect(error?.message).toContain('exposed schemas')
    expect(error?.details).toContain('PGRST106')
  })

  test('has no function of migrations that are missing', async () => {
    const fetch = changed((address) => address.replace('resolve_code', 'no_such_function'))
    const { error } = await appWith(fetch).resolve('ABC')
    expect(error).toMatchObject({ code: 'misconfigured' })
    expect(error?.message).toContain('npx supabase db push')
    expect(error?.details).toContain('no_such_function')
  })

  test('is not at another address', async () => {
    const elsewhere = createClient(`${url}/nowhere`, publishable)
    const { error } = await clientOf(elsewhere).resolve('ABC')
    expect(error).toMatchObject({ code: 'misconfigured' })
    expect(error?.message).toContain('https://<project>.supabase.co')
  })

  test('asks for a sign-in where there is none, or none that counts', async () => {
    const forged = await personOverHttp(undefined, { secret: 'x'.repeat(40) })
    const expired = await personOverHttp(undefined, { claims: { exp: 1 } })
    for (const supabase of [anonymousOverHttp(), forged.supabase, expired.supabase]) {
      const { error } = await clientOf(supabase).redeem('ABC')
      expect(error).toMatchObject({ code: 'not_signed_in', retryable: false, final: false })
    }
  })

  test('says that the secret key is for no app', async () => {
    const secret = clientOf(operatorOverHttp())
    const calls = [
      () => secret.redeem('ABC'),
      () => secret.redeemSignUpCode(),
      () => secret.hasRedeemed('ABC'),
      () => secret.getOrCreateCode(),
      () => secret.myReferrals(),
      () => secret.myRedemption(),
      () => secret.setMyName({ name: 'Olivia' }),
    ]
    for (const call of calls) {
      const { error } = await call()
      expect(error).toMatchObject({ code: 'misconfigured', retryable: false })
      expect(error?.message).toContain('In an app, use the publishable key')
    }
    const { error } = await secret.myEarnings()
    expect(error?.details).toMatch(/^earner_id: required with the secret key/)
  })
})
