/**
 * docs/operations.md: a backup is restored by the document's own commands, whole and its data alone, and is row by row what it
 * was. `npm run test:restore`: Debian's Postgres makes the dumps, and npm's takes them.
 */
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readFacts } from '../../scripts/releases/facts.ts'
import { applyMigrations, createProject, execute } from '../../scripts/stack/database.ts'
import type { Postgres } from '../../scripts/stack/postgres.ts'
import { startThrowawayPostgres } from '../../scripts/stack/throwaway.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator } from '../support/actors.ts'
import { table as archived, past, pastMonth } from '../support/archiving.ts'
import { blocksOf } from '../support/blocks.ts'
import { debianPostgres } from '../support/debian-postgres.ts'
import { ingest } from '../support/ingest.ts'
import { ending, stageStory, stories } from '../support/money.ts'
import { blockWith, openFolder } from '../support/operations.ts'
import { stage } from '../support/stage.ts'
import { verified } from '../support/verified.ts'

const [procedure = ''] = blocksOf('docs/reliability.md')
  .map(({ text }) => text)
  .filter((text) => text.includes('create procedure'))
const programs = debianPostgres()
const { run, remove } = openFolder(programs.bin)
const ends: (() => unknown)[] = [remove]
let [server, target]: Postgres[] = []
let source: postgres.Sql
let original: [string, string][]
let DATABASE_URL = ''

/** What a backup leaves out on purpose: it is nowhere but in the source. */
const leftOut = ['referral_private.day_keys', 'referral_private.visitors']
const without = (rows: [string, string][], tables: string[]) =>
  rows.filter(([table]) => !tables.includes(table))

const rowsOf = async (sql: postgres.Sql) =>
  without([...(await readFacts(sql)).rows], leftOut).sort()
const sequencesOf = (sql: postgres.Sql) =>
  sql`select sequencename, last_value from pg_sequences where schemaname like 'referral%' order by 1`

function open(url: string): postgres.Sql {
  const sql = postgres(url, { types: { bigint: postgres.BigInt }, onnotice: () => {} })
  ends.unshift(() => sql.end())
  return sql
}

/** A project on npm's Postgres: empty, or with the migrations. */
async function project(template: 'empty' | 'migrated') {
  const name = `p_${crypto.randomUUID().replaceAll('-', '')}`
  const [NEW_DATABASE_URL, admin] = (['postgres', 'supabase_admin'] as const).map((user) =>
    String(target?.url(name, user)),
  )
  await execute(
    String(target?.url('postgres', 'supabase_admin')),
    `create database ${name} template ${template} owner postgres`,
  )
  return {
    sql: open(String(NEW_DATABASE_URL)),
    admin,
    urls: { DATABASE_URL, NEW_DATABASE_URL: String(NEW_DATABASE_URL) },
  }
}

/** Organisations with people, codes, sales, refunds, decisions, parked events and clicks; jobs have run. */
async function live(sql: postgres.Sql): Promise<void> {
  for (const story of stories.filter((_, n) => n % 6 === 0)) {
    const staged = await stageStory(sql, story)
    for (const event of staged.events) await operator(sql).rpc('ingest_stripe_event', { event })
    await ending(sql, staged)
  }
  const { org, mentor, coordinator, admin, friend } = await stage(sql)
  await operator(sql).rpc('allow_word', { org_id: org, word: 'ADMIN' })
  await coordinator.rpc('create_campaign_code', { org_id: org, code: 'SPRING', max_uses: 10 })
  const [code] = await mentor.run('select code from referral.codes where status = $1', ['active'])
  await mentor.rpc('rotate_code', { org_id: org, grace: '1 day', reason: 'a new season' })
  await ingest(sql, paidInvoice({ code: String(code?.code), orgId: org }))
  await admin.rpc('update_program', {
    program_id: await programOf(sql, org),
    changes: { name: 'X' },
  })
  await operator(sql).rpc('forfeit_from', { org_id: org, member_id: coordinator.id })
  await pastMonth(sql, 6)
  await ingest(sql, past(6, 'evt_past'))
  for (let calls = 0; calls < 3; calls++)
    await operator(sql).rpc('maintain_events', { retention: '90 days' })
  await sql`insert into auth.users (id) values (${friend.id})`
  await sql`select from referral.run_maintenance()`
}

async function programOf(sql: postgres.Sql, org: string): Promise<string> {
  const [program] = await sql`select id from referral.programs where org_id = ${org}`
  return String(program?.id)
}

/** A server with an empty project and one with the migrations, in which jobs have run, as with a schedule among them. */
async function serverOf(settings: Parameters<typeof startThrowawayPostgres>[0]): Promise<Postgres> {
  const started = await startThrowawayPostgres(settings)
  ends.push(started.stop)
  const admin = started.url('postgres', 'supabase_admin')
  // The platform lets it by other means.
  await execute(admin, 'grant set on parameter session_replication_role to postgres')
  for (const name of ['empty', 'migrated']) {
    await execute(admin, `create database ${name}`)
    await createProject(started, name)
  }
  await applyMigrations(started, 'migrated')
  await execute(started.url('migrated', 'postgres'), 'select from referral.run_maintenance()')
  return started
}

