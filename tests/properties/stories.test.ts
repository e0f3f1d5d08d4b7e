/**
 * Every story in many orders, with duplicates: one ending, the one that was computed by hand. `STORY_ORDERS` sets how
 * many orders of each are run.
 */
import { expect, test } from 'vitest'
import { operator } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { checkLedger, ending, type Staged, stageStory, stories } from '../support/money.ts'
import { inOrders } from '../support/orders.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const orders = often('STORY_ORDERS', 12)
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)

test.for(stories.map((story) => [story.name, story] as const))(
  `%s (seed ${seed})`,
  { timeout: 3_600_000 },
  ([, story]) =>
    undone(sql, async (tx) => {
      const staged = await stageStory(tx, story)
      const expected = {
        ends: story.ends,
        other: story.other ?? {},
        status: story.status ?? 'confirmed',
      }
      const all = inOrders(staged.events, orders, seed)
      for (const order of all) {
        await tx`savepoint before_the_order`
        await deliver(tx, order)
        await checkLedger(tx)
        expect(
          await ending(tx, staged as Staged),
          order.map(({ type }) => type).join(', '),
        ).toEqual(expected)
        await checkLedger(tx)
        await tx`rollback to savepoint before_the_order`
      }
      proved('orders of stories, one ending each', all.length)
    }),
)

async function deliver(tx: Sql, events: object[]): Promise<void> {
  for (const event of events) await operator(tx).rpc('ingest_stripe_event', { event })
}
