/** The deployed function against random requests. `LINK_REQUESTS` says how many, `LINK_SEED` which. */
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import fc from 'fast-check'
import { expect, inject, test } from 'vitest'
import { hostileLinks } from '../fixtures/hostile-links.ts'
import { userAgents } from '../fixtures/user-agents.ts'
import { destinations, fallbackUrl, linkScene, startLink } from '../support/link.ts'
import type { RawAnswer } from '../support/raw-http.ts'
import { wrongWith } from '../support/safe-answer.ts'
import { often, proved } from '../support/soak.ts'

const requests = often('LINK_REQUESTS', 2_000)
const seed = often('LINK_SEED', Math.floor(Math.random() * 2 ** 31))
const batch = 100

/** What hosted Supabase gives a function, in bytes. */
const memoryOfAnInstance = 256 * 2 ** 20

const linkHost = `go-${crypto.randomUUID()}.example.org`
const { code } = await linkScene({ link_origin: `https://${linkHost}` })
const secret = inject('stack').LINK_PROXY_SECRET
const { port, pid } = await startLink()
const stored = [
  fallbackUrl,
  destinations.web_destination,
  destinations.ios_destination,
  `https://play.google.com/store/apps/details?id=${destinations.android_package}`,
]

/** Node refuses to send what is no request line or header at all; the raw requests of the corpus have that. */
const sendable = (text: string) => text.replaceAll(/[^!-\u00ff]/g, '%')
const byte = fc.nat(255).map((n) => `%${n.toString(16).padStart(2, '0')}`)
const piece = fc.oneof(
  fc.constantFrom(
    code,
    code.toLowerCase(),
    '/',
    '//',
    '..',
    '.',
    '\\',
    '@',
    ':',
    '?',
    '&',
    '=',
    '#',
  ),
  fc.constantFrom('qr.svg', 'qr.png', 'context', '.well-known', 'assetlinks.json', 'link'),
  fc.constantFrom('via=', 'utm_source=', 'utm_medium=', 'size=', 'margin=', 'ref=', 'url='),
  fc.constantFrom('https://evil.example', 'javascript:', '%2f%2fevil.example', '%0d%0a', '%00'),
  byte,
  fc
    .string({ unit: 'binary', maxLength: 12 })
    .map((text) => encodeURIComponent(text.toWellFormed())),
  fc.string({ unit: 'binary-ascii', maxLength: 12 }),
  fc.nat(5_000).map(String),
)
const corpus = hostileLinks.flatMap(({ requests }) => requests.map(({ target }) => target))
const tail = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''))
const target = fc.oneof(
  tail.map((text) => `/link/${text}`),
  tail.map((text) => `/link/${code}?${text}`),
  tail.map((text) => `/link/${code}/${text}`),
  fc.tuple(fc.constantFrom(...corpus), tail).map(([text, more]) => text.slice(0, 2_000) + more),
)
const value = fc.oneof(
  fc.constantFrom(...userAgents.map(([, , , userAgent]) => userAgent)),
  fc.ipV4(),
  fc.ipV6(),
  fc.domain(),
  fc.string({ unit: 'binary-ascii', maxLength: 40 }),
  fc.constantFrom(linkHost, linkHost.toUpperCase(), `${linkHost}:443`, `${linkHost}.`),
  fc.constantFrom('"Android"', '"iOS"', 'prefetch', 'preview', 'x'.repeat(5_000)),
)
const names = [
  ...['user-agent', 'sec-ch-ua-platform', 'cf-connecting-ip', 'x-forwarded-for', 'sec-purpose'],
  ...['x-referral-proxy', 'x-referral-host', 'x-referral-visitor', 'host', 'origin', 'cookie'],
]
const visit = fc.record({
  method: fc.constantFrom(...Array(8).fill('GET'), 'HEAD', 'POST', 'OPTIONS', 'DELETE', 'TRACE'),
  path: target.map((text) => sendable(text.replaceAll('CODE', code)) || '/'),
  headers: fc
    .dictionary(
      fc.constantFrom(...names),
      value.map((text) => text.replaceAll(/[^ -~]/g, '~')),
    )
    .map((headers) => ({ ...headers })),
  // Half of them come through a proxy that proves itself, so that what it says is read.
  proof: fc.constantFrom({}, { 'x-referral-proxy': secret }),
})

const agent = new Agent({ keepAlive: true, maxSockets: 16 })

function ask(options: object): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, port, host: '127.0.0.1', agent }, (response) => {
      response.resume().on('end', () => {
        const pairs = response.rawHeaders.flatMap((text, at, all): [string, string][] =>
          at % 2 ? [] : [[text.toLowerCase(), all[at + 1] ?? '']],
        )
        resolve({ status: response.statusCode ?? 0, headers: pairs, rest: '' })
      })
    })
    sent.on('error', reject).end()
  })
}

const memory = () =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

test(`random requests fail nothing, lead nowhere else and fill no memory (seed ${seed})`, async () => {
  const statuses = new Map<number, number>()
  for (let n = 0; n < requests; n += batch) {
    const visits = fc.sample(visit, { seed: seed + n, numRuns: Math.min(batch, requests - n) })
    await Promise.all(
      visits.map(async (one) => {
        const answer = await ask({ ...one, headers: { ...one.headers, ...one.proof } })
        expect(wrongWith(answer, stored), `seed ${seed}: ${JSON.stringify(one)}`).toEqual([])
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
      }),
    )
  }
  agent.destroy()
  expect(statuses.get(302)).toBeGreaterThan(requests / 4)
  expect(memory() * 1024).toBeLessThan(memoryOfAnInstance)
  proved('random requests to links, none led astray', requests)
  proved(`MiB of memory of the function after ${requests} of them`, Math.round(memory() / 1024))
}, 1_800_000)
