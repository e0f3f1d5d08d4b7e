/** A ledger that earns, and what verify_ledger says of it. */
import { expect } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator } from './actors.ts'
import type { Sql } from './database.ts'
import { ingest } from './ingest.ts'
import { codeOf, scene } from './scene.ts'

const now = () => Math.floor(Date.now() / 1000)
const day = 86_400
const terms = {
  enrolment: 'open',
  commission: { kind: 'percent', bps: 1000 },
  referee_reward: { kind: 'flat', amount: { usd: 300 } },
  recurrence: 'forever',
  hold_days: 7,
}

type Fault = Record<string, unknown>
type Slice = { checked: number; faults: Fault[]; next: object | null }

/** Walks all slices. Gives the faults, and how many accounts and sales were looked at. */
export async function verified(tx: Sql, page_size = 100) {
  const faults: Fault[] = []
  let [checked, slices] = [0, 0]
  for (let after: object | null = null; slices < 2000; ) {
    const [row] = await operator(tx).run(
      'select to_jsonb(s) as slice from referral.verify_ledger($1::text::jsonb, $2) as s',
      [after && JSON.stringify(after), page_size],
    )
    const slice = row?.slice as Slice
    expect(slice.checked).toBeLessThanOrEqual(page_size)
    faults.push(...slice.faults)
    checked += slice.checked
    slices += 1
    after = slice.next
    if (after === null) break
  }
  return { faults, checked, slices }
}

/**
 * A mentor's friend buys ten and five days ago: a commission and a reward are available, and a commission is on hold. Or
 * they buy so many days ago.
 */
export async function earning(tx: Sql, daysAgo = [10, 5]) {
  const people = await scene(tx, terms)
  const { org, mentor, friend } = people
  await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
  await tx`update referral.redemptions set redeemed_at = redeemed_at - interval '20 days'`
  const customer = 'cus_1'
  const events = daysAgo.map((days) =>
    paidInvoice({ customer, userId: friend.id, at: now() - days * day }),
  )
  for (const event of events) await ingest(tx, event)
  const [oldSale = '', sale = ''] = events.map((event) => String(event.data.object.id))
  const later = () => ingest(tx, paidInvoice({ customer: 'cus_2', at: now() }))
  return { ...people, oldSale, sale, later }
}
