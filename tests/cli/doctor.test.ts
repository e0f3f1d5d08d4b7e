/** `referbase doctor` against a local stack of its own, in which each thing is wrong once. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkHistory } from '../../cli/doctor/history.ts'
import type { Line } from '../../cli/doctor/line.ts'
import { pack } from '../../cli/pack.ts'
import { withHeader } from '../../cli/repository/header.ts'
import { wantedApiVersion, wantedEvents } from '../../cli/stripe/wanted-endpoint.ts'
import { timedFetch } from '../../cli/timed-fetch.ts'
import { connect } from '../../functions/_shared/database.ts'
import { freePort } from '../../scripts/stack/ports.ts'
import { root } from '../../scripts/stack/root.ts'
import { spawnStack } from '../../scripts/stack/spawn.ts'
import { type Alter, platformSays, startAltered, withPath, withSchema } from '../support/altered.ts'
import { referbase, referbaseHere } from '../support/cli.ts'
import { startLinkHost } from '../support/link-host.ts'
import type { Ended } from '../support/processes.ts'
import { startStripeStandIn } from '../support/stripe-stand-in.ts'

type Check = Line & { group: string }

const { environment: stack, stop } = await spawnStack()
const sql = postgres(stack.DATABASE_URL, { max: 1, onnotice: () => {} })
const operator = connect(stack.SUPABASE_URL, stack.SUPABASE_SECRET_KEY)
/** It is not of this machine by its address, as a hosted project. */
const project = await startAltered(stack.SUPABASE_URL, '127.0.0.2')
const asItIs: Alter = (_, pass) => pass()
const folder = mkdtempSync(join(tmpdir(), 'referbase-doctor-'))

/** Without the database's URL, so that only one test compares histories. */
const { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY } = stack
const local = { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY }
const hosted = { ...local, SUPABASE_URL: project.url }

const run = (args: string[], env: Record<string, string>) =>
  referbase(['doctor', ...args], env, { cwd: folder })
/** The checks by their names, as this process finds them. */
const examine = async (env: Record<string, string>, ...args: string[]) =>
  checksOf(await referbaseHere(['doctor', '--json', ...args], env))
/** The same in a process of its own, which has a folder and certificates of its own. */
const examineApart = async (env: Record<string, string>, ...args: string[]) =>
  checksOf(await run(['--json', ...args], env))

function checksOf({ code, stdout, stderr }: Ended) {
  expect(stderr).toBe('')
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Check[] }
  expect([ok, code]).toEqual(ok ? [true, 0] : [false, 1])
  const checked = Object.fromEntries(checks.map((check) => [check.check, check]))
  const wrong = checks.filter(({ state }) => state === 'wrong').map(({ check }) => check)
  return { checked, wrong }
}

/** The hosted project where something is altered: what is wrong now. */
async function examineAltered(alter: Alter, env: Record<string, string> = {}, ...args: string[]) {
  project.alter = alter
  return examine({ ...hosted, ...env }, ...args)
}

/** Answers for one function, and passes the rest on. */
const instead =
  (name: string, answer: () => Response): Alter =>
  (request, pass) =>
    request.url.includes(`/functions/v1/${name}`) ? answer() : pass()

let orgId: string

beforeAll(async () => {
  const admin_id = crypto.randomUUID()
  const { data: org } = await operator
    .rpc('create_organisation', { name: 'My app', slug: 'my-app', admin_id })
    .throwOnError()
  orgId = org.id
  const changes = { web_destination: 'https://app.test/' }
  await operator.rpc('update_organisation', { org_id: orgId, changes }).throwOnError()
  const terms = { enrolment: 'open', commission: { kind: 'percent', bps: 2000 } }
  await operator
    .rpc('create_program', { org_id: orgId, key: 'friends', name: 'Friends', terms })
    .throwOnError()
  await operator.rpc('create_code', { org_id: orgId, referrer_id: admin_id }).throwOnError()
})
afterAll(async () => {
  await sql.end()
  await stop()
  rmSync(folder, { recursive: true })
})
beforeEach(() => {
  project.alter = asItIs
})

