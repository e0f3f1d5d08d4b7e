import Stripe from 'stripe'

type Delivery = {
  /** The body as it arrived, byte for byte. */
  body: Uint8Array
  /** The header `Stripe-Signature`. */
  header: string
  /** Secrets that count; more than one while a secret is being replaced. */
  secrets: readonly string[]
  /** The time of arrival, in milliseconds. */
  now: number
}

const toleranceSeconds = 300

/**
 * Is the delivery signed with one of the secrets, no longer than five minutes ago and not in the future? The SDK
 * lets timestamps of the future and of another form pass, so the timestamp is checked here first.
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
      // The error carries the payload and the header: it is neither kept nor logged.
    }
  }
  return false
}
