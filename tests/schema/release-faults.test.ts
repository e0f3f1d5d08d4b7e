/** What is wrong with migrations is found, each by its own sentence, which says what to do. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { draftMigration } from '../../scripts/releases/draft.ts'
import { migrationDrift } from '../../scripts/releases/drift.ts'
import { releaseFaults } from '../../scripts/releases/releases.ts'
import { madeUpProject, releasedProject } from '../support/made-up-project.ts'
import { testServer } from '../support/test-server.ts'

const server = testServer()
const file = 'supabase/migrations/20260202000000_referbase_0_2_0.sql'

describe('the files and releases.json', () => {
  test('a frozen migration that was edited is found', async () => {
    const { read, write, folder } = await releasedProject()
    write(file, read(file).replace('support', 'help'))
    expect(await migrationDrift(server, folder)).toEqual([
      '20260202000000_referbase_0_2_0.sql of release 0.2.0 was changed: restore it, and put the change into an unreleased migration.',
    ])
  })

  test('a frozen migration that is gone is found', async () => {
    const { folder } = await releasedProject()
    rmSync(join(folder, file))
    expect(await releaseFaults(folder)).toEqual([
      '20260202000000_referbase_0_2_0.sql of release 0.2.0 is missing: restore it, projects have applied it.',
    ])
  })

  test('an unreleased migration that comes before a released one is found', async () => {
    const { write, folder } = await releasedProject()
    write('supabase/migrations/20260101000000_change.sql', 'select 1;')
    expect(await releaseFaults(folder)).toEqual([
      '20260101000000_change.sql comes before 20260202000000_referbase_0_2_0.sql, which is released: give it a later time.',
    ])
  })

  test('a second migration before the first release is found', async () => {
    const { migrate, folder } = madeUpProject()
    migrate('select 1;')
    expect(await releaseFaults(folder)).toEqual([
      'There is one migration until the first release, not 20260101000000_referbase.sql, 20260202000000_change.sql.',
    ])
  })

  test('releases that are not in order are found', async () => {
    const { read, write, folder, release } = await releasedProject()
    await release('0.3.0')
    const releases = JSON.parse(read('supabase/releases.json'))
    write('supabase/releases.json', JSON.stringify(releases.toReversed()))
    expect(await releaseFaults(folder)).toEqual([
      'supabase/releases.json does not name the migrations in the order of their file names.',
      'supabase/releases.json does not name the releases in their order: 0.3.0, 0.2.0.',
    ])
  })
})

test('a draft is a fault until it is finished, and then leads to sql/', {
  timeout: 600_000,
}, async () => {
  const project = await releasedProject()
  const { edit, read, write, folder } = project
  edit({ 'sql/20_accounts.sql': [['  email text,', '  email text,\n  city text,']] })
  await expect(draftMigration(server, 'A city', folder)).rejects.toThrow('small letters')
  const path = await draftMigration(server, 'city', folder)
  const [name] = path.split('/').slice(-1)
  expect(name).toMatch(/^\d{14}_city\.sql$/)
  expect(await migrationDrift(server, folder)).toEqual([
    `${name} is a draft: finish it as its note says, and remove the note.`,
  ])
  write(path, read(path).replace(/^--.*\n/gm, ''))
  expect(await migrationDrift(server, folder)).toEqual([])
})

test('before the first release there is no draft', async () => {
  const { folder } = madeUpProject()
  await expect(draftMigration(server, 'city', folder)).rejects.toThrow(
    'Before the first release there is one migration, which "npm run migrate" writes.',
  )
})

test('every kind of drift is found by its own sentence', { timeout: 600_000 }, async () => {
  const { edit, migrate, folder } = await releasedProject()
  edit({
    'sql/20_accounts.sql': [
      ['  phone text,\n', '  city text,\n  phone text,\n'],
      ['What is owed, by whom.', 'Who owes what.'],
      ['select on referral.accounts to authenticated', 'select on referral.accounts to anon'],
      ['  amount bigint not null', '  amount bigint not null check (amount <> 0)'],
    ],
    'sql/30_words.sql': [[`('support', false)`, `('help', false)`]],
    'sql/40_calls.sql': [['  order by a.name;', '  -- By name.\n  order by a.name;']],
  })
  migrate('alter table referral_private.contacts add column city text;')
  const drift = await migrationDrift(server, folder)
  expect(drift).toEqual([
    expect.stringMatching(
      /^The columns of referral_private\.contacts are \(account_id, phone, email, city\) in supabase\/migrations, and \(account_id, city, phone, email\) in sql\/: .* add it at the end in sql\/, too\.$/,
    ),
    expect.stringMatching(
      /^The function referral\.balances\(\) has another text in supabase\/migrations than in sql\/: copy it.*\n {2}\+ +-- By name\.$/,
    ),
    'The comment on table referral.accounts differs.\n  - What is owed, by whom.\n  + Who owes what.',
    expect.stringMatching(
      /^The grants on referral\.accounts differ\.\n {2}- authenticated.*\n {2}\+ anon/,
    ),
    expect.stringMatching(
      /^The rows of referral_private\.words differ: write them.*\n {2}- .*"support".*\n {2}\+ .*"help"/s,
    ),
    expect.stringMatching(
      /^supabase db diff from supabase\/migrations to sql\/ is not empty:\n.*amount <> 0/s,
    ),
  ])
})
