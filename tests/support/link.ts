/** The function `referbase-link`: its handler on the run’s stack, and the deployed file in a Deno of its own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, inject } from 'vitest'
import { connectDataApi } from '../../functions/_shared/data-api.ts'
import { createLinkHandler } from '../../functions/link/handler.ts'
import { startFunctions } from '../../scripts/stack/functions.ts'
import { operatorOverHttp } from './http.ts'

export const fallbackUrl = 'https://example.com/'

/** Where the organisation of `linkScene` leads to. */
export const destinations = {
  web_destination: 'https://example.org/welcome?lang=en',
  ios_destination: 'https://apps.apple.com/app/id123456789',
  android_package: 'org.example.app',
}

const stack = () => inject('stack')

type Settings = Partial<Parameters<typeof createLinkHandler>[0]> & { url?: string }

/** The handler on the stack, or on another `url`; `settled` waits for what is done after the answers. */
export function linkHandler({ url = stack().SUPABASE_URL, ...settings }: Settings = {}) {
  const afterwards: Promise<void>[] = []
  const handler = createLinkHandler({
    database: connectDataApi(url, stack().SUPABASE_PUBLISHABLE_KEY),
    operator: connectDataApi(url, stack().SUPABASE_SECRET_KEY),
    fallbackUrl,
    origin: 'https://project.example.co/functions/v1',
    proxySecrets: [stack().LINK_PROXY_SECRET],
    waitUntil: (promise) => afterwards.push(promise),
    ...settings,
  })
  const ask = (path: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
    Promise.resolve(handler(new Request(`https://go.example${path}`, { headers, ...init })))
  const settled = async () => {
    await Promise.all(afterwards.splice(0))
  }
  return { ask, settled }
}

/** Where an answer leads to. */
export const leadsTo = async (answer: Promise<Response>) => (await answer).headers.get('location')

/** Headers of a proxy that proves itself, for a visitor of its own on a link host. */
export function throughProxy(host = '', visitor = anyAddress()): Record<string, string> {
  const secret = stack().LINK_PROXY_SECRET
  return { 'x-referral-proxy': secret, 'x-referral-visitor': visitor, 'x-referral-host': host }
}

/** An address that nobody else in the run has, most likely. */
export function anyAddress(): string {
  const [a, b, c] = crypto.getRandomValues(new Uint8Array(3))
  return `10.${a}.${b}.${c}`
}

/** An organisation whose links lead to `destinations`, with a campaign code, over HTTP. */
export async function linkScene(changes: object = {}) {
  const operator = operatorOverHttp()
  const admin_id = crypto.randomUUID()
  const name = `Links ${admin_id.slice(0, 8)}`
  const slug = `links-${admin_id}`
  const { data: made } = await operator
    .rpc('create_organisation', { name, slug, admin_id })
    .throwOnError()
  const org = made.id
  await operator
    .rpc('update_organisation', { org_id: org, changes: { ...destinations, ...changes } })
    .throwOnError()
  const program = { org_id: org, key: 'friends', name: 'Friends' }
  await operator.rpc('create_program', program).throwOnError()
  const { data: code } = await operator.rpc('create_campaign_code', { org_id: org }).throwOnError()
  return { org, name, code: code.code, codeId: code.id, operator }
}

/**
 * The deployed function in a Deno of its own, which any address can reach: no gateway says whose request it is. `files` are
 * others than the sources.
 */
export async function startLink(files?: ReadonlyMap<string, string>) {
  const home = mkdtempSync(join(tmpdir(), 'referbase-link-'))
  const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, SUPABASE_SECRET_KEY, LINK_PROXY_SECRET } = stack()
  const functions = await startFunctions({
    home,
    names: ['referbase-link'],
    ...(files && { files }),
    apiPort: Number(new URL(SUPABASE_URL).port),
    environment: {
      SUPABASE_URL,
      SUPABASE_PUBLISHABLE_KEY,
      SUPABASE_SECRET_KEY,
      LINK_PROXY_SECRET,
      LINK_FALLBACK_URL: fallbackUrl,
    },
  })
  afterAll(async () => {
    await functions.stop()
    rmSync(home, { recursive: true })
  })
  const name = 'referbase-link'
  return { port: functions.port(name) ?? 0, pid: functions.pid(name) ?? 0 }
}
