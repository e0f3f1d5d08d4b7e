/** docs/hosts/nginx.conf, run by Debian's nginx. `npm run test:nginx`; what npm brings is not enough for it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { get } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { makeCertificate } from '../support/certificate.ts'
import { describeFront, fallbackUrl, secret, type Visit } from '../support/front.ts'
import { operatorOverHttp, sceneOverHttp } from '../support/http.ts'
import { startNginx } from '../support/nginx.ts'
import { startUpstream } from '../support/upstream.ts'

const visitor = '127.0.0.1'

/** Asks nginx for a path exactly as it is written, which fetch would tidy up. */
const visitOf =
  (port: number): Visit =>
  (path, init = {}) =>
    new Promise((resolve, reject) => {
      const headers = { host: 'go.example.org', ...(init.headers as Record<string, string>) }
      const { method = 'GET' } = init
      request({ port, path, method, headers, rejectUnauthorized: false }, async (answer) => {
        const chunks = await answer.toArray()
        const body = chunks.length > 0 ? Buffer.concat(chunks) : null
        const pairs = Object.entries(answer.headers).map(([key, value]) => [key, String(value)])
        resolve(
          new Response(body, {
            status: answer.statusCode ?? 0,
            headers: Object.fromEntries(pairs),
          }),
        )
      })
        .once('error', reject)
        .end(init.body)
    })

describeFront('nginx', async ({ functionUrl }) => {
  const { port, stop } = await startNginx({ functionUrl, secret })
  return { visitor, visit: visitOf(port), stop }
})

/** nginx before an upstream of its own, for one test. */
async function nginx({
  cert,
  trusted,
}: {
  cert?: ReturnType<typeof makeCertificate>
  trusted?: string
} = {}) {
  const tls = cert && { cert: readFileSync(cert.file), key: readFileSync(cert.key) }
  const upstream = await startUpstream(tls)
  const running = await startNginx({
    functionUrl: upstream.functionUrl,
    secret,
    ...(trusted && { trusted }),
  })
  onTestFinished(async () => {
    await running.stop()
    await upstream.stop()
  })
  return { upstream, visit: visitOf(running.port), ...running }
}

function newCertificate() {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-certificate-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return makeCertificate(folder)
}

describe('docs/hosts/nginx.conf', () => {
  test('lets nothing but /link/ through, however a path is written', async () => {
    const { upstream, visit } = await nginx()
    for (const path of [
      '/link/../rest/v1/',
      '/link/%2e%2e/rest/v1/',
      '/link/..%2frest/v1/',
      '/link/..%2f..%2frest/v1/',
      '/link/%2e%2e%2frest/v1/',
      '/link/./../../auth/v1/',
      '/link/a/../../rest/v1/',
      '/link//../rest/v1/',
      '//rest/v1/link/',
      '/rest/v1/../../link/ABC',
      '/link/%252e%252e%252frest',
      '/link/ABC%0aX:%20y',
      '/link/%00',
      '/%6cink/ABC',
      '/link?/ABC',
      '/link/\\..\\rest',
      '/link/a%2fb%2fc%2fd%2fe/../../../../rest/v1/',
      '/link/a%2Fb%2Fc%2Fd%2Fe/%2e%2e/.%2e/%2E./../auth/v1/authorize',
      '/link/a%2fb%2fc%2fd%2fe\\..\\..\\..\\..\\rest',
    ]) {
      await visit(path)
      const reached = new URL(
        upstream.last()?.url ?? '/functions/v1/referbase-link/',
        upstream.functionUrl,
      )
      expect(reached.pathname, path).toMatch(/^\/functions\/v1\/referbase-link\//)
    }
  })

  test('passes on the longest address that the function makes', async () => {
    const { upstream, visit } = await nginx()
    const location = `https://example.org/?utm_term=${'%25F0%259F%2598%2580'.repeat(500)}`
    upstream.answerWith({ status: 302, headers: { location } })
    expect((await visit('/link/ABC')).headers.get('location')).toBe(location)
  })

  test('names its own host, whatever host a visitor names', async () => {
    const { upstream, visit } = await nginx()
    await visit('/link/ABC', { headers: { host: 'evil.example' } })
    expect(upstream.last()?.headers['x-referral-host']).toBe('go.example.org')
    expect(upstream.last()?.headers.host).not.toContain('evil')
  })

  test('brings visitors without TLS to the same link with it', async () => {
    const { plainPort } = await nginx()
    const location = await new Promise((resolve) => {
      get({ port: plainPort, path: '/link/ABC?via=print' }, (answer) => {
        resolve(answer.resume().headers.location)
      })
    })
    expect(location).toBe('https://go.example.org/link/ABC?via=print')
  })

  test('leads to the fallback URL when nothing listens where the functions should be', async () => {
    const { upstream, visit } = await nginx()
    await upstream.stop()
    expect((await visit('/link/ABC')).headers.get('location')).toBe(fallbackUrl)
    expect((await visit('/.well-known/assetlinks.json')).status).toBe(502)
  })

  test('writes down nobody who followed a link, also when the functions fail', async () => {
    const { upstream, visit, log } = await nginx()
    await visit('/link/ABC')
    await upstream.stop()
    await visit('/link/ABC')
    expect(log().join('')).not.toMatch(/client|ABC/)
  })

  test('leads to the fallback URL when the functions keep the visitor waiting', async () => {
    const { upstream, visit } = await nginx()
    upstream.answerWith('none')
    expect((await visit('/link/ABC')).headers.get('location')).toBe(fallbackUrl)
  })

  test('tells the secret to functions whose certificate it trusts', async () => {
    const cert = newCertificate()
    const { upstream, visit } = await nginx({ cert, trusted: cert.file })
    expect((await visit('/link/ABC')).headers.get('location')).toContain('ref=7KQ2-M9XT')
    expect(upstream.last()?.headers['x-referral-proxy']).toBe(secret)
  })

  test('tells it to nobody else', async () => {
    const { upstream, visit } = await nginx({ cert: newCertificate() })
    expect((await visit('/link/ABC')).headers.get('location')).toBe(fallbackUrl)
    expect(upstream.count()).toBe(0)
  })

  test('has the function believe it: its host’s links lead on, its apps are named', async () => {
    const { FUNCTIONS_URL, LINK_PROXY_SECRET } = inject('stack')
    const functionUrl = `${FUNCTIONS_URL}/referbase-link`
    const [own, other] = [await sceneOverHttp(), await sceneOverHttp()]
    const appId = 'ABCDE12345.org.example.app'
    const changes = { link_origin: 'https://go.example.org', ios_app_ids: [appId] }
    await operatorOverHttp().rpc('update_organisation', { org_id: own.org, changes }).throwOnError()
    const { port, stop } = await startNginx({ functionUrl, secret: LINK_PROXY_SECRET })
    onTestFinished(stop)
    const visit = visitOf(port)
    const tap = async (code: string) => (await visit(`/link/${code}`)).headers.get('location')
    expect(await tap(own.code.toLowerCase())).toContain(
      `example.org/welcome?lang=en&ref=${own.code}`,
    )
    expect(await tap(other.code)).not.toContain(other.code)
    const association = await visit('/.well-known/apple-app-site-association')
    expect(await association.text()).toContain(appId)
  })
})
