/** Events of the stand-in of Stripe's API, each of one account and one mode, as they were when they were made. */
import { Hono } from 'hono'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { type Env, pageOf, stripeError } from './stripe-answers.ts'

export function eventResource() {
  const all: { event: RawEvent; account: string }[] = []
  /** Connected accounts that the key has no access to any more. */
  const closed = new Set<string>()
  /** An event of an account, the platform's own unless given. */
  const add = (event: RawEvent, account = '') => {
    all.unshift({ event, account })
  }
  const routes = new Hono<Env>()
  const visible = (account: string, livemode: boolean) =>
    all.filter((row) => row.account === account && row.event.livemode === livemode)
  routes.use(async (c, next) => {
    if (!closed.has(c.get('account'))) return next()
    return stripeError(403, {
      code: 'account_invalid',
      message: `The provided key 'sk_test_*********' does not have access to account '${c.get('account')}' (or that account does not exist).`,
    })
  })
  routes.get('/', (c) => {
    const since = Number(c.req.query('created[gte]') ?? 0)
    const events = visible(c.get('account'), c.get('livemode')).map(({ event }) => event)
    return pageOf(
      events.filter(({ created }) => Number(created) >= since),
      '/v1/events',
      c.req.query(),
    )
  })
  routes.get('/:id', (c) => {
    const found = visible(c.get('account'), c.get('livemode')).find(
      ({ event }) => event.id === c.req.param('id'),
    )
    if (found) return c.json(found.event)
    return stripeError(404, {
      code: 'resource_missing',
      message: `No such event: '${c.req.param('id')}'`,
      param: 'id',
    })
  })
  return { add, closed, routes }
}
