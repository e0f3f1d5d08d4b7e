/** `referbase remove`: everything is exported, then dropped, in the database and in the repository. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type postgres from 'postgres'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
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
import { recordClick, visitor } from '../support/clicks.ts'
import { standInForCron } from '../support/cron.ts'
import { testDatabase } from '../support/database.ts'
import { exportedRows, storedRows } from '../support/exported.ts'
import { ingestReduced } from '../support/ingest.ts'
import { stageStory, stories } from '../support/money.ts'
import { projectDatabase } from '../support/project-database.ts'

const link = 'supabase/functions/referbase-link/index.js'
const small = (table = '(name text)'): Files => ({
  'supabase/releases.json': '[]',
  'supabase/migrations/20250101000000_referbase.sql': `create schema referral;

create schema referral_private;

create table referral.organisations ${table};
`,
})

afterAll(removeFolders)

/** The Supabase CLI takes seconds for each push. */
const slow = { timeout: 480_000 }

const pack = packageOf(small())
const empty = await adopterRepository()

/** A repository after `init`, and a database that it was pushed to. */
const ready = repository()
const original = await projectDatabase(undefined, afterAll)
await referbase(pack, ready, ['init'])
await push(ready, original.url)
await original.sql.end()

function repository(from = empty): string {
  const folder = temporaryFolder()
  cpSync(from, folder, { recursive: true })
  return folder
}

/** A repository and a database with one organisation, after `init` and a push. */
async function installed() {
  const folder = repository(ready)
  const { sql, url } = await projectDatabase(original.name)
  await sql`insert into referral.organisations values ('Acme')`
  const exports = join(temporaryFolder(), 'exports')
  const remove = (...args: string[]) =>
    referbase(pack, folder, ['remove', '--export', exports, '--db-url', url, ...args])
  return { folder, sql, url, exports, remove }
}

const schemas = async (sql: postgres.Sql) => {
  const rows = await sql`select nspname from pg_namespace where nspname like 'referral%' order by 1`
  return rows.map(({ nspname }) => nspname)
}

test(
  'every row is exported, the schemas go as by a push, and referbase can be installed again',
  slow,
  async () => {
    const { sql, url } = await projectDatabase()
    const real = packageOf(realMigrations())
    const folder = repository()
    const untouched = filesOf(folder)
    await referbase(real, folder, ['init'])
    await push(folder, url)
    await fill(sql)
    const stored = await storedRows(sql)
    const before = filesOf(folder)

    const exports = temporaryFolder()
    const run = (name: string, ...args: string[]) =>
      referbase(real, folder, ['remove', '--export', join(exports, name), ...args], {
        env: { DATABASE_URL: url },
        node: node20,
      })
    const looked = await run('first')
    expect(looked.code).toBe(0)
    expect(looked.stderr).toContain('referral.organisations: 1 rows\n')
    expect(looked.stdout).toMatch(
      `The database is ${new URL(url).host}/${new URL(url).pathname.slice(1)}.\n`,
    )
    expect(looked.stdout).toContain('Nothing was dropped.')
    expect(filesOf(folder)).toEqual(before)
    expect(await schemas(sql)).toEqual(['referral', 'referral_private'])
    const exported = exportedRows(join(exports, 'first'))
    expect(exported.tables).toEqual(stored)
    for (const file of ['', '.gitignore', 'manifest.json', 'referral.organisations.csv']) {
      expect(statSync(join(exports, 'first', file)).mode & 0o077).toBe(0)
    }
    expect(filesOf(join(exports, 'first'))['.gitignore']).toBe('*\n')

    const removed = await run('second', '--yes')
    expect(removed.code).toBe(0)
    expect(looked.stdout + removed.stdout).not.toContain(new URL(url).password)
    const second = exportedRows(join(exports, 'second'))
    expect(second).toEqual(exported)
    for (const [table, rows] of Object.entries(second.tables)) {
      expect([table, second.counts[table]]).toEqual([table, rows.length - 1])
    }
    expect(await schemas(sql)).toEqual([])
    const [installedFile = '', removal = ''] = migrationsOf(folder)
    expect(filesOf(folder)).toEqual({
      ...untouched,
      [installedFile]: before[installedFile],
      [removal]: filesOf(folder)[removal],
    })

    const fresh = await projectDatabase()
    expect(await push(folder, fresh.url)).toMatchObject({ code: 0 })
    expect((await push(folder, url)).text).toContain('up to date')
    expect(await schemas(fresh.sql)).toEqual([])
    expect(await history(sql)).toEqual(await history(fresh.sql))

    await referbase(real, folder, ['init'])
    expect(migrationsOf(folder)).toHaveLength(3)
    await apply(folder, sql)
    expect(await schemas(sql)).toEqual(['referral', 'referral_private'])
  },
)

