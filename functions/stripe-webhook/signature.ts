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
 * full stop and the raw bytes. The body is hashed once for each secret, however many signatures there are.
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
    const right = new Uint8Array(await crypto.subtle.sign('HMAC', await keyOf(secret), signed))
    if (signatures.some((signature) => isEqual(right, bytesOf(signature.slice(3))))) return true
  }
  return false
}

const keyOf = (secret: string): Promise<CryptoKey> =>
  crypto.subtle.importKey(
    'raw',
    new TextEncoder().encode(secret),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['sign'],
  )

function signedBytes(seconds: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new TextEncoder().encode(`${seconds}.`)
  const bytes = new Uint8Array(head.length + body.length)
  bytes.set(head)
  bytes.set(body, head.length)
  return bytes
}

/** Compares all bytes, whichever differ: the time says nothing about how much of a signature is right. */
const isEqual = (right: Uint8Array, other: Uint8Array): boolean =>
  right.reduce((difference, byte, place) => difference | (byte ^ (other[place] ?? 256)), 0) === 0

const bytesOf = (hexadecimal: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(hexadecimal.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
