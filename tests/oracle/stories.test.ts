/** The oracle by itself: stories of credit end as they must, in whatever order it is told of them. */
import { expect, test } from 'vitest'
import { claims } from '../fixtures/told/claims.ts'
import { people } from '../fixtures/told/people.ts'
import { promotions } from '../fixtures/told/promotions.ts'
import { subscriptions } from '../fixtures/told/subscriptions.ts'
import { tenants } from '../fixtures/told/tenants.ts'
import { toldWorld } from '../fixtures/told/told.ts'
import { inOrders } from '../support/orders.ts'
import { ending, reducedEvents } from '../support/telling.ts'
import { oracle } from './oracle.ts'

test.for([...subscriptions, ...promotions, ...people, ...claims, ...tenants])(
  '%s',
  async ([, ends, telling]) => {
    const events = await reducedEvents(telling)
    for (const order of inOrders(events, 24, 1))
      expect(ending(oracle(toldWorld(telling, order)))).toEqual(ends)
  },
)