/** What is stored of the migrations. */
const history = (sql: postgres.Sql) =>
  sql`select version, name, statements from supabase_migrations.schema_migrations order by version`

/** A story of payments, clicks in a partition, and texts that CSV has to quote. */
async function fill(sql: postgres.Sql): Promise<void> {
  const story = stories.find(({ events }) => events.length > 0)
  if (!story) throw new Error('no story')
  const { org, events } = await stageStory(sql, story)
  for (const event of events) await ingestReduced(sql, event)
  const [code] = await sql`select code from referral.codes limit 1`
  await recordClick(sql, { code: code?.code, ...visitor })
  const name = 'Comma, "quote" ’ \\N 😀'
  await sql`update referral.organisations set name = ${name} where id = ${org}`
}

describe('what it refuses, and leaves as it is', () => {
  test(
    'a folder that has files, a missing URL, and a database without the schema',
    slow,
    async () => {
      const folder = repository()
      const { url } = await projectDatabase()
      const full = temporaryFolder()
      write(full, { 'mine.csv': 'a' })
      const run = (...args: string[]) => referbase(pack, folder, ['remove', ...args])
      const message = async (...args: string[]) => (await run(...args)).stderr
      expect(await message('--export', full, '--db-url', url)).toContain('is not empty')
      expect(await message('--export', 'new')).toContain('Name the database')
      expect(await message('--export', 'new', '--db-url', url)).toContain('has no schema referral')
      expect(await message('--export', 'new', '--db-url', 'nonsense')).toContain(
        'like postgresql://',
      )
      expect(await run()).toMatchObject({ code: 2 })
      expect(filesOf(folder)).toEqual(filesOf(empty))
    },
  )

  test('what of the adopter’s depends on the schemas, until --cascade', slow, async () => {
    const { folder, sql, url, exports, remove } = await installed()
    const view = 'supabase/migrations/20991231000000_view.sql'
    write(folder, {
      [view]: 'create view public.names as select name from referral.organisations;\n',
    })
    await push(folder, url)
    const before = filesOf(folder)
    const refused = await remove('--yes')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/which this migration drops: view names\..* --cascade\./)
    expect(await sql`select * from public.names`).toEqual([{ name: 'Acme' }])
    expect(filesOf(folder)).toEqual(before)
    expect(exportedRows(exports).counts).toEqual({ 'referral.organisations': 1 })

    const again = join(temporaryFolder(), 'again')
    const args = ['remove', '--export', again, '--db-url', url, '--yes', '--cascade']
    expect(await referbase(pack, folder, args)).toMatchObject({ code: 0 })
    expect(await sql`select to_regclass('public.names') as view`).toEqual([{ view: null }])
    const fresh = await projectDatabase()
    expect(await push(folder, fresh.url)).toMatchObject({ code: 0 })
    expect(await history(sql)).toEqual(await history(fresh.sql))
  })

  test('migrations that the database lacks', slow, async () => {
    const { folder, sql, remove } = await installed()
    const path = 'supabase/migrations/20991231000000_mine.sql'
    write(folder, { [path]: 'select 1;\n' })
    const { code, stderr } = await remove('--yes')
    expect(code).toBe(1)
    expect(stderr).toContain(`lacks migrations of this repository: ${path}.`)
    expect(await schemas(sql)).toEqual(['referral', 'referral_private'])
  })

  test('a config.toml that cannot be edited', slow, async () => {
    const { folder, sql, remove } = await installed()
    const config = filesOf(folder)['supabase/config.toml'] ?? ''
    const odd = config
      .replace('"referral"]', '"referral"\n,\n]')
      .replace('["public",', '[\n"public",')
    write(folder, {
      'supabase/config.toml': odd.replace('"graphql_public", ', '"graphql_public",\n'),
    })
    const { code, stderr } = await remove('--yes')
    expect(code).toBe(1)
    expect(stderr).toContain('Remove these lines from it by hand')
    expect(await schemas(sql)).toEqual(['referral', 'referral_private'])
  })
})

