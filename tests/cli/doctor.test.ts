/** `referbase doctor` in an installation in which each thing is wrong once: what it says at all, and of the database. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeEach, describe, expect, test } from 'vitest'
import { pack } from '../../cli/pack.ts'
import { timedFetch } from '../../cli/timed-fetch.ts'
import { freePort } from '../../scripts/stack/ports.ts'
import { root } from '../../scripts/stack/root.ts'
import { type Alter, withPath, withSchema } from '../support/altered.ts'
import { referbase } from '../support/cli.ts'
import { asItIs, examine, installation } from '../support/doctor.ts'

const { sql, operator, orgId, local, project, examineAltered } = await installation()
beforeEach(() => {
  project.alter = asItIs
})

describe('doctor', () => {
  test('says that the jobs never ran, and then that all is right', async () => {
    const before = await referbase(['doctor'], local)
    expect([before.code, before.stderr]).toEqual([1, ''])
    expect(before.stdout).toMatch(/✗ .*\n {4}.*run_maintenance/)
    await operator.rpc('run_maintenance', {}).throwOnError()
    const { code, stdout, stderr } = await referbase(['doctor'], local)
    expect([code, stderr, stdout.match(/✗.*/g)]).toEqual([0, '', null])
    expect(stdout).toMatch(/\n\d\d right, 0 wrong, [3456] not checked\n$/)
    for (const secret of [local.SUPABASE_SECRET_KEY, local.SUPABASE_PUBLISHABLE_KEY])
      expect(stdout).not.toContain(secret)
    expect(stdout).not.toContain('\u001b')
  })

  test('changes nothing', async () => {
    const tables = await sql`
      select c.oid::regclass::text as name from pg_class as c
      where c.relkind = 'r' and c.relnamespace in ('referral'::regnamespace, 'referral_private'::regnamespace)`
    // A row that is written has another transaction, and another place.
    const written = () =>
      Promise.all(
        tables.map(async ({ name }) => [
          name,
          await sql.unsafe(`select xmin::text, ctid::text from ${name} order by ctid`),
        ]),
      )
    const before = await written()
    await examine(local)
    expect(await written()).toEqual(before)
  })

  test.for([
    [{}, 'Set SUPABASE_URL and SUPABASE_SECRET_KEY in the environment.'],
    [
      { ...local, SUPABASE_URL: 'https://YOUR-PROJECT.supabase.co' },
      'SUPABASE_URL is a placeholder. Set it to an address such as https://abcdefghijklmnopqrst.supabase.co.',
    ],
    [
      { ...local, SUPABASE_SECRET_KEY: local.SUPABASE_PUBLISHABLE_KEY ?? '' },
      'SUPABASE_SECRET_KEY is the publishable key. Set it to the secret key, which begins with sb_secret_.',
    ],
  ] as const)('names variables that are missing or wrong: %$', async ([env, message]) => {
    const { checked, wrong } = await examine(env)
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
      const { stdout, stderr } = await promisify(execFile)(node, args, { env: local })
      expect([stderr, JSON.parse(stdout).ok]).toEqual(['', true])
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
    const secret = await examine({
      ...local,
      SUPABASE_PUBLISHABLE_KEY: local.SUPABASE_SECRET_KEY ?? '',
    })
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
