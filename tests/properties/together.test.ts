/**
 * Every story ends the same when all its events wait and are settled together, and when so little is settled in one
 * transaction that everything goes in pieces, in a seeded order each.
 */
import { expect, test } from 'vitest'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { deliver, queued, settleAccount } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { ending, type Staged, stageStory, stories } from '../support/money.ts'
import { inOrders } from '../support/orders.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const orders = often('TOGETHER_ORDERS', 1)
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)

/** Lets one payer, and one difference, be settled in one transaction. */
const inPieces = (tx: Sql) =>
  tx.unsafe(`
    create or replace function referral_private.settled_at_once() returns int language plpgsql immutable
    as 'begin return 1; end'`)

const ways: [name: string, take: (tx: Sql, events: object[]) => Promise<void>][] = [
  ['together', async (tx, events) => queued(tx, distinct(events))],
  [
    'in pieces',
    async (tx, events) => {
      await inPieces(tx)
      for (const event of events) await deliver(tx, event)
    },
  ],
  [
    'together, and in pieces',
    async (tx, events) => {
      await inPieces(tx)
      await queued(tx, distinct(events))
    },
  ],
]

const distinct = (events: object[]) => [
  ...new Map(events.map((event) => [(event as { id?: string }).id, event])).values(),
]

test.for(
  ways.flatMap((way) => stories.map((story) => [way[0], story.name, way[1], story] as const)),
)(`%s: %s (seed ${seed})`, { timeout: 3_600_000 }, ([, , take, story]) =>
  undone(sql, async (tx) => {
    const staged = await stageStory(tx, story)
    for (const places of inOrders([...staged.events.keys()], orders, seed)) {
      await tx`savepoint before_the_order`
      await take(
        tx,
        places.map((place) => staged.events[place] ?? {}),
      )
      await settleAccount(tx)
      await checkLedger(tx)
      expect(await ending(tx, staged as Staged)).toEqual({
        ends: story.ends,
        other: story.other ?? {},
        status: story.status ?? 'confirmed',
      })
      await tx`rollback to savepoint before_the_order`
    }
    proved('stories settled together or in pieces', orders)
  }),
)
