/** `referbase stripe endpoint`, over the real SDK, against a stand-in of Stripe's API. */
import { describe, expect, test } from 'vitest'
import { CliError } from '../../cli/cli-error.ts'
import { connectStripe } from '../../cli/stripe/client.ts'
import { describeEndpoint } from '../../cli/stripe/describe-endpoint.ts'
import { endpointAddress } from '../../cli/stripe/endpoint-address.ts'
import { ensureEndpoint } from '../../cli/stripe/ensure-endpoint.ts'
import { wantedApiVersion, wantedEvents } from '../../cli/stripe/wanted-endpoint.ts'
import { referbase } from '../support/cli.ts'
import { startStripeStandIn } from '../support/stripe-stand-in.ts'

const standIn = await startStripeStandIn()
const { endpoints, environment } = standIn
const stripe = connectStripe(environment)
const address = (host: string) =>
  `https://${host}.supabase.co/functions/v1/referbase-stripe-webhook`
/** An address that no other test has. */
const freshUrl = () => address(crypto.randomUUID())
const right = { api_version: wantedApiVersion, enabled_events: [...wantedEvents] }
const at = (url: string) => endpoints.all.filter((endpoint) => endpoint.url === url)
const ensure = (url: string, wish: Partial<Parameters<typeof ensureEndpoint>[1]> = {}) =>
  ensureEndpoint(stripe, { url, connect: false, replace: false, dryRun: false, ...wish })

