/** What the tests of concurrency stand on: a commit that fails is an error. */
import { expect, test } from 'vitest'
import { refusal } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { sessions } from '../support/sessions.ts'

const sql = await testDatabase()
await sql`create table public.numbers (n int unique deferrable initially deferred)`

test('a commit rejects with the constraint that it violates', () =>
  sessions(sql, async (one, other) => {
    await one.tx`insert into public.numbers values (1), (1)`
    await other.tx`insert into public.numbers values (2)`
    expect(await refusal(one.commit())).toBe('23505')
    await other.commit()
    expect(await sql`select n from public.numbers`).toEqual([{ n: 2 }])
  }))

test('a commit rejects with the error of a statement before it, though the test caught that', () =>
  sessions(sql, async (one) => {
    expect(await refusal(one.tx`select 1 / 0`)).toBe('22012')
    expect(await refusal(one.commit())).toBe('22012')
  }))

test('a rollback is quiet, once or twice, and after a commit that failed', () =>
  sessions(sql, async (one, other) => {
    await one.tx`insert into public.numbers values (3), (3)`
    expect(await refusal(one.commit())).toBe('23505')
    for (const session of [one, other, other]) await session.rollback()
    expect(await sql`select from public.numbers where n = 3`).toEqual([])
  }))
