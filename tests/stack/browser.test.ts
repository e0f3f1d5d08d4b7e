/** A page of another origin talks to the local stack, as to a hosted project. */
import { describe, expect, inject, test } from 'vitest'

const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY: apikey } = inject('stack')
const origin = 'http://localhost:5173'

describe('a preflight', () => {
  test.for([
    ['/rest/v1/rpc/resolve_code', 'GET'],
    ['/rest/v1/rpc/redeem_code', 'POST'],
    ['/rest/v1/nothing', 'PATCH'],
    ['/auth/v1/signup', 'POST'],
    ['/auth/v1/user', 'PUT'],
  ] as const)(
    'to %s with %s is allowed, with the headers that it asks for',
    async ([path, method]) => {
      const headers = 'apikey,authorization,content-profile,x-client-info,x-own'
      const response = await fetch(SUPABASE_URL + path, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': method,
          'access-control-request-headers': headers,
        },
      })
      expect(response.status).toBe(204)
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
      expect(response.headers.get('access-control-allow-headers')).toBe(headers)
      expect(response.headers.get('access-control-allow-methods')).toContain(method)
    },
  )
})

describe('a page reads', () => {
  test.for([
    ['a result', '/rest/v1/rpc/resolve_code?code=none', 200],
    ['that a call fits no function', '/rest/v1/rpc/redeem_code', 404],
    [
      'a refusal of the database',
      '/rest/v1/rpc/get_active_code?org_id=00000000-0000-0000-0000-000000000000',
      401,
    ],
    ['a table that is not there', '/rest/v1/nothing', 404],
    ['what Auth answers', '/auth/v1/user', 401],
    ['that there is nothing', '/nowhere', 404],
    ['that there is no such function', '/functions/v1/nothing', 404],
  ] as const)('%s', async ([, path, status]) => {
    const headers = { origin, apikey, 'accept-profile': 'referral' }
    const response = await fetch(SUPABASE_URL + path, { headers })
    expect(response.status).toBe(status)
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
  })

  test('that a body is too large', async () => {
    const response = await fetch(`${SUPABASE_URL}/rest/v1/rpc/redeem_code`, {
      method: 'POST',
      headers: {
        origin,
        apikey,
        'content-profile': 'referral',
        'content-type': 'application/json',
      },
      body: `{"code": "${'A'.repeat(2 * 1024 * 1024)}"}`,
    })
    expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([
      413,
      '*',
    ])
    // The rest of the body cannot be taken for another request.
    expect(response.headers.get('connection')).toBe('close')
  })
})