describe('stripe endpoint', () => {
  test('makes an endpoint with our events and API version, and says its secret once', async () => {
    const url = freshUrl()
    const report = await ensure(url)
    expect(at(url)).toEqual([
      expect.objectContaining({
        ...right,
        id: report.endpoint,
        status: 'enabled',
        livemode: false,
      }),
    ])
    expect(report).toMatchObject({ action: 'make', livemode: false, older: [], twins: [] })
    expect(report.secret).toMatch(/^whsec_\w{24,}$/)
    expect(await ensure(url)).toEqual({ ...report, action: 'keep', secret: null })
  })

  test.for([
    ['the connection ends before Stripe makes it', 'reset', 1],
    ['the connection ends after Stripe made it', 'reset after', 1],
    ['Stripe has an error', 500, 1],
    ['Stripe limits the rate', 429, 3],
  ] as const)('makes one, and not two, where %s', async ([, fault, times]) => {
    const url = freshUrl()
    standIn.fail({ times, with: fault, method: 'POST' })
    const report = await ensure(url)
    expect(at(url).map(({ id }) => id)).toEqual([report.endpoint])
    expect(report.secret).toMatch(/^whsec_/)
  })

  test.for([
    ['lacks events', { enabled_events: ['invoice.paid'] }],
    ['has all events', { enabled_events: ['*'] }],
    ['has others too', { enabled_events: [...wantedEvents, 'customer.created', 'invoice.sent'] }],
    ['is disabled', { status: 'disabled' }],
  ] as const)('mends an endpoint that %s, and keeps its secret', async ([, values]) => {
    const url = freshUrl()
    const { id } = endpoints.add({ url, ...right, ...(structuredClone(values) as object) })
    const report = await ensure(url)
    expect(report).toMatchObject({ action: 'mend', endpoint: id, secret: null })
    expect(at(url)).toMatchObject([{ id, ...right, status: 'enabled' }])
    const had = 'enabled_events' in values ? values.enabled_events : wantedEvents
    expect(report.missing).toEqual(wantedEvents.filter((type) => !had.includes(type as never)))
    expect(report.extra).toEqual(had.filter((type) => !wantedEvents.includes(type)))
    expect(report.disabled).toBe('status' in values)
    expect(await ensure(url)).toMatchObject({ action: 'keep', missing: [], extra: [] })
  })

  test.for([['2024-06-20'], [null]] as const)(
    'makes another where the API version is %s, and deletes the old one with --replace only',
    async ([api_version]) => {
      const url = freshUrl()
      const old = endpoints.add({ url, ...right, api_version })
      const older = { endpoint: old.id, api_version }
      const report = await ensure(url)
      expect(report).toMatchObject({ action: 'make', older: [{ ...older, deleted: false }] })
      expect(at(url)).toHaveLength(2)
      expect(await ensure(url)).toMatchObject({
        action: 'keep',
        older: [{ ...older, deleted: false }],
      })
      const replaced = await ensure(url, { replace: true })
      expect(replaced).toMatchObject({ action: 'keep', older: [{ ...older, deleted: true }] })
      expect(at(url).map(({ id }) => id)).toEqual([report.endpoint])
    },
  )

  test('says the secret of a new endpoint also where the old one cannot be deleted', async () => {
    const url = freshUrl()
    const old = endpoints.add({ url })
    standIn.fail({ times: 1, with: 403, method: 'DELETE' })
    const report = await ensure(url, { replace: true })
    expect(report).toMatchObject({ action: 'make', older: [{ endpoint: old.id, deleted: false }] })
    expect(report.secret).toMatch(/^whsec_/)
    expect(report.error).toMatchObject({ message: expect.stringContaining('Webhook Endpoints') })
  })

  test('mends one of several of the same version, an enabled one, and names the others', async () => {
    const url = freshUrl()
    const enabled = endpoints.add({ url, ...right, enabled_events: ['invoice.paid'] })
    const disabled = endpoints.add({ url, ...right, status: 'disabled' })
    const report = await ensure(url, { replace: true })
    expect(report).toMatchObject({ endpoint: enabled.id, twins: [disabled.id], older: [] })
    expect(at(url)).toMatchObject([{ status: 'disabled' }, { id: enabled.id, ...right }])
  })

  test('keeps endpoints of the account and of connected accounts apart, and those of other addresses', async () => {
    const url = freshUrl()
    const others = [endpoints.add({ url: `${url}/other` }), endpoints.add({ url, livemode: true })]
    const own = await ensure(url)
    const connected = await ensure(url, { connect: true })
    expect(connected).toMatchObject({ action: 'make', older: [], twins: [] })
    expect(connected.endpoint).not.toBe(own.endpoint)
    expect(await ensure(url, { connect: true })).toMatchObject({
      action: 'keep',
      endpoint: connected.endpoint,
    })
    expect(await ensure(url, { replace: true })).toMatchObject({
      action: 'keep',
      endpoint: own.endpoint,
    })
    expect(endpoints.all).toEqual(expect.arrayContaining(others))
  })

  test('finds an endpoint behind hundreds of others', async () => {
    const url = freshUrl()
    const { id } = endpoints.add({ url, ...right })
    for (let count = 0; count < 250; count++) endpoints.add({ url: freshUrl() })
    expect(await ensure(url)).toMatchObject({ action: 'keep', endpoint: id })
  })

  test('changes nothing in a dry run, and says what it would', async () => {
    const [none, wrong, old] = [freshUrl(), freshUrl(), freshUrl()]
    endpoints.add({ url: wrong, ...right, enabled_events: ['invoice.paid', 'invoice.sent'] })
    endpoints.add({ url: old, api_version: '2024-06-20' })
    const before = structuredClone(endpoints.all)
    const said = async (url: string) => {
      const wish = { url, connect: false, dryRun: true }
      return describeEndpoint(await ensure(url, { dryRun: true, replace: true }), wish)
    }
    expect(await said(none)).toMatch(/^Would make an endpoint of https:/)
    expect(await said(wrong)).toMatch(
      /^Would mend .*\n {2}Events that were missing: checkout.*\n.*not needed: invoice.sent$/,
    )
    expect(await said(old)).toMatch(
      /^Would make .*\nWould delete we_\w+ \(API version 2024-06-20\).$/,
    )
    expect(endpoints.all).toEqual(before)
  })
})