describe('doctor', () => {
  test('says that the jobs never ran, and then that all is right', async () => {
    const before = await run([], local)
    expect([before.code, before.stderr]).toEqual([1, ''])
    expect(before.stdout).toMatch(/✗ .*\n {4}.*run_maintenance/)
    await operator.rpc('run_maintenance', {}).throwOnError()
    const { code, stdout, stderr } = await run([], local)
    expect([code, stderr, stdout.match(/✗.*/g)]).toEqual([0, '', null])
    expect(stdout).toMatch(/\n\d\d right, 0 wrong, [3456] not checked\n$/)
    for (const secret of [stack.SUPABASE_SECRET_KEY, stack.SUPABASE_PUBLISHABLE_KEY])
      expect(stdout).not.toContain(secret)
    expect(stdout).not.toContain('\u001b')
  })

  test('changes nothing', async () => {
    const counts = () => sql`
      select relname, n_tup_ins + n_tup_upd + n_tup_del as changes from pg_stat_user_tables
      where schemaname in ('referral', 'referral_private') order by relname`
    const before = await counts()
    await examine(local)
    await sql`select pg_stat_force_next_flush()`
    expect([...(await counts())]).toEqual([...before])
  })

  test.for([
    [{}, 'Set SUPABASE_URL and SUPABASE_SECRET_KEY in the environment.'],
    [
      { ...local, SUPABASE_URL: 'https://YOUR-PROJECT.supabase.co' },
      'SUPABASE_URL is a placeholder. Set it to an address such as https://abcdefghijklmnopqrst.supabase.co.',
    ],
    [
      { ...local, SUPABASE_SECRET_KEY: SUPABASE_PUBLISHABLE_KEY },
      'SUPABASE_SECRET_KEY is the publishable key. Set it to the secret key, which begins with sb_secret_.',
    ],
  ] as const)('names variables that are missing or wrong: %$', async ([env, message]) => {
    const { checked, wrong } = await examineApart(env)
    expect([wrong, checked.variables?.message]).toEqual([['variables'], message])
  })

  test('says that a project does not respond', async () => {
    const nowhere = `http://127.0.0.1:${await freePort()}`
    const { checked } = await examine({ ...local, SUPABASE_URL: nowhere })
    expect(checked.reachable?.message).toBe(`${nowhere} does not respond: ECONNREFUSED.`)
  })

  test('runs from the package alone, on the machine’s own Node too', async () => {
    const machines = (process.env.PATH ?? '')
      .split(':')
      .filter((path) => !path.includes('node_modules'))
      .map((path) => join(path, 'node'))
    for (const node of [process.execPath, ...machines.filter(existsSync).slice(0, 1)]) {
      const args = [join(root, 'dist/cli.js'), 'doctor', '--json']
      const { status, stdout, stderr } = spawnSync(node, args, { env: local, encoding: 'utf8' })
      expect([status, stderr, JSON.parse(stdout).ok]).toEqual([0, '', true])
    }
  })

  test('gives up on what does not answer', async () => {
    project.alter = () => new Promise(() => {})
    await expect(timedFetch(50)(project.url)).rejects.toThrow('aborted due to timeout')
  })

  test('examines one organisation, and says that there is none', async () => {
    expect((await examine(local, '--org', orgId)).wrong).toEqual([])
    const { checked } = await examine(local, '--org', crypto.randomUUID())
    expect(checked.health).toMatchObject({
      state: 'wrong',
      message: 'The database cannot be checked: organisation_not_found.',
    })
  })
})

