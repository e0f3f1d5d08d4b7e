import Stripe from 'stripe'
import { type ReducedEvent, reduceEvent } from '../../functions/stripe-webhook/event.ts'
import { explained, patiently } from '../stripe/requests.ts'
import type { FetchEvent, ParkedEvent } from './apply.ts'

/** Stripe returns events of the last 30 days. https://docs.stripe.com/api/events/retrieve */
const keptFor = 30 * 24 * 60 * 60 * 1000

/**
 * Reads a parked event from Stripe, with a key of this mode (null if unknown), and reduces it as the webhook does: nothing
 * else of it leaves this function.
 *
 * Stripe renders an event once, in the API version that its account had by default when the event was made, and returns that
 * whatever version the request has. So its `api_version` is often another one than that of the endpoint, and decides whether
 * the event can be read. https://docs.stripe.com/api/events/object#event_object-api_version
 */
export function fetchFromStripe(stripe: Stripe, livemode: boolean | null): FetchEvent {
  /** Why Stripe refuses the events of an account, so that it is asked once. */
  const refused = new Map<string, string>()
  return async (parked) => {
    const before = refused.get(parked.stripe_account)
    if (before) return before
    if (livemode !== null && livemode !== parked.livemode)
      return `STRIPE_SECRET_KEY is of ${livemode ? 'live' : 'test'} mode`
    const { created } = parked.event as { created?: number }
    if (Number(created) * 1000 < Date.now() - keptFor) return 'Stripe has events for 30 days'
    try {
      return await retrieve(stripe, parked)
    } catch (error) {
      const why = explained(error, 'Events, Read')
      if (!(error instanceof Stripe.errors.StripeError) || !(why instanceof Error)) throw why
      if (error.statusCode === 404) return 'Stripe has no such event in the account of this key'
      const isOfAccount = error instanceof Stripe.errors.StripePermissionError
      // What fails for one event only does not keep the others from being read.
      if (!isOfAccount && !(error instanceof Stripe.errors.StripeAPIError)) throw why
      if (isOfAccount) refused.set(parked.stripe_account, why.message)
      return why.message
    }
  }
}

async function retrieve(stripe: Stripe, parked: ParkedEvent): Promise<ReducedEvent | string> {
  const account = parked.stripe_account
  const options = account ? { stripeAccount: account } : {}
  const event = await patiently(() => stripe.events.retrieve(parked.event_id, {}, options))
  // Asked as the account itself, Stripe can leave out which one it is.
  const whole = { ...event, account: event.account ?? (account || undefined) }
  const reduced = await reduceEvent(new TextEncoder().encode(JSON.stringify(whole)))
  const { created } = parked.event as { created?: number }
  const isSame =
    reduced?.id === parked.event_id &&
    reduced.type === parked.type &&
    reduced.livemode === parked.livemode &&
    reduced.created === created &&
    (reduced.account ?? '') === account
  return reduced && isSame ? reduced : 'Stripe returned another event'
}
