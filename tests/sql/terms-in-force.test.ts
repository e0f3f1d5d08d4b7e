/** Terms and switches that were in force at a time: what a code earns that was carried then, whenever it is heard of. */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { dateCodes } from '../support/code-states.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { redateLastSwitch, rewriteTerms } from '../support/histories.ts'
import { ingest } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const day = 86_400
const now = Math.floor(Date.now() / 1000)
const terms = (percent: number) => ({
  commission: { kind: 'percent', bps: 100 * percent },
  enrolment: 'open',
  hold_days: 0,
})

/** A program of 10 percent from long ago, 20 percent since 60 days, 30 percent since 30, each from within a second. */
async function changing(tx: Sql) {
  const people = await scene(tx, terms(10))
  const { org, program, admin, mentor } = people
  const { code } = await codeOf(mentor, org)
  for (const percent of [20, 30])
    await admin.rpc('update_program', { program_id: program, changes: { terms: terms(percent) } })
  await rewriteTerms(
    tx,
    `set valid_from = began.at, valid_to = case t.version when 3 then null else began.at + interval '30 days' end
    from (
      select version, to_timestamp(${now} + 0.4) - make_interval(days => 120 - 30 * version) as at
      from referral.program_terms
    ) as began
    where began.version = t.version`,
  )
  await dateCodes(tx, org, new Date((now - 100 * day) * 1000).toISOString())

  /** Somebody buys for 1,000 with the code, so many seconds from now, and this is what it earns the mentor. */
  const earns = async (seconds: number) => {
    const earned = async () =>
      Number((await mentor.rpc('my_earnings', { org_id: org }))[0]?.available ?? 0)
    const before = await earned()
    const [customer, at] = [`cus_${crypto.randomUUID()}`, now + seconds]
    await ingest(tx, completedSession({ customer, reference: code, at }))
    await ingest(tx, paidInvoice({ customer, at }))
    await checkLedger(tx)
    return (await earned()) - before
  }
  return { ...people, earns }
}

/** Switches off and on again, and says that this was so many days ago. */
async function switched(
  tx: Sql,
  change: (active: boolean) => Promise<unknown>,
  off: number,
  on: number,
) {
  for (const [active, days] of [
    [false, off],
    [true, on],
  ] as const) {
    await change(active)
    await redateLastSwitch(tx, `to_timestamp(${now} + 0.4) - make_interval(days => ${days})`)
  }
}

test('a code earns by the terms that were in force when it was carried', () =>
  undone(sql, async (tx) => {
    const { earns } = await changing(tx)
    expect(await earns(-80 * day)).toBe(100)
    expect(await earns(-45 * day)).toBe(200)
    expect(await earns(-10 * day)).toBe(300)
    expect(await earns(-95 * day)).toBe(0)
  }))

test('terms are in force from the second in which they were made', () =>
  undone(sql, async (tx) => {
    const { earns } = await changing(tx)
    expect(await earns(-60 * day - 1)).toBe(100)
    expect(await earns(-60 * day)).toBe(200)
    expect(await earns(-30 * day - 1)).toBe(200)
    expect(await earns(-30 * day)).toBe(300)
  }))

test('a code that is carried while its program is switched off earns nothing', () =>
  undone(sql, async (tx) => {
    const { admin, program, earns } = await changing(tx)
    const change = (active: boolean) =>
      admin.rpc('update_program', { program_id: program, changes: { active } })
    await switched(tx, change, 50, 40)
    expect(await earns(-50 * day - 1)).toBe(200)
    expect(await earns(-50 * day)).toBe(0)
    expect(await earns(-40 * day - 1)).toBe(0)
    expect(await earns(-40 * day)).toBe(200)
  }))

test('and so it does while its organisation is switched off, whatever the program is', () =>
  undone(sql, async (tx) => {
    const { admin, org, program, earns } = await changing(tx)
    await switched(
      tx,
      (active) => admin.rpc('update_organisation', { org_id: org, changes: { active } }),
      50,
      40,
    )
    await switched(
      tx,
      (active) => admin.rpc('update_program', { program_id: program, changes: { active } }),
      45,
      42,
    )
    expect(await earns(-50 * day - 1)).toBe(200)
    expect(await earns(-50 * day)).toBe(0)
    expect(await earns(-41 * day)).toBe(0)
    expect(await earns(-40 * day)).toBe(200)
  }))
