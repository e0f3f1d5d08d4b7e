import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  createReferralLinks,
  parseInstallReferrer,
  parseReferralLink,
  shareChannels,
  shareText,
  shareUrl,
} from '../../client/index.ts'
import { codeText } from '../../client/link-text.ts'
import { destinationsOf } from '../../functions/link/destinations.ts'
import { installReferrers, linkTexts, origins } from '../fixtures/links.ts'

const go = 'https://go.example.org'
const channels = fc.constantFrom(...shareChannels, undefined)

test('docs/client.md lists all channels', () => {
  const document = readFileSync('docs/client.md', 'utf8')
  const [, sentence = ''] = /^### ShareChannel\n\n(.*)$/m.exec(document) ?? []
  const named = [...sentence.matchAll(/`(\w+)`/g)].map(([, name]) => name)
  expect(named.filter((name) => name !== 'via')).toEqual(shareChannels)
})

/** Codes as the database shows them, and as people write them. */
const codes = fc
  .array(fc.stringMatching(/^[0-9A-Za-z]{1,8}$/), { minLength: 3, maxLength: 4 })
  .chain((groups) => fc.constantFrom('', '-', ' ', '–').map((between) => groups.join(between)))

/** Text that comes near to being a link of ours. */
const nearLinks = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        go,
        'go.example.org',
        '/link/',
        '/referbase-link/',
        '?ref=',
        '&click=',
        '%',
        '@',
        ':',
        '//',
        ' ',
      ),
      fc.string({ unit: 'binary', maxLength: 20 }),
      codes,
    ),
    { maxLength: 20 },
  )
  .map((parts) => parts.join(''))

