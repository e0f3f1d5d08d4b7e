import { setTimeout } from 'node:timers/promises'
import { toReferralError } from '../../client/platform-errors.ts'
import { type ReducedEvent, reduceEvent } from '../../functions/stripe-webhook/event.ts'
import { CliError } from '../cli-error.ts'
import type { ReferralDatabase } from '../database.ts'

/** A row of `list_parked_events`. */
export type ParkedEvent = {
  event_id: string
  type: string
  livemode: boolean
  /** Empty for the platform's own account. */
  stripe_account: string
  reason: string
  event: object
}

/** What became of a parked event. Nothing of its content is in it. */
export type Outcome = Pick<ParkedEvent, 'event_id' | 'type' | 'livemode' | 'stripe_account'> & {
  /** `duplicate` if it was resolved meanwhile. */
  status: 'applied' | 'duplicate' | 'parked'
  /** Why it stays parked. */
  why: string | null
}

/** Reads the whole event. Where it cannot be had, it returns the reason. */
export type FetchEvent = (parked: ParkedEvent) => Promise<ReducedEvent | string>

/** As many events are held in memory. */
const pageSize = 100

/**
 * Applies the parked events that this version can read, oldest first: in the form that Stripe has, if it is asked, or else
 * in the form that was kept. One that cannot be read or applied stays, with the reason, and the next one follows.
 */
export async function* applyParked(
  database: ReferralDatabase,
  fetchEvent?: FetchEvent,
): AsyncGenerator<Outcome> {
  for (let after_event: string | undefined; ; ) {
    const page = { max_rows: pageSize, ...(after_event && { after_event }) }
    const { data, error, status } = await database.rpc('list_parked_events', page)
    if (error) throw unread(error, status)
    for (const parked of data as ParkedEvent[]) yield await applyOne(database, parked, fetchEvent)
    after_event = data.at(-1)?.event_id ?? undefined
    if (!after_event) return
  }
}

async function applyOne(
  database: ReferralDatabase,
  parked: ParkedEvent,
  fetchEvent: FetchEvent | undefined,
): Promise<Outcome> {
  const { event_id, type, livemode, stripe_account } = parked
  const outcome = { event_id, type, livemode, stripe_account }
  const fetched = await fetchEvent?.(parked)
  const kept = await reduceEvent(new TextEncoder().encode(JSON.stringify(parked.event)))
  const reasons = [kept?.parked ?? parked.reason]
  if (typeof fetched === 'string') reasons.push(`not fetched: ${fetched}`)
  else if (fetched?.parked) reasons.push(`as Stripe has it: ${fetched.parked}`)
  // The whole event has what the kept one may lack.
  const whole = typeof fetched === 'object' ? fetched : null
  for (const event of [whole, kept]) {
    if (!event || event.parked) continue
    const status = await resolve(database, event)
    if (status !== 'refused') return { ...outcome, status, why: null }
    return { ...outcome, status: 'parked', why: 'refused by the database' }
  }
  return { ...outcome, status: 'parked', why: reasons.join('; ') }
}

/** The pause before each repetition, in milliseconds. */
const pauses = [100, 300, 900]

async function resolve(
  database: ReferralDatabase,
  event: ReducedEvent,
): Promise<'applied' | 'duplicate' | 'refused'> {
  for (let repetition = 0; ; repetition++) {
    const call = database.rpc('resolve_parked_event', { event: { ...event } as never }).single()
    const { data, error, status } = await call
    if (data) return data.status === 'duplicate' ? 'duplicate' : 'applied'
    if (error.code === 'invalid_event' || /^22/.test(error.code)) return 'refused'
    const pause = pauses[repetition]
    if (!pause || !['40001', '40P01', 'busy'].includes(error.code)) throw unread(error, status)
    await setTimeout(pause)
  }
}

function unread(error: Parameters<typeof toReferralError>[0], status: number): CliError {
  const { code, message } = toReferralError(error, status)
  return new CliError(`The parked events cannot be read: ${code}. ${message}`)
}
