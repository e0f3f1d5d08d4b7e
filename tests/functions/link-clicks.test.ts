import { describe, expect, inject, test } from 'vitest'
import { personOverHttp, stackDatabase } from '../support/http.ts'
import {
  anyAddress,
  destinations,
  leadsTo,
  linkHandler,
  linkScene,
  throughProxy,
} from '../support/link.ts'
import { startRelay } from '../support/relay.ts'

const sql = stackDatabase()
const { code } = await linkScene()
const desktop = 'Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0'
const visitor = (address = anyAddress()) => ({
  'user-agent': desktop,
  'cf-connecting-ip': address,
})
const clickIn = (location: string | null) => new URL(location ?? '').searchParams.get('click')
const stored = (click: string | null) =>
  sql`select counted, platform, channel, utm from referral_private.clicks where click_id = ${click}`

describe('a click', () => {
  test('is stored under the id that the address carries, with channel and campaign', async () => {
    const { ask, settled } = linkHandler()
    const location = await leadsTo(ask(`/link/${code}?via=qr&utm_source=fair`, visitor()))
    await settled()
    const [click] = await stored(clickIn(location))
    expect(location).toMatch(/&ref=[^&]+&click=[0-9a-f-]{36}&utm_source=fair$/)
    expect(click).toMatchObject({
      counted: true,
      platform: 'web',
      channel: 'qr',
      utm: { utm_source: 'fair' },
    })
  })

  test.for(['sms.', 'sms)', 'sms,%20', 'sms%E2%80%9D', 'sms%E2%80%8B'])(
    'has its channel where the link in a message took punctuation along: via=%s',
    async (via) => {
      const { ask, settled } = linkHandler()
      const location = await leadsTo(ask(`/link/${code}?via=${via}`, visitor()))
      await settled()
      expect((await stored(clickIn(location)))[0]).toMatchObject({ channel: 'sms' })
    },
  )

  test('of the same visitor on the same day is stored, and does not count', async () => {
    const { ask, settled } = linkHandler()
    const headers = visitor()
    const first = await leadsTo(ask(`/link/${code}`, headers))
    await settled()
    const second = await leadsTo(ask(`/link/${code}`, headers))
    await settled()
    expect((await stored(clickIn(first)))[0]).toMatchObject({ counted: true })
    expect((await stored(clickIn(second)))[0]).toMatchObject({ counted: false })
  })

  test('keeps neither address nor user agent', async () => {
    const { ask, settled } = linkHandler()
    const location = await leadsTo(ask(`/link/${code}`, visitor('10.9.8.7')))
    await settled()
    const row = JSON.stringify(await stored(clickIn(location)))
    expect(row).toContain('counted')
    expect(row).not.toMatch(/10\.9\.8|Firefox/)
  })

  test('backs a redemption from an install referrer', async () => {
    const { ask, settled } = linkHandler()
    const pixel = {
      ...visitor(),
      'user-agent': 'Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/125',
    }
    const store = new URL((await leadsTo(ask(`/link/${code}?via=share`, pixel))) ?? '')
    await settled()
    const referrer = new URLSearchParams(store.searchParams.get('referrer') ?? '')
    const friend = await personOverHttp()
    const { data } = await friend.supabase
      .rpc('redeem_code', {
        code: referrer.get('ref') ?? '',
        click_id: referrer.get('click') ?? '',
        provenance: 'install_referrer',
      })
      .single()
      .throwOnError()
    expect(data).toMatchObject({ status: 'pending' })
  })

  test('comes through the gateway’s deployed function as well', async () => {
    const { FUNCTIONS_URL } = inject('stack')
    const headers = { ...throughProxy(), 'user-agent': desktop }
    const response = await fetch(`${FUNCTIONS_URL}/referbase-link/${code}`, {
      headers,
      redirect: 'manual',
    })
    const click = clickIn(response.headers.get('location'))
    await expect.poll(() => stored(click)).toHaveLength(1)
  })
})

describe('no click', () => {
  const nobody: [string, Record<string, string>, RequestInit?][] = [
    ['HEAD', {}, { method: 'HEAD' }],
    ['a prefetch', { 'sec-purpose': 'prefetch' }],
    ['a prerendering', { 'sec-purpose': 'prefetch;prerender' }],
    ['an older browser’s prefetch', { purpose: 'prefetch' }],
    ['Firefox’ prefetch', { 'x-moz': 'prefetch' }],
    ['Safari’s preview', { 'x-purpose': 'preview' }],
    ['a crawler', { 'user-agent': 'Googlebot/2.1 (+http://www.google.com/bot.html)' }],
    ['something without a name', { 'user-agent': '' }],
  ]
  test.for(nobody)('is %s: it is led on without a click id', async ([, headers, init]) => {
    const { code, codeId } = await linkScene()
    const { ask, settled } = linkHandler()
    const location = await leadsTo(ask(`/link/${code}`, { ...visitor(), ...headers }, init))
    await settled()
    expect(location).toBe(`${destinations.web_destination}&ref=${code}`)
    expect(await sql`select from referral_private.clicks where code_id = ${codeId}`).toEqual([])
  })

  test('is what comes from one network beyond 120 in a minute, until the next', async () => {
    let now = 0
    const { ask, settled } = linkHandler({ now: () => now })
    const tap = async (host: number) => {
      const click = clickIn(await leadsTo(ask(`/link/${code}`, visitor(`2001:db8:1:2::${host}`))))
      await settled()
      return click
    }
    for (let n = 1; n <= 120; n++) expect(await tap(n)).not.toBeNull()
    expect(await tap(121)).toBeNull()
    now = 60_000
    expect(await tap(122)).not.toBeNull()
  })
})

test('a database that is away is asked for 50 recordings at once at most', async () => {
  const relay = await startRelay()
  const { ask } = linkHandler({ url: relay.url })
  await ask(`/link/${code}`, visitor(), { method: 'HEAD' })
  relay.mode = 'hang'
  const locations = []
  for (let n = 0; n < 80; n++) locations.push(await leadsTo(ask(`/link/${code}`, visitor())))
  expect(locations.map(clickIn).filter(Boolean)).toHaveLength(50)
})
