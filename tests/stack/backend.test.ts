/** docs/backend.md: its functions compile, run, and what they write at Stripe credits the referrer. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { signUp } from '../../scripts/demo/people.ts'
import { deliver } from '../../scripts/demo/stripe.ts'
import { freePort } from '../../scripts/stack/ports.ts'
import { root } from '../../scripts/stack/root.ts'
import { blocksOf } from '../support/blocks.ts'
import { commandsOf } from '../support/documents.ts'
import { operatorOverHttp, sceneOverHttp } from '../support/http.ts'
import { startNpmRegistry } from '../support/npm-registry.ts'
import { startStripeApi } from '../support/stripe-api.ts'
import { eventsOf, renewalOf } from '../support/stripe-purchases.ts'

const stack = inject('stack')
const document = 'docs/backend.md'
const files = blocksOf(join(root, document)).filter(({ language }) => language === 'ts')
const deno = join(root, 'node_modules/deno/deno')
const options = ['--no-lock', '--node-modules-dir=manual']
// Inside the repository, so that Deno finds the packages of package.json.
const folder = join(root, '.referbase', `backend-${crypto.randomUUID()}`)

/** Saves the files of the document, as a reader does. */
function saveFiles(functions: string): void {
  for (const { name = '', text } of files) {
    mkdirSync(dirname(join(functions, name)), { recursive: true })
    writeFileSync(join(functions, name), text)
  }
}

beforeAll(() => saveFiles(folder))
afterAll(() => {
  rmSync(folder, { recursive: true })
  if (readdirSync(dirname(folder)).length === 0) rmdirSync(dirname(folder))
})

