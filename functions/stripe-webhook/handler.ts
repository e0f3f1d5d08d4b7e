import type { ReferralDatabase } from '../_shared/database.ts'
import { errorResponse } from '../_shared/errors.ts'
import { readBody } from './body.ts'
import { reduceEvent } from './event.ts'
import { verifySignature } from './signature.ts'

type Dependencies = {
  database: ReferralDatabase
  /** The signing secrets, `whsec_…`; more than one while a secret is replaced. */
  secrets: readonly string[]
  /** Whether this endpoint takes live events (true) or test events (false). */
  livemode: boolean
  now?: () => number
}

/** The pause before each retry, in milliseconds. */
const pauses = [100, 300, 900]

/**
 * Takes deliveries from Stripe: verifies the signature on the raw bytes, reduces the event to the fields that the ledger
 * needs, and passes it to one RPC. Nothing reaches the database before the signature is verified.
 *
 * A first delivery, a duplicate, an ignored event and a parked event (unknown API version or fields) all return 200. 422
 * means that a value in the signed event cannot be stored, 500 that the database failed. Nothing is stored in both cases,
 * and Stripe sends the event again.
 */
export function createWebhookHandler(
  dependencies: Dependencies,
): (request: Request) => Promise<Response> {
  const { database, secrets, livemode, now = Date.now } = dependencies
  return async (request) => {
    if (request.method !== 'POST') return errorResponse('method_not_allowed', { allow: 'POST' })
    const body = await readBody(request)
    if (!body) return errorResponse('body_too_large')
    const header = request.headers.get('stripe-signature')
    if (!header || !(await verifySignature({ body, header, secrets, now: now() }))) {
      return errorResponse('invalid_signature')
    }

    const event = await reduceEvent(body)
    if (!event) return errorResponse('invalid_body')
    if (event.livemode !== livemode) {
      // Stripe also sends a live Connect endpoint the test events of its accounts, which is not an error.
      return event.account ? Response.json({ status: 'ignored' }) : errorResponse('wrong_mode')
    }
    return store(database, event)
  }
}

async function store(database: ReferralDatabase, event: object): Promise<Response> {
  for (const pause of [...pauses, null]) {
    const { data, error } = await database
      .rpc('ingest_stripe_event', { event: { ...event } })
      .single()
    if (!error) return Response.json({ status: data.status })
    // A value that cannot be stored: one that breaks a constraint, or (class 22) text with U+0000, a number out of range.
    if (error.code === 'invalid_event' || /^22/.test(error.code)) {
      return errorResponse('unknown_event_shape')
    }
    if (pause === null || !['40001', '40P01', 'busy'].includes(error.code)) {
      console.error(`ingest_stripe_event failed: ${error.code || 'no response'}`)
      break
    }
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
  return errorResponse('internal_error')
}