describe('the Data API', () => {
  test('does not expose referral', async () => {
    const { checked } = await examineAltered((request, pass) =>
      pass(withSchema(request, 'referral', 'hidden')),
    )
    expect(checked.schema_exposed).toMatchObject({
      state: 'wrong',
      remedy: 'Add referral to the exposed schemas: dashboard, project settings, Data API.',
    })
    expect(checked.health?.state).toBe('unchecked')
  })

  test('exposes referral_private', async () => {
    const { wrong } = await examineAltered((request, pass) =>
      pass(withSchema(request, 'referral_private', 'referral')),
    )
    expect(wrong).toContain('private_schema_hidden')
  })

  test('refuses a key of another project', async () => {
    const { wrong } = await examine({ ...local, SUPABASE_SECRET_KEY: 'sb_secret_of_another' })
    expect(wrong).toContain('operator')
  })

  test('says which publishable key is none, and which is the secret key', async () => {
    const other = await examine({ ...local, SUPABASE_PUBLISHABLE_KEY: 'sb_publishable_other' })
    expect(other.checked.publishable_key?.message).toContain('is not a key of this project')
    const secret = await examine({ ...local, SUPABASE_PUBLISHABLE_KEY: SUPABASE_SECRET_KEY })
    expect(secret.checked.publishable_key?.message).toContain('is a secret key')
  })

  test('has no schema, or an older one', async () => {
    const older = await examineAltered((request, pass) =>
      pass(withPath(request, '/installed_version', '/no_such_function')),
    )
    expect(older.checked.schema_version?.message).toBe(
      `The schema is older than version ${pack.version}.`,
    )
    const none = await examineAltered((request, pass) => {
      const [, place = '', name = ''] = /\/v1(\/rpc)?\/(\w+)/.exec(request.url) ?? []
      return pass(withPath(request, `${place}/${name}`, `${place}/no_such`))
    })
    expect(none.wrong).toContain('schema_installed')
  })

  test('has a schema of another version', async () => {
    const says =
      (version: string): Alter =>
      (request, pass) =>
        request.url.endsWith('/installed_version') ? Response.json(version) : pass()
    expect((await examineAltered(says('0.0.9'))).checked.schema_version).toMatchObject({
      state: 'wrong',
      remedy: 'npx --no-install referbase upgrade, then npx supabase db push --remote',
    })
    const newer = await examineAltered(says('99.0.0'))
    expect(newer.checked.schema_version?.remedy).toBe('Use the package of version 99.0.0.')
  })

  test.for([
    [-3600, 'wrong', 'differ by 36'],
    [-60, 'wrong', 'differ by'],
    [-5, 'ok', 'agree'],
  ] as const)('has a clock that is off by %i seconds', async ([seconds, state, message]) => {
    const { checked } = await examineAltered(async (_, pass) => {
      const answer = await pass()
      answer.headers.set('date', new Date(Date.now() + seconds * 1000).toUTCString())
      return answer
    })
    expect(checked.clocks).toMatchObject({ state, message: expect.stringContaining(message) })
  })
})

describe('the database', () => {
  const says =
    (changes: (row: { name: string; message: string }) => object): Alter =>
    async (request, pass) => {
      const answer = await pass()
      if (!request.url.endsWith('/rpc/health')) return answer
      const rows = (await answer.json()) as { name: string; message: string }[]
      return Response.json(rows.map((row) => ({ ...row, ...changes(row) })))
    }

  test.for([
    [-60, 'wrong', 'differ by'],
    [60, 'wrong', 'differ by'],
    [20, 'ok', 'agree'],
  ] as const)('has a clock that is off by %i seconds', async ([seconds, state, message]) => {
    const time = new Date(Date.now() + seconds * 1000).toISOString()
    const { checked } = await examineAltered(
      says(({ name }) => (name === 'clock' ? { message: `It says ${time}.` } : {})),
    )
    expect(checked.clock).toMatchObject({ state, message: expect.stringContaining(message) })
  })

  test('has no event of Stripe’s yet, which is not right where Stripe is used', async () => {
    const { checked } = await examine(local)
    expect(checked.stripe_events).toMatchObject({
      state: 'unchecked',
      message: expect.stringContaining('has come yet'),
    })
    expect((await examine(local, '--no-stripe')).checked.stripe_events?.state).toBe('ok')
  })
})

