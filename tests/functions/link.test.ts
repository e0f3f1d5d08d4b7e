import { describe, expect, inject, test } from 'vitest'
import { version } from '../../functions/_shared/version.ts'
import { sceneOverHttp } from '../support/http.ts'
import { fallbackUrl, leadsTo, linkHandler, linkScene, throughProxy } from '../support/link.ts'

const stack = inject('stack')
const { code, mentor, org } = await sceneOverHttp()
const tap = (path: string, init: RequestInit = {}) =>
  fetch(`${stack.FUNCTIONS_URL}/referbase-link${path}`, {
    redirect: 'manual',
    headers: throughProxy(),
    ...init,
  })

describe('GET /<slug>/.well-known/referbase', () => {
  test.for(['GET', 'HEAD'])(
    'says which function answers, and its version, by %s',
    async (method) => {
      const response = await tap('/.well-known/referbase', { method, headers: {} })
      expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store'])
      const about = { function: 'referbase-link', version }
      expect(await response.text()).toBe(method === 'GET' ? JSON.stringify(about) : '')
    },
  )

  test('is a link like any other on a link host', async () => {
    const response = linkHandler().ask(
      '/link/.well-known/referbase',
      throughProxy(`${crypto.randomUUID()}.example.org`),
    )
    expect(await leadsTo(response)).toBe(fallbackUrl)
  })
})

describe('a function finds its own name in the path', () => {
  test.for([
    ['/referbase-link/CODE', true],
    ['/link/CODE', true],
    ['/Invite_2/CODE', true],
    ['/CODE', false],
    ['//CODE', false],
    ['/2nd/CODE', false],
    ['/referbase-link/link/CODE', false],
    ['/functions/v1/referbase-link/CODE', false],
  ] as const)('%s: %s', async ([path, isLink]) => {
    const location = await leadsTo(linkHandler().ask(path.replace('CODE', code)))
    expect(location).toBe(isLink ? `https://example.org/welcome?lang=en&ref=${code}` : fallbackUrl)
  })
})

describe('GET /referbase-link/<code>', () => {
  test('leads to the organisation’s destination, with the code as ref beside what stands there', async () => {
    const response = await tap(`/${code}`)
    expect(response.status).toBe(302)
    expect(response.headers.get('location')).toBe(`https://example.org/welcome?lang=en&ref=${code}`)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-robots-tag': 'noindex',
    })
  })

  test.for([
    ['in small letters', (text: string) => text.toLowerCase()],
    ['without its hyphen', (text: string) => text.replace('-', '')],
    ['with spaces', (text: string) => encodeURIComponent(text.replace('-', ' '))],
    [
      'in full width',
      (text: string) =>
        encodeURIComponent(
          [...text].map((c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0)).join(''),
        ),
    ],
    ['with a slash after it', (text: string) => `${text}/`],
    ...[
      '.',
      ',',
      '!',
      '?!',
      ':',
      ';',
      ')',
      ').',
      '%22',
      "'",
      '…',
      '”',
      '»',
      '。',
      '」',
      '؟',
      '।',
      '*',
      '%E2%80%8B',
    ].map((end): [string, (text: string) => string] => [
      `with ${end} after it`,
      (text) => encodeURI(`${text}${end}`).replaceAll('%25', '%'),
    ]),
    ...['.', '!', '?', ')', ']', '>', '"', '”', '„', '。', '\u2069', '\ufe0f', '\u00ad'].map(
      (end): [string, (text: string) => string] => [
        `with ${JSON.stringify(end)} after it, percent-encoded`,
        (text) =>
          `${text}${[...new TextEncoder().encode(end)].map((byte) => `%${byte.toString(16)}`).join('')}`,
      ],
    ),
    ['in quotes', (text: string) => `%E2%80%9C${text}%E2%80%9D`],
    ['in brackets', (text: string) => `(${text})`],
    ['with a query that ends in punctuation', (text: string) => `${text}?via=sms.`],
    ['with a fragment that is punctuation', (text: string) => `${text}#).`],
    [
      'with an address of the visitor’s making',
      (text: string) => `${text}?to=https://evil.example&ref=OTHER`,
    ],
  ] as const)('finds the code %s', async ([, spell]) => {
    const response = await tap(`/${spell(code)}`)
    expect(response.headers.get('location')).toBe(`https://example.org/welcome?lang=en&ref=${code}`)
  })

  test('leads to the fallback URL once the code has ended', async () => {
    const { data: next } = await mentor.supabase.rpc('rotate_code', { org_id: org }).throwOnError()
    await mentor.supabase.rpc('deactivate_code', { org_id: org }).throwOnError()
    expect((await tap(`/${next.code}`)).headers.get('location')).toBe(fallbackUrl)
  })

  test('answers HEAD as GET', async () => {
    const response = await tap('/UNKNOWN', { method: 'HEAD' })
    expect([response.status, response.headers.get('location')]).toEqual([302, fallbackUrl])
  })

  test.for(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])(
    'refuses %s with method_not_allowed',
    async (method) => {
      const response = await tap(`/${code}`, { method })
      expect(response.status).toBe(405)
      expect(response.headers.get('allow')).toBe('GET, HEAD')
      expect(await response.json()).toMatchObject({ code: 'method_not_allowed' })
    },
  )
})

