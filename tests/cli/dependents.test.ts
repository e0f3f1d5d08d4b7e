/** What of an adopter's depends on our schemas is named before they are dropped. */
import { expect, test } from 'vitest'
import { exportedSetting, removalStatements } from '../../cli/repository/removal.ts'
import { testDatabase, undone } from '../support/database.ts'

const sql = await testDatabase()

const run = async (connection: { unsafe: typeof sql.unsafe }, statements: string[]) => {
  for (const statement of statements) await connection.unsafe(statement)
}

test.each([
  ['a view', 'create view public.v as select code from referral.codes', 'view v'],
  [
    'a materialized view',
    'create materialized view public.m as select name from referral.organisations',
    'materialized view m',
  ],
  [
    'a foreign key',
    'create table public.t (org_id uuid references referral.organisations (id))',
    'constraint t_org_id_fkey on table t',
  ],
  [
    'a policy',
    `create table public.t (a uuid);
     create policy mine on public.t using (a in (select id from referral.organisations))`,
    'policy mine on table t',
  ],
  [
    'a trigger on users',
    `create trigger note_sign_up_code after insert on auth.users for each row
     execute function referral_private.note_sign_up_code()`,
    'trigger note_sign_up_code on table auth.users',
  ],
  [
    'a column of a type',
    'create table public.t (status referral.code_status)',
    'column status of table t',
  ],
  [
    'a function of SQL',
    'create function public.f() returns bigint begin atomic select count(*) from referral.codes; end',
    'function f()',
  ],
  [
    'a function that takes a row',
    'create function public.f(code referral.codes) returns int language sql as $$ select 1 $$',
    'function f(referral.codes)',
  ],
  [
    'a default',
    'create table public.t (n int); alter table public.t alter n set default (referral.my_code_count())',
    'default value for column n of table t',
  ],
])('%s', async (_, statement, named) => {
  await undone(sql, async (tx) => {
    await tx.unsafe(
      'create function referral.my_code_count() returns int language sql as $$ select 1 $$',
    )
    await tx.unsafe(statement)
    const drop = tx.savepoint((inner) => run(inner, removalStatements('replaced')))
    await expect(drop).rejects.toThrow(`drops: ${named}`)
    await run(tx, removalStatements('removed', { cascade: true }))
    expect(await tx`select to_regnamespace('referral') as name`).toEqual([{ name: null }])
  })
})

test('nothing of ours is named, and what goes with our tables is not', async () => {
  await undone(sql, async (tx) => {
    await tx`create publication changes for table referral.codes`
    await tx`create view referral.theirs as select code from referral.codes`
    await run(tx, removalStatements('removed'))
    expect(await tx`select nspname from pg_namespace where nspname like 'referral%'`).toEqual([])
  })
})

test.each(['organisations', 'stripe_events', 'recorded_facts'])(
  'rows of %s are refused, until they are exported',
  async (table) => {
    await undone(sql, async (tx) => {
      // Tables of that name with a row, whatever columns ours have.
      const schema = table === 'organisations' ? 'referral' : 'referral_private'
      await tx.unsafe(`drop table ${schema}.${table} cascade`)
      await tx.unsafe(`create table ${schema}.${table} as select 1 as n`)
      const drop = tx.savepoint((inner) => run(inner, removalStatements('replaced')))
      await expect(drop).rejects.toThrow(`${schema}.${table} has rows`)
      await tx`select set_config(${exportedSetting}, 'yes', true)`
      await run(tx, removalStatements('replaced'))
      expect(await tx`select to_regnamespace('referral') as name`).toEqual([{ name: null }])
    })
  },
)

test('a database without the schemas is left as it is', async () => {
  await undone(sql, async (tx) => {
    await run(tx, removalStatements('removed'))
    await run(tx, removalStatements('removed'))
  })
})
