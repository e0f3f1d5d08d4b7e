/**
 * Every RPC, called by every kind of caller for one organisation: what it answers, or the error. A new function fails
 * until it is listed in `tests/support/calls.ts`. Each call stands alone: what it changed is undone.
 */
import { expect, test } from 'vitest'
import { answerOf, type Call, calls } from '../support/calls.ts'
import { testDatabase, undone } from '../support/database.ts'
import { actors, callers, stage } from '../support/stage.ts'

const sql = await testDatabase()
const staged = await stage(sql)

test('every RPC is listed', async () => {
  const rows = await sql`
    select proname as name from pg_proc where pronamespace = 'referral'::regnamespace order by 1`
  expect(rows.map(({ name }) => name)).toEqual(Object.keys(calls).sort())
})

test.for(Object.entries(calls))('%s', async ([rpc, { args, answers, rows }]) => {
  const seen: Record<string, string> = {}
  for (const caller of callers)
    await undone(sql, async (tx) => {
      const call = actors(tx, staged)[caller].rpc(rpc, args(staged))
      seen[caller] = await answerOf(call)
      if (rows && seen[caller] === 'ok') {
        const answered = await call
        const expected = rows(staged, caller)
        expect(answered, caller).toHaveLength(expected.length)
        for (const row of expected)
          expect(answered, caller).toContainEqual(expect.objectContaining(row))
      }
    })
  expect(seen).toEqual(answers)
})

const reads = await sql`
  select proname as name from pg_proc
  where pronamespace = 'referral'::regnamespace and provolatile in ('s', 'i')
  order by proname`

test.for(reads.map((read) => String(read.name)))(
  '%s runs in a read-only transaction, as on a replica, for everybody whom it answers',
  async (rpc) => {
    const { args, answers } = calls[rpc] as Call
    const answered = callers.filter((caller) => ['ok', 'none'].includes(answers[caller]))
    expect(answered).not.toEqual([])
    await sql.begin('read only', async (tx) => {
      for (const caller of answered) await actors(tx, staged)[caller].rpc(rpc, args(staged))
    })
  },
)
