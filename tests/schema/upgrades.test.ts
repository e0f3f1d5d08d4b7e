/**
 * A project that goes from release to release of a made-up schema: every row and balance is kept, and the client of the
 * first release, an adopter's view of an RPC and an adopter's policy work as before.
 */
import postgres from 'postgres'
import { afterAll, expect, test } from 'vitest'
import { brokenPromises, readContract } from '../../scripts/releases/contract.ts'
import { createFromMigrations } from '../../scripts/releases/databases.ts'
import { migrationDrift } from '../../scripts/releases/drift.ts'
import { applyMigrations } from '../../scripts/stack/database.ts'
import { madeUpReleases } from '../fixtures/made-up/releases.ts'
import { madeUpProject } from '../support/made-up-project.ts'
import { testServer } from '../support/test-server.ts'

const server = testServer()
const project = madeUpProject(afterAll)
await project.release('0.2.0')
const database = await createFromMigrations(server, project.folder)
const sql = postgres(server.url(database, 'postgres'), { max: 2, onnotice: () => {} })
afterAll(() => sql.end())

const [owner, stranger] = [crypto.randomUUID(), crypto.randomUUID()]

await sql.unsafe(`
  select referral.open_account('${owner}', name) from unnest('{Ada,Bea}'::text[]) as name;
  insert into referral_private.entries (account_id, made_at, amount)
  select id, made_at::timestamptz, amount from referral.accounts,
    (values ('2026-06-01', 700), ('2027-06-01', 50), ('2028-06-01', -5)) as e (made_at, amount);
  insert into referral_private.contacts (account_id, phone, email)
  select id, '+49 ' || name, case name when 'Ada' then 'ada@example.org' end from referral.accounts;
  create schema app;
  grant usage on schema app to authenticated;
  create view app.balances as select * from referral.balances();
  create table app.notes (account_id uuid, text text);
  insert into app.notes select id, 'of ' || name from referral.accounts;
  alter table app.notes enable row level security;
  create policy notes_are_the_owners on app.notes
  using (account_id in (select referral_private.accounts_of_caller()));
  grant select on app.notes to authenticated`)

/** What a user sees through the adopter's policy. */
const notesOf = (user: string) =>
  sql.begin(async (tx) => {
    await tx.unsafe(`set local role authenticated; set local "request.jwt.claim.sub" = '${user}'`)
    return (await tx`select text from app.notes order by text`).map(({ text }) => text)
  })

/** What the client of the first release, the adopter's own objects and the rows themselves say. */
const told = async () => ({
  calls: await sql`select account_id, name, balance from referral.balances()`,
  rows: await sql`select id, owner_id, name, status from referral.accounts order by name`,
  view: await sql`select * from app.balances`,
  notes: [await notesOf(owner), await notesOf(stranger)],
  entries:
    await sql`select account_id, made_at, amount from referral_private.entries order by 1, 2`,
})

const before = await told()
const promised = await readContract(sql)

test('the first release has what it is about', () => {
  expect(before.calls.map(({ name, balance }) => [name, balance])).toEqual([
    ['Ada', '745'],
    ['Bea', '745'],
  ])
  expect(before.notes).toEqual([['of Ada', 'of Bea'], []])
})

test.for(madeUpReleases)(
  '$version, $changes: keeps every row, with the first client, a view and a policy over it',
  { timeout: 600_000 },
  async ({ version, source, migrations }) => {
    project.edit(source)
    for (const text of migrations) project.migrate(text)
    // Five calls of the Supabase CLI: the gate looks after the last release only.
    if (process.env.SOAK_CLI) expect(await migrationDrift(server, project.folder)).toEqual([])
    expect(await project.release(version)).toHaveLength(migrations.length)
    await applyMigrations(server, database, { folder: project.folder })

    expect(await sql`select referral_private.installed_version() as version`).toEqual([{ version }])
    expect(await told()).toEqual(before)
    await sql
      .begin(async (tx) => {
        const args = tx`owner_id => ${stranger}, name => 'Cat'`
        const [made] = await tx`select * from referral.open_account(${args})`
        expect(made).toMatchObject({ owner_id: stranger, name: 'Cat', status: 'open' })
        throw new Error('undone')
      })
      .catch((error) => expect(error).toMatchObject({ message: 'undone' }))
  },
)

test('what the releases brought is there, with the data that was moved', async () => {
  expect(await sql`select name, initial from referral.accounts order by name`).toEqual([
    { name: 'Ada', initial: 'A' },
    { name: 'Bea', initial: 'B' },
  ])
  expect(await sql`select count(*)::int from referral_private.entries_2027`).toEqual([{ count: 2 }])
  expect(await sql`select phone from referral_private.phones order by phone`).toEqual([
    { phone: '+49 Ada' },
    { phone: '+49 Bea' },
  ])
  expect(await sql`select name, entries from referral.balances()`).toEqual([
    { name: 'Ada', entries: '3' },
    { name: 'Bea', entries: '3' },
  ])
  const [ada] = await sql`select id from referral.accounts where name = 'Ada'`
  await sql`select referral.pause_account(${ada?.id})`
  expect(await notesOf(owner)).toEqual(['of Ada', 'of Bea'])
})

test('after the last release nothing differs, a new project gets the same, and the first contract is kept', async () => {
  expect(await migrationDrift(server, project.folder)).toEqual([])
  expect(brokenPromises(promised, await readContract(sql))).toEqual([])
  expect(project.read('CHANGELOG.md')).toMatch(
    /^# Changelog\n\n## Unreleased\n\n## 0\.7\.0 - 2026-02-13\n\n(## 0\.\d\.0 - [\d-]+\n\n)+- Balances\.\n$/,
  )
})
