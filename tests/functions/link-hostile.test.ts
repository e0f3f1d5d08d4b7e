import { expect, test } from 'vitest'
import { hostileLinks } from '../fixtures/hostile-links.ts'
import { anyAddress, destinations, fallbackUrl, linkScene, startLink } from '../support/link.ts'
import { sendRaw } from '../support/raw-http.ts'
import { wrongWith } from '../support/safe-answer.ts'

const { code } = await linkScene()
const { port } = await startLink()
const playStore = `https://play.google.com/store/apps/details?id=${destinations.android_package}`
const stored = [fallbackUrl, destinations.web_destination, destinations.ios_destination, playStore]

test.for(hostileLinks)('links that want to $intention lead nowhere else', async ({ requests }) => {
  for (const { target, headers = [], method = 'GET' } of requests) {
    const request = {
      method,
      target: target.replaceAll('CODE', code),
      headers: [`CF-Connecting-IP: ${anyAddress()}`, ...headers],
    }
    const answer = await sendRaw(port, request)
    expect(wrongWith(answer, stored), `${method} ${target.slice(0, 200)} ${headers}`).toEqual([])
  }
})

test('the function still answers after all of them', async () => {
  const { status, headers } = await sendRaw(port, { target: `/link/${code}` })
  expect([status, Object.fromEntries(headers).location]).toEqual([
    302,
    `${destinations.web_destination}&ref=${code}`,
  ])
})

test('there are 200 of them, no two the same', () => {
  const all = hostileLinks.flatMap(({ requests }) => requests.map((one) => JSON.stringify(one)))
  expect(all.length).toBeGreaterThanOrEqual(200)
  expect(new Set(all).size).toBe(all.length)
})

test('an answer that leads elsewhere, says more or fails would be noticed', () => {
  const answer = (location: string) => ({
    status: 302,
    headers: [['location', location]] as [string, string][],
    rest: '',
  })
  const page = 'https://example.org/welcome'
  for (const location of [
    'https://evil.example/welcome?lang=en',
    'https://example.org.evil.example/welcome?lang=en',
    'https://example.org@evil.example/welcome?lang=en',
    'https://example.org/other?lang=en',
    `${page}?ref=${code}`,
    `${page}?lang=en&url=https://evil.example`,
    `${page}?lang=en#evil`,
    'javascript:alert(1)',
    '//example.org/welcome?lang=en',
  ])
    expect(wrongWith(answer(location), stored), location).toHaveLength(1)
  expect(wrongWith({ status: 500, headers: [['set-cookie', 'a']], rest: '' }, stored)).toHaveLength(
    2,
  )
})
