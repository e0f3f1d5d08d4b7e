/** What holds of everything that stands in front of the function referbase-link, whatever it is made of. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startUpstream } from './upstream.ts'

type Upstream = Awaited<ReturnType<typeof startUpstream>>

/** A visit of `https://go.example.org` from `203.0.113.7`, or from the address that the front sees for itself. */
export type Visit = (path: string, init?: RequestInit) => Promise<Response>

type Front = { visit: Visit; visitor: string; stop?: () => Promise<void> }

export const secret = 'the-secret-of-the-proxy'
export const fallbackUrl = 'https://example.com/'

const forged = {
  cookie: 'session=1',
  authorization: 'Bearer 1',
  forwarded: 'for=198.51.100.1',
  'x-forwarded-for': '198.51.100.1',
  'x-forwarded-host': 'evil.example',
  'x-real-ip': '198.51.100.1',
  'true-client-ip': '198.51.100.1',
  'cf-connecting-ip': '198.51.100.1',
  'x-referral-proxy': 'guessed',
  'x-referral-visitor': '198.51.100.1',
  'x-referral-host': 'evil.example',
}

/** Runs every fact against a front; `own` is the header that its platform sets itself, which nobody can forge. */
export function describeFront(
  name: string,
  start: (upstream: Upstream) => Promise<Front>,
  { own = '' } = {},
): void {
  describe(name, () => {
    let upstream: Upstream
    let front: Front
    beforeAll(async () => {
      upstream = await startUpstream()
      front = await start(upstream)
    })
    afterEach(() => upstream.answerWith())
    afterAll(async () => {
      await front.stop?.()
      await upstream.stop()
    })
    const visit: Visit = (path, init) => front.visit(path, init)

    test.for([
      '/link/7KQ2-M9XT',
      '/link/7KQ2%20M9XT/?via=qr&utm_source=a%26b',
      '/link/a/qr.png?size=300',
    ])('asks the function for %s as it stands, and answers what it answers', async (path) => {
      const answer = await visit(path)
      expect(upstream.last()?.url).toBe(path.replace('/link', '/functions/v1/referbase-link'))
      expect(answer.status).toBe(302)
      expect(answer.headers.get('location')).toBe('https://example.org/welcome?ref=7KQ2-M9XT&x=%2F')
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(answer.headers.get('referrer-policy')).toBe('no-referrer')
    })

    test('says who is in front, for which host and for whom', async () => {
      await visit('/link/ABC')
      expect(upstream.last()?.headers).toMatchObject({
        'x-referral-proxy': secret,
        'x-referral-host': 'go.example.org',
        'x-referral-visitor': front.visitor,
      })
    })

    test('passes on nothing that a visitor says of themselves, of hosts or of proxies', async () => {
      const headers = Object.entries(forged).filter(([header]) => header !== own)
      await visit('/link/ABC', { headers })
      expect(upstream.last()?.headers).toMatchObject({
        'x-referral-proxy': secret,
        'x-referral-host': 'go.example.org',
        'x-referral-visitor': front.visitor,
      })
      const reached = JSON.stringify(upstream.last()?.headers)
      expect(reached).not.toMatch(/198\.51\.100\.1|evil\.example|guessed|session=1|Bearer/)
      expect(upstream.last()?.headers).not.toHaveProperty('x-forwarded-for')
    })

    test('passes on what tells devices and previews apart', async () => {
      const headers = {
        'user-agent': 'Mozilla/5.0 (iPhone)',
        'sec-ch-ua-platform': '"Android"',
        'sec-purpose': 'prefetch;prerender',
        purpose: 'prefetch',
        'x-purpose': 'preview',
        'x-moz': 'prefetch',
      }
      await visit('/link/ABC', { headers })
      expect(upstream.last()?.headers).toMatchObject(headers)
    })

    test('asks by HEAD where it is asked by HEAD', async () => {
      const answer = await visit('/link/ABC', { method: 'HEAD' })
      expect(upstream.last()?.method).toBe('HEAD')
      expect([answer.status, await answer.text()]).toEqual([302, ''])
    })

    test('brings no cookie of the platform’s to the visitor', async () => {
      expect((await visit('/link/ABC')).headers.get('set-cookie')).toBeNull()
    })

    test('sends no body on, and leaves methods to the function', async () => {
      upstream.answerWith({ status: 405, headers: { allow: 'GET, HEAD' } })
      const answer = await visit('/link/ABC', { method: 'POST', body: 'a=b' })
      expect(upstream.last()).toMatchObject({ method: 'POST', body: '' })
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    })

    test('answers content as it is', async () => {
      const headers = { 'content-type': 'application/json', 'access-control-allow-origin': '*' }
      upstream.answerWith({ status: 200, headers, body: '{"code":"7KQ2-M9XT"}' })
      const answer = await visit('/link/7KQ2-M9XT/context')
      expect(await answer.json()).toEqual({ code: '7KQ2-M9XT' })
      expect(Object.fromEntries(answer.headers)).toMatchObject(headers)
    })

    test.for([500, 502, 503, 504])(
      'leads to the fallback URL when the functions answer %i',
      async (status) => {
        upstream.answerWith({ status })
        const answer = await visit('/link/ABC')
        expect([answer.status, answer.headers.get('location')]).toEqual([302, fallbackUrl])
      },
    )

    test.for(['apple-app-site-association', 'assetlinks.json'])(
      'has %s where phones look for it',
      async (file) => {
        upstream.answerWith({
          status: 200,
          headers: { 'content-type': 'application/json' },
          body: '[]',
        })
        const answer = await visit(`/.well-known/${file}`)
        expect(upstream.last()?.url).toBe(`/functions/v1/referbase-link/.well-known/${file}`)
        expect(upstream.last()?.headers['x-referral-host']).toBe('go.example.org')
        expect([answer.status, answer.headers.get('content-type')]).toEqual([
          200,
          'application/json',
        ])
      },
    )

    test('does not take a failure for an association file', async () => {
      upstream.answerWith({ status: 503 })
      expect((await visit('/.well-known/assetlinks.json')).status).toBe(503)
    })

    test.for([
      '/',
      '/other',
      '/linkage/ABC',
      '/functions/v1/referbase-stripe-webhook',
      '/referbase-link/ABC',
      '/link/../rest/v1/',
      '/link/%2e%2e/rest/v1/',
    ])('asks the function nothing for %s', async (path) => {
      const before = upstream.count()
      const answer = await visit(path)
      expect([answer.status, answer.headers.get('location')]).toEqual([302, fallbackUrl])
      expect(upstream.count()).toBe(before)
    })
  })
}
