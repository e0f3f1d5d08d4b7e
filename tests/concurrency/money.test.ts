/**
 * Money under concurrency: all events of a story at once over parallel connections, and redemptions racing what is paid.
 * `BURSTS` says how many of each.
 */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { patiently, person } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { deliver, reduced } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { ending, stageStory, stories } from '../support/money.ts'
import { codeOf, scene } from '../support/scene.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const bursts = often('BURSTS', 1)

const ingest = (event: object) => deliver(sql, event)

test.for(stories.map((story) => [story.name, story] as const))(
  'at once: %s',
  { timeout: 3_600_000 },
  async ([, story]) => {
    for (let burst = 0; burst < bursts; burst++) {
      const staged = await stageStory(sql, story)
      const twice = [...staged.events, ...staged.events.toReversed()]
      await Promise.all(twice.map(ingest))
      const { ends, other, status } = await ending(sql, staged)
      expect({ ends, other, status }).toEqual({
        ends: story.ends,
        other: story.other ?? {},
        status: story.status ?? 'confirmed',
      })
    }
    await checkLedger(sql)
    proved('stories, all events at once and twice', bursts)
  },
)

test('a redemption, the session and the first invoice at once: the sale is always won', {
  timeout: 3_600_000,
}, async () => {
  const terms = { enrolment: 'open', commission: { kind: 'percent', bps: 1000 }, hold_days: 0 }
  const { org, mentor } = await scene(sql, terms)
  const { code } = await codeOf(mentor, org)
  const rounds = 25 * bursts
  for (let round = 0; round < rounds; round++) {
    const friend = person(sql)
    const customer = `cus_${friend.id.replaceAll('-', '')}`
    // Tomorrow, so that nothing becomes due meanwhile.
    const at = Math.floor(Date.now() / 1000) + 86_400
    const events = await Promise.all([
      reduced(completedSession({ customer, userId: friend.id, at })),
      reduced(paidInvoice({ customer, at: at + 1 })),
    ])
    await Promise.all([patiently(() => friend.rpc('redeem_code', { code })), ...events.map(ingest)])
  }
  await checkLedger(sql)
  const [row] = await mentor.rpc('my_earnings', { org_id: org })
  expect(Number(row?.pending)).toBe(rounds * 100)
  proved('redemptions racing their session and invoice', rounds)
  const [all] = await sql`select count(*)::int as sales from referral_private.sales`
  proved('sales of these two', Number(all?.sales))
})
