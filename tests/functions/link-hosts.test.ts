import { describe, expect, inject, test } from 'vitest'
import {
  anyAddress,
  destinations,
  fallbackUrl,
  leadsTo,
  linkHandler,
  linkScene,
  throughProxy,
} from '../support/link.ts'

const host = () => `go-${crypto.randomUUID()}.example.org`
const [oneHost, otherHost, nobodysHost] = [host(), host(), host()]
const one = await linkScene({
  link_origin: `https://${oneHost}`,
  ios_app_ids: ['ABCDE12345.org.example.app'],
  android_fingerprints: [Array(32).fill('AB').join(':')],
})
const other = await linkScene({
  link_origin: `https://${otherHost}`,
  web_destination: 'https://other.example.org/',
  android_package: null,
})
const shared = await linkScene()
const { ask } = linkHandler()
const to = (code: string, headers: Record<string, string> = {}) =>
  leadsTo(ask(`/link/${code}`, headers, { method: 'HEAD' }))

describe('a link host', () => {
  test('of an organisation finds that organisation’s codes only', async () => {
    const ours = `${destinations.web_destination}&ref=${one.code}`
    expect(await to(one.code, throughProxy(oneHost))).toBe(ours)
    expect(await to(other.code, throughProxy(oneHost))).toBe(destinations.web_destination)
    expect(await to(shared.code, throughProxy(oneHost))).toBe(destinations.web_destination)
    expect(await to('UNKNOWN', throughProxy(otherHost))).toBe('https://other.example.org/')
  })

  test.for([
    ['no proxy', () => ({})],
    ['a proxy on a host of nobody’s', () => throughProxy(nobodysHost)],
    ['a proxy that names no host', () => throughProxy('')],
    ['a proxy that names what is no host', () => throughProxy('a b/../?@evil.example')],
  ] as const)('that is shared finds every code: %s', async ([, headers]) => {
    for (const { code } of [one, other, shared])
      expect(await to(code, headers())).toContain(`ref=${code}`)
    expect(await to('UNKNOWN', headers())).toBe(fallbackUrl)
  })

  test.for([
    ['Host', { host: oneHost }],
    ['X-Forwarded-Host', { 'x-forwarded-host': oneHost }],
    ['Forwarded', { forwarded: `host=${oneHost}` }],
    ['x-referral-host without proof', { 'x-referral-host': oneHost }],
    [
      'x-referral-host with another secret',
      { 'x-referral-host': oneHost, 'x-referral-proxy': 'x'.repeat(64) },
    ],
    [
      'x-referral-host with an empty secret',
      { 'x-referral-host': oneHost, 'x-referral-proxy': '' },
    ],
  ] as const)('is not believed from %s', async ([, headers]) => {
    expect(await to(other.code, headers)).toContain(`ref=${other.code}`)
  })

  test('is the same in capital letters', async () => {
    expect(await to(other.code, throughProxy(oneHost.toUpperCase()))).not.toContain('ref=')
  })

  test('is believed with each of two secrets, and with none where none is set', async () => {
    const proxySecrets = ['old'.repeat(20), inject('stack').LINK_PROXY_SECRET]
    for (const secret of proxySecrets) {
      const { ask } = linkHandler({ proxySecrets })
      const headers = { ...throughProxy(oneHost), 'x-referral-proxy': secret }
      expect(await leadsTo(ask(`/link/${other.code}`, headers))).not.toContain('ref=')
    }
    const { ask } = linkHandler({ proxySecrets: [] })
    const answer = ask(`/link/${other.code}`, throughProxy(oneHost))
    expect(await leadsTo(answer)).toContain('ref=')
  })
})

