import { describe, expect, inject, test } from 'vitest'
import { connect } from '../../functions/_shared/database.ts'
import { createLinkHandler } from '../../functions/link/handler.ts'
import { sceneOverHttp } from '../support/http.ts'

const fallback = 'https://example.com/'
const stack = inject('stack')
const { code, mentor, org } = await sceneOverHttp()
const tap = (path: string, init: RequestInit = {}) =>
  fetch(`${stack.FUNCTIONS_URL}/link${path}`, { redirect: 'manual', ...init })

describe('GET /link/<code>', () => {
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
    [
      'with an address of the visitor’s making',
      (text: string) => `${text}?to=https://evil.example&ref=OTHER`,
    ],
  ] as const)('finds the code %s', async ([, spell]) => {
    const response = await tap(`/${spell(code)}`)
    expect(response.headers.get('location')).toBe(`https://example.org/welcome?lang=en&ref=${code}`)
  })

  test.for([
    '/UNKNOWN-CODE',
    '',
    '/',
    '/a/b',
    '/%',
    '/%ff',
    '/%00',
    '/%0d%0aLocation:%20https:%2f%2fevil.example',
    '/https:%2f%2fevil.example',
    '/..%2f..%2f',
    '/🎉',
    "/'%20or%201=1--",
    '/true',
    '/null',
    `/${'A'.repeat(10_000)}`,
  ])('leads to the safe default for %.40s', async (path) => {
    const response = await tap(path)
    expect(response.status).toBe(302)
    expect(response.headers.get('location')).toBe(fallback)
  })

  test('leads to the safe default once the code has ended', async () => {
    const { data: next } = await mentor.supabase.rpc('rotate_code', { org_id: org }).throwOnError()
    await mentor.supabase.rpc('deactivate_code', { org_id: org }).throwOnError()
    expect((await tap(`/${next.code}`)).headers.get('location')).toBe(fallback)
  })

  test('answers HEAD as GET', async () => {
    const response = await tap('/UNKNOWN', { method: 'HEAD' })
    expect([response.status, response.headers.get('location')]).toEqual([302, fallback])
  })

  test.for(['POST', 'PUT', 'DELETE', 'PATCH'])(
    'refuses %s with method_not_allowed',
    async (method) => {
      const response = await tap(`/${code}`, { method })
      expect(response.status).toBe(405)
      expect(response.headers.get('allow')).toBe('GET, HEAD')
      expect(await response.json()).toMatchObject({ code: 'method_not_allowed' })
    },
  )

  test('leads to the safe default when the database does not answer', async () => {
    const handler = createLinkHandler({ database: connect('http://127.0.0.1:9', 'key'), fallback })
    const response = await handler(new Request(`https://go.example.org/link/${code}`))
    expect([response.status, response.headers.get('location')]).toEqual([302, fallback])
  })
})