beforeAll(async () => {
  ;[server, target] = await Promise.all([serverOf({ programs }), serverOf({})])
  DATABASE_URL = server.url('migrated', 'postgres')
  source = open(DATABASE_URL)
  await live(source)
  original = await rowsOf(source)
}, 120_000)
afterAll(async () => {
  for (const end of ends) await end()
}, 60_000)

const fine = (stdout: unknown = expect.anything()) => ({
  code: 0,
  stdout,
  stderr: expect.anything(),
})

/** The restored database goes on: jobs, rotations, new organisations and sales; and its ledger has no fault. */
async function goesOn(sql: postgres.Sql): Promise<void> {
  const keys = (of: postgres.Sql) => of`select from referral_private.day_keys`
  expect([(await keys(source)).length, (await keys(sql)).length]).toEqual([1, 0])
  expect((await verified(sql)).faults).toEqual([])
  const [code] = await sql`
    select org_id, referrer_id from referral.codes where status = 'active' and referrer_id is not null limit 1`
  await operator(sql).rpc('rotate_code', code)
  await sql`select from referral.run_maintenance()`
  const [story] = stories as [(typeof stories)[0]]
  const staged = await stageStory(sql, story)
  for (const event of staged.events) await operator(sql).rpc('ingest_stripe_event', { event })
  expect((await ending(sql, staged)).ends).toEqual(story.ends)
  expect((await verified(sql)).faults).toEqual([])
}

/** What the schemas consist of, a line each. Postgres prints some expressions with other parentheses after a dump. */
async function catalogOf(sql: postgres.Sql): Promise<string[]> {
  const { body, comment, grant, order } = await readFacts(sql)
  const made = await sql`
    select concat_ws(' ', t.tgrelid::regclass, t.tgenabled, pg_get_triggerdef(t.oid)) as text
    from pg_trigger as t where not t.tgisinternal and t.tgrelid::regclass::text like 'referral%'
    union all
    select concat_ws(' ', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
    from pg_constraint as c where c.connamespace::regnamespace::text like 'referral%' and c.conparentid = 0
    union all
    select indexdef from pg_indexes where schemaname like 'referral%'
    union all
    select concat_ws(' ', tablename, policyname, roles, cmd, qual, with_check) from pg_policies
    union all
    select concat_ws(' ', oid::regclass, relkind, relpersistence, relrowsecurity, relowner::regrole) from pg_class
    where relnamespace::regnamespace::text like 'referral%'`
  const facts = [body, comment, grant, order].flatMap((map) => [...map].map((of) => of.join(': ')))
  return [...facts, ...made.map(({ text }) => String(text).replaceAll(/[()]/g, ''))].filter(
    // The owner's rights, which a dump does not state.
    (line) =>
      !/^referral_private\.(clicks|stripe_events)_\d{4}_\d\d: (postgres [A-Z]+(, )?)+$/.test(
        line,
      ) &&
      // Of the month that was taken out.
      !line.includes(archived(6).slice(-7)),
  )
}

describe('a whole backup', () => {
  test('into an empty project: schema and rows are the same, and replay has no difference', async () => {
    const [{ sql, urls }, migrated, empty] = [
      await project('empty'),
      await project('migrated'),
      await project('migrated'),
    ]
    expect(await run(blockWith('--file=referral.sql --schema'), urls)).toEqual(fine(''))
    expect(await run(blockWith('--set=ON_ERROR_STOP=1 --file=referral.sql'), urls)).toEqual(fine())
    expect(await rowsOf(sql)).toEqual(original)
    expect(await sequencesOf(sql)).toEqual(await sequencesOf(source))
    const [restored, expected] = [await catalogOf(sql), await catalogOf(migrated.sql)]
    expect(expected.length).toBeGreaterThan(2000)
    expect(restored.filter((line) => !expected.includes(line))).toEqual([])
    expect(expected.filter((line) => !restored.includes(line))).toEqual([])

    const EMPTY_DATABASE_URL = empty.urls.NEW_DATABASE_URL
    expect(await run(blockWith('referbase replay'), { ...urls, EMPTY_DATABASE_URL })).toEqual(
      fine(expect.stringMatching(/^\d\d+ events and 1 records replayed, 0 differences\n$/)),
    )
    await goesOn(sql)
  }, 120_000)

  test('by the Supabase CLI, users too', async () => {
    const { sql, urls } = await project('empty')
    expect(await run(blockWith('--file data.sql'), urls)).toEqual(fine(''))
    expect(await run(blockWith('--file=schema.sql'), urls)).toEqual(fine())
    expect(await rowsOf(sql)).toEqual(original)
    expect(await sequencesOf(sql)).toEqual(await sequencesOf(source))
    expect(await sql`select id from auth.users`).toEqual(await source`select id from auth.users`)
    expect(await run(blockWith('migration repair'), urls)).toEqual(fine())
    const versions = (of: postgres.Sql) =>
      of`select version from supabase_migrations.schema_migrations order by 1`
    expect(await versions(sql)).toEqual(await versions(source))
    await goesOn(sql)
  }, 120_000)
})

