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

/** Stripe sends a signature for each secret of the endpoint. More of them are not tried. */
const maxSignatures = 8

/**
 * Whether one of the secrets signed the delivery, at most five minutes before or after `now`: HMAC-SHA256 of the time, a
 * full stop and the raw bytes. `crypto.subtle.verify` compares in constant time.
 *
 * @see https://docs.stripe.com/webhooks#verify-manually
 */
export async function verifySignature({ body, header, secrets, now }: Delivery): Promise<boolean> {
  const parts = header.split(',').map((part) => part.trim())
  const timestamps = parts.filter((part) => part.startsWith('t='))
  const [, seconds] = /^t=(\d{1,12})$/.exec(timestamps[0] ?? '') ?? []
  if (timestamps.length !== 1 || seconds === undefined) return false
  if (Math.abs(Math.floor(now / 1000) - Number(seconds)) > toleranceSeconds) return false

  const signatures = parts.filter((part) => /^v1=[0-9a-f]{64}$/.test(part)).slice(0, maxSignatures)
  const signed = signedBytes(seconds, body)
  for (const secret of secrets) {
    const key = await keyOf(secret)
    for (const signature of signatures)
      if (await crypto.subtle.verify('HMAC', key, bytesOf(signature.slice(3)), signed)) return true
  }
  return false
}

const keyOf = (secret: string): Promise<CryptoKey> =>
  crypto.subtle.importKey(
    'raw',
    new TextEncoder().encode(secret),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['verify'],
  )

function signedBytes(seconds: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new TextEncoder().encode(`${seconds}.`)
  const bytes = new Uint8Array(head.length + body.length)
  bytes.set(head)
  bytes.set(body, head.length)
  return bytes
}

const bytesOf = (hexadecimal: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(hexadecimal.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
