/** What the webhook endpoint at Stripe has to be: the event types whose object is read, and the API version of the SDK. */
import Stripe from 'stripe'
import { schemas } from '../../functions/stripe-webhook/event.ts'

export const wantedEvents: readonly string[] = [...schemas.keys()]

export const wantedApiVersion: string = Stripe.API_VERSION
