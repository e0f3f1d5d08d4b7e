/** `referbase doctor` of link hosts, whose names a proxy leads to servers with TLS of this machine. */
import { describe, expect, inject, test } from 'vitest'
import { referbase } from '../support/cli.ts'
import { checksOf, organisation } from '../support/doctor.ts'
import { operatorOverHttp } from '../support/http.ts'
import { startLinkHost } from '../support/link-host.ts'

const stack = inject('stack')
const orgId = await organisation(operatorOverHttp())

/** In a process of its own, which has certificates and a proxy of its own. */
async function examineWith(environment: Record<string, string>) {
  const { SUPABASE_URL, SUPABASE_SECRET_KEY } = stack
  const env = { SUPABASE_URL, SUPABASE_SECRET_KEY, ...environment }
  return checksOf(await referbase(['doctor', '--json', '--org', orgId], env))
}

describe('a link host', () => {
  const apps = {
    ios_app_ids: ['ABCDE12345.app.test'],
    android_package: 'app.test',
    android_fingerprints: [Array(32).fill('AB').join(':')],
  }
  const hostOf = async (name: string, changes: object) => {
    const link_origin = `https://${name}`
    const all = { ...changes, link_origin }
    await operatorOverHttp()
      .rpc('update_organisation', { org_id: orgId, changes: all })
      .throwOnError()
    const secret = stack.LINK_PROXY_SECRET
    const functionUrl = `${stack.FUNCTIONS_URL}/referbase-link`
    const front = { functionUrl, secret, fallbackUrl: 'https://example.com/' }
    return startLinkHost(name, front)
  }
  const hostChecks = ['link_host_reached', 'proxy_secret', 'association_ios', 'association_android']

  const statesOf = async (host: Awaited<ReturnType<typeof hostOf>>) => {
    const { checked } = await examineWith(host.environment)
    return hostChecks.map((name) => checked[name]?.state)
  }

  test('is right, or does not send the proxy’s secret', async () => {
    const host = await hostOf('go.app.test', apps)
    expect(await statesOf(host)).toEqual(['ok', 'ok', 'ok', 'ok'])
    host.front = { ...host.front, secret: 'a-secret-that-the-function-has-not' }
    expect(await statesOf(host)).toEqual(['ok', 'wrong', 'wrong', 'wrong'])
  })

  test('has files of another app, or none', async () => {
    const host = await hostOf('files.app.test', apps)
    const other = { applinks: { details: [{ appIDs: ['ABCDE12345.other.app'] }] } }
    const text = { headers: { 'content-type': 'text/plain' } }
    host.answer = ({ url }) => {
      if (url.includes('assetlinks')) return new Response('[]', text)
      return url.includes('apple-app-site') ? Response.json(other) : undefined
    }
    expect(await statesOf(host)).toEqual(['ok', 'ok', 'wrong', 'wrong'])
  })

  test('leads nowhere, or has a certificate that nobody trusts', async () => {
    const host = await hostOf('parked.app.test', apps)
    host.answer = () => new Response('parked', { status: 200 })
    expect(await statesOf(host)).toEqual(['wrong', undefined, undefined, undefined])
    const { checked } = await examineWith({ ...host.environment, NODE_EXTRA_CA_CERTS: '' })
    expect(checked.link_host_reached?.message).toMatch(/leads nowhere: .*CERT/)
  })

  test('opens no app where none is set', async () => {
    const nothing = { ios_app_ids: [], android_package: null, android_fingerprints: [] }
    const host = await hostOf('links.app.test', nothing)
    const { checked, wrong } = await examineWith(host.environment)
    expect(wrong.filter((name) => hostChecks.includes(name))).toEqual([])
    expect(hostChecks.map((name) => checked[name]?.state)).toEqual([
      'ok',
      'ok',
      'unchecked',
      'unchecked',
    ])
  })
})
