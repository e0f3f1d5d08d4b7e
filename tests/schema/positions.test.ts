/**
 * No SQL depends on where a column stands: a migration adds a column at the end, whatever place it would have in sql/. The
 * text of sql/ is searched, and worlds that are told by hand end as they do on a database with reversed columns.
 */
import { expect, test } from 'vitest'
import { toldStories } from '../fixtures/told/stories.ts'
import { onAdmin, testDatabase } from '../support/database.ts'
import { positionsIn } from '../support/positions.ts'
import { createReversed, reversedColumns } from '../support/reversed-columns.ts'
import { sqlSource } from '../support/sql-source.ts'
import { testServer } from '../support/test-server.ts'
import { endsAsTold } from '../support/told-endings.ts'

const files = await sqlSource()
const tables = files.flatMap(({ code }) =>
  [...code.matchAll(/^create (?:unlogged )?table (\S+)/gm)].map(([, name]) => String(name)),
)

test('no file of sql/ uses the place of a column', () => {
  expect(tables.length).toBeGreaterThan(40)
  expect(
    files.flatMap(({ path, code }) =>
      positionsIn(code, tables).map((place) => `${path}: ${place}`),
    ),
  ).toEqual([])
})

const inFunction = (body: string, returns = 'void') =>
  `create function a.f(p_row a.t)\nreturns ${returns}\nlanguage plpgsql\nas $$\ndeclare\n  v_row a.t;\nbegin\n${body}\nend\n$$;`

test.for([
  ['insert into a.t values (1, 2);', 'an insert without columns'],
  ['insert into a.t as t\nselect 1, 2;', 'an insert without columns'],
  ['insert into a.t select x.*, 1 from x;', 'an insert without columns'],
  ['insert into a.t (b, c) select x.* from x;', 'an insert of a whole row into columns'],
  ['select row(1, 2)::a.t;', 'a cast to a table'],
  ['select (1, 2)::a.t;', 'a cast to a table'],
  [inFunction('  return query\n  select 1, 2;', 'setof a.t'), 'a.f returns columns by position'],
  [inFunction('  return (1, 2);', 'a.t'), 'a.f returns a row by position'],
  [inFunction('  select 1, 2 into v_row;'), 'a.f stores 1, 2 in v_row by position'],
  [inFunction('  v_row := (1, 2);'), 'a.f makes v_row by position'],
  [inFunction('  for v_row in select 1, 2 loop end loop;'), 'a.f loops over columns in v_row'],
])('%j is found', ([code = '', place = '']) => {
  expect(positionsIn(code, ['a.t'])).toEqual([expect.stringContaining(place)])
})

test.for([
  'insert into a.t (b, c) values (1, 2);',
  'insert into a.t select p_row.*;',
  'select null::a.t, (1, 2)::a.type;',
  inFunction('  return query select x.* from a.t as x;', 'setof a.t'),
  inFunction(
    '  select x.* into v_row from a.t as x;\n  insert into a.t (b) values (1) returning * into v_row;',
  ),
  inFunction(
    '  for v_row.b, v_row.c in select 1, 2 loop return next v_row; end loop;',
    'setof a.t',
  ),
])('%j is not', (code) => {
  expect(positionsIn(code, ['a.t'])).toEqual([])
})

test('columns are reversed, and constraints stay last', () => {
  const sql = `create table a.t (
  b int not null default (
    1 + 1
  ),
  -- Why.
  c numeric(3, 2),
  d text,
  constraint t_pkey primary key (b)
);

create table a.t_default partition of a.t default;
`
  expect(reversedColumns(sql)).toBe(`create table a.t (
  d text,
  c numeric(3, 2),
  b int not null default (
    1 + 1
  ),
  constraint t_pkey primary key (b)
);

create table a.t_default partition of a.t default;
`)
})

const sql = await testDatabase(async (name) => {
  await onAdmin((admin) => admin.unsafe(`create database ${name}`))
  await createReversed(testServer(), name)
})

test('every table has its columns in the reversed order, but for those of a partition', async () => {
  const orders = new Map(
    files.flatMap(({ code }) =>
      [...code.matchAll(/^create (?:unlogged )?table (\S+) \(\n(.*?)\n\)/gms)].map(
        ([, name, body]): [string, string[]] => [
          String(name),
          [...String(body).matchAll(/^ {2}(?!constraint\b)([a-z_]\w*)/gm)].map(([, column]) =>
            String(column),
          ),
        ],
      ),
    ),
  )
  const rows = await sql<{ name: string; columns: string[] }[]>`
    select c.oid::regclass::text as name, array_agg(a.attname::text order by a.attnum) as columns
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
    where c.relnamespace::regnamespace::text like 'referral%' and c.relkind in ('r', 'p') and not c.relispartition
    group by c.oid`
  expect(rows).toHaveLength(orders.size)
  for (const { name, columns } of rows) expect(columns.toReversed(), name).toEqual(orders.get(name))
})

/** One in ten of the worlds: `npm run soak` runs all of them, and the tests of the database. */
const some = toldStories.filter((_, n) => n % 10 === 0)

test.for(some)('with reversed columns: %s', { timeout: 300_000 }, async (story) => {
  expect(await endsAsTold(sql, story, { orders: 1, seed: 1 })).toBeGreaterThan(1)
})
