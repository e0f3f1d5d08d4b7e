/**
 * An adopter from the package to a redeemed code, and on to the next release, in a repository with migrations and a function
 * `link` of their own, and in an empty one.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createClient } from '@supabase/supabase-js'
import postgres from 'postgres'
import { afterAll, expect, test } from 'vitest'
import { createReferralClient, createReferralLinks, createStaffClient } from '../../client/index.ts'
import { freePort } from '../../scripts/stack/ports.ts'
import { readEnvironmentFile } from '../../scripts/stack/spawn.ts'
import { supabase as cli } from '../../scripts/stack/supabase.ts'
import { installedProject } from '../support/installed.ts'
import { releaseAs } from '../support/made-up-release.ts'
import { startManagementApi } from '../support/management-api.ts'
import { startNpmRegistry } from '../support/npm-registry.ts'
import { type Running, until } from '../support/processes.ts'

const registry = await startNpmRegistry()
const cleanups: (() => Promise<unknown> | unknown)[] = [registry.stop]
afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup()
}, 60_000)

const theirs = {
  'supabase/migrations/20200101000000_profiles.sql': 'create table profiles (id uuid primary key);',
  'supabase/migrations/20200102000000_names.sql': 'alter table profiles add column name text;',
  'supabase/functions/link/index.ts': "Deno.serve(() => new Response('theirs'))",
}

/** A repository after `supabase init`, on ports of its own, with the package installed. */
async function repository(files: Record<string, string> = {}) {
  const project = installedProject()
  cleanups.push(project.remove)
  await cli(['init'], project.folder)
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(project.folder, path)), { recursive: true })
    writeFileSync(join(project.folder, path), text)
  }
  const read = (path: string) => readFileSync(join(project.folder, path), 'utf8')
  for (const [path, text] of Object.entries(files)) write(path, text)
  const ports = [await freePort(), await freePort()]
  const config = read('supabase/config.toml')
    .replace(/^port = 54321$/m, `port = ${ports[0]} # free`)
    .replace(/^port = 54322$/m, `port = ${ports[1]} # free`)
  const own = '\n[functions.link] # theirs\nverify_jwt = false\n'
  write('supabase/config.toml', config + ('supabase/functions/link/index.ts' in files ? own : ''))
  const env = { npm_config_registry: registry.url, DENO_DIR: join(project.folder, 'deno') }
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await project.referbase(args, env).ended
    if (code !== 0) throw new Error(`referbase ${args.join(' ')}: ${stderr}${stdout}`)
    return stdout
  }
  const start = async () => {
    const file = join(project.folder, '.env.stack')
    const stack = project.referbase(['start', '--write-env', file], env)
    const stop = () => {
      stack.child.kill('SIGINT')
      return stack.ended
    }
    cleanups.push(stop)
    await ready(stack, file)
    return { ...readEnvironmentFile(file), stop }
  }
  return { ...project, write, read, run, start }
}

async function ready(stack: Running, file: string): Promise<void> {
  const failed = stack.ended.then(({ stderr }) => Promise.reject(new Error(stderr)))
  failed.catch(() => {})
  await Promise.race([until(() => existsSync(file), 100), failed])
}

type Environment = Awaited<ReturnType<Awaited<ReturnType<typeof repository>>['start']>>

const setUp = (run: (...args: string[]) => Promise<string>, ...more: string[]) =>
  run(
    ...'setup --env-file .env.stack --web https://my-app.example/welcome --commission 20%'.split(
      ' ',
    ),
    ...['--name', 'My app', '--open', '--admin', 'me@example.com', '--invite', '--json', ...more],
  ).then((text) => JSON.parse(text) as { org_id: string; link: string })

/** A friend follows the link, signs up, and redeems. */
async function redeemed({ environment, link, orgId }: Redeemed) {
  const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, FUNCTIONS_URL } = environment
  const tap = await fetch(link, { redirect: 'manual' })
  const page = tap.headers.get('location')
  const links = createReferralLinks({
    origin: FUNCTIONS_URL ?? '',
    destinations: ['https://my-app.example/welcome'],
  })
  const supabase = createClient(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY)
  const email = `friend-${crypto.randomUUID()}@example.com`
  const { data } = await supabase.auth.signUp({ email, password: crypto.randomUUID() })
  const referrals = createReferralClient(supabase, { orgId })
  const found = links.parseReferralLink(page)
  const answer = await referrals.redeem(found?.code ?? '', found ?? {})
  expect(answer.error).toBeNull()
  return { id: String(data.user?.id), supabase, referrals, code: found?.code ?? '' }
}
type Redeemed = { environment: Environment; link: string; orgId: string }