describe('referbase stripe endpoint', () => {
  const run = (args: string[], env: Record<string, string> = {}) =>
    referbase(['stripe', 'endpoint', ...args], { ...environment, ...env })

  test('prints the secret to standard output, once, and the line that sets it', async () => {
    const project = 'abcdefghijklmnopqrst'
    const SUPABASE_URL = `https://${project}.supabase.co`
    const { code, stdout, stderr } = await run([], { SUPABASE_URL })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [secret = '', ...more] = [...stdout.matchAll(/whsec_\w+/g)].map(([text]) => text)
    expect(more).toEqual([])
    expect(stdout).toContain(
      `\n  npx supabase secrets set STRIPE_WEBHOOK_SECRET=${secret} STRIPE_LIVEMODE=false --project-ref ${project}\n`,
    )
    expect(at(address(project))).toMatchObject([right])
    const again = await run(['--json'], { SUPABASE_URL })
    expect(JSON.parse(again.stdout)).toMatchObject({
      action: 'keep',
      secret: null,
      url: address(project),
    })
  })

  test('explains to set both secrets while an older endpoint delivers', async () => {
    const url = freshUrl()
    const { id } = endpoints.add({ url, api_version: '2024-06-20' })
    const { stdout } = await run(['--url', url])
    expect(stdout).toMatch(
      /\n {2}npx supabase secrets set STRIPE_WEBHOOK_SECRET=OTHER_SECRET,whsec_\w+ /,
    )
    expect(stdout).toContain(`${id} (API version 2024-06-20) delivers to this address too.`)
    expect(stdout).toContain('--replace')
  })

  test('exits with 1 and still prints the secret where the old endpoint cannot be deleted', async () => {
    const url = freshUrl()
    endpoints.add({ url })
    standIn.fail({ times: 1, with: 403, method: 'DELETE' })
    const { code, stdout, stderr } = await run(['--url', url, '--replace', '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({
      secret: expect.stringMatching(/^whsec_/),
      older: [{ deleted: false }],
    })
    expect(stderr).toBe(
      'STRIPE_SECRET_KEY may not do this. Give the restricted key: Webhook Endpoints, Write.\n',
    )
  })

  test('says a failure in one sentence', async () => {
    standIn.fail({ times: 1, with: 401 })
    expect(await run(['--url', freshUrl()])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'Stripe refuses STRIPE_SECRET_KEY. Take a key that is not expired or deleted.\n',
    })
  })
})

describe('what is wrong is said in one sentence, without the key', () => {
  const fails = async (work: () => unknown, said: RegExp) => {
    const error = await (async () => work())().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(CliError)
    const { message } = error as CliError
    expect(message).toMatch(said)
    expect(message).not.toMatch(/[spr]k_test|\n/)
  }

  test.for([
    ['no key', { STRIPE_SECRET_KEY: '' }, /^Set STRIPE_SECRET_KEY/],
    [
      'a publishable key',
      { STRIPE_SECRET_KEY: 'pk_test_0123456789' },
      /not a secret key of Stripe/,
    ],
    ['a placeholder', { STRIPE_SECRET_KEY: 'sk_test_…' }, /not a secret key of Stripe/],
    [
      'no address of the API',
      { STRIPE_API_BASE: 'localhost:80' },
      /STRIPE_API_BASE is not an address/,
    ],
  ] as const)('%s', ([, change, said]) =>
    fails(() => connectStripe({ ...environment, ...change }), said),
  )

  test.for([
    ['a key that Stripe refuses', 401, /refuses STRIPE_SECRET_KEY/],
    ['a restricted key without the permission', 403, /Webhook Endpoints, Write/],
  ] as const)('%s', async ([, fault, said]) => {
    standIn.fail({ times: 1, with: fault })
    await fails(() => ensure(freshUrl()), said)
  })

  test('an address that Stripe does not take', () =>
    fails(() => ensure('https://intranet/hook'), /^Stripe refuses the request: Invalid URL/))

  test.for([
    ['nothing that says where', undefined, {}, /^Give --url, or set SUPABASE_URL/],
    [
      'a local project',
      undefined,
      { SUPABASE_URL: 'http://127.0.0.1:54321' },
      /does not reach 127.0.0.1:54321/,
    ],
    ['a local address', 'https://localhost/hook', {}, /does not reach localhost/],
    ['no https', 'http://example.org/hook', {}, /must begin with https/],
    ['no address', 'somewhere', {}, /somewhere is not an address/],
  ] as const)('%s', ([, url, env, said]) => fails(() => endpointAddress(url, env), said))

  test('the function’s address follows FUNCTIONS_URL, SUPABASE_URL and --url', () => {
    const SUPABASE_URL = 'https://a.supabase.co/'
    const FUNCTIONS_URL = 'https://go.example.org/f/'
    expect(endpointAddress(undefined, { SUPABASE_URL })).toBe(address('a'))
    expect(endpointAddress(undefined, { SUPABASE_URL, FUNCTIONS_URL })).toBe(
      'https://go.example.org/f/referbase-stripe-webhook',
    )
    expect(endpointAddress('https://b.example.org/x', { SUPABASE_URL })).toBe(
      'https://b.example.org/x',
    )
  })
})
