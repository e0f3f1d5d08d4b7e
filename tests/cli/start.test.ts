/** `referbase start` in an adopter's repository: their migrations, seeds and functions, and ours among them. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { sign } from 'hono/jwt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../../scripts/stack/ports.ts'
import { root } from '../../scripts/stack/root.ts'
import { readEnvironmentFile, type StackEnvironment } from '../../scripts/stack/spawn.ts'
import { installedProject } from '../support/installed.ts'
import { startNpmRegistry } from '../support/npm-registry.ts'
import { processesWith, type Running, until } from '../support/processes.ts'

const project = installedProject()
const ports = { api: await freePort(), db: await freePort() }
const registry = await startNpmRegistry()
const running: Running[] = []
afterAll(async () => {
  for (const { child } of running) child.kill('SIGINT')
  await Promise.all(running.map(({ ended }) => ended))
  await registry.stop()
  project.remove()
})

function write(path: string, text: string): void {
  const file = join(project.folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

write(
  'supabase/config.toml',
  `project_id = "theirs" # A comment
[api]
port = ${ports.api}
schemas = ["public", "graphql_public", "referral"]
[db]
port = ${ports.db}
[functions.referbase-link]
verify_jwt = false
[functions.open]
verify_jwt = false
[functions.unused]
enabled = false
`,
)
write(
  'supabase/migrations/20200101000000_notes.sql',
  `create table notes (text text);
alter table notes enable row level security;
create policy notes_are_public on notes using (true);
grant select, insert on notes to anon;
alter publication supabase_realtime add table notes;
`,
)
write('supabase/seed.sql', "insert into notes values ('seeded');")
write('supabase/functions/.env', 'GREETING="good day"\nLINK_FALLBACK_URL=https://theirs.example/\n')
write('supabase/functions/_shared/greeting.ts', "export const greeting = Deno.env.get('GREETING')")
write('supabase/functions/open/index.ts', "Deno.serve(() => new Response('open'))")
write('supabase/functions/broken/index.ts', "throw new Error('no reason')")
write(
  'supabase/functions/greet/index.js',
  `import { z } from 'npm:zod@4.6.7'
import { greeting } from '../_shared/greeting.ts'
const fetch = (request) => {
  EdgeRuntime.waitUntil(Promise.resolve())
  return Response.json([greeting, z.string().parse(request.method), Deno.env.has('OF_THE_SHELL')])
}
export default { fetch }
`,
)
for (const name of readdirSync(join(root, 'supabase/migrations')))
  cpSync(join(root, 'supabase/migrations', name), join(project.folder, 'supabase/migrations', name))
cpSync(
  join(project.folder, 'node_modules/referbase/dist/functions/referbase-link'),
  join(project.folder, 'supabase/functions/referbase-link'),
  { recursive: true },
)

const env = {
  npm_config_registry: registry.url,
  DENO_DIR: join(project.folder, 'deno'),
  OF_THE_SHELL: '1',
}
const file = join(project.folder, 'stack.env')

async function started(): Promise<Running & { environment: StackEnvironment }> {
  const begun = project.referbase(['start', '--write-env', file], env)
  running.push(begun)
  const failed = begun.ended.then(({ stderr }) => Promise.reject(new Error(stderr)))
  await Promise.race([until(() => existsSync(file), 100), failed])
  failed.catch(() => {})
  return { ...begun, environment: readEnvironmentFile(file) }
}

async function failure({ ended }: Running): Promise<string> {
  const { code, stdout, stderr } = await ended
  expect([code, stdout]).toEqual([1, ''])
  return stderr.replace(/^.* …\n/gm, '').trim()
}

let stack: Awaited<ReturnType<typeof started>>
beforeAll(async () => {
  stack = await started()
}, 120_000)

const call = (path: string, headers: Record<string, string> = {}) =>
  fetch(stack.environment.SUPABASE_URL + path, { headers, redirect: 'manual' })
const notes = async () => {
  const { SUPABASE_PUBLISHABLE_KEY: apikey } = stack.environment
  const rows: { text: string }[] = await (await call('/rest/v1/notes', { apikey })).json()
  return rows.map(({ text }) => text)
}

describe('referbase start', () => {
  test('applies all migrations and the seed, on the ports of config.toml', async () => {
    const { SUPABASE_URL, DATABASE_URL, SUPABASE_PUBLISHABLE_KEY: apikey } = stack.environment
    expect([new URL(SUPABASE_URL).port, new URL(DATABASE_URL).port]).toEqual(
      [ports.api, ports.db].map(String),
    )
    expect(await notes()).toEqual(['seeded'])
    const headers = { apikey, 'accept-profile': 'referral' }
    expect((await call('/rest/v1/rpc/resolve_code?code=none', headers)).status).toBe(200)
    expect((await call('/auth/v1/settings', { apikey })).status).toBe(200)
  })

  test('serves functions, with the platform’s check unless verify_jwt is false', async () => {
    const { SUPABASE_PUBLISHABLE_KEY: apikey, JWT_SECRET } = stack.environment
    expect(await (await call('/functions/v1/open')).text()).toBe('open')
    const token = await sign({ role: 'authenticated' }, JWT_SECRET)
    const foreign = await sign({ role: 'authenticated' }, 'another secret')
    const answers = [
      {},
      { authorization: `Bearer ${foreign}`, apikey },
      { apikey: 'sb_publishable_other' },
      { apikey },
      { authorization: `Bearer ${apikey}` },
      { authorization: `Bearer ${token}` },
    ].map(async (headers) => {
      const answer = await call('/functions/v1/greet', headers as Record<string, string>)
      return answer.status === 401 ? (await answer.json()).code : answer.json()
    })
    const greeted = ['good day', 'GET', false]
    expect(await Promise.all(answers)).toEqual([
      'UNAUTHORIZED_NO_AUTH_HEADER',
      'UNAUTHORIZED_INVALID_JWT_FORMAT',
      'UNAUTHORIZED_NO_AUTH_HEADER',
      greeted,
      greeted,
      greeted,
    ])
    expect((await call('/functions/v1/unused')).status).toBe(404)
  })

  test('takes the packages of functions from the registry that npm is configured for', () => {
    const log = readFileSync(join(project.folder, '.referbase/referbase-link.log'), 'utf8')
    expect(log).toContain(`Download ${registry.url}/isbot`)
  })

  test('says of a function that does not start why, and goes on', async () => {
    const { SUPABASE_SECRET_KEY: apikey } = stack.environment
    const answer = await call('/functions/v1/broken', { apikey })
    expect([answer.status, await answer.json()]).toMatchObject([503, { code: 'BOOT_ERROR' }])
    expect(await (await call('/functions/v1/open')).text()).toBe('open')
  })

  test('serves the link function of the package, with the settings of the project', async () => {
    const answer = await call('/functions/v1/referbase-link/none')
    expect([answer.status, answer.headers.get('location')]).toEqual([
      302,
      'https://theirs.example/',
    ])
  })

  test('does not start twice on one port', async () => {
    expect(await failure(project.referbase(['start'], env))).toBe(
      `Port ${ports.api} is in use: stop what listens there, or start with --fresh, which takes free ports.`,
    )
    expect(await notes()).toEqual(['seeded'])
  })

  test('leaves no process on Ctrl-C, keeps its data, and then applies what is new', async () => {
    const { environment } = stack
    await fetch(`${environment.SUPABASE_URL}/rest/v1/notes`, {
      method: 'POST',
      headers: {
        apikey: environment.SUPABASE_PUBLISHABLE_KEY,
        'content-type': 'application/json',
      },
      body: '{"text": "written"}',
    })
    stack.child.kill('SIGINT')
    const { code, stderr } = await stack.ended
    expect([code, stderr]).toEqual([0, expect.stringContaining('"broken" did not start')])
    expect(stderr).toContain('no reason')
    expect(processesWith(project.folder)).toEqual([])
    expect(readFileSync(join(project.folder, '.referbase/.gitignore'), 'utf8')).toBe('*\n')

    write('supabase/migrations/20200102000000_more.sql', "insert into notes values ('migrated');")
    stack = await started()
    expect(stack.environment).toEqual(environment)
    expect(await notes()).toEqual(['seeded', 'written', 'migrated'])
    stack.child.kill('SIGINT')
    await stack.ended
  }, 120_000)

  test('shows what the Supabase CLI says of a migration that fails, and leaves no process', async () => {
    write('supabase/migrations/20200103000000_wrong.sql', 'alter table nowhere add x int;')
    const message = await failure(project.referbase(['start'], env))
    expect(message.split('\n').slice(0, 3)).toEqual([
      'A migration failed, and nothing of it was applied. The Supabase CLI says:',
      'Applying migration 20200103000000_wrong.sql...',
      'ERROR: relation "nowhere" does not exist (SQLSTATE 42P01)',
    ])
    expect(processesWith(project.folder)).toEqual([])
  })

  test('names a migration that has changed since it was applied', async () => {
    write('supabase/migrations/20200102000000_more.sql', 'select 1;')
    expect(await failure(project.referbase(['start'], env))).toMatch(
      /^The migration 20200102000000_more\.sql has changed since it was applied: start with --fresh/,
    )
  })

  test.for([
    [null, /^There is no .*config\.toml\. In the folder of your project, run "supabase init"\.$/],
    ['[api', /^.*config\.toml cannot be used: /],
    ['[api]\nport = "x"', /^.*config\.toml cannot be used: [\s\S]*api\.port/],
    ['[functions.gone]', /has the function "gone", but there is no .*gone\/index\.ts\.$/],
  ] as const)('explains a folder that is no project: %s', async ([config, message]) => {
    const folder = join(project.folder, `other-${crypto.randomUUID()}`)
    mkdirSync(join(folder, 'supabase'), { recursive: true })
    if (config !== null) writeFileSync(join(folder, 'supabase/config.toml'), config)
    expect(await failure(project.referbase(['start'], env, folder))).toMatch(message)
  })

  test('says with which command the programs are installed that are missing', async () => {
    const missing = ['deno', 'postgres']
    for (const name of missing) rmSync(join(project.folder, 'node_modules', name))
    const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    const wanted = missing.map((name) => `${name}@${devDependencies[name]}`).join(' ')
    expect(await failure(project.referbase(['start'], env))).toBe(
      `Programs of the local stack are missing here. Install them: npm install --save-dev --save-exact ${wanted}`,
    )
  })
})
