/** The oracle by itself: how much a sale earns, what is once, capped, limited or on hold. Amounts are by hand. */
import { expect, test } from 'vitest'
import { amounts } from '../fixtures/told/amounts.ts'
import { byU, invoice } from '../fixtures/told/buying.ts'
import { guests } from '../fixtures/told/guests.ts'
import { limits } from '../fixtures/told/limits.ts'
import { reversals } from '../fixtures/told/reversals.ts'
import { ties } from '../fixtures/told/ties.ts'
import { at, id, redemptionId, type Telling } from '../fixtures/told/told.ts'
import { endingOf, verdictOn } from '../support/telling.ts'
import { second } from './world.ts'

test.for([...amounts, ...limits, ...guests, ...reversals, ...ties])(
  '%s',
  async ([, ends, telling]) => {
    expect(await endingOf(telling)).toEqual(ends)
  },
)

/** A sale that gives the referrer 100 and the friend 300, asked about on some day. */
const onHold = (now: number): Telling => ({
  terms: { referee_reward: { kind: 'flat', amount: { usd: 300 } }, hold_days: 7 },
  redeemed: [['u', 'x', -5]],
  events: [invoice(1, 0, byU)],
  world: { now: at(now) * second },
})

test('commission and reward are on hold for the same days', async () => {
  const { owed } = await verdictOn(onHold(6))
  expect(owed.map(({ kind, amount, dueAt }) => [kind, amount, dueAt])).toEqual([
    ['pending', 100n, at(7) * second],
    ['reward_pending', 300n, at(7) * second],
  ])
})

test('commission and reward are free when the hold is over', async () => {
  const { owed } = await verdictOn(onHold(7))
  expect(owed.map(({ kind, earner, dueAt }) => [kind, earner, dueAt])).toEqual([
    ['available', id('x'), null],
    ['reward_available', id('u'), null],
  ])
})

/** A sale of u's, who redeemed the code of x. */
const redeemed: Telling = { redeemed: [['u', 'x', -5]], events: [invoice(1, 0, byU)] }

test('a redemption is confirmed by the sale that it wins', async () => {
  const { statuses } = await verdictOn(redeemed)
  expect([...statuses]).toEqual([[redemptionId('u', 'x'), 'confirmed']])
})

test('a redemption that is passed over stays pending', async () => {
  const { statuses } = await verdictOn({
    ...redeemed,
    events: [invoice(1, -90, byU), invoice(2, 0, byU)],
  })
  expect([...statuses.values()]).toEqual(['pending'])
})

test('a redemption is rejected with the person, whatever was paid', async () => {
  const decisions = [{ kind: 'reject' as const, program: id('P1'), person: id('u') }]
  const { statuses } = await verdictOn({ ...redeemed, decisions })
  expect([...statuses.values()]).toEqual(['rejected'])
})

test('a payment of another provider is its user’s, in its organisation and mode', async () => {
  const content = {
    ...{ referee_id: id('u'), amount: 2000, currency: 'usd', tax: null },
    paid_at: at(0) + 0.5,
    program_id: null,
  }
  const record = { kind: 'payment' as const, org: id('O1'), provider: 'play', ref: 'P1', content }
  const { owed } = await verdictOn({
    ...{ redeemed: [['u', 'x', 0]], events: [] },
    world: {
      records: [
        { ...record, livemode: true },
        { ...record, ref: 'P2', livemode: false },
      ],
    },
  })
  expect(owed.map(({ livemode, amount }) => [livemode, amount])).toEqual([
    [true, 200n],
    [false, 200n],
  ])
})
