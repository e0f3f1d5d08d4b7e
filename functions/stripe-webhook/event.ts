import Stripe from 'stripe'
import { z } from 'zod'
import * as objects from './objects.ts'
import { withoutPersonalData } from './personal-data.ts'

/** The fields of a Stripe event that reach the database. None is personal. */
export type ReducedEvent = z.infer<typeof envelope> & {
  body_sha256: string
  /** The reason why this version cannot read the event. */
  parked?: string
  data: { object: object; previous_attributes?: z.infer<typeof objects.previousPromotionCode> }
}

const envelope = z.object({
  id: z.string().regex(/^evt_[A-Za-z0-9_]{1,255}$/),
  type: z.string().regex(/^[a-z0-9_.]{1,120}$/),
  api_version: z
    .string()
    .regex(/^[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?$/)
    .nullable(),
  created: z.int().nonnegative(),
  livemode: z.boolean(),
  account: z
    .string()
    .regex(/^acct_[A-Za-z0-9]{1,64}$/)
    .optional(),
})

const withData = envelope.extend({
  data: z.object({ object: z.looseObject({}), previous_attributes: z.unknown().optional() }),
})

/** The schema of the object of each event type. The object of any other type is dropped. */
export const schemas = new Map<string, z.ZodType<object>>([
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

/** The known API versions: from basil, which joined payments as they are read here, to the SDK's. */
const versions = { from: '2025-03-31', to: Stripe.API_VERSION.slice(0, 10) }

/**
 * Parses a verified body and keeps the fields that the database needs. Null if the body is not an event.
 *
 * An event of a listed type with an unknown API version or unknown fields is `parked` with the reason: its object is kept
 * whole, without personal fields, and a later version can read it.
 */
export async function reduceEvent(body: Uint8Array): Promise<ReducedEvent | null> {
  const whole = parseJson(body)
  const parsed = withData.safeParse(whole)
  if (!parsed.success) return null
  const { data, ...event } = parsed.data
  const body_sha256 = await sha256(body)
  const schema = schemas.get(event.type)
  if (!schema) return { ...event, body_sha256, data: { object: {} } }
  const previous = previousOf(event.type, data.previous_attributes)
  const park = (parked: string) => ({
    ...event,
    body_sha256,
    parked,
    data: { object: withoutPersonalData(data.object), ...previous },
  })
  if (!isKnownVersion(event.api_version)) return park(`version ${event.api_version}`)
  const object = schema.safeParse(data.object)
  if (object.success) return { ...event, body_sha256, data: { object: object.data, ...previous } }
  const unknown = new Set(object.error.issues.map(({ path }) => path.join('.')))
  return park(`shape of ${[...unknown].join(', ')}`.slice(0, 500))
}

/** Of promotion codes, where they say what they belonged to before. */
function previousOf(type: string, previous: unknown): Partial<ReducedEvent['data']> {
  if (!type.startsWith('promotion_code.')) return {}
  const { data } = objects.previousPromotionCode.safeParse(previous)
  return data ? { previous_attributes: data } : {}
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body))
  } catch {
    return null
  }
}

function isKnownVersion(version: string | null): boolean {
  const day = version?.slice(0, 10) ?? ''
  return day >= versions.from && day <= versions.to
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