/** The real CLI uploads one file for each of our functions, needs no token for them, and warns of nothing. */
async function deploys(folder: string): Promise<void> {
  const api = await startManagementApi()
  cleanups.push(api.stop)
  const deploy = ['functions', 'deploy', '--use-api', `--remote=${api.ref}`]
  const { code, stdout, stderr } = await cli(deploy, folder, api.environment)
  expect([code, api.unknown]).toEqual([0, []])
  expect(stdout + stderr).not.toMatch(/WARN|error/i)
  for (const name of ['referbase-link', 'referbase-stripe-webhook']) {
    const { files, metadata } = api.uploads.get(name) ?? {}
    expect(Object.keys(files ?? {})).toEqual([`supabase/functions/${name}/index.js`])
    expect(metadata?.verify_jwt).toBe(false)
  }
}

test('a repository with migrations and a function of its own: from the package to the next release', {
  timeout: 240_000,
}, async () => {
  const { folder, run, start, write, read } = await repository(theirs)
  const packed = join(folder, 'node_modules/referbase')
  releaseAs(packed, '0.2.0')
  write('supabase/functions/.env', 'LINK_FALLBACK_URL=https://my-app.example/\n')
  const config = read('supabase/config.toml')
  await run('init', '--cron')
  expect(await run('init', '--cron')).toContain('Nothing to do')
  for (const [path, text] of Object.entries(theirs)) expect(read(path)).toBe(text)
  const added = read('supabase/config.toml').split('\n')
  expect(config.split('\n').filter((line) => !added.includes(line))).toHaveLength(1)
  await deploys(folder)

  const environment = await start()
  const { org_id: orgId, link } = await setUp(run)
  expect(await setUp(run)).toMatchObject({ org_id: orgId, link })
  expect(await (await fetch(`${environment.FUNCTIONS_URL}/link`)).text()).toBe('theirs')
  await run('doctor', '--env-file', '.env.stack', '--no-stripe')
  const friend = await redeemed({ environment, link, orgId })

  const secret = createClient(environment.SUPABASE_URL, environment.SUPABASE_SECRET_KEY)
  const staff = createStaffClient(secret, { orgId })
  await secret
    .schema('referral')
    .rpc('record_payment', {
      org_id: orgId,
      provider: 'bank',
      payment_ref: 'transfer-1',
      referee_id: friend.id,
      amount: 5000,
      currency: 'usd',
      paid_at: new Date().toISOString(),
    })
    .throwOnError()
  const owed = [{ currency: 'usd', pending: 1000 }]
  expect((await staff.orgLiabilities()).data).toMatchObject(owed)

  write(
    'supabase/migrations/20260101000000_theirs.sql',
    `create view owed as select o.currency, o.pending from referral.org_liabilities('${orgId}') as o;
     create table perks (name text);
     alter table perks enable row level security;
     create policy perks_of_friends on perks for select to authenticated
       using (referral.has_redeemed('${friend.code}'));
     grant select on perks to authenticated;
     insert into perks values ('a free month');`,
  )
  releaseAs(
    packed,
    '0.3.0',
    `alter table referral.organisations add column motto text not null default 'Friends first';
     create or replace function referral_private.installed_version() returns text language sql
     immutable security definer set search_path = pg_catalog, pg_temp as $$ select '0.2.0'::text $$;`,
  )
  expect(await run('upgrade')).toContain('0.3.0')
  const push = ['db', 'push', '--include-all', `--remote=${environment.DATABASE_URL}`]
  expect((await cli(push, folder)).code).toBe(0)

  const sql = postgres(environment.DATABASE_URL, { max: 1, onnotice: () => {} })
  cleanups.push(() => sql.end())
  const seen = async () => ({
    view: await sql`select * from owed`,
    redemption: (await friend.referrals.myRedemption()).data?.status,
    liabilities: (await staff.orgLiabilities()).data,
  })
  const kept = {
    view: [{ currency: 'usd', pending: '1000' }],
    redemption: 'confirmed',
    liabilities: [expect.objectContaining({ currency: 'usd', pending: 1000 })],
  }
  expect(await seen()).toEqual(kept)
  expect(await sql`select name, motto from referral.organisations`).toMatchObject([
    { name: 'My app', motto: 'Friends first' },
  ])
  await environment.stop()
  await start()
  expect(await seen()).toEqual(kept)
  // The API of the local stack knows new tables from its start on.
  expect((await friend.supabase.from('perks').select()).data).toEqual([{ name: 'a free month' }])
  await run('doctor', '--env-file', '.env.stack', '--no-stripe')
  expect(await run('upgrade')).toContain('Nothing to do')
})

test('an empty repository, to a redeemed code', { timeout: 120_000 }, async () => {
  const { run, start, folder } = await repository()
  await run('init', '--env-file', '/dev/null')
  appendFileSync(join(folder, '.gitignore'), '.env.stack\n')
  const environment = await start()
  const { org_id: orgId, link } = await setUp(run)
  const friend = await redeemed({ environment, link, orgId })
  expect((await friend.referrals.myRedemption()).data?.status).toBe('pending')
  await environment.stop()
})