test('a month that was taken out is dumped by the document’s command, and can be read in another project', async () => {
  const { sql, urls } = await project('migrated')
  const [dump = ''] = blocksOf('docs/scaling.md')
    .map(({ text }) => text)
    .filter((text) => text.includes('pg_dump'))
  const restore = 'pg_restore --dbname="$NEW_DATABASE_URL" archived-events.dump'
  expect(await run(`${dump}\n${restore}`, urls)).toEqual(fine(''))
  expect(await sql.unsafe(`select event_id from ${archived(6)}`)).toEqual([
    { event_id: 'evt_past_6' },
  ])
})

describe('data alone, over the migrations', () => {
  const [dump = '', restore = ''] = blockWith('--data-only --no-unlogged').split(/^(?=psql)/m)
  const runs = ['referral_private.maintenance_runs', archived(6)]

  /** A month that has clicks has no partition there: a restore can come later. */
  const laterProject = async () => {
    const later = await project('migrated')
    const month = new Date().toISOString().slice(0, 7).replace('-', '_')
    await later.sql.unsafe(`drop table referral_private.clicks_${month}`)
    await later.sql.unsafe(`
      alter table referral_private.stripe_events detach partition referral_private.stripe_events_${month};
      drop table referral_private.stripe_events_${month}`)
    return later
  }

  test('rows are the same, and no trigger has written any', async () => {
    const { sql, urls } = await laterProject()
    expect(await run(dump + restore, urls)).toEqual(fine())
    expect(without(await rowsOf(sql), runs)).toEqual(without(original, runs))
    expect(await sequencesOf(sql)).toEqual(await sequencesOf(source))
    await sql.unsafe(procedure)
    const checks = await run(blockWith('call public.verify_whole_ledger'), urls)
    expect(checks).toMatchObject({ code: 0, stderr: '' })
    expect(checks.stdout).toMatch(/^CALL\n/)
    expect(checks.stdout).not.toContain('ledger_triggers')
    await goesOn(sql)
  }, 120_000)

  test.for([
    ['session_replication_role', / --command='set session_replication_role = replica'/, restore],
    ['--load-via-partition-root', / --load-via-partition-root/, dump],
    ['reserved_words', / --exclude-table-data=\S+reserved_words/, dump],
    ['maintenance_runs', / --exclude-table-data=\S+maintenance_runs/, dump],
    ['archived_events', / --exclude-table=\S+archived_events\S+/, dump],
  ] as const)('without %s it fails, and nothing is restored', async ([, option, command]) => {
    const { sql, urls } = await laterProject()
    expect(command).toMatch(option)
    const { code, stderr } = await run((dump + restore).replace(option, ''), urls)
    expect(code).toBe(3)
    expect(stderr).toMatch(/duplicate key|does not exist/)
    expect(await sql`select from referral.organisations`).toHaveLength(0)
  })

  test('without one transaction it ends as if all were well, and is not', async () => {
    const { sql, urls } = await laterProject()
    const changed = restore
      .replace(/ --command='set session_replication_role = replica'/, '')
      .replace('--single-transaction --set=ON_ERROR_STOP=1', '')
    expect(await run(dump + changed, urls)).toEqual(fine())
    const rows = new Map(await rowsOf(sql))
    const wrong = original.filter(([table, text]) => rows.get(table) !== text)
    expect(wrong.map(([table]) => table)).toContain('referral_private.code_states')
  })

  test('with disabled triggers the remedy of health mends them', async () => {
    const { sql, urls, admin } = await project('migrated')
    const changed = dump.replace('--data-only', '--data-only --disable-triggers') + restore
    expect(await run(changed, urls)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('permission denied'),
    })
    const byAdmin = { ...urls, NEW_DATABASE_URL: String(admin) }
    expect(await run(changed, byAdmin)).toEqual(fine())
    const { faults } = await verified(sql)
    expect(faults.map(({ kind }) => kind)).toEqual(Array(15).fill('trigger'))
    const [check] = await operator(sql).run(
      "select remedy from referral.health() where name = 'ledger_triggers'",
    )
    await sql.unsafe(String(check?.remedy).replace('In the SQL editor: ', ''))
    expect(without(await rowsOf(sql), runs)).toEqual(without(original, runs))
    await goesOn(sql)
  }, 120_000)
})
