import { about } from '../_shared/about.ts'
import type { DataApi } from '../_shared/data-api.ts'
import { errorResponse } from '../_shared/errors.ts'
import { readBody } from './body.ts'
import { parkEvent, type ReducedEvent, reduceEvent } from './event.ts'
import { createSettler, type Settler } from './settler.ts'
import { verifySignature } from './signature.ts'
import { isThinEvent } from './thin-event.ts'

type Dependencies = {
  database: DataApi
  /** The signing secrets, `whsec_…`; more than one while a secret is replaced. */
  secrets: readonly string[]
  /** Whether this endpoint takes live events (true) or test events (false). */
  livemode: boolean
  waitUntil?: (promise: Promise<void>) => void
  now?: () => number
}

/** The pause before each retry, in milliseconds. */
const pauses = [100, 300, 900]

/**
 * Takes deliveries from Stripe: verifies the signature on the raw bytes, reduces the event to the fields that the ledger
 * needs, and passes it to one RPC. Nothing reaches the database before the signature is verified.
 *
 * A first delivery, a duplicate, an ignored event and a parked event (an unknown API version, unknown fields, or a value
 * that the database refuses) all return 200, and so does an event that is stored and waits to be applied: it is settled
 * after the answer. 500 means that the database failed: nothing is stored, and Stripe sends the event again. `GET /<slug>/.well-known/referbase` says the function's version and its mode.
 */
export function createWebhookHandler(
  dependencies: Dependencies,
): (request: Request) => Promise<Response> {
  const { database, secrets, livemode, waitUntil = () => {}, now = Date.now } = dependencies
  const settle = createSettler(database, waitUntil)
  return async (request) => {
    const reads = request.method === 'GET' || request.method === 'HEAD'
    if (reads && /^\/[^/]+\/\.well-known\/referbase$/.test(new URL(request.url).pathname))
      return about('referbase-stripe-webhook', { livemode })
    if (request.method !== 'POST') return errorResponse('method_not_allowed', { allow: 'POST' })
    const body = await readBody(request)
    if (body === 'body_incomplete') console.warn('a delivery was cut off before its body ended')
    if (typeof body === 'string') return errorResponse(body)
    const header = request.headers.get('stripe-signature')
    if (!header || !(await verifySignature({ body, header, secrets, now: now() }))) {
      return errorResponse('invalid_signature')
    }

    const event = await reduceEvent(body)
    if (!event) return isThinEvent(body) ? ignored() : errorResponse('invalid_body')
    if (event.livemode !== livemode) {
      // Stripe also sends a live Connect endpoint the test events of its accounts, which is not an error.
      return event.account ? ignored() : errorResponse('wrong_mode')
    }
    return store({ database, settle }, event)
  }
}

const ignored = () => Response.json({ status: 'ignored' })

type Store = { database: DataApi; settle: Settler }

async function store({ database, settle }: Store, event: ReducedEvent): Promise<Response> {
  for (const pause of [...pauses, null]) {
    const args = { event: { ...event } as never }
    const { data, error } = await database('ingest_stripe_event', args)
    if (data) {
      if (data.status === 'parked') console.warn(parkedLine(event))
      if (data.unsettled) settle(event.account ?? '')
      return Response.json({ status: data.status })
    }
    const code = error?.code ?? ''
    // A value that breaks a constraint, or (class 22) is out of range.
    if (!event.parked && (code === 'invalid_event' || /^22/.test(code)))
      return store({ database, settle }, parkEvent(event, 'refused by the database'))
    if (pause === null || !['40001', '40P01', 'busy'].includes(code)) {
      console.error(`ingest_stripe_event failed: ${code || 'no response'}`)
      break
    }
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
  return errorResponse('internal_error')
}

function parkedLine({ id, type, api_version, parked }: ReducedEvent): string {
  return `parked ${id}: ${type}, API version ${api_version}, reason: ${parked ?? 'refused by the database'}`
}