test(
  'another database with data is dropped by the same migration, after its own export',
  slow,
  async () => {
    const { folder, remove } = await installed()
    const other = await projectDatabase(original.name)
    await other.sql`insert into referral.organisations values ('Other')`
    await remove('--yes')

    const refused = await push(folder, other.url)
    expect(refused.code).toBe(1)
    expect(refused.text).toContain(
      'referral.organisations has rows. Export them and drop it with: npx --no-install referbase',
    )
    const before = filesOf(folder)
    const exports = join(temporaryFolder(), 'exports')
    const args = ['remove', '--export', exports, '--db-url', other.url, '--yes']
    expect(await referbase(pack, folder, args)).toMatchObject({ code: 0 })
    expect(exportedRows(exports).tables['referral.organisations']).toEqual([['name'], ['Other']])
    expect(filesOf(folder)).toEqual(before)
    expect((await push(folder, other.url)).text).toContain('up to date')
  },
)

test(
  'a preview with data is exported and dropped, and the newer one that waits is installed',
  slow,
  async () => {
    const { folder, sql, url, exports, remove } = await installed()
    await referbase(packageOf(small('(name text, slug text)')), folder, ['upgrade'])
    const before = filesOf(folder)
    const removed = await remove('--yes', '--cascade')
    expect(removed.code).toBe(0)
    expect(removed.stderr).toContain(
      `--cascade has no effect: ${migrationsOf(folder).at(-1)} drops`,
    )
    expect(filesOf(folder)).toEqual(before)
    expect(await push(folder, url)).toMatchObject({ code: 0 })
    expect(await sql`select name, slug from referral.organisations`).toEqual([])
    expect(exportedRows(exports).counts).toEqual({ 'referral.organisations': 1 })
  },
)

test('the job of pg_cron is unscheduled, and no other', slow, async () => {
  const { sql, remove } = await installed()
  await sql.unsafe(standInForCron)
  await sql`select cron.schedule('theirs', '* * * * *', 'select 1')`
  await sql`select cron.schedule('ours', '* * * * *', 'select * from referral.run_maintenance()')`
  await remove('--yes')
  expect(await sql`select jobname from cron.job`).toEqual([{ jobname: 'theirs' }])
})

test(
  'what cannot be written after the drop is left as a patch, or to a second call',
  slow,
  async () => {
    const { folder, sql, url, exports, remove } = await installed()
    const before = filesOf(folder)
    // A folder stands where the text is written first.
    mkdirSync(join(folder, 'supabase/config.toml.referbase/full'), { recursive: true })
    const { code, stderr } = await remove('--yes')
    expect(code).toBe(1)
    expect(stderr).toContain('The database is done: the schemas are dropped. Nothing was written: ')
    expect(await schemas(sql)).toEqual([])
    expect(filesOf(folder)).toEqual(before)
    const patch = join(exports, 'repository.patch')
    expect(stderr).toContain(`\`git apply ${patch}\``)
    const again = repository(folder)
    rmSync(join(again, 'supabase/config.toml.referbase'), { recursive: true })
    const args = ['remove', '--export', join(temporaryFolder(), 'again'), '--db-url', url, '--yes']
    expect(await referbase(pack, again, args)).toMatchObject({ code: 0 })
    execFileSync('git', ['apply', patch], { cwd: folder })
    expect(migrationsOf(folder)).toHaveLength(2)
    expect(filesOf(folder)).not.toHaveProperty([link])
    expect(filesOf(again)).toEqual(filesOf(folder))
  },
)

test('a file that cannot be removed after the drop is removed by a second call', slow, async () => {
  const project = await installed()
  const { folder, url, exports } = project
  const webhook = 'supabase/functions/referbase-stripe-webhook/index.js'
  const text = filesOf(folder)[webhook] ?? ''
  // A folder takes the place of the last file when the plan is made.
  const first = await removeAfter(project, () => {
    rmSync(join(folder, webhook))
    mkdirSync(join(folder, webhook))
  })
  expect(first?.code).toBe(1)
  expect(first?.stderr).toContain('Not everything was written: ')
  expect(first?.stderr).toContain(`Not written:\nremoved ${webhook}\n`)
  rmdirSync(join(folder, webhook))
  write(folder, { [webhook]: text })

  const again = (...args: string[]) => {
    const other = join(temporaryFolder(), 'again')
    return referbase(pack, folder, ['remove', '--export', other, '--db-url', url, ...args])
  }
  const looked = await again()
  expect([looked.code, looked.stdout]).toEqual([0, expect.stringContaining(`removed ${webhook}\n`)])
  expect(filesOf(folder)[webhook]).toBe(text)
  expect(await again('--yes')).toMatchObject({ code: 0 })
  const [installedFile = '', removal = ''] = migrationsOf(folder)
  const { [installedFile]: _, [removal]: dropping, ...rest } = filesOf(folder)
  expect(dropping).toContain('drop schema if exists referral cascade;')
  expect(rest).toEqual(filesOf(empty))
  expect(await again('--yes')).toMatchObject({
    code: 1,
    stderr: 'This database has no schema referral.\n',
  })
  expect(exportedRows(exports).counts).toEqual({ 'referral.organisations': 2 })
})

