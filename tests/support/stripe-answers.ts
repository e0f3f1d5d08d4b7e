/** What the resources of the stand-in of Stripe's API answer with: lists and errors in Stripe's form. */
import type { HttpBindings } from '@hono/node-server'

/** What a request is about: who asks, and as which account. */
export type Env = {
  Bindings: HttpBindings
  Variables: { livemode: boolean; account: string }
}

/** An error response as Stripe has it. */
export function stripeError(status: 400 | 401 | 403 | 404 | 429 | 500, error: object): Response {
  const body = { error: { type: status === 500 ? 'api_error' : 'invalid_request_error', ...error } }
  return Response.json(body, { status, headers: status === 429 ? { 'retry-after': '0' } : {} })
}

/** A page of a list, as Stripe returns it. */
export function pageOf<Row extends { id: string }>(
  rows: Row[],
  url: string,
  query: Record<string, string>,
): Response {
  const start = query.starting_after
    ? rows.findIndex(({ id }) => id === query.starting_after) + 1
    : 0
  const end = start + Number(query.limit ?? 10)
  return Response.json({
    object: 'list',
    url,
    has_more: end < rows.length,
    data: rows.slice(start, end),
  })
}
