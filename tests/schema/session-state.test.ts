/**
 * No function depends on the state of a session, or leaves any: a pooler in transaction mode gives each transaction any
 * connection. tests/stack/pooler.test.ts runs all calls behind one.
 */
import { expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()

/** A statement that begins so. The `set` of an update does not begin one. */
const statement = (words: string) => new RegExp(`(^|;|\\b(begin|then|else|loop))\\s*(${words})\\b`)

/** What outlives a transaction, as a function would write it. */
const ofSession: Record<string, RegExp> = {
  'an advisory lock': /\bpg_(try_)?advisory_(un)?lock/,
  'a setting by name': statement('set(?! local| constraints)|reset'),
  'a setting': /\bset_config\s*\([^;]*,\s*false\s*\)/,
  'a temporary object': /\btemp(orary)?\s+(table|view|sequence)\b|\bpg_temp\./,
  'a prepared statement': statement('prepare|deallocate'),
  'a channel': statement('listen|unlisten'),
  'a cursor': /\bwith\s+hold\b/,
  'the last value of a sequence': /\b(currval|lastval)\s*\(/,
  'a seed': /\bsetseed\s*\(/,
}

const found = (body: string) => {
  const code = body.replace(/--.*$/gm, '').toLowerCase()
  return Object.keys(ofSession).filter((what) => ofSession[what]?.test(code))
}

test('no function uses what outlives a transaction', async () => {
  const functions = await sql<{ name: string; body: string }[]>`
    select oid::regprocedure::text as name, coalesce(pg_get_function_sqlbody(oid), prosrc) as body
    from pg_proc where pronamespace::regnamespace::text in ('referral', 'referral_private')`
  expect(functions.length).toBeGreaterThan(300)
  expect(
    functions.flatMap(({ name, body }) => found(body).map((what) => `${name}: ${what}`)),
  ).toEqual([])
})

test.for([
  ['an advisory lock', 'perform pg_advisory_lock(1);'],
  ['an advisory lock', 'select pg_try_advisory_lock_shared(1) into v_got;'],
  ['a setting', "perform set_config('role', 'anon', false);"],
  ['a setting by name', "set timezone = 'UTC';"],
  ['a setting by name', 'begin\n  set role anon;'],
  ['a temporary object', 'create temp table t (id int);'],
  ['a temporary object', 'insert into pg_temp.t values (1);'],
  ['a prepared statement', 'v := 1; prepare p as select 1;'],
  ['a channel', 'listen changes;'],
  ['a cursor', 'declare c cursor with hold for select 1;'],
  ['the last value of a sequence', "return currval('s');"],
  ['a seed', 'perform setseed(0);'],
] as const)('%s is found in %s', ([what, body]) => {
  expect(found(body)).toEqual([what])
})

test('what ends with the transaction is not found', () => {
  const allowed = `
    perform pg_advisory_xact_lock(1), pg_advisory_xact_lock_shared(2), set_config('role', 'anon', true);
    update t
    set name = 'x', at = clock_timestamp();
    set local timezone = 'UTC'; -- not pg_advisory_lock`
  expect(found(allowed)).toEqual([])
})
