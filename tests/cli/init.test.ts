/** `referbase init` in repositories of adopters, applied by the real Supabase CLI. */
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  adopterRepository,
  apply,
  type Files,
  filesOf,
  migrationsOf,
  node20,
  packageOf,
  push,
  realMigrations,
  referbase,
  removeFolders,
  temporaryFolder,
  write,
} from '../support/adopter.ts'
import { standInForCron } from '../support/cron.ts'
import { projectDatabase } from '../support/project-database.ts'

const config = 'supabase/config.toml'
const link = 'supabase/functions/referbase-link/index.js'
const webhook = 'supabase/functions/referbase-stripe-webhook/index.js'

const smallMigration = {
  'supabase/releases.json': '[]',
  'supabase/migrations/20250101000000_referbase.sql':
    'create schema referral;\n\ncreate table referral.organisations (name text);\n',
}
const adopters: Files = {
  'supabase/migrations/20250101000000_posts.sql': 'create table public.posts (id int);\n',
  'supabase/migrations/20250601000000_likes.sql': 'create table public.likes (id int);\n',
  'supabase/functions/link/index.ts': 'Deno.serve(() => new Response("mine"))\n',
}
const commented = `project_id = "mine" # the app
[api]
# Who may read what:
schemas = [
  "public", # tables
  "storage",
]

[functions.link] # ours, not referbase's
verify_jwt = true
`

afterAll(removeFolders)

/** The Supabase CLI takes seconds for each push. */
const slow = { timeout: 480_000 }

let empty: string
let pack: string
beforeAll(async () => {
  empty = await adopterRepository()
  pack = packageOf(smallMigration)
})

function repository(files: Files = {}): string {
  const folder = temporaryFolder()
  cpSync(empty, folder, { recursive: true })
  write(folder, files)
  return folder
}

test(
  'a repository with migrations, a function called link and comments keeps all of them',
  slow,
  async () => {
    const { sql, url } = await projectDatabase()
    const folder = repository({ ...adopters, [config]: commented })
    const real = packageOf(realMigrations())
    expect(await referbase(real, folder, ['init'])).toMatchObject({ code: 0, stderr: '' })

    const files = filesOf(folder)
    expect(files).toMatchObject(adopters)
    expect(files[config]).toBe(
      `${commented.replace('  "storage",\n', '  "storage",\n  "referral",\n')}
[functions.referbase-link]
verify_jwt = false
entrypoint = "./functions/referbase-link/index.js"

[functions.referbase-stripe-webhook]
verify_jwt = false
entrypoint = "./functions/referbase-stripe-webhook/index.js"
`,
    )
    expect(files[link]).toMatch(
      /^\/\/ referbase \d\S+, referbase-link, sha256 [0-9a-f]{64}\nDeno\.serve/,
    )
    expect(await push(folder, url)).toMatchObject({ code: 0 })
    expect(await sql`select name from referral.organisations`).toEqual([])
    expect(await sql`select from public.likes`).toEqual([])
  },
)

test('an empty repository gets everything, and runs on Node 20', async () => {
  const { sql } = await projectDatabase()
  const folder = repository()
  mkdirSync(join(folder, 'apps/web'), { recursive: true })
  const { code, stdout, stderr } = await referbase(pack, join(folder, 'apps/web'), ['init'], {
    node: node20,
  })
  expect(code).toBe(0)
  expect(stderr).toBe(`The repository is ${folder}.\n`)
  expect(stdout).toMatch(/^added {3}supabase\/migrations\/\d{14}_referbase\.sql\n/)
  expect(stdout).toContain('npx supabase db push --remote')
  expect(parse(filesOf(folder)[config] ?? '')).toMatchObject({
    api: { schemas: ['public', 'graphql_public', 'referral'] },
  })
  await apply(folder, sql)
  expect(await sql`select from referral.organisations`).toEqual([])
})

test('a folder without a Supabase project is refused with what to run', async () => {
  const folder = temporaryFolder()
  const { code, stderr } = await referbase(pack, folder, ['init'])
  expect(code).toBe(1)
  expect(stderr).toContain('Run `npx supabase init` first')
  expect(filesOf(folder)).toEqual({})
})

