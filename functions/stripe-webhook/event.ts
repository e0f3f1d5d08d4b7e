import { envelope, v2Event } from './envelope.ts'
import { parseJson } from './json.ts'
import * as objects from './objects.ts'
import { parkedObject } from './parked-object.ts'
import { anyObject, type Kept, object, read, type Shape } from './shape.ts'

/** The fields of a Stripe event that reach the database. None is personal. */
export type ReducedEvent = Kept<typeof envelope> & {
  body_sha256: string
  /** The reason why this version cannot read the event. */
  parked?: string
  data: { object: object; previous_attributes?: Kept<typeof objects.previousPromotionCode> }
}

const anything: Shape<unknown> = (value) => value
const content = object({ data: object({ object: anyObject, previous_attributes: anything }) })

/** The schema of the object of each event type. The object of any other type is dropped. */
export const schemas = new Map<string, Shape<object>>([
  ['checkout.session.completed', objects.checkoutSession],
  ['checkout.session.async_payment_succeeded', objects.checkoutSession],
  ['payment_intent.succeeded', objects.paymentIntent],
  ['invoice.paid', objects.invoice],
  ['invoice_payment.paid', objects.invoicePayment],
  ['refund.created', objects.refund],
  ['refund.updated', objects.refund],
  ['refund.failed', objects.refund],
  ['charge.refunded', objects.charge],
  ['charge.dispute.created', objects.dispute],
  ['charge.dispute.updated', objects.dispute],
  ['charge.dispute.closed', objects.dispute],
  ['charge.dispute.funds_withdrawn', objects.dispute],
  ['charge.dispute.funds_reinstated', objects.dispute],
  ['radar.early_fraud_warning.created', objects.warning],
  ['radar.early_fraud_warning.updated', objects.warning],
  ['credit_note.created', objects.creditNote],
  ['credit_note.updated', objects.creditNote],
  ['credit_note.voided', objects.creditNote],
  ['customer.discount.created', objects.discount],
  ['promotion_code.created', objects.promotionCode],
  ['promotion_code.updated', objects.promotionCode],
])

/** The known API versions: from basil, which joined payments as they are read here, to that of the SDK in the tests. */
export const versions = { from: '2025-03-31', to: '2026-10-28' }

/**
 * Parses a verified body and keeps the fields that the database needs. Null if the body is not an event with an object.
 *
 * An event of a listed type with an unknown API version or unknown fields is parked with the reason, and a later version can
 * read it.
 */
export async function reduceEvent(body: Uint8Array): Promise<ReducedEvent | null> {
  const whole = parseJson(body)
  const { data: known } = read(envelope, whole)
  if (!known || !read(v2Event, whole).faults) return null
  const schema = schemas.get(known.type)
  const { data: given } = read(content, whole)
  if (!given && !schema) return null
  const event = { ...known, body_sha256: await sha256(body) }
  if (!schema) return { ...event, data: { object: {} } }
  if (!given) return parkEvent({ ...event, data: { object: {} } }, 'shape of data.object')
  const { object, previous_attributes } = given.data
  const previous = previousOf(event.type, previous_attributes)
  const unread = { ...event, data: { object, ...previous } }
  if (!isKnownVersion(event.api_version)) return parkEvent(unread, `version ${event.api_version}`)
  const { data: kept, faults } = read(schema, object)
  if (!faults) return { ...event, data: { object: kept, ...previous } }
  return parkEvent(unread, `shape of ${faults.join(', ')}`)
}

/** The event as it is parked for this reason. */
export function parkEvent(event: ReducedEvent, reason: string): ReducedEvent {
  const data = { ...event.data, object: parkedObject(event.data.object) }
  return { ...event, data, parked: reason.slice(0, 500) }
}

/** Of promotion codes, where they say what they belonged to before. */
function previousOf(type: string, previous: unknown): Partial<ReducedEvent['data']> {
  if (!type.startsWith('promotion_code.')) return {}
  const { data } = read(objects.previousPromotionCode, previous)
  return data ? { previous_attributes: data } : {}
}

/** A version with flags of previews is not known, whatever its day is. */
function isKnownVersion(version: string | null): boolean {
  const day = version?.slice(0, 10) ?? ''
  return day >= versions.from && day <= versions.to && !version?.includes(';')
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
