import ipaddr from 'ipaddr.js'
import { memoize } from './memoize.ts'

export type Visitor = {
  /** The IP address, from the platform or from an authenticated proxy. */
  address: string | null
  /** The addresses of one subscriber: the IPv4 address, or the /64 network of an IPv6 address. */
  network: string | null
  /** The link host, from an authenticated proxy. Null if the function is called directly. */
  host: string | null
}

/**
 * The visitor, from headers that a visitor cannot forge: those of the adopter’s proxy if it sends the secret, else
 * Cloudflare’s, which stands in front of hosted Supabase. `X-Forwarded-For` and `Host` are never read, because a visitor
 * can set them.
 */
export function visitorOf(headers: Headers, secrets: readonly string[]): Visitor {
  const secret = secrets.length > 0 ? headers.get('x-referral-proxy') : null
  const isProxy = secret !== null && secrets.some((known) => equal(secret, known))
  const address = headers.get(isProxy ? 'x-referral-visitor' : 'cf-connecting-ip') ?? ''
  const host = isProxy ? hostOf(headers.get('x-referral-host')) : null
  return { ...(address.length <= 45 ? addressOf(address) : noAddress), host }
}

type Address = Pick<Visitor, 'address' | 'network'>

const noAddress: Address = { address: null, network: null }

const addressOf = memoize(1_000, (text): Address => {
  const isAddress = ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text)
  if (!isAddress) return noAddress
  const parsed = ipaddr.process(text)
  const address = parsed.toString()
  if (parsed.kind() === 'ipv4') return { address, network: address }
  return { address, network: `${parsed.toByteArray().slice(0, 8).join('.')}/64` }
})

function hostOf(text: string | null): string | null {
  const host = text?.toLowerCase() ?? ''
  return /^[a-z0-9.-]{1,253}(?::\d{1,5})?$/.test(host) ? host : null
}

/** Compares in a time that depends on the length alone. */
function equal(left: string, right: string): boolean {
  let difference = left.length ^ right.length
  for (let at = 0; at < left.length; at++) {
    difference |= left.charCodeAt(at) ^ right.charCodeAt(at % right.length)
  }
  return difference === 0
}
