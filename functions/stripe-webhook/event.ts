import Stripe from 'stripe'
import { z } from 'zod'
import { checkoutSession, invoice } from './objects.ts'

/** The fields of a Stripe event that reach the database; nothing personal is among them. */
export type ReducedEvent = z.infer<typeof envelope> & {
  body_sha256: string
  data: { object: object }
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

/** What is read of each type of event; of any other, only that it came. */
const objects = new Map<string, z.ZodType<object>>([
  ['checkout.session.completed', checkoutSession],
  ['invoice.paid', invoice],
])

/** Since basil, payments are joined as they are read here; what is newer than the SDK is not known yet. */
const versions = { from: '2025-03-31', to: Stripe.API_VERSION.slice(0, 10) }

/**
 * Parses a verified body and keeps what is needed. `unknown shape` is an event of a type that carries money or
 * identity whose API version or fields are not as known: it must not be guessed at, and not be lost either.
 */
export async function reduceEvent(
  body: Uint8Array,
): Promise<ReducedEvent | 'not an event' | 'unknown shape'> {
  const parsed = envelope
    .extend({ data: z.object({ object: z.looseObject({}) }) })
    .safeParse(parseJson(body))
  if (!parsed.success) return 'not an event'
  const { data, ...event } = parsed.data
  const shape = objects.get(event.type)
  const object = shape ? shape.safeParse(data.object) : { success: true as const, data: {} }
  if (!object.success || (shape && !isKnownVersion(event.api_version))) return 'unknown shape'
  return { ...event, body_sha256: await sha256(body), data: { object: object.data } }
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