test('it gives up on a lock after ten seconds, and leaves everything', slow, async () => {
  const { folder, sql, exports, remove } = await installed()
  const before = filesOf(folder)
  await sql.begin(async (tx) => {
    await tx`lock table referral.organisations`
    const { code, stderr } = await remove('--yes')
    expect([code, stderr]).toEqual([1, expect.stringContaining('for more than 10 seconds')])
  })
  expect(await sql`select name from referral.organisations`).toEqual([{ name: 'Acme' }])
  expect([filesOf(folder), existsSync(exports)]).toEqual([before, false])
})

test('--json prints one object, before and after', slow, async () => {
  const { sql, folder, url, exports, remove } = await installed()
  const other = join(temporaryFolder(), 'other')
  const args = ['remove', '--export', other, '--db-url', url, '--json']
  const looked = JSON.parse((await referbase(pack, folder, args)).stdout)
  const { stdout } = await remove('--yes', '--json')
  const done = JSON.parse(stdout)
  expect(looked).toEqual({ ...done, dropped: false, export: other, changes: looked.changes })
  expect(done).toMatchObject({
    database: `${new URL(url).host}${new URL(url).pathname}`,
    dropped: true,
    export: exports,
    rows: { 'referral.organisations': 1 },
    changes: [
      { path: migrationsOf(folder).at(-1), change: 'added' },
      { path: 'supabase/config.toml', change: 'changed' },
      { path: link, change: 'removed' },
      { path: link.replace('link', 'stripe-webhook'), change: 'removed' },
    ],
    left: { before: expect.any(Array), after: expect.any(Array) },
  })
  expect(await schemas(sql)).toEqual([])
})

test('a function that the adopter changed stays, with its section', slow, async () => {
  const { folder, remove } = await installed()
  write(folder, { [link]: `${filesOf(folder)[link]}// mine\n` })
  const { stdout } = await remove('--yes')
  expect(stdout).toContain(`- ${link}, which you changed\n`)
  const { 'supabase/config.toml': config, ...files } = filesOf(folder)
  expect(files[link]).toContain('// mine')
  expect(files).not.toHaveProperty(['supabase/functions/referbase-stripe-webhook/index.js'])
  expect(existsSync(join(folder, 'supabase/functions/referbase-stripe-webhook'))).toBe(false)
  expect(config).toContain('[functions.referbase-link]')
  expect(config).not.toContain('[functions.referbase-stripe-webhook]')
})

test('a database without a history of migrations gets none', async () => {
  const sql = await testDatabase(undefined, onTestFinished)
  await sql`drop schema supabase_migrations cascade`
  const folder = repository()
  const args = ['remove', '--export', join(temporaryFolder(), 'x'), '--db-url', urlOf(sql), '--yes']
  expect(await referbase(pack, folder, args)).toMatchObject({ code: 0 })
  expect(await schemas(sql)).toEqual([])
  expect(migrationsOf(folder)).toHaveLength(1)
  expect(await sql`select to_regnamespace('supabase_migrations') as name`).toEqual([{ name: null }])
})

const urlOf = ({ options }: postgres.Sql) =>
  `postgresql://${options.user}:${options.pass}@${options.host[0]}:${options.port[0]}/${options.database}?sslmode=disable`

/** Calls it while somebody writes a row, does something meanwhile, and lets it go on. */
async function removeAfter(
  { sql, remove }: Awaited<ReturnType<typeof installed>>,
  meanwhile = () => {},
) {
  let removal: ReturnType<typeof remove> | undefined
  await sql.begin(async (tx) => {
    await tx`insert into referral.organisations values ('Late')`
    removal = remove('--yes')
    await untilBlocked(sql)
    meanwhile()
  })
  return removal
}

test('it waits for a row that is being written, and exports it', slow, async () => {
  const project = await installed()
  const { exports } = project
  expect(await removeAfter(project)).toMatchObject({ code: 0 })
  expect(exportedRows(exports).tables['referral.organisations']).toEqual([
    ['name'],
    ['Acme'],
    ['Late'],
  ])
})

/** Waits until a session of this database waits for a lock. */
async function untilBlocked(sql: postgres.Sql): Promise<void> {
  for (let tries = 0; tries < 20_000; tries++) {
    const waiting = await sql`
      select from pg_locks as l join pg_database as d on d.oid = l.database
      where d.datname = current_database() and not granted`
    if (waiting.length > 0) return
  }
  throw new Error('nothing was ever blocked')
}
