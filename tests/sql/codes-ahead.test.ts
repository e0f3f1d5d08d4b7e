/** Codes whose state changes while purchases carry them that are dated ahead, as those of test clocks are. */
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator } from '../support/actors.ts'
import { restate } from '../support/code-states.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { ingest } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const now = () => Math.floor(Date.now() / 1000)
const terms = { commission: { kind: 'percent', bps: 1000 }, enrolment: 'open', hold_days: 0 }

/** A mentor's code, and what it has earned. */
async function coded(tx: Sql) {
  const people = await scene(tx, terms)
  const { id, code } = await codeOf(people.mentor, people.org)
  const earned = async () => {
    await checkLedger(tx)
    const [row] = await people.mentor.rpc('my_earnings', { org_id: people.org })
    return Number(row?.available ?? 0) + Number(row?.pending ?? 0)
  }
  return { ...people, id, code, earned }
}

test.for([true, false])(
  'a suspension takes back what was carried later, and the next state gives it; live mode %s',
  (livemode) =>
    undone(sql, async (tx) => {
      const { id, code, coordinator, earned } = await coded(tx)
      const of = { customer: 'cus_1', livemode }
      await ingest(tx, completedSession({ ...of, code, at: now() + 900 }))
      await ingest(tx, paidInvoice({ ...of, at: now() + 910 }))
      expect(await earned()).toBe(100)
      await coordinator.rpc('suspend_code', { code_id: id })
      expect(await earned()).toBe(0)
      await coordinator.rpc('reactivate_code', { code_id: id })
      expect(await earned()).toBe(100)
    }),
)

test('an expiry, and a grace, end what is carried after them', () =>
  undone(sql, async (tx) => {
    const { org, id, code, mentor, coordinator, earned } = await coded(tx)
    for (const [n, ahead] of [500, 900].entries())
      await ingest(tx, paidInvoice({ customer: `cus_${n}`, code, at: now() + ahead }))
    expect(await earned()).toBe(200)
    const expire = (seconds: number | null) =>
      coordinator.rpc('update_code', {
        code_id: id,
        changes: { expires_at: seconds && new Date(Date.now() + seconds * 1000) },
      })
    await expire(700)
    expect(await earned()).toBe(100)
    await expire(null)
    expect(await earned()).toBe(200)
    await mentor.rpc('rotate_code', { org_id: org, grace: '700 seconds' })
    expect(await earned()).toBe(100)
  }))

describe('a code that is active again', () => {
  test.for([
    [50, 100],
    [70, 0],
  ])('counts for what was carried in the minute before: %d seconds, %d', ([ago = 0, ends]) =>
    undone(sql, async (tx) => {
      const { program, id, code, earned } = await coded(tx)
      const dayAgo = "valid_from = now() - interval '1 day'"
      await rewriteTerms(tx, `set ${dayAgo} where program_id = '${program}'`)
      const since = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString()
      await restate(tx, id, [
        { status: 'active', since: since(3) },
        { status: 'suspended', since: since(2) },
      ])
      await tx.unsafe(`
        set constraints all immediate;
        alter table referral.codes disable trigger user;
        update referral.codes set status = 'suspended' where id = '${id}';
        alter table referral.codes enable trigger user, enable always trigger codes_keep_what_they_are`)
      await ingest(tx, paidInvoice({ customer: 'cus_1', code, at: now() - ago }))
      expect(await earned()).toBe(0)
      await operator(tx).rpc('reactivate_code', { code_id: id })
      expect(await earned()).toBe(ends)
    }),
  )
})
