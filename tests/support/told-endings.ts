/** Whether the database ends as a world was told by hand, and as the oracle says. */
import type postgres from 'postgres'
import { expect } from 'vitest'
import { type Case, toldWorld } from '../fixtures/told/told.ts'
import type { Owed } from '../oracle/oracle.ts'
import { operator } from './actors.ts'
import { type Sql, undone } from './database.ts'
import { checkLedger } from './ledger.ts'
import { inOrders } from './orders.ts'
import { type Step, stageWorld, stepsOf } from './staged-world.ts'
import { ending, reducedEvents } from './telling.ts'

/** So many orders share a transaction: what an order leaves behind when it is rolled back slows down those after it. */
const together = 50

/**
 * Tells a world in many orders, with duplicates: redemptions and decisions come between the events. Everybody ends with
 * what was computed by hand, or the sales that credit nobody have the reasons that were told. Gives how many orders.
 */
export async function endsAsTold(
  sql: postgres.Sql,
  [, ends, telling]: Case,
  { orders, seed }: { orders: number; seed: number },
): Promise<number> {
  const world = toldWorld(telling, await reducedEvents(telling))
  const areReasons = Object.values(ends).some((end) => typeof end === 'string')
  const all = inOrders([...stepsOf(sql, world).keys()], orders, seed)
  for (let proven = 0; proven < all.length; proven += together)
    await undone(sql, async (tx) => {
      await stageWorld(tx, world)
      const steps = stepsOf(tx, world)
      for (const order of all.slice(proven, proven + together)) {
        await tx`savepoint before_the_order`
        for (const place of order) await (steps[place] as Step)()
        expect(await (areReasons ? reasonsOf(tx) : endsOf(tx)), order.join(' ')).toEqual(ends)
        await checkLedger(tx)
        if (order === all[proven]) expect(await faultsOf(tx)).toEqual([])
        await tx`rollback to savepoint before_the_order`
      }
    })
  return all.length
}

/** What everybody has. */
async function endsOf(tx: Sql) {
  const owed = await tx<Owed[]>`
    select earner_id as earner, kind, balance as amount
    from referral_private.ledger_accounts where kind <> 'expense' and balance <> 0`
  return ending({ owed })
}

/** Why which sale credits nobody. */
async function reasonsOf(tx: Sql) {
  const sales = await operator(tx).rpc('list_unattributed')
  return Object.fromEntries(sales.map(({ sale_id, reason }) => [sale_id, reason]))
}

async function faultsOf(tx: Sql): Promise<unknown[]> {
  const faults: unknown[] = []
  let after: unknown = null
  do {
    const [slice] = await operator(tx).rpc('verify_ledger', { after, page_size: 1000 })
    faults.push(slice?.faults)
    after = slice?.next
  } while (after)
  return faults.flat()
}
