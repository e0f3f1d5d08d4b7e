/** The edge functions as adopters get them: one file each, run by Deno as the sources are. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { bundleFunctions } from '../../scripts/build/functions.ts'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { sceneOverHttp } from '../support/http.ts'
import { startLink } from '../support/link.ts'
import { readQr } from '../support/qr.ts'
import { known, taken } from '../support/taken.ts'
import { deliverBody, startWebhook } from '../support/webhook.ts'
import { openWorkshop } from '../support/workshop.ts'

// Inside the repository, where Deno finds the libraries in node_modules.
const { folder, write, close } = openWorkshop('bundles')
afterAll(close)
await bundleFunctions(folder)
const names = ['referbase-link', 'referbase-stripe-webhook'] as const
const files = new Map(names.map((name) => [name, join(folder, name, 'index.js')]))
const textOf = (name: (typeof names)[number]) => readFileSync(files.get(name) ?? '', 'utf8')

const stack = inject('stack')
const { devDependencies, version } = JSON.parse(readFileSync('package.json', 'utf8'))
const specifier = (name: string) => `npm:${name}@${devDependencies[name]}`

describe('a bundle', () => {
  test.for([
    ['referbase-link', ['fast-png', 'isbot', 'uqr']],
    ['referbase-stripe-webhook', []],
  ] as const)('%s imports these libraries by version, and nothing else', ([name, libraries]) => {
    const text = textOf(name)
    const imported = [...text.matchAll(/\b(?:from|import)\s*\(?\s*["'](.+?)["']/g)]
    const found = [...new Set(imported.map(([, from]) => from))].sort()
    expect(found).toEqual(libraries.map(specifier).sort())
  })

  test('is refused where functions/deno.json does not have an import', async () => {
    write('with-hono.ts', "import { Hono } from 'hono'\nnew Hono()\n")
    const other = new Map([['other', join(folder, 'with-hono.ts')]])
    await expect(bundleFunctions(folder, other)).rejects.toThrow(
      'functions/deno.json does not have the import "hono".',
    )
  })
})

test('the bundled link redirects, draws a QR code and says its version', async () => {
  const { code } = await sceneOverHttp()
  const { port } = await startLink(files)
  const ask = (path: string) =>
    fetch(`http://127.0.0.1:${port}/referbase-link/${path}`, { redirect: 'manual' })
  const tap = await ask(code)
  expect(tap.headers.get('location')).toBe(`https://example.org/welcome?lang=en&ref=${code}`)
  const { text } = await readQr(await ask(`${code}/qr.png`))
  expect(text).toBe(`${stack.FUNCTIONS_URL}/referbase-link/${code}?via=qr`)
  const about = await ask('.well-known/referbase')
  expect(await about.json()).toEqual({ function: 'referbase-link', version })
})

test('the bundled webhook takes a signed event, once', async () => {
  const { friend, code } = await sceneOverHttp()
  await friend.supabase.rpc('redeem_code', { code }).throwOnError()
  const { url, stop } = await startWebhook({}, files)
  onTestFinished(stop)
  const body = JSON.stringify(completedSession({ mode: 'payment', userId: friend.id }))
  expect(await deliverBody(url, body)).toMatchObject({ http: 200, status: taken })
  expect(await deliverBody(url, body)).toMatchObject({ http: 200, status: known })
  expect(await deliverBody(url, body, { signature: 't=1,v1=0' })).toMatchObject({ http: 400 })
})
