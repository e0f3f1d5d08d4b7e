import { z } from 'zod'
import { envelope, v2Event } from './envelope.ts'
import { schemas } from './event.ts'
import { parseJson } from './json.ts'

const withoutObject = envelope.pick({ id: true, type: true }).extend({
  type: envelope.shape.type.refine((type) => !schemas.has(type)),
  data: z.object({ object: z.null().optional() }).nullish(),
})

/**
 * Whether a verified body is an event without an object: one of Stripe's API v2, which are thin, or a ping. It states no
 * fact. An event of a type that states one is not thin.
 */
export function isThinEvent(body: Uint8Array): boolean {
  return z.union([v2Event, withoutObject]).safeParse(parseJson(body)).success
}
