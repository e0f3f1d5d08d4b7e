import { eventId, eventType, v2Event } from './envelope.ts'
import { schemas } from './event.ts'
import { parseJson } from './json.ts'
import { checked, either, maybe, nothing, object, read } from './shape.ts'

const withoutObject = checked(
  object({ id: eventId, type: eventType, data: maybe(object({ object: nothing })) }),
  ({ type }) => (schemas.has(type) ? ['type'] : []),
)

/**
 * Whether a verified body is an event without an object: one of Stripe's API v2, which are thin, or a ping. It states no
 * fact. An event of a type that states one is not thin.
 */
export function isThinEvent(body: Uint8Array): boolean {
  return !read(either(v2Event, withoutObject), parseJson(body)).faults
}