describe('a destination', async () => {
  const iphone = { 'user-agent': 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X)' }
  const android = { 'user-agent': 'Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/125 Mobile' }
  const to = async (changes: object, headers: Record<string, string>, query = '') => {
    const { code } = await linkScene(changes)
    const response = await linkHandler().ask(`/link/${code}${query}`, headers, { method: 'HEAD' })
    return response.headers.get('location')?.replaceAll(code, 'CODE')
  }

  test('of iOS is the stored address and nothing else', async () => {
    const store = 'https://apps.apple.com/app/id1?mt=8'
    const location = await to({ ios_destination: store }, iphone, '?utm_source=fair')
    expect(location).toBe(store)
  })

  test('of Android carries the code and the campaign in referrer, encoded once more', async () => {
    const location = await to({}, android, '?utm_source=spring%20fair')
    const referrer = new URL(location ?? '').searchParams.get('referrer')
    expect(referrer).toBe('ref=CODE&utm_source=spring%20fair')
  })

  test('of Android is the stored address before that of the package', async () => {
    const store =
      'https://play.google.com/store/apps/details?id=org.example.other&referrer=old&hl=en'
    const location = await to({ android_destination: store }, android)
    expect(location).toBe(
      'https://play.google.com/store/apps/details?id=org.example.other&hl=en&referrer=ref%3DCODE',
    )
  })

  test('of Android that is not Google’s store is a page like any other', async () => {
    const location = await to({ android_destination: 'https://apps.example.org/android' }, android)
    expect(location).toBe('https://apps.example.org/android?ref=CODE')
  })

  test('is the web’s where the platform has none, and the fallback URL where there is no web', async () => {
    const none = { ios_destination: null, android_package: null }
    const page = 'https://example.org/welcome?lang=en&ref=CODE'
    expect([await to(none, iphone), await to(none, android)]).toEqual([page, page])
    expect(await to({ ...none, web_destination: null }, iphone)).toBe(fallbackUrl)
  })

  test.for([
    ['http://localhost:5173/welcome', 'http://localhost:5173/welcome?ref=CODE'],
    ['http://127.0.0.1:8080/?lang=en#top', 'http://127.0.0.1:8080/?lang=en&ref=CODE#top'],
  ] as const)(
    'on the visitor’s own machine is for links of the local stack: %s',
    async ([page, location]) => {
      const { code } = await linkScene({ web_destination: page })
      const ask = (origin: string) => leadsTo(linkHandler({ origin }).ask(`/link/${code}`))
      const led = await ask('http://127.0.0.1:54321/functions/v1')
      expect(led?.replaceAll(code, 'CODE').replace(/&click=[^#]*/, '')).toBe(location)
      expect(await ask('https://project.example.co/functions/v1')).toBe(fallbackUrl)
    },
  )

  test('keeps its own query, campaign and fragment', async () => {
    const page = 'https://example.org/p?a=%20b&utm_source=own#top'
    const query = '?utm_source=theirs&utm_medium=print'
    expect(await to({ web_destination: page }, {}, query)).toBe(
      'https://example.org/p?a=%20b&utm_source=own&ref=CODE&utm_medium=print#top',
    )
  })

  test.for([
    ['longer than 100 characters', 'x'.repeat(101)],
    ['with a line break', 'a%0d%0aLocation:%20https://evil.example'],
    ['with U+0000', 'a%00b'],
    ['that turns the writing around', 'a%E2%80%AEb'],
    ['that is empty', ''],
  ])('leaves a campaign out %s', async ([, value]) => {
    const location = await to({}, {}, `?utm_source=${value}&utm_term=kept`)
    expect(location).toBe('https://example.org/welcome?lang=en&ref=CODE&utm_term=kept')
  })
})