describe('versions', () => {
  test('the migration sorts after one from the future', slow, async () => {
    const { sql, url } = await projectDatabase()
    const folder = repository({
      ...adopters,
      'supabase/migrations/20991231235959_later.sql': 'create table public.later (id int);\n',
    })
    await apply(folder, sql)
    await referbase(pack, folder, ['init'])
    expect(migrationsOf(folder).at(-1)).toBe('supabase/migrations/21000101000000_referbase.sql')
    expect(await push(folder, url)).toMatchObject({ code: 0 })
    expect(await sql`select from referral.organisations`).toEqual([])
  })

  test('the migration sorts after the history of the database', slow, async () => {
    const { sql, url } = await projectDatabase()
    const folder = repository(adopters)
    const later = 'supabase/migrations/20990101000000_colleague.sql'
    write(folder, { [later]: 'create table public.colleague (id int);\n' })
    await apply(folder, sql)
    rmSync(join(folder, later))

    const { code, stderr } = await referbase(pack, folder, ['init'], { env: { DATABASE_URL: url } })
    expect(code).toBe(0)
    expect(stderr).toContain('read from DATABASE_URL')
    expect(stderr).toContain('migrations that this repository lacks: 20990101000000')
    expect(migrationsOf(folder).at(-1)).toContain('/20990101000001_referbase.sql')

    write(folder, { [later]: 'create table public.colleague (id int);\n' })
    expect(await push(folder, url)).toMatchObject({ code: 0 })
    expect(await sql`select from referral.organisations`).toEqual([])
  })

  test('a database that cannot be reached is said without its password, and nothing is written', async () => {
    const folder = repository()
    const before = filesOf(folder)
    const url = 'postgresql://postgres:secret-word@127.0.0.1:1/postgres'
    const { code, stdout, stderr } = await referbase(pack, folder, ['init', '--db-url', url])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('The database at 127.0.0.1:1 cannot be reached')
    expect(stderr).not.toContain('secret-word')
    expect(filesOf(folder)).toEqual(before)
  })
})

