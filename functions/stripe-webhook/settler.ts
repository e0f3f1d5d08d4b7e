import type { DataApi } from '../_shared/data-api.ts'

/** How long one delivery goes on settling, in milliseconds. What is left then is the next delivery’s, or the jobs’. */
const patience = 3000

export type Settler = (stripeAccount: string) => void

/**
 * Settles what waits of a Stripe account, after the answer to Stripe: call by call, one at a time for each account, until
 * nothing is left. A failure is logged and loses nothing: `run_maintenance` settles what is left.
 */
export function createSettler(
  database: DataApi,
  waitUntil: (promise: Promise<void>) => void,
): Settler {
  /** The accounts that are being settled, and whether that was asked for again meanwhile. */
  const askedAgain = new Map<string, boolean>()

  async function settle(stripeAccount: string): Promise<void> {
    const until = Date.now() + patience
    try {
      for (let more = true; more && Date.now() < until; ) {
        askedAgain.set(stripeAccount, false)
        const { data, error } = await database('settle_stripe_events', {
          stripe_account: stripeAccount,
        })
        if (error) console.error(`settle_stripe_events failed: ${error.code || 'no response'}`)
        more = error ? error.code === 'busy' : data?.more || askedAgain.get(stripeAccount) === true
      }
    } finally {
      askedAgain.delete(stripeAccount)
    }
  }

  return (stripeAccount) => {
    if (askedAgain.has(stripeAccount)) askedAgain.set(stripeAccount, true)
    else waitUntil(settle(stripeAccount))
  }
}
