import Stripe from 'stripe'

type Delivery = {
  /** The raw bytes of the body. */
  body: Uint8Array
  /** The header `Stripe-Signature`. */
  header: string
  /** The signing secrets; more than one while a secret is replaced. */
  secrets: readonly string[]
  /** The time of arrival, in milliseconds. */
  now: number
}

const toleranceSeconds = 300

/**
 * Whether one of the secrets signed the delivery, at most five minutes before or after `now`. The timestamp is checked here
 * first, because the SDK accepts timestamps in the future and of another form.
 */
export async function verifySignature({ body, header, secrets, now }: Delivery): Promise<boolean> {
  const timestamps = header.split(',').filter((part) => part.trim().startsWith('t='))
  const [, seconds] = /^\s*t=(\d{1,12})$/.exec(timestamps[0] ?? '') ?? []
  if (timestamps.length !== 1 || seconds === undefined) return false
  if (Math.abs(Math.floor(now / 1000) - Number(seconds)) > toleranceSeconds) return false

  for (const secret of secrets) {
    try {
      const crypto = Stripe.createSubtleCryptoProvider()
      const { signature } = Stripe.webhooks
      if (await signature?.verifyHeaderAsync(body, header, secret, toleranceSeconds, crypto, now))
        return true
    } catch {
      // The error holds the payload and the header, so it is not logged.
    }
  }
  return false
}
