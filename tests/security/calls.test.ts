/**
 * Every RPC, called by every kind of caller for one organisation: what it answers, or the error. A new function fails
 * until it is listed in `tests/support/calls.ts`. Each call stands alone: what it changed is undone.
 */
import { expect, test } from 'vitest'
import { refusal } from '../support/actors.ts'
import { calls } from '../support/calls.ts'
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
      const answered = await call.catch(() => null)
      seen[caller] = answered ? (answered.length ? 'ok' : 'none') : await errorOf(call)
      if (answered?.length && rows) expect(answered, caller).toMatchObject(rows(staged, caller))
    })
  expect(seen).toEqual(answers)
})

async function errorOf(call: Promise<unknown>): Promise<string> {
  const error = await refusal(call)
  return error === '42501' ? 'denied' : error
}