test('the functions compile', () => {
  expect(files.map(({ name }) => name)).toEqual([
    '_shared/shop.ts',
    'payment-sheet/index.ts',
    'checkout/index.ts',
    'guest-checkout/index.ts',
    'subscription/index.ts',
  ])
  const names = files.map(({ name = '' }) => join(folder, name))
  const env = { ...process.env, DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' }
  execFileSync(deno, ['check', '--quiet', ...options, ...names], { cwd: root, env, stdio: 'pipe' })
})

test('they ask for the SDK of package.json', () => {
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const { text } of files) {
    for (const [, version] of text.matchAll(/npm:stripe@([^']+)/g))
      expect(version).toBe(devDependencies.stripe)
  }
})

describe('a purchase by', () => {
  let stripe: Awaited<ReturnType<typeof startStripeApi>>
  beforeAll(async () => {
    stripe = await startStripeApi()
    // Stripe's host is the stand-in. No other network is allowed.
    writeFileSync(
      join(folder, 'preload.ts'),
      `const real = globalThis.fetch
      globalThis.fetch = (input, init) =>
        real(String(input).replace('https://api.stripe.com', 'http://127.0.0.1:${stripe.port}'), init)`,
    )
  })
  const running: ChildProcess[] = []
  afterAll(async () => {
    for (const child of running) child.kill()
    await stripe.stop()
  })

  /** The stand-in of Stripe's host, and the end of the function with the tests. */
  const preloads = () =>
    [join(folder, 'preload.ts'), join(root, 'scripts/stack/end-with-parent.ts')].map(
      (file) => `--preload=${file}`,
    )

  /** Waits until the function that the process runs listens. */
  async function listening(child: ChildProcess): Promise<void> {
    running.push(child)
    await new Promise<void>((resolve, reject) => {
      let output = ''
      const read = (chunk: Buffer) => {
        output += chunk
        if (output.includes('Listening on')) resolve()
      }
      child.stdout?.on('data', read)
      child.stderr?.on('data', read)
      child.once('exit', () => reject(new Error(output)))
    })
  }

  /** Starts a function as a hosted project does, and returns its address once it listens. */
  async function serve(name: string): Promise<string> {
    const port = await freePort()
    const env = {
      PATH: process.env.PATH ?? '',
      DENO_NO_UPDATE_CHECK: '1',
      DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
      STRIPE_SECRET_KEY: 'sk_test_1',
      SUPABASE_URL: stack.SUPABASE_URL,
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: stack.SUPABASE_SECRET_KEY }),
    }
    const child = spawn(
      deno,
      [
        ...['run', '--no-prompt', '--cached-only', '--allow-env', '--allow-net=127.0.0.1'],
        ...[...options, ...preloads()],
        join(folder, name, 'index.ts'),
      ],
      { cwd: root, env, stdio: ['pipe', 'pipe', 'pipe'] },
    )
    await listening(child)
    return `http://127.0.0.1:${port}/${name}`
  }

  /** A mentor with 20 percent, and a friend who has signed up. */
  async function stage() {
    const scene = await sceneOverHttp()
    const operator = operatorOverHttp()
    const { data: programs } = await operator
      .from('programs')
      .select()
      .eq('org_id', scene.org)
      .throwOnError()
    const terms = { commission: { kind: 'percent', bps: 2000 }, recurrence: 'forever' }
    await operator
      .rpc('update_program', { program_id: String(programs[0]?.id), changes: { terms } })
      .throwOnError()
    const friend = await signUp(stack, 'friend')
    const { data } = await friend.supabase.auth.getSession()
    return { ...scene, friend, token: String(data.session?.access_token) }
  }

  const post = (url: string, token: string | null, body: object = {}) =>
    fetch(url, {
      method: 'POST',
      headers: token ? { authorization: `Bearer ${token}` } : {},
      body: JSON.stringify(body),
    })

  const deliverAll = async (events: object[]) => {
    for (const event of events) {
      expect(await deliver(stack, JSON.stringify(event))).toMatchObject({ http: 200 })
    }
  }

  type Mentor = Awaited<ReturnType<typeof sceneOverHttp>>['mentor']
  const earned = async (mentor: Mentor, org: string) => {
    const { data } = await mentor.supabase.rpc('my_earnings', { org_id: org }).throwOnError()
    return data.map(({ pending, currency }) => [pending, currency])
  }

  test.for([
    ['payment-sheet', 'clientSecret'],
    ['checkout', 'url'],
    ['subscription', 'clientSecret'],
  ] as const)('%s credits the referrer', async ([name, key]) => {
    const [url, { org, mentor, friend, token, code }] = await Promise.all([serve(name), stage()])
    await friend.supabase.schema('referral').rpc('redeem_code', { code }).throwOnError()

    expect((await post(url, null)).status).toBe(401)
    const before = stripe.created.length
    const response = await post(url, token)
    expect([response.status, Object.keys(await response.json())]).toEqual([200, [key]])
    const [customer, purchase] = stripe.created.slice(before)
    expect([customer?.kind, purchase?.params.customer]).toEqual(['customers', customer?.id])

    await deliverAll(purchase ? eventsOf(purchase) : [])
    expect(await earned(mentor, org)).toEqual([[980, 'usd']])
    if (purchase?.kind === 'subscriptions') {
      await deliverAll(renewalOf(purchase))
      expect(await earned(mentor, org)).toEqual([[1960, 'usd']])
    }

    // Later purchases are of the same customer, also before Stripe's search finds it.
    for (const isFound of [false, true]) {
      if (isFound) stripe.index()
      expect((await post(url, token)).status).toBe(200)
      expect(stripe.created.at(-1)?.params.customer).toBe(customer?.id)
    }
    expect(stripe.created.slice(before).filter(({ kind }) => kind === 'customers')).toHaveLength(1)
  })

  test('guest-checkout credits the referrer, and takes no text that is no code', async () => {
    const [url, { org, mentor, code }] = await Promise.all([serve('guest-checkout'), stage()])
    for (const given of ['<script>', 'a b', '', 7, null]) await post(url, null, { code: given })
    expect(stripe.created.slice(-5).map(({ params }) => params.client_reference_id)).toEqual(
      Array(5).fill(undefined),
    )
    expect((await post(url, null, { code })).status).toBe(200)
    const purchase = stripe.created.at(-1)
    await deliverAll(purchase ? eventsOf(purchase) : [])
    expect(await earned(mentor, org)).toEqual([[980, 'usd']])
  })

  test('the printed command and request credit the referrer, beside a package.json', async () => {
    const [{ org, mentor, friend, token, code }, registry] = await Promise.all([
      stage(),
      startNpmRegistry(),
    ])
    const home = mkdtempSync(join(tmpdir(), 'referbase-backend-'))
    try {
      saveFiles(join(home, 'my-app/supabase/functions'))
      const dependencies = { referbase: 'file:../referbase/referbase-0.1.0.tgz' }
      writeFileSync(join(home, 'my-app/package.json'), JSON.stringify({ dependencies }))
      const lines = Object.entries(stack).map(([name, value]) => `${name}=${value}\n`)
      writeFileSync(join(home, 'my-app/.env.stack'), lines.join(''))

      const commands = commandsOf(document).map(({ words }) => words)
      const [, , ...printed] = commands.find((words) => words.includes('deno')) ?? []
      const port = await freePort()
      const env = {
        PATH: process.env.PATH ?? '',
        HOME: home,
        DENO_DIR: join(home, 'deno'),
        DENO_NO_UPDATE_CHECK: '1',
        DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
        NPM_CONFIG_REGISTRY: registry.url,
        STRIPE_SECRET_KEY: 'sk_test_1',
      }
      expect(printed.slice(0, 2)).toEqual(['run', '--no-config'])
      await listening(
        spawn(deno, [...printed.slice(0, -1), ...preloads(), ...printed.slice(-1)], {
          cwd: join(home, 'my-app'),
          env,
          stdio: ['pipe', 'pipe', 'pipe'],
        }),
      )

      await friend.supabase.schema('referral').rpc('redeem_code', { code }).throwOnError()
      const text = readFileSync(join(root, document), 'utf8')
      const [, header = ''] =
        /^curl -X POST http:\/\/localhost:8000 -H "authorization: (.*)"$/m.exec(text) ?? []
      const response = await fetch(`http://127.0.0.1:${port}`, {
        method: 'POST',
        headers: { authorization: header.replace('$TOKEN', token) },
      })
      expect([response.status, Object.keys(await response.json())]).toEqual([200, ['clientSecret']])
      const purchase = stripe.created.at(-1)
      await deliverAll(purchase ? eventsOf(purchase) : [])
      expect(await earned(mentor, org)).toEqual([[980, 'usd']])
    } finally {
      rmSync(home, { recursive: true })
      await registry.stop()
    }
  })

  test('a page of another origin is allowed', async () => {
    const response = await fetch(await serve('guest-checkout'), { method: 'OPTIONS' })
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
    await response.body?.cancel()
  })
})
