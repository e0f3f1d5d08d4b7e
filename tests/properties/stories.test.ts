/**
 * Every story in many orders, with duplicates: one ending, the one that was computed by hand, and a ledger as the oracle
 * says. `STORY_ORDERS` sets how many orders of each are run.
 */
import { expect, test } from 'vitest'
import { operator } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { checkLedger } from '../support/ledger.ts'
import { ending, type Staged, stageStory, stories } from '../support/money.ts'
import { inOrders } from '../support/orders.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const orders = often('STORY_ORDERS', 4)
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)

/** So many orders share a transaction: what an order leaves behind when it is rolled back slows down those after it. */
const together = 50

test.for(stories.map((story) => [story.name, story] as const))(
  `%s (seed ${seed})`,
  { timeout: 3_600_000 },
  async ([, story]) => {
    const expected = {
      ends: story.ends,
      other: story.other ?? {},
      status: story.status ?? 'confirmed',
    }
    let all: number[][] | null = null
    let proven = 0
    do
      await undone(sql, async (tx) => {
        const staged = await stageStory(tx, story)
        all ??= inOrders([...staged.events.keys()], orders, seed)
        for (const places of all.slice(proven, proven + together)) {
          const order = places.map((place): Record<string, unknown> => staged.events[place] ?? {})
          await tx`savepoint before_the_order`
          await deliver(tx, order)
          await checkLedger(tx)
          expect(
            await ending(tx, staged as Staged),
            order.map(({ type }) => type).join(', '),
          ).toEqual(expected)
          await tx`rollback to savepoint before_the_order`
        }
        proved('orders of stories, one ending each', all.slice(proven, proven + together).length)
        proven += together
      })
    while (proven < (all ?? []).length)
  },
)

async function deliver(tx: Sql, events: object[]): Promise<void> {
  for (const event of events) await operator(tx).rpc('ingest_stripe_event', { event })
}