describe('a function', () => {
  test('leads unknown codes to a placeholder', async () => {
    const { checked, wrong } = await examineAltered(asItIs)
    expect(wrong).toEqual(['fallback_url'])
    expect(checked.fallback_url?.message).toContain('https://example.com/, a placeholder')
    const right = await examineAltered(async (request, pass) => {
      const answer = await pass()
      if (request.method === 'HEAD') answer.headers.set('location', 'https://app.test/')
      return answer
    })
    expect(right.wrong).toEqual([])
  })

  test('is not deployed', async () => {
    const functions = { FUNCTIONS_URL: `${project.url}/functions/v2` }
    const { checked, wrong } = await examineAltered(asItIs, functions)
    expect(wrong).toEqual(['referbase-link_version', 'referbase-stripe-webhook_version'])
    expect(checked['referbase-link_version']).toMatchObject({
      message: 'referbase-link is not deployed.',
      remedy: expect.stringContaining('supabase functions deploy referbase-link --use-api'),
    })
    const withoutStripe = await examineAltered(asItIs, functions, '--no-stripe')
    expect(withoutStripe.wrong).toEqual(['referbase-link_version'])
  })

  test.for([
    ['demands a token', platformSays(401, 'UNAUTHORIZED_NO_AUTH_HEADER'), /verify_jwt = false/],
    ['does not start', platformSays(503, 'BOOT_ERROR'), /secrets set STRIPE_WEBHOOK_SECRET=/],
    ['does not start', platformSays(500, 'WORKER_ERROR'), /secrets set STRIPE_WEBHOOK_SECRET=/],
    ['is older', platformSays(405, 'method_not_allowed'), /functions deploy/],
    [
      'has version 0.0.9',
      Response.json({ function: 'referbase-stripe-webhook', version: '0.0.9', livemode: false }),
      /functions deploy/,
    ],
  ] as const)('%s', async ([message, answer, remedy]) => {
    const name = 'referbase-stripe-webhook'
    const { checked } = await examineAltered(instead(name, () => answer.clone()))
    expect(checked[`${name}_version`]).toMatchObject({
      state: 'wrong',
      message: expect.stringContaining(message),
      remedy: expect.stringMatching(remedy),
    })
  })

  test('takes payments of the other mode', async () => {
    const { checked } = await examine(local, '--live')
    expect(checked.stripe_mode).toMatchObject({
      state: 'wrong',
      remedy: expect.stringContaining('STRIPE_LIVEMODE=true'),
    })
  })
})

describe('the migrations', () => {
  const migrations = join(folder, 'supabase/migrations')
  const [packed = { name: '', text: '' }] = pack.migrations()
  const write = (stamp: string, text = packed.text) =>
    writeFileSync(
      join(migrations, `${stamp}_referbase.sql`),
      withHeader('--', { version: pack.version, name: packed.name, preview: true }, text),
    )
  beforeEach(() => {
    rmSync(join(folder, 'supabase'), { recursive: true, force: true })
    mkdirSync(migrations, { recursive: true })
    writeFileSync(join(folder, 'supabase/config.toml'), '')
  })
  afterAll(() => rmSync(join(folder, 'supabase'), { recursive: true, force: true }))

  test('are applied, or are not, or are older than the last applied one', async () => {
    const [row] =
      await sql`select max(version) as version from supabase_migrations.schema_migrations`
    const applied = async () => (await checkHistory(stack.DATABASE_URL, folder)).at(-1)
    expect(await applied()).toMatchObject({ state: 'unchecked' })
    write(String(row?.version))
    expect(await applied()).toMatchObject({ state: 'ok' })
    write('20990101000000')
    expect(await applied()).toMatchObject({
      state: 'wrong',
      message: 'Not applied: supabase/migrations/20990101000000_referbase.sql.',
      remedy: 'npx supabase migration up',
    })
    write('20200101000000')
    const { checked } = await examineApart({ ...local, DATABASE_URL: stack.DATABASE_URL })
    expect(checked.repository_version?.state).toBe('ok')
    expect(checked.migrations_applied?.remedy).toBe('npx supabase migration up --include-all')
  })

  test('are of another preview of the same version', async () => {
    const version = async () => (await checkHistory(undefined, folder))[0]
    write('20260101000000')
    expect(await version()).toMatchObject({ check: 'repository_version', state: 'ok' })
    write('20260101000000', 'select 1;\n')
    expect(await version()).toMatchObject({
      state: 'wrong',
      message: expect.stringContaining(`another text of ${packed.name}`),
      remedy: expect.stringContaining('npx --no-install referbase upgrade'),
    })
  })

  test('are not compared without the database, or with one that does not respond', async () => {
    write('20990101000000')
    expect((await examineApart(local)).checked.migrations_applied?.state).toBe('unchecked')
    const nowhere = 'postgresql://postgres:a-password@127.0.0.1:1/postgres'
    const { checked } = await examineApart(local, '--db-url', nowhere)
    expect(checked.migrations_applied?.state).toBe('wrong')
    expect(JSON.stringify(checked)).not.toContain('a-password')
  })
})

