/** Bad input to the Data API: a typed error with the right status, never a 500, never a trace, never half a write. */
import { describe, expect, inject, test } from 'vitest'
import {
  anonymousOverHttp,
  operatorOverHttp,
  personOverHttp,
  sceneOverHttp,
  stackDatabase,
} from '../support/http.ts'

const stack = inject('stack')
const sql = stackDatabase()
const { org, admin, mentor, friend } = await sceneOverHttp()

const hostile = [
  '🎉',
  'A'.repeat(10_000),
  "'; drop table referral.codes; --",
  '{"code": "ABC"}',
  '\u202e\u200b',
  '%00',
  '../../etc/passwd',
  '',
]

describe('a code', () => {
  test.for(hostile)(
    'that is %.30j is refused by redeem_code and create_code with 400 invalid_code, and found nowhere',
    async (code) => {
      const redeemed = await friend.supabase.rpc('redeem_code', { code })
      expect([redeemed.status, redeemed.error?.code]).toEqual([400, 'invalid_code'])
      const created = await admin.supabase.rpc('create_code', { org_id: org, code })
      expect([created.status, created.error?.code]).toEqual([400, 'invalid_code'])
      expect(await friend.supabase.rpc('find_code', { code })).toMatchObject({
        status: 200,
        data: [],
      })
      expect(await anonymousOverHttp().rpc('resolve_code', { code })).toMatchObject({
        status: 200,
        data: [],
      })
    },
  )

  test('with U+0000 is refused with 400', async () => {
    const { status, error } = await friend.supabase.rpc('redeem_code', { code: 'A\0B' })
    expect(status).toBe(400)
    expect(error?.code).toMatch(/^22/)
  })
})

describe('an id', () => {
  test('that is no UUID is refused with 400 and 22P02', async () => {
    const { status, error } = await mentor.supabase.rpc('create_code', { org_id: "x' or true" })
    expect([status, error?.code]).toEqual([400, '22P02'])
  })

  test('of an unknown organisation is refused: 403 to people, 404 to the operator', async () => {
    const unknown = { org_id: crypto.randomUUID(), user_id: friend.id }
    const byPerson = await admin.supabase.rpc('add_member', unknown)
    expect([byPerson.status, byPerson.error?.code]).toEqual([403, 'not_a_member'])
    const byOperator = await operatorOverHttp().rpc('add_member', unknown)
    expect([byOperator.status, byOperator.error?.code]).toEqual([404, 'organisation_not_found'])
  })
})

describe('a request', () => {
  const call = (init: RequestInit, rpc = 'redeem_code') =>
    fetch(`${stack.SUPABASE_URL}/rest/v1/rpc/${rpc}`, {
      method: 'POST',
      ...init,
      headers: {
        apikey: stack.SUPABASE_PUBLISHABLE_KEY,
        'content-type': 'application/json',
        'content-profile': 'referral',
        ...init.headers,
      },
    })

  test('with malformed JSON is refused with 400 and no trace', async () => {
    const response = await call({ body: '{"code":' })
    expect(response.status).toBe(400)
    expect(await response.text()).not.toMatch(/\bat .*\.(js|ts)/)
  })

  test('without a sign-in is refused with 401', async () => {
    expect((await call({ body: '{"code":"ABC"}' })).status).toBe(401)
  })

  test.for([
    ['that has expired', { claims: { exp: 1 } }],
    ['of another signer', { secret: 'not-the-secret-of-this-project' }],
  ] as const)('with a token %s is not taken as that person', async ([, token]) => {
    const forged = await personOverHttp(mentor.id, token)
    const { status, data } = await forged.supabase.rpc('my_referrals', { org_id: org })
    expect([status, data]).toEqual([401, null])
  })

  test('with an unknown argument or to an unknown function is refused with 404', async () => {
    expect((await call({ body: '{"codes":"ABC"}' }, 'resolve_code')).status).toBe(404)
    expect((await call({ body: '{}' }, 'no_such_function')).status).toBe(404)
  })

  test('to the private schema is refused', async () => {
    const headers = { 'content-profile': 'referral_private' }
    const response = await call({ body: '{"p_code":"ABC"}', headers }, 'resolve_code')
    expect([response.status, (await response.json()).code]).toEqual([406, 'PGRST106'])
  })

  test('with the publishable key cannot do what the operator does', async () => {
    const { status, error } = await anonymousOverHttp().rpc('ingest_stripe_event', { event: {} })
    expect([status, error?.code]).toEqual([401, '42501'])
    const { status: forPerson } = await mentor.supabase.rpc('create_organisation', {
      name: 'X',
      slug: 'x',
      admin_id: mentor.id,
    })
    expect(forPerson).toBe(403)
  })

  test('to write a table is refused to everybody, the secret key included', async () => {
    for (const supabase of [admin.supabase, operatorOverHttp()]) {
      const { status } = await supabase.from('members').delete().eq('org_id', org)
      expect(status).toBe(403)
    }
    expect(await sql`select from referral.members where org_id = ${org}`).toHaveLength(2)
  })
})
