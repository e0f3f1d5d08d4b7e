/**
 * A client role that can run SQL makes objects in `pg_temp` under the names that our functions use: types, tables,
 * functions, operators. Each runs code of its own, which must never run with the definer's rights; and no call may fail
 * by it. A session looks for types and tables in `pg_temp` first, unless the search path names it last.
 */
import postgres from 'postgres'
import { expect, inject, test } from 'vitest'
import { answerOf, calls } from '../support/calls.ts'
import { testDatabase, undone } from '../support/database.ts'
import { actors, callers, stage } from '../support/stage.ts'

const sql = await testDatabase()
const staged = await stage(sql)
const [database] = await sql`select current_database() as name`

/** Base types, but those that a keyword names, which no search path moves. */
const types = await sql`
  select typname as name from pg_type
  where typnamespace = 'pg_catalog'::regnamespace and typtype = 'b' and typcategory <> 'A' and typname !~ '^pg_'
    and typname not in ('aclitem', 'cid', 'gtsvector', 'refcursor', 'tid', 'txid_snapshot', 'xid', 'xid8')`

const tables = await sql`
  select distinct relname as name from pg_class
  where relkind in ('r', 'p', 'v')
    and relnamespace::regnamespace::text in ('referral', 'referral_private', 'pg_catalog')`

test.for(callers)('what %s makes in pg_temp runs as nobody else', async (caller) => {
  const role = { anon: 'anon', operator: 'service_role' }[String(caller)] ?? 'authenticated'
  const session = await sessionWith(trapsOf(role))
  const seen: Record<string, string> = {}
  for (const [rpc, { args }] of Object.entries(calls))
    await undone(session, async (tx) => {
      seen[rpc] = await answerOf(actors(tx, staged)[caller].rpc(rpc, args(staged)))
    })
  await session.end()
  const expected = Object.entries(calls).map(([rpc, { answers }]) => [rpc, answers[caller]])
  expect(seen).toEqual(Object.fromEntries(expected))
})

/** Objects of a role that report, as an error, that somebody else runs them. */
const trapsOf = (role: string) => `
  set role ${role};
  create function pg_temp.trap() returns pg_catalog.bool language plpgsql as $$
  begin
    if current_user <> '${role}' then
      raise exception 'runs as %', current_user using errcode = 'TRAP1';
    end if;
    return true;
  end $$;
  create function pg_temp.now() returns pg_catalog.timestamptz language sql
    as $$ select pg_catalog.now() where pg_temp.trap() $$;
  create function pg_temp.clock_timestamp() returns pg_catalog.timestamptz language sql
    as $$ select pg_catalog.clock_timestamp() where pg_temp.trap() $$;
  create function pg_temp.same(pg_catalog.uuid, pg_catalog.uuid) returns pg_catalog.bool language sql
    as $$ select pg_catalog.uuid_eq($1, $2) and pg_temp.trap() $$;
  create operator pg_temp.= (leftarg = pg_catalog.uuid, rightarg = pg_catalog.uuid, function = pg_temp.same);
  ${tables.map(({ name }) => `create view pg_temp."${name}" as select pg_temp.trap() as id;`).join('\n')}
  ${types.map(({ name }) => `create domain pg_temp."${name}" as pg_catalog."${name}" check (pg_temp.trap());`).join('\n')}
  reset role`

/** A connection of its own, on which nothing of ours has run yet. */
async function sessionWith(objects: string): Promise<postgres.Sql> {
  const url = inject('servers').postgres.replace('DATABASE', String(database?.name))
  const session = postgres(url, {
    max: 1,
    fetch_types: false,
    onnotice: () => {},
    types: { bigint: postgres.BigInt },
  })
  await session.unsafe(objects)
  return session
}
