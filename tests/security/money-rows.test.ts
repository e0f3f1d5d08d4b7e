/** Money is shown to its organisation, to the person and to admins; each row says whether it is live. */
import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'
import { actors, numberOf, paymentOf, sold, stage, terms } from '../support/stage.ts'

const sql = await testDatabase()
const staged = await stage(sql)
const { org, mentor, there, sale } = staged

test('explain_commission tells staff of no sale of another organisation on their Stripe account', () =>
  undone(sql, async (tx) => {
    const { admin } = actors(tx, staged)
    const elsewhere = person(tx, there.admin.id)
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
      (await referrer.rpc('my_earnings', { org_id, livemode: true })).map((row) => row.pending)
    expect(await pending(org)).toEqual([300n])
    expect(await pending(there.org)).toEqual([300n])
    const explained = { org_id: org, sale_number: await numberOf(tx, there.org, sale.there) }
    expect(await referrer.rpc('explain_commission', explained)).toEqual([])
  }))

test('an organisation owes what its own people earned', () =>
  undone(sql, async (tx) => {
    const owed = async (org_id: string) =>
      (await operator(tx).rpc('org_liabilities', { org_id, livemode: true }))
        .map((row) => row.earner_id)
        .sort()
    const people = [mentor.id, staged.friend.id]
    expect(await owed(org)).toEqual([...people, staged.coordinator.id, staged.buyer.id].sort())
    expect(await owed(there.org)).toEqual(people.sort())
  }))

/** What is shown of a person's money: earnings, what is owed to them, their statement; each with its mode. */
async function shown(tx: Sql, org: string, owner: string, livemode?: boolean) {
  const mode = livemode === undefined ? {} : { livemode }
  const of = { org_id: org, earner_id: owner, ...mode }
  const earnings = await operator(tx).rpc('my_earnings', of)
  const owed = await operator(tx).rpc('org_liabilities', { org_id: org, ...mode })
  const statement = await operator(tx).rpc('my_statement', of)
  const lines = (rows: typeof earnings, amount: string) =>
    rows.map((row) => `${row.livemode ? 'live' : 'test'} ${row[amount]}`)
  return {
    earned: lines(earnings, 'pending'),
    owed: lines(
      owed.filter((row) => row.earner_id === owner),
      'pending',
    ),
    entries: lines(statement, 'amount'),
  }
}

test('one record_payment after Stripe test sales: nothing disappears', () =>
  undone(sql, async (tx) => {
    const trial = await scene(tx, terms)
    const { code } = await codeOf(trial.mentor, trial.org)
    await trial.friend.rpc('redeem_code', { code })
    await sold(tx, { ...trial, paid: 9000, livemode: false })
    const test = ['test 900']
    expect(await shown(tx, trial.org, trial.mentor.id)).toEqual({
      ...{ earned: test, owed: test, entries: test },
    })
    await operator(tx).rpc('record_payment', paymentOf(trial, 'P1'))
    const both = ['test 900', 'live 200']
    expect(await shown(tx, trial.org, trial.mentor.id)).toEqual({
      ...{ earned: both, owed: both, entries: both.toReversed() },
    })
  }))

test('money of one mode alone is shown where that is asked for', () =>
  undone(sql, async (tx) => {
    const [live, test] = [['live 300'], ['test 50000']]
    expect(await shown(tx, org, mentor.id, true)).toEqual({
      ...{ earned: live, owed: live, entries: ['live 200', 'live 100'] },
    })
    expect(await shown(tx, org, mentor.id, false)).toEqual({
      ...{ earned: test, owed: test, entries: test },
    })
  }))

test('a sale of one id in both modes is explained for each', () =>
  undone(sql, async (tx) => {
    const { admin } = actors(tx, staged)
    const of = { org_id: org, sale_id: sale.here }
    const event = paidInvoice({
      id: sale.here,
      userId: staged.friend.id,
      orgId: org,
      at: Math.floor(Date.now() / 1000) + 60,
    })
    await ingest(tx, event)
    const modes = async (args: object) =>
      (await admin.rpc('explain_commission', { ...of, ...args })).map(
        ({ livemode, kind }) => `${livemode} ${kind}`,
      )
    expect((await modes({})).sort()).toEqual([
      'false pending',
      'true pending',
      'true reward_pending',
    ])
    expect(await modes({ livemode: false })).toEqual(['false pending'])
  }))

test('a page of a statement begins after an entry of the person in the organisation', () =>
  undone(sql, async (tx) => {
    const { referrer, operator } = actors(tx, staged)
    const first = async (org_id: string, earner_id: string) => {
      const entries = await operator.rpc('my_statement', { org_id, earner_id })
      return Number(entries.at(-1)?.entry_id)
    }
    const of = (after: number) => ({ org_id: org, after })
    const own = await first(org, mentor.id)
    expect(await referrer.rpc('my_statement', of(own))).toEqual([])
    for (const after of [await first(there.org, mentor.id), await first(org, staged.friend.id)]) {
      expect(after).not.toBe(own)
      expect(await refusal(referrer.rpc('my_statement', of(after)))).toBe('invalid_argument')
    }
  }))

describe('coordinators read nothing of the money of others', () => {
  const answered = async (call: Promise<object[]>) =>
    call.then(
      (rows) => rows.length,
      () => refusal(call),
    )

  test.for([
    ['my_earnings', 'not_allowed'],
    ['my_statement', 'not_allowed'],
    ['explain_commission', 'not_allowed'],
  ] as const)('%s of a member', ([rpc, error]) =>
    undone(sql, async (tx) => {
      const { coordinator } = actors(tx, staged)
      const of = { org_id: org, earner_id: mentor.id }
      expect(await answered(coordinator.rpc(rpc, of))).toBe(error)
    }),
  )

  test('but their own', () =>
    undone(sql, async (tx) => {
      const { coordinator } = actors(tx, staged)
      const own = { org_id: org, earner_id: staged.coordinator.id }
      expect(await coordinator.rpc('my_earnings', own)).toMatchObject([{ pending: 400n }])
      expect(await coordinator.rpc('my_statement', { org_id: org })).toMatchObject([
        { amount: 400n },
      ])
      const of = { org_id: org, sale_number: staged.saleNumber }
      expect(await coordinator.rpc('explain_commission', of)).toEqual([])
    }))
})
