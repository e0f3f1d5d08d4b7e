/** Money is shown to its organisation, and live money is not shown beside that of test mode. */
import { expect, test } from 'vitest'
import { operator } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'
import { actors, paymentOf, sold, stage, terms } from '../support/stage.ts'

const sql = await testDatabase()
const staged = await stage(sql)
const { org, mentor, there, sale } = staged

test('explain_commission tells staff of no sale of another organisation on their Stripe account', () =>
  undone(sql, async (tx) => {
    const { admin, elsewhere } = actors(tx, staged)
    const of = (org: string, sale: string) => ({ org_id: org, sale_id: sale })
    expect(await elsewhere.rpc('explain_commission', of(there.org, sale.there))).toHaveLength(2)
    expect(await elsewhere.rpc('explain_commission', of(there.org, sale.here))).toEqual([])
    expect(await admin.rpc('explain_commission', of(org, sale.there))).toEqual([])
    expect(await operator(tx).rpc('explain_commission', of(org, sale.there))).toEqual([])
  }))

test('a referrer’s balance in an organisation is that of its sales', () =>
  undone(sql, async (tx) => {
    const { referrer } = actors(tx, staged)
    const pending = async (org_id: string) =>
      (await referrer.rpc('my_earnings', { org_id })).map((row) => row.pending)
    expect(await pending(org)).toEqual([300n])
    expect(await pending(there.org)).toEqual([300n])
    const explained = { org_id: org, sale_id: sale.there }
    expect(await referrer.rpc('explain_commission', explained)).toEqual([])
  }))

test('an organisation owes what its own people earned', () =>
  undone(sql, async (tx) => {
    const owed = async (org_id: string) =>
      (await operator(tx).rpc('org_liabilities', { org_id })).map((row) => row.earner_id).sort()
    const people = [mentor.id, staged.friend.id]
    expect(await owed(org)).toEqual([...people, staged.coordinator.id, staged.buyer.id].sort())
    expect(await owed(there.org)).toEqual(people.sort())
  }))

/** What is shown of an organisation's money: earnings of the mentor, all that is owed to them, their statement. */
async function shown(tx: Sql, org: string, owner: string) {
  const of = { org_id: org, earner_id: owner }
  const earnings = await operator(tx).rpc('my_earnings', of)
  const owed = await operator(tx).rpc('org_liabilities', { org_id: org })
  const statement = await operator(tx).rpc('my_statement', of)
  return {
    earned: earnings.map((row) => Number(row.pending)),
    owed: owed.filter((row) => row.earner_id === owner).map((row) => Number(row.pending)),
    entries: statement.map((row) => Number(row.amount)),
  }
}

test('an organisation with test-mode money alone sees that, whatever is live in others', () =>
  undone(sql, async (tx) => {
    const trial = await scene(tx, terms)
    const { code } = await codeOf(trial.mentor, trial.org)
    await trial.friend.rpc('redeem_code', { code })
    await sold(tx, { ...trial, paid: 9000, livemode: false })
    expect(await shown(tx, trial.org, trial.mentor.id)).toEqual({
      earned: [900],
      owed: [900],
      entries: [900],
    })
    await operator(tx).rpc('record_payment', paymentOf(trial, 'P1'))
    expect(await shown(tx, trial.org, trial.mentor.id)).toEqual({
      earned: [200],
      owed: [200],
      entries: [200],
    })
  }))

test('money of test mode is not shown beside live money', () =>
  undone(sql, async (tx) => {
    expect(await shown(tx, org, mentor.id)).toEqual({
      earned: [300],
      owed: [300],
      entries: [200, 100],
    })
    expect(await shown(tx, there.org, mentor.id)).toEqual({
      earned: [300],
      owed: [300],
      entries: [300],
    })
  }))