describe('parseReferralLink', () => {
  test('is shown more than 150 texts, each once', () => {
    expect(new Set(linkTexts.map(({ text }) => text)).size).toBe(linkTexts.length)
    expect(linkTexts.length).toBeGreaterThan(150)
  })

  test.for(linkTexts)('finds what it should in $text', ({ text, found }) => {
    expect(parseReferralLink(text, origins)).toEqual(found)
  })

  test('finds the code of every link that shareUrl makes', () => {
    fc.assert(
      fc.property(codes, channels, fc.constantFrom(...origins.slice(0, 3)), (code, via, origin) => {
        const found = { code, clickId: null, channel: via ?? null }
        expect(parseReferralLink(shareUrl(origin, code, via), origins)).toEqual(found)
      }),
    )
  })

  test('never throws, and lets nothing but a short code out of any text', () => {
    fc.assert(
      fc.property(fc.oneof(nearLinks, fc.string({ unit: 'binary', size: 'large' })), (text) => {
        const found = parseReferralLink(text, origins)
        expect(found?.code.length ?? 0).toBeLessThanOrEqual(128)
        expect(text.includes(found?.code ?? '') || /%|\+/.test(text)).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  test.for([
    'https://',
    '/link/',
    'a-',
    '! ',
    '!',
    '((((',
    'go.example.org/link/ABC!',
    '\u2013',
    '%25',
    'ref=',
  ])('reads a million characters of %j in one pass', (part) => {
    const long = part.repeat(Math.ceil(1_000_000 / part.length))
    expect(parseReferralLink(`${long} ${go}/link/7KQ2-M9XT`, origins)?.code).toBe('7KQ2-M9XT')
  })

  test('says when an origin is no address', () => {
    expect(() => parseReferralLink('ABC', ['go.example.org'])).toThrow(TypeError)
  })
})

describe('parseInstallReferrer', () => {
  test.for(installReferrers)('reads $text', ({ text, found }) => {
    expect(parseInstallReferrer(text)).toEqual(found)
  })

  test('reads what the redirect to the store wrote, encoded up to twice', () => {
    fc.assert(
      fc.property(codes, fc.uuid(), fc.integer({ min: 0, max: 2 }), (code, clickId, times) => {
        let raw = new URLSearchParams({
          ref: code,
          click: clickId,
          utm_source: 'a&b=c%',
        }).toString()
        for (let i = 0; i < times; i++) raw = encodeURIComponent(raw)
        expect(parseInstallReferrer(raw)).toEqual({ code, clickId, channel: null })
      }),
    )
  })

  test('never throws', () => {
    fc.assert(
      fc.property(fc.oneof(nearLinks, fc.string({ unit: 'binary' })), (raw) => {
        expect(parseInstallReferrer(raw)?.code.length ?? 0).toBeLessThanOrEqual(128)
      }),
    )
  })
})

describe('where the function leads', () => {
  const leads = (code: string) =>
    destinationsOf(code, {
      web_destination: 'https://example.org/welcome?ref=shop&click=none#top',
      ios_destination: null,
      android_destination: null,
      android_package: 'org.example.app',
    })
  const carried = fc.record({
    ref: codes,
    click: fc.uuid(),
    utm: fc.dictionary(fc.constantFrom('utm_source', 'utm_term'), fc.string({ unit: 'binary' })),
  })

  test('the web page’s address has code and click', () => {
    fc.assert(
      fc.property(carried, (given) => {
        const found = parseReferralLink(leads(given.ref).web?.(given) ?? '', origins)
        expect(found).toEqual({ code: given.ref, clickId: given.click, channel: null })
      }),
    )
  })

  test('the Play Store’s address has a referrer with code and click', () => {
    fc.assert(
      fc.property(carried, (given) => {
        const raw = new URL(leads(given.ref).android?.(given) ?? '').searchParams.get('referrer')
        const found = { code: given.ref, clickId: given.click, channel: null }
        expect(parseInstallReferrer(raw ?? '')).toEqual(found)
      }),
    )
  })
})

describe('share links', () => {
  test.for([
    ['https://go.example.org', undefined, 'https://go.example.org/link/7KQ2-M9XT'],
    ['https://go.example.org/', 'qr', 'https://go.example.org/link/7KQ2-M9XT?via=qr'],
    [
      'https://p.supabase.co/functions/v1',
      'sms',
      'https://p.supabase.co/functions/v1/referbase-link/7KQ2-M9XT?via=sms',
    ],
    [
      'https://api.example.org/functions/v1/',
      undefined,
      'https://api.example.org/functions/v1/referbase-link/7KQ2-M9XT',
    ],
  ] as const)('on %s by %s are %s', ([origin, channel, url]) => {
    expect(shareUrl(origin, '7KQ2-M9XT', channel)).toBe(url)
  })

  test('carry whatever code they are given as one part of the path', () => {
    expect(shareUrl(go, '../a?b#c', 'web')).toBe(`${go}/link/..%2Fa%3Fb%23c?via=web`)
  })

  test('share the code and the link, in no language unless given one', () => {
    const url = `${go}/link/7KQ2-M9XT`
    expect(shareText(go, '7KQ2-M9XT')).toBe(`7KQ2-M9XT\n${url}?via=share`)
    const template = 'Join me with {code}: {url} {name} $&'
    expect(shareText(go, '7KQ2-M9XT', { template, channel: 'email' })).toBe(
      `Join me with 7KQ2-M9XT: ${url}?via=email {name} $&`,
    )
  })

  test('of one organisation need no origin again', () => {
    const links = createReferralLinks({ origin: go, destinations: ['https://example.org/hi'] })
    expect(links.shareUrl('ABC', 'print')).toBe(`${go}/link/ABC?via=print`)
    const found = { code: 'ABC', clickId: null, channel: 'share' }
    expect(links.parseReferralLink(links.shareText('ABC'))).toEqual(found)
    expect(links.parseReferralLink('https://example.org/?ref=ABC')?.code).toBe('ABC')
    expect(links.parseReferralLink('https://example.com/?ref=ABC')).toBeNull()
  })
})

describe('codeText', () => {
  test.for([
    [' 7KQ2-M9XT\n', '7KQ2-M9XT'],
    ['https://go.example.org/link/7KQ2-M9XT', '7KQ2-M9XT'],
    ['go.example.org/link/7KQ2-M9XT', '7KQ2-M9XT'],
    ['see go.example.org/link/7KQ2-M9XT.', '7KQ2-M9XT'],
    ['https://go.example.org/functions/v1/link/7KQ2-M9XT/?via=qr', '7KQ2-M9XT'],
    ['https://p.supabase.co/functions/v1/referbase-link/7KQ2-M9XT?via=qr', '7KQ2-M9XT'],
    [
      'p.supabase.co/functions/v1/other-link/7KQ2-M9XT',
      'p.supabase.co/functions/v1/other-link/7KQ2-M9XT',
    ],
    ['HTTPS://example.org/welcome?lang=en&ref=7KQ2-M9XT#top', '7KQ2-M9XT'],
    ['https://go.example.org/link/7KQ2%20M9XT', '7KQ2 M9XT'],
    ['https://example.org/about', 'https://example.org/about'],
    ['https://go.example.org/link/%', 'https://go.example.org/link/%'],
    ['ftp://go.example.org/link/7KQ2-M9XT', 'ftp://go.example.org/link/7KQ2-M9XT'],
    ['7KQ2_M9XT', '7KQ2_M9XT'],
    ['https://', 'https://'],
    ['', ''],
  ] as const)('takes %j as %j', ([text, code]) => {
    expect(codeText(text)).toBe(code)
  })
})

describe('createReferralLinks throws for', () => {
  const address = 'an address such as https://go.example.org'
  test.for<[string, object, string]>([
    ['no origin', {}, `origin: ${address}`],
    ['an empty origin', { origin: '' }, `origin: ${address}`],
    ['a host without https', { origin: 'go.example.org' }, `origin: ${address}`],
    ['an origin that ends in /link', { origin: `${go}/link` }, `origin: ${address}`],
    [
      'an origin that ends in /referbase-link',
      { origin: 'https://p.supabase.co/functions/v1/referbase-link' },
      `origin: ${address}`,
    ],
    ['a scheme alone', { origin: 'https://' }, `origin: ${address}`],
    [
      'a destination without https',
      { origin: go, destinations: ['a.b'] },
      `destinations: ${address}`,
    ],
    [
      'a misspelt option',
      { origin: go, destination: [go] },
      'destination: no such option. The options are: origin, destinations',
    ],
  ])('%s', ([, options, message]) => {
    expect(() => createReferralLinks(options as never)).toThrow(new TypeError(message))
  })
})

test('shareText throws for a misspelt option', () => {
  expect(() => shareText(go, '7KQ2-M9XT', { templat: 'x' } as never)).toThrow(
    new TypeError('templat: no such option. The options are: template, channel'),
  )
})
