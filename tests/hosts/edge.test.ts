/** The link host on Cloudflare Workers and on Vercel: what they run, over a real connection. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import worker from '../../docs/hosts/cloudflare-worker.ts'
import middleware from '../../docs/hosts/vercel-middleware.ts'
import { describeFront, fallbackUrl, secret } from '../support/front.ts'
import { start } from '../support/processes.ts'
import { startUpstream } from '../support/upstream.ts'

const visitor = '203.0.113.7'
const environmentFor = (functionUrl: string) => ({
  LINK_FUNCTION_URL: functionUrl,
  LINK_PROXY_SECRET: secret,
  LINK_FALLBACK_URL: fallbackUrl,
  LINK_HOST: 'go.example.org',
})

/** A request as the platform hands it over, with the visitor's address in the header that it sets itself. */
function arriving(path: string, init: RequestInit | undefined, header: string): Request {
  const headers = new Headers(init?.headers)
  headers.set(header, visitor)
  return new Request(`https://go.example.org${path}`, { ...init, headers })
}

describeFront(
  'the Cloudflare Worker',
  async ({ functionUrl }) => {
    const environment = environmentFor(functionUrl)
    return {
      visitor,
      visit: (path, init) => worker.fetch(arriving(path, init, 'cf-connecting-ip'), environment),
    }
  },
  { own: 'cf-connecting-ip' },
)

describeFront(
  'the Vercel middleware',
  async ({ functionUrl }) => {
    for (const [name, value] of Object.entries(environmentFor(functionUrl))) vi.stubEnv(name, value)
    return { visitor, visit: (path, init) => middleware(arriving(path, init, 'x-real-ip')) }
  },
  { own: 'x-real-ip' },
)

describe('a link leads to the fallback URL', () => {
  const ask = (functionUrl: string, path: string) =>
    worker.fetch(new Request(`https://go.example.org${path}`), environmentFor(functionUrl))

  test('where no function listens; there is no association file then', async () => {
    const nowhere = 'http://127.0.0.1:9/functions/v1/referbase-link'
    expect((await ask(nowhere, '/link/ABC')).headers.get('location')).toBe(fallbackUrl)
    expect((await ask(nowhere, '/.well-known/assetlinks.json')).status).toBe(502)
  })

  test('where the functions keep the visitor waiting', async () => {
    const upstream = await startUpstream()
    onTestFinished(upstream.stop)
    upstream.answerWith('none')
    const answer = await ask(upstream.functionUrl, '/link/ABC')
    expect(answer.headers.get('location')).toBe(fallbackUrl)
  })
})

describe('the build of the Vercel project', () => {
  /** Runs the build in a folder of its own, against functions that answer so. */
  async function build(status: number, on = '') {
    const folder = mkdtempSync(join(tmpdir(), 'referbase-vercel-'))
    const upstream = await startUpstream()
    onTestFinished(async () => {
      rmSync(folder, { recursive: true })
      await upstream.stop()
    })
    upstream.answerWith({ status, body: '{"of":"go.example.org"}', on })
    const env = { PATH: process.env.PATH, ...environmentFor(upstream.functionUrl) }
    const { ended } = start('../docs/hosts/vercel-build.ts', [], { cwd: folder, env })
    return { folder, upstream, ...(await ended) }
  }

  test('makes files of what the function says of the host', async () => {
    const { folder, upstream, code } = await build(200)
    expect(code).toBe(0)
    for (const name of ['apple-app-site-association', 'assetlinks.json']) {
      const file = join(folder, 'public/.well-known', name)
      expect(readFileSync(file, 'utf8')).toBe('{"of":"go.example.org"}')
    }
    expect(upstream.last()?.headers).toMatchObject({
      'x-referral-proxy': secret,
      'x-referral-host': 'go.example.org',
    })
  })

  test('makes the one file of an organisation with one app', async () => {
    const { folder, code } = await build(200, 'assetlinks.json')
    expect(code).toBe(0)
    expect(readdirSync(join(folder, 'public/.well-known'))).toEqual(['assetlinks.json'])
  })

  test('fails where the function has none', async () => {
    const { code, stderr } = await build(404)
    expect(code).toBe(1)
    expect(stderr).toContain('the function has none of apple-app-site-association, assetlinks.json')
  })

  test('fails where the function fails', async () => {
    const { code, stderr } = await build(503)
    expect(code).toBe(1)
    expect(stderr).toContain('apple-app-site-association: the function answered 503')
  })

  test('is what vercel.json names, which leads elsewhere whatever is no link and no file', () => {
    const settings = JSON.parse(readFileSync('docs/hosts/vercel.json', 'utf8'))
    expect(settings.buildCommand).toBe('node vercel-build.ts')
    expect(settings.headers[0]).toEqual({
      source: '/.well-known/apple-app-site-association',
      headers: [{ key: 'Content-Type', value: 'application/json' }],
    })
    const redirected = new RegExp(`^${settings.redirects[0].source}$`)
    const paths = ['/', '/other', '/linkage', '/link/ABC', '/.well-known/assetlinks.json']
    expect(paths.filter((path) => redirected.test(path))).toEqual(['/', '/other', '/linkage'])
  })
})
