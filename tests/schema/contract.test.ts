/** What a release promised, compared with sql/: of this project once there is a release, and of made-up pairs. */

import postgres from 'postgres'
import { afterAll, expect, test } from 'vitest'
import { brokenPromises, readContract } from '../../scripts/releases/contract.ts'
import { createFromSource } from '../../scripts/releases/databases.ts'
import { migrationDrift } from '../../scripts/releases/drift.ts'
import { testDatabase } from '../support/database.ts'
import { madeUpProject } from '../support/made-up-project.ts'
import { testServer } from '../support/test-server.ts'

const server = testServer()
const { folder } = madeUpProject(afterAll)
const sql = postgres(server.url(await createFromSource(server, folder), 'postgres'), {
  max: 1,
  onnotice: () => {},
})
afterAll(() => sql.end())
const released = await readContract(sql)

/** What is broken after some SQL on the released schema, which is undone. */
async function brokenBy(change: string): Promise<string[]> {
  await sql`begin`
  try {
    await sql.unsafe(change)
    return brokenPromises(released, await readContract(sql))
  } finally {
    await sql`rollback`
  }
}

const returning = (head: string, returns: string) =>
  `create function referral.${head} returns ${returns} language plpgsql as $$ begin end $$`

test.for([
  ['drop function referral.balances()', 'referral.balances is gone: keep it'],
  [
    'revoke execute on function referral.balances() from public, anon, authenticated, service_role; grant execute on function referral.balances() to service_role',
    'referral.balances can no longer be called by',
  ],
  [
    `drop function referral.open_account(uuid, text); ${returning('open_account(owner_id uuid, name text, city text)', 'setof referral.accounts')}`,
    'referral.open_account takes (owner_id uuid, name text, city text), 0 of them optional, and took (owner_id uuid, name text), 0',
  ],
  [
    `drop function referral.open_account(uuid, text); ${returning('open_account(name text, owner_id uuid)', 'setof referral.accounts')}`,
    'referral.open_account takes (name text, owner_id uuid)',
  ],
  [
    `drop function referral.open_account(uuid, text); ${returning(`open_account(owner_id uuid, name text default '')`, 'setof referral.accounts')}`,
    'referral.open_account takes (owner_id uuid, name text), 1 of them optional',
  ],
  [
    returning('open_account(name text)', 'void'),
    'referral.open_account takes (owner_id uuid, name text), 0 of them optional and (name text)',
  ],
  [
    `drop function referral.balances(); ${returning('balances()', 'referral.balance')}`,
    'referral.balances returns referral.balance, and returned SETOF referral.balance',
  ],
  [
    'drop function referral.balances(); alter type referral.balance drop attribute name',
    'referral.balance is (account_id uuid, balance bigint), and was released as (account_id uuid, name text, balance bigint)',
  ],
  [
    'alter type referral.balance alter attribute balance type numeric',
    'referral.balance is (account_id uuid, name text, balance numeric)',
  ],
  [
    'alter table referral.accounts rename column name to title',
    'referral.accounts is (id uuid, owner_id uuid, title text',
  ],
  [
    `alter table referral.accounts alter column status drop default, alter column status type text;
    drop type referral.account_status; create type referral.account_status as enum ('open')`,
    'referral.account_status has lost closed: keep released values.',
  ],
])('%s breaks the contract', async ([change = '', sentence]) => {
  expect((await brokenBy(change)).join('\n')).toContain(sentence)
})

test.for([
  'alter type referral.balance add attribute entries bigint',
  'alter table referral.accounts add column city text',
  `alter type referral.account_status add value 'paused' before 'closed'`,
  returning('close_account(account_id uuid)', 'void'),
  'drop table referral_private.words; drop function referral_private.accounts_of_caller()',
  `create or replace ${returning('balances()', 'setof referral.balance').slice('create '.length)}`,
])('%s does not', async (change) => {
  expect(await brokenBy(change)).toEqual([])
})

test('a schema that no longer keeps the last release fails the gate', {
  timeout: 600_000,
}, async () => {
  const project = madeUpProject()
  await project.release('0.2.0')
  project.edit({
    'sql/40_calls.sql': [[/create function referral\.open_account.*?^\$\$;\n/ms, '']],
  })
  project.migrate('drop function referral.open_account(uuid, text);')
  expect(await migrationDrift(server, project.folder)).toEqual([
    'referral.open_account is gone: keep it, and give what replaces it another name.',
  ])
})

test('the contract of this project is every function, table, result and enum of the schema', async () => {
  const now = await readContract(await testDatabase())
  expect(now.calls.size).toBeGreaterThan(50)
  expect(now.rows.size).toBeGreaterThan(15)
  expect(now.enums.size).toBeGreaterThan(5)
  expect(now.calls.get('referral.rotate_code')).toMatchObject({ returns: 'referral.codes' })
  expect(brokenPromises(now, now)).toEqual([])
  expect(brokenPromises(now, { ...now, calls: new Map() })).toHaveLength(now.calls.size)
})
