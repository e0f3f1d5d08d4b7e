/**
 * Every world that is told by hand has the ending that was computed by hand, in many orders. `TOLD_ORDERS` sets how many
 * orders of each are run.
 */
import { test } from 'vitest'
import { toldStories } from '../fixtures/told/stories.ts'
import { testDatabase } from '../support/database.ts'
import { often, proved } from '../support/soak.ts'
import { endsAsTold } from '../support/told-endings.ts'

const sql = await testDatabase()
const orders = often('TOLD_ORDERS', 1)
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)

test.for(toldStories)(`%s (seed ${seed})`, { timeout: 3_600_000 }, async (story) => {
  const ended = await endsAsTold(sql, story, { orders, seed })
  proved('orders of worlds told by hand, one ending each', ended)
})
