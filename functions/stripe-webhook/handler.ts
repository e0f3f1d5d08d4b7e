import type { ReferralDatabase } from '../_shared/database.ts'
import { errorResponse } from '../_shared/errors.ts'
import { readBody } from './body.ts'
import { reduceEvent } from './event.ts'
import { verifySignature } from './signature.ts'

type Dependencies = {
  database: ReferralDatabase
  /** Signing secrets that count, `whsec_…`. */
  secrets: readonly string[]
  /** Does this endpoint take live events, or test ones? */
  livemode: boolean
  now?: () => number
}

/** How long to wait before each further try, in milliseconds. */
const pauses = [100, 300, 900]

/**
 * Takes deliveries from Stripe: verifies the signature on the raw bytes, reduces the event to what the ledger needs,
 * and hands it to one RPC. Nothing reaches the database before the signature is verified. First delivery, duplicate,
 * ignored and parked events answer 200 alike; what could not be stored answers 500 or 422, so that Stripe sends it again.
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
      // A Connect endpoint in live mode is also sent its accounts' test events: those are nobody's mistake.
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
    // Class 22 is data that Postgres cannot take, such as text with U+0000.
    if (error.code === 'invalid_event' || /^22/.test(error.code)) {
      return errorResponse('unknown_event_shape')
    }
    if (pause === null || !['40001', '40P01', 'busy'].includes(error.code)) {
      console.error(`ingest_stripe_event failed: ${error.code || 'no answer'}`)
      break
    }
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
  return errorResponse('internal_error')
}