describe('a link host', () => {
  const apps = {
    ios_app_ids: ['ABCDE12345.app.test'],
    android_package: 'app.test',
    android_fingerprints: [Array(32).fill('AB').join(':')],
  }
  const hostOf = async (name: string, changes: object) => {
    const link_origin = `https://${name}`
    const all = { ...changes, link_origin }
    await operator.rpc('update_organisation', { org_id: orgId, changes: all }).throwOnError()
    const secret = stack.LINK_PROXY_SECRET
    const functionUrl = `${stack.FUNCTIONS_URL}/referbase-link`
    const front = { functionUrl, secret, fallbackUrl: 'https://example.com/' }
    return startLinkHost(name, front)
  }
  const hostChecks = ['link_host_reached', 'proxy_secret', 'association_ios', 'association_android']

  const statesOf = async (host: Awaited<ReturnType<typeof hostOf>>) => {
    const { checked } = await examineApart({ ...local, ...host.environment })
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
    const untrusted = { ...local, ...host.environment, NODE_EXTRA_CA_CERTS: '' }
    const { checked } = await examineApart(untrusted)
    expect(checked.link_host_reached?.message).toMatch(/leads nowhere: .*CERT/)
  })

  test('opens no app where none is set', async () => {
    const nothing = { ios_app_ids: [], android_package: null, android_fingerprints: [] }
    const host = await hostOf('links.app.test', nothing)
    const { checked, wrong } = await examineApart({ ...local, ...host.environment })
    expect(wrong).toEqual([])
    expect(hostChecks.map((name) => checked[name]?.state)).toEqual([
      'ok',
      'ok',
      'unchecked',
      'unchecked',
    ])
  })
})

describe('the endpoint at Stripe', () => {
  const url = `${project.url}/functions/v1/referbase-stripe-webhook`
  const right = { url, api_version: wantedApiVersion, enabled_events: [...wantedEvents] }

  test('is missing, lacks events, has another version, is there twice, or is right', async () => {
    const { endpoints, environment } = await startStripeStandIn()
    const lines = async () => {
      const { checked } = await examineAltered(asItIs, environment)
      const { stripe_endpoint, stripe_endpoint_versions, stripe_endpoint_once } = checked
      return [stripe_endpoint, stripe_endpoint_versions, stripe_endpoint_once].map(
        (line) => line && [line.state, line.remedy],
      )
    }
    const mend = 'npx --no-install referbase stripe endpoint'
    expect(await lines()).toEqual([['wrong', mend], undefined, undefined])
    const endpoint = endpoints.add({ ...right, enabled_events: ['invoice.paid', 'charge.failed'] })
    expect(await lines()).toEqual([['wrong', mend], undefined, undefined])
    endpoint.enabled_events = right.enabled_events
    expect(await lines()).toEqual([['ok', null], undefined, undefined])
    endpoints.add({ ...right, api_version: '2024-06-20' })
    endpoints.add(right)
    expect(await lines()).toEqual([
      ['ok', null],
      ['wrong', `${mend} --replace`],
      ['wrong', expect.stringContaining('Delete them')],
    ])
  })

  test('of connected accounts is needed where an organisation has one, and it alone where all have', async () => {
    const { endpoints, environment } = await startStripeStandIn()
    const statesOf = async () => {
      const { checked } = await examineAltered(asItIs, environment)
      return [checked.stripe_endpoint?.state, checked.stripe_endpoint_connect?.state]
    }
    endpoints.add({ ...right, application: 'ca_1' })
    expect(await statesOf()).toEqual(['wrong', undefined])
    const account = async (stripe_account_id: string | null) =>
      sql`update referral.organisations set ${sql({ stripe_account_id })} where id = ${orgId}`
    await account('acct_1')
    expect(await statesOf()).toEqual([undefined, 'ok'])
    await sql`select referral.create_organisation('Other', 'other', ${crypto.randomUUID()})`
    expect(await statesOf()).toEqual(['wrong', 'ok'])
    endpoints.all.length = 0
    const { checked } = await examineAltered(asItIs, environment)
    expect(checked.stripe_endpoint_connect?.remedy).toMatch(/endpoint --connect$/)
    await account(null)
  })

  test('cannot be read by a key that Stripe refuses, or is of the other mode', async () => {
    const standIn = await startStripeStandIn()
    standIn.endpoints.add(right)
    const live = { ...standIn.environment, STRIPE_SECRET_KEY: 'sk_live_0123456789' }
    expect((await examineAltered(asItIs, live)).checked.stripe_key?.state).toBe('wrong')
    standIn.fail({ times: 9, with: 401 })
    const { checked } = await examineAltered(asItIs, standIn.environment)
    expect(checked.stripe_endpoint?.message).toContain('Stripe refuses STRIPE_SECRET_KEY')
    expect(JSON.stringify(checked)).not.toContain('0123456789')
  })
})
