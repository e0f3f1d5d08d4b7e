import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  destinations,
  fallbackUrl,
  leadsTo,
  linkHandler,
  linkScene,
  throughProxy,
} from '../support/link.ts'
import { startRelay } from '../support/relay.ts'

const { code, operator, org } = await linkScene()
const relay = await startRelay()
const page = `${destinations.web_destination}&ref=${code}`
let now = 0
const seconds = (n: number) => {
  now += n * 1000
}
const linkOnRelay = () => {
  const { ask } = linkHandler({ url: relay.url, now: () => now })
  return {
    ask,
    tap: (text = code) => leadsTo(ask(`/link/${text}`, {}, { method: 'HEAD' })),
  }
}
const newCode = async () => {
  const { data } = await operator.rpc('create_campaign_code', { org_id: org }).throwOnError()
  return data
}

beforeEach(() => {
  Object.assign(relay, { mode: 'pass', requests: [] })
  vi.spyOn(console, 'error').mockImplementation(() => {})
})
afterEach(() => vi.restoreAllMocks())

describe('an answer', () => {
  test('is remembered for a minute, in any plain spelling', async () => {
    const { tap } = linkOnRelay()
    for (const text of [code, code.toLowerCase(), code.replaceAll('-', '%20')])
      expect(await tap(text)).toBe(page)
    expect(relay.requests).toEqual(['resolve_code'])
    seconds(60)
    await tap()
    expect(relay.requests).toHaveLength(2)
  })

  test('that there is none is remembered for ten seconds', async () => {
    const { tap } = linkOnRelay()
    await tap('UNKNOWN-1')
    seconds(9)
    await tap('UNKNOWN-1')
    expect(relay.requests).toHaveLength(1)
    seconds(1)
    await tap('UNKNOWN-1')
    expect(relay.requests).toHaveLength(2)
  })

  test('is one for all who ask at once', async () => {
    const { tap } = linkOnRelay()
    expect(await Promise.all(Array.from({ length: 50 }, () => tap()))).toEqual(Array(50).fill(page))
    expect(relay.requests).toHaveLength(1)
  })

  test('changes within a minute of the code', async () => {
    const { tap } = linkOnRelay()
    const { code, id } = await newCode()
    await tap(code)
    await operator.rpc('suspend_code', { code_id: id }).throwOnError()
    seconds(60)
    expect(await tap(code)).toBe(fallbackUrl)
  })

  test('for text that is too long is not the answer for the code in it', async () => {
    const { tap } = linkOnRelay()
    expect(await tap(`${code}${'-'.repeat(200)}`)).toBe(fallbackUrl)
    expect(await tap()).toBe(page)
  })
})

describe('with the database away', () => {
  test('a code that was asked for before leads on, for longer than a minute', async () => {
    const { tap } = linkOnRelay()
    await tap()
    relay.mode = 'cut'
    seconds(3600)
    expect(await tap()).toBe(page)
  })

  test('the database is asked again every ten seconds, and believed when it is back', async () => {
    const { tap } = linkOnRelay()
    const { code, id } = await newCode()
    await tap(code)
    await operator.rpc('suspend_code', { code_id: id }).throwOnError()
    relay.mode = 'cut'
    seconds(60)
    const asked = relay.requests.length
    for (let n = 0; n < 5; n++) await tap(code)
    expect(relay.requests.length).toBe(asked + 1)
    relay.mode = 'pass'
    seconds(10)
    expect(await tap(code)).toBe(fallbackUrl)
  })

  test('other codes lead to the fallback URL, and find their way again at once', async () => {
    const { tap } = linkOnRelay()
    relay.mode = 'cut'
    expect(await tap()).toBe(fallbackUrl)
    relay.mode = 'pass'
    expect(await tap()).toBe(page)
  })

  test.for(['context', 'qr.svg'])('%s is unavailable', async (part) => {
    const { ask } = linkOnRelay()
    relay.mode = 'cut'
    const response = await ask(`/link/${code}/${part}`)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('10')
    expect(await response.json()).toMatchObject({ code: 'unavailable' })
  })

  test('a database that hangs is given up, and nothing personal is logged', async () => {
    const { ask, tap } = linkOnRelay()
    relay.mode = 'hang'
    const headers = { 'cf-connecting-ip': '10.9.8.7', 'user-agent': 'Firefox/127.0' }
    expect(await leadsTo(ask(`/link/${code}`, headers))).toBe(fallbackUrl)
    const logged = vi.mocked(console.error).mock.calls.flat().join('\n')
    expect(logged).toMatch(/^a look-up failed: /)
    expect(logged).not.toMatch(new RegExp(`10\\.9|Firefox|${code}`))
    expect(await tap('OTHER-CODE')).toBe(fallbackUrl)
  })

  test('a link host’s database that hangs is asked once for the code and once for the host', async () => {
    const { ask } = linkOnRelay()
    relay.mode = 'hang'
    expect(await leadsTo(ask(`/link/${code}`, throughProxy('go.example.org')))).toBe(fallbackUrl)
    expect(relay.requests.sort()).toEqual(['link_site', 'resolve_code'])
  })

  test('a code of the host’s own that was asked for before waits for nothing', async () => {
    const host = `go-${crypto.randomUUID()}.example.org`
    const own = await linkScene({ link_origin: `https://${host}` })
    const { ask, tap } = linkOnRelay()
    await tap(own.code)
    relay.mode = 'hang'
    const location = await leadsTo(ask(`/link/${own.code}`, throughProxy(host), { method: 'HEAD' }))
    expect(location).toBe(`${destinations.web_destination}&ref=${own.code}`)
    expect(console.error).not.toHaveBeenCalled()
    await expect.poll(() => relay.requests).toContain('link_site')
  })

  test('100 look-ups wait at once at most; more lead to the fallback URL without waiting', async () => {
    const { tap } = linkOnRelay()
    relay.mode = 'hang'
    const waiting = Array.from({ length: 100 }, (_, n) => tap(`WAITING-${n}`))
    expect(await tap('ONE-MORE')).toBe(fallbackUrl)
    await expect.poll(() => relay.requests.length).toBe(100)
    await Promise.all(waiting)
    expect(relay.requests).toHaveLength(100)
  })
})