describe('an association file', () => {
  const file = (name: string, headers = throughProxy(oneHost)) =>
    ask(`/link/.well-known/${name}`, headers)

  test('for Apple names the apps, and the links without what is below them', async () => {
    const response = await file('apple-app-site-association')
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(response.headers.get('cache-control')).toBe('public, max-age=3600')
    const details = {
      appIDs: ['ABCDE12345.org.example.app'],
      components: [{ '/': '/link/*/?*', exclude: true }, { '/': '/link/*' }],
    }
    expect(await response.json()).toEqual({ applinks: { details: [details] } })
  })

  test('for Android names the package and its fingerprints', async () => {
    const response = await file('assetlinks.json')
    const target = {
      namespace: 'android_app',
      package_name: 'org.example.app',
      sha256_cert_fingerprints: [Array(32).fill('AB').join(':')],
    }
    const relation = ['delegate_permission/common.handle_all_urls']
    expect(await response.json()).toEqual([{ relation, target }])
  })

  test.for(['apple-app-site-association', 'assetlinks.json'])(
    '%s is not found where there is no app, and not on a shared host',
    async (name) => {
      for (const headers of [throughProxy(otherHost), throughProxy(nobodysHost), {}]) {
        const response = await file(name, headers as never)
        expect(response.status).toBe(404)
        expect(await response.json()).toMatchObject({ code: 'link_not_found' })
      }
    },
  )
})

describe('a visitor’s address', () => {
  const unknown = () => crypto.randomUUID().slice(0, 18)
  const spend = async (headers: () => Record<string, string>) => {
    const { ask } = linkHandler()
    for (let n = 0; n < 120; n++) await ask(`/link/${unknown()}`, headers(), { method: 'HEAD' })
    return (visitor: Record<string, string>) =>
      leadsTo(ask(`/link/${shared.code}`, visitor, { method: 'HEAD' }))
  }

  test('that has asked for too much is led to the fallback URL; others are not', async () => {
    const knock = await spend(() => ({ 'cf-connecting-ip': '10.1.2.3' }))
    expect(await knock({ 'cf-connecting-ip': '10.1.2.3' })).toBe(fallbackUrl)
    expect(await knock({ 'cf-connecting-ip': '10.1.2.4' })).toContain('ref=')
  })

  test('is not another for what anybody can write', async () => {
    const forged = () => ({
      'cf-connecting-ip': '10.1.2.3',
      'x-forwarded-for': anyAddress(),
      'x-real-ip': anyAddress(),
      forwarded: `for=${anyAddress()}`,
      'true-client-ip': anyAddress(),
      'x-referral-visitor': anyAddress(),
    })
    const knock = await spend(forged)
    expect(await knock(forged())).toBe(fallbackUrl)
  })

  test('behind the adopter’s proxy is the visitor’s, not the proxy’s', async () => {
    const proxy = { 'cf-connecting-ip': '10.5.5.5' }
    const knock = await spend(() => ({ ...proxy, ...throughProxy('', '10.1.1.1') }))
    expect(await knock({ ...proxy, ...throughProxy('', '10.1.1.1') })).toBe(fallbackUrl)
    expect(await knock({ ...proxy, ...throughProxy('', '10.1.1.2') })).toContain('ref=')
  })

  test('of IPv6 counts with its network of 64 bits, one in IPv4’s clothes as IPv4', async () => {
    let n = 0
    const knock = await spend(() => ({ 'cf-connecting-ip': `2001:db8:0:1::${++n}` }))
    expect(await knock({ 'cf-connecting-ip': '2001:db8::1:ffff:0:0:1' })).toBe(fallbackUrl)
    expect(await knock({ 'cf-connecting-ip': '2001:db8:0:2::1' })).toContain('ref=')
    const mapped = await spend(() => ({ 'cf-connecting-ip': '::ffff:10.1.2.3' }))
    expect(await mapped({ 'cf-connecting-ip': '10.1.2.3' })).toBe(fallbackUrl)
  })

  test.for([{}, { 'cf-connecting-ip': 'unknown' }, { 'cf-connecting-ip': '1.2' }])(
    'that is absent, or none, is not limited by itself: %j',
    async (headers) => {
      const knock = await spend(() => headers as Record<string, string>)
      expect(await knock(headers as Record<string, string>)).toContain('ref=')
    },
  )
})
