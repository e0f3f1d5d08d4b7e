import { setTimeout } from 'node:timers/promises'
import Stripe from 'stripe'
import { CliError } from '../cli-error.ts'

/** As often a request is sent again while Stripe limits the rate. */
const repetitions = 6

/**
 * Sends a request to Stripe, and sends it again while Stripe limits the rate, which its SDK does not. The SDK repeats it
 * after a lost connection and after an error of Stripe's.
 */
export async function patiently<T>(send: () => Promise<T>): Promise<T> {
  for (let seconds = 1, left = repetitions; ; seconds *= 2, left--) {
    try {
      return await send()
    } catch (error) {
      if (!(error instanceof Stripe.errors.StripeRateLimitError) || left === 0) throw error
      const asked = Number(error.headers?.['retry-after'] ?? Number.NaN)
      await setTimeout(1000 * (asked >= 0 && asked <= 60 ? asked : seconds))
    }
  }
}

/**
 * An error of Stripe's as a sentence that says what to do. It has nothing of the key and of the request. `permission` is the
 * permission that a restricted key needs.
 */
export function explained(error: unknown, permission: string): unknown {
  const { errors } = Stripe
  if (!(error instanceof errors.StripeError)) return error
  if (error instanceof errors.StripeAuthenticationError)
    return new CliError(
      'Stripe refuses STRIPE_SECRET_KEY. Take a key that is not expired or deleted.',
    )
  if (error.code === 'account_invalid')
    return new CliError('STRIPE_SECRET_KEY has no access to this Stripe account.')
  if (error instanceof errors.StripePermissionError)
    return new CliError(
      `STRIPE_SECRET_KEY may not do this. Give the restricted key: ${permission}.`,
    )
  if (error instanceof errors.StripeRateLimitError)
    return new CliError('Stripe takes no more requests for now. Try again in a few minutes.')
  if (error instanceof errors.StripeConnectionError)
    return new CliError('Stripe cannot be reached. Try again.')
  if ((error.statusCode ?? 500) >= 500) return new CliError('Stripe has an error. Try again.')
  return new CliError(`Stripe refuses the request: ${error.message}`)
}
