/** What is one delivery in the inbox: an event's id, its time, its account and its mode. */
import { expect, test } from 'vitest'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'

const sql = await testDatabase()

const others: [string, (event: RawEvent) => Partial<RawEvent>][] = [
  ['id', () => ({ id: 'evt_other' })],
  ['time', ({ created }) => ({ created: Number(created) + 1 })],
  ['account', () => ({ account: 'acct_1' })],
  ['mode', () => ({ livemode: true })],
]

test.for(others)('an event of another %s is another one, each taken once', ([, other]) =>
  undone(sql, async (tx) => {
    const event = { ...paidInvoice(), livemode: false }
    for (const one of [event, { ...event, ...other(event) }]) {
      expect(await ingest(tx, one)).toBe('applied')
      expect(await ingest(tx, one)).toBe('duplicate')
    }
    const [row] = await tx`select count(*)::int as events from referral_private.stripe_events`
    expect(row?.events).toBe(2)
  }),
)

test.for(others)('a parked event of another %s is another one', ([, other]) =>
  undone(sql, async (tx) => {
    const event = { ...paidInvoice(), livemode: false, api_version: '2031-01-01.future' }
    for (const one of [event, { ...event, ...other(event) }]) {
      expect(await ingest(tx, one)).toBe('parked')
      expect(await ingest(tx, one)).toBe('duplicate')
    }
    expect(await operator(tx).rpc('list_parked_events')).toHaveLength(2)
  }),
)
