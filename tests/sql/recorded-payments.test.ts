/** Payments of other providers, recorded by the app's server. */
import { expect, test } from 'vitest'
import { operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const terms = { commission: { kind: 'percent', bps: 1000 }, enrolment: 'open', hold_days: 0 }

async function redeemed(tx: Sql) {
  const people = await scene(tx, terms)
  const { code } = await codeOf(people.mentor, people.org)
  await people.friend.rpc('redeem_code', { code })
  const paid = {
    org_id: people.org,
    provider: 'app_store',
    payment_ref: 'GPA.1',
    referee_id: people.friend.id,
    amount: 1190,
    currency: 'usd',
    tax: 190,
    paid_at: new Date(Date.now() + 5000).toISOString(),
  }
  const refund = {
    org_id: people.org,
    provider: 'app_store',
    refund_ref: 'R1',
    payment_ref: 'GPA.1',
    amount: 595,
  }
  const reversed = { org_id: people.org, provider: 'app_store', refund_ref: 'R1' }
  const call = async (rpc: string, args: object) =>
    (await operator(tx).rpc(rpc, args as Record<string, unknown>))[0]?.status
  const earned = async () => {
    await checkLedger(tx)
    const [row] = await people.mentor.rpc('my_earnings', { org_id: people.org })
    return Number(row?.pending ?? 0) + Number(row?.available ?? 0)
  }
  return { ...people, paid, refund, reversed, call, earned }
}

test('a payment earns, a refund takes back its part, and a refund that failed gives it back', () =>
  undone(sql, async (tx) => {
    const { paid, refund, reversed, call, earned, friend } = await redeemed(tx)
    expect(await call('record_payment', paid)).toBe('applied')
    expect(await earned()).toBe(100)
    expect(await call('record_refund', refund)).toBe('applied')
    expect(await earned()).toBe(50)
    expect(await call('record_refund_reversed', reversed)).toBe('applied')
    expect(await earned()).toBe(100)
    const [row] = await tx`select status from referral.redemptions where referee_id = ${friend.id}`
    expect(row?.status).toBe('confirmed')
  }))

test('the order does not matter', () =>
  undone(sql, async (tx) => {
    const { paid, refund, reversed, call, earned } = await redeemed(tx)
    await call('record_refund_reversed', reversed)
    await call('record_refund', refund)
    await call('record_refund', { ...refund, refund_ref: 'R2', amount: 119 })
    await call('record_payment', paid)
    expect(await earned()).toBe(90)
  }))

test('the same again is a duplicate, the same reference with other content a conflict', () =>
  undone(sql, async (tx) => {
    const { paid, refund, reversed, call, earned } = await redeemed(tx)
    for (const [rpc, args, other] of [
      ['record_payment', paid, { amount: 1191 }],
      ['record_refund', refund, { amount: 1 }],
    ] as const) {
      await call(rpc, args)
      expect(await call(rpc, args)).toBe('duplicate')
      expect(await refusal(call(rpc, { ...args, ...other }))).toBe('record_conflict')
    }
    await call('record_refund_reversed', reversed)
    expect(await call('record_refund_reversed', reversed)).toBe('duplicate')
    expect(await earned()).toBe(100)
  }))

test('a program can be named: no other earns', () =>
  undone(sql, async (tx) => {
    const { org, admin, paid, call, earned } = await redeemed(tx)
    const [other] = await admin.rpc('create_program', { org_id: org, key: 'other', name: 'Other' })
    await call('record_payment', { ...paid, program_id: other?.id })
    expect(await earned()).toBe(0)
    const stranger = { ...paid, payment_ref: '2', program_id: crypto.randomUUID() }
    expect(await refusal(call('record_payment', stranger))).toBe('program_not_found')
  }))

test.for([
  { amount: 0 },
  { amount: -1 },
  { amount: '9007199254740992' },
  { amount: null },
  { currency: 'USD' },
  { currency: null },
  { tax: -1 },
  { tax: 1191 },
  { paid_at: null },
  { referee_id: null },
  { provider: 'The Store' },
  { provider: null },
  { payment_ref: '' },
  { payment_ref: null },
  { options: null },
  { options: [] },
  { options: { livemode: 'false' } },
  { options: { livemode: null } },
  { options: { liveMode: false } },
  { options: { livemode: true, tax: 1 } },
])('%o is refused with invalid_argument', (wrong) =>
  undone(sql, async (tx) => {
    const { paid, call } = await redeemed(tx)
    expect(await refusal(call('record_payment', { ...paid, ...wrong }))).toBe('invalid_argument')
  }),
)

test('a record in test mode is stated and earns in test mode, beside a live one of the same reference', () =>
  undone(sql, async (tx) => {
    const { org, mentor, paid, refund, reversed, call } = await redeemed(tx)
    const options = { livemode: false }
    const earned = () => tx`
      select livemode, sum(balance)::int as earned from referral_private.ledger_accounts
      where org_id = ${org} and earner_id = ${mentor.id} group by 1 order by 1`
    expect(await call('record_payment', { ...paid, options })).toBe('applied')
    expect(await call('record_payment', { ...paid, options })).toBe('duplicate')
    expect(await earned()).toEqual([{ livemode: false, earned: 100 }])
    const live = { ...paid, amount: 2380, tax: 380 }
    expect(await call('record_payment', live)).toBe('applied')
    expect(await refusal(call('record_payment', { ...live, options }))).toBe('record_conflict')
    expect(await earned()).toEqual([
      { livemode: false, earned: 100 },
      { livemode: true, earned: 200 },
    ])
    for (const [rpc, args, inTest] of [
      ['record_refund', refund, 50],
      ['record_refund_reversed', reversed, 100],
    ] as const) {
      expect(await call(rpc, { ...args, options })).toBe('applied')
      expect(await earned()).toEqual([
        { livemode: false, earned: inTest },
        { livemode: true, earned: 200 },
      ])
      expect(await call(rpc, { ...args, options })).toBe('duplicate')
    }
  }))

test('unknown options of refunds are refused', () =>
  undone(sql, async (tx) => {
    const { refund, reversed, call } = await redeemed(tx)
    for (const [rpc, args] of [
      ['record_refund', refund],
      ['record_refund_reversed', reversed],
    ] as const)
      expect(await refusal(call(rpc, { ...args, options: { mode: 'test' } }))).toBe(
        'invalid_argument',
      )
  }))