test('a second run changes nothing, also after files were renamed and checked out with Windows line endings', async () => {
  const folder = repository(adopters)
  await referbase(pack, folder, ['init', '--cron'])
  for (const [path, text] of Object.entries(filesOf(folder))) {
    rmSync(join(folder, path))
    write(folder, { [path.replace('_referbase', '_theirs')]: text.replaceAll('\n', '\r\n') })
  }
  const before = filesOf(folder)
  const { code, stdout, stderr } = await referbase(pack, folder, ['init', '--cron'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/^Nothing to do: referbase \S+ is installed\.\n$/)
  expect(filesOf(folder)).toEqual(before)
})

test('a dry run writes nothing, and its diff is what init writes', async () => {
  const folder = repository({ ...adopters, [config]: commented })
  const before = filesOf(folder)
  const { code, stdout } = await referbase(pack, folder, ['init', '--dry-run', '--cron'])
  expect(code).toBe(0)
  expect(filesOf(folder)).toEqual(before)

  const patched = temporaryFolder()
  cpSync(folder, patched, { recursive: true })
  execFileSync('git', ['apply', '-'], { cwd: patched, input: stdout })
  await referbase(pack, folder, ['init', '--cron'])
  expect(Object.values(filesOf(patched))).toEqual(Object.values(filesOf(folder)))
})

test('--json prints one object for a script, and nothing else', async () => {
  const folder = repository()
  const read = async (...args: string[]) => {
    const { stdout } = await referbase(pack, folder, ['init', '--json', ...args])
    return JSON.parse(stdout)
  }
  const planned = await read('--dry-run')
  expect(filesOf(folder)).toEqual(filesOf(empty))
  const done = await read()
  const [migration] = migrationsOf(folder)
  expect(done).toEqual({
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    from: null,
    dry_run: false,
    changes: [
      { path: migration, change: 'added' },
      { path: link, change: 'added' },
      { path: webhook, change: 'added' },
      { path: config, change: 'changed' },
    ],
    warnings: [],
    problems: [],
    notes: [],
    steps: expect.arrayContaining([expect.stringContaining('npx supabase db push --remote')]),
  })
  expect({ ...planned, changes: planned.changes.slice(1) }).toEqual({
    ...done,
    dry_run: true,
    changes: done.changes.slice(1),
  })
  writeFileSync(join(folder, link), 'mine\n')
  const kept = await referbase(pack, folder, ['init', '--json'])
  expect(kept.code).toBe(1)
  expect(JSON.parse(kept.stdout)).toEqual({
    ...done,
    from: done.version,
    changes: [],
    problems: [expect.stringContaining(`${link} is not as referbase wrote it`)],
    steps: [],
  })
})

test('the jobs are scheduled by a migration of their own, once', async () => {
  const folder = repository()
  await referbase(pack, folder, ['init'])
  const { stdout } = await referbase(pack, folder, ['init', '--cron'])
  expect(stdout).toMatch(/^added {3}supabase\/migrations\/\d+_referbase_cron\.sql\n/)
  const { sql } = await projectDatabase()
  // pg_cron is not in the test's Postgres: the same calls, on tables.
  await sql.unsafe(standInForCron)
  expect(filesOf(folder)[migrationsOf(folder).at(-1) ?? '']).toContain(
    'create extension if not exists pg_cron;',
  )
  await apply(folder, sql)
  expect(await sql`select jobname, schedule, command from cron.job`).toEqual([
    {
      jobname: 'referral maintenance',
      schedule: '* * * * *',
      command: 'select * from referral.run_maintenance()',
    },
  ])
})

test(
  'a database without pg_cron takes the migration, and init says who runs the jobs there',
  slow,
  async () => {
    const folder = repository()
    const { stdout } = await referbase(pack, folder, ['init', '--cron'])
    expect(stdout).toContain('run `referral.run_maintenance()` every minute yourself.')
    const { sql, url } = await projectDatabase()
    expect(await push(folder, url)).toMatchObject({ code: 0 })
    expect(await sql`select to_regclass('cron.job') as job`).toEqual([{ job: null }])
  },
)

describe('functions', () => {
  test('one that the adopter changed stays and fails the run, until --overwrite', async () => {
    const folder = repository()
    await referbase(pack, folder, ['init'])
    const ours = filesOf(folder)
    writeFileSync(join(folder, link), `${ours[link]}// mine\n`)
    const changed = filesOf(folder)

    const { code, stderr } = await referbase(pack, folder, ['init'])
    expect(code).toBe(1)
    expect(stderr).toBe(
      `${link} is not as referbase wrote it, and stays as it is. --overwrite replaces it.\n`,
    )
    expect(filesOf(folder)).toEqual(changed)

    expect(await referbase(pack, folder, ['init', '--overwrite'])).toMatchObject({ code: 0 })
    expect(filesOf(folder)).toEqual(ours)
  })

  test('one of the adopter’s under our name stays, and the rest is written', async () => {
    const folder = repository({ [webhook]: 'mine\n' })
    const { code, stdout } = await referbase(pack, folder, ['init'])
    expect(code).toBe(1)
    expect(stdout).toContain(`added   ${link}`)
    expect(filesOf(folder)[webhook]).toBe('mine\n')
  })

  test('one from an older build is replaced', async () => {
    const folder = repository()
    const older = packageOf({
      ...smallMigration,
      'dist/functions/referbase-link/index.js': 'old\n',
    })
    await referbase(older, folder, ['init'])
    const { code, stdout } = await referbase(pack, folder, ['init'])
    expect(code).toBe(0)
    expect(stdout).toContain(`changed ${link}\n`)
    expect(filesOf(folder)[link]).toContain('\nDeno.serve(')
  })

  test('a header that is packed is not written twice', async () => {
    const folder = repository()
    await referbase(pack, folder, ['init'])
    const packed = packageOf({
      ...smallMigration,
      'dist/functions/referbase-link/index.js': filesOf(folder)[link] ?? '',
    })
    const { stdout } = await referbase(packed, folder, ['init'])
    expect(stdout).toMatch(/^Nothing to do/)
  })
})

test('a config.toml that cannot be edited is said with the lines, and the rest is written', async () => {
  const folder = repository({ [config]: '[api]\nschemas = "env(SCHEMAS)"\n' })
  const { code, stdout, stderr } = await referbase(pack, folder, ['init'])
  expect(code).toBe(1)
  expect(stdout).toContain(`added   ${link}`)
  expect(stderr).toContain('Write these lines into it by hand:\n\n[api]\nschemas = [')
  expect(filesOf(folder)[config]).toBe('[api]\nschemas = "env(SCHEMAS)"\n')
})

test('settings of config.toml that keep it from working are said, and stay', async () => {
  const folder = repository({
    [config]: `[functions.referbase-link]
enabled = false

[remotes.production]
project_id = "abcdefghijklmnopqrst"

[remotes.production.api]
schemas = ["public"]
`,
  })
  chmodSync(join(folder, config), 0o600)
  for (const first of [true, false]) {
    const { code, stdout, stderr } = await referbase(pack, folder, ['init'])
    expect({ code, first }).toEqual({ code: 0, first: !stdout.startsWith('Nothing to do') })
    expect(stderr).toContain('has enabled = false in [functions.referbase-link]')
    expect(stderr).toContain('in [remotes.production.api]. Add "referral" to them.')
  }
  expect(statSync(join(folder, config)).mode & 0o777).toBe(0o600)
})

test('a file that cannot be written leaves the repository as it was', async () => {
  const folder = repository({ 'supabase/functions/referbase-link': 'a file, no folder' })
  const before = filesOf(folder)
  const { code, stderr } = await referbase(pack, folder, ['init'])
  expect(code).toBe(1)
  expect(stderr).toContain('Nothing was written: ')
  expect(filesOf(folder)).toEqual(before)
})
