import ipaddr from 'ipaddr.js'
import { remember } from './remember.ts'

export type Visitor = {
  /** The address, where the platform or a proxy that proved itself says it. */
  address: string | null
  /** What one subscriber has of addresses: the IPv4 address, or the /64 network of an IPv6 address. */
  network: string | null
  /** The link host that a proxy which proved itself stands for; null where the function is called directly. */
  host: string | null
}

/**
 * Who asks, from headers that can be believed: those of the adopter’s proxy where it shows the secret, else what
 * Cloudflare in front of hosted Supabase says. `X-Forwarded-For` and `Host` are never read: anybody can write them.
 */
export function visitorOf(headers: Headers, secrets: readonly string[]): Visitor {
  const proof = secrets.length > 0 ? headers.get('x-referral-proxy') : null
  const proven = proof !== null && secrets.some((secret) => equal(proof, secret))
  const address = headers.get(proven ? 'x-referral-visitor' : 'cf-connecting-ip') ?? ''
  const host = proven ? hostOf(headers.get('x-referral-host')) : null
  return { ...(address.length <= 45 ? placeOf(address) : nowhere), host }
}

type Place = Pick<Visitor, 'address' | 'network'>

const nowhere: Place = { address: null, network: null }

const placeOf = remember(1_000, (text): Place => {
  const isAddress = ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text)
  if (!isAddress) return nowhere
  const parsed = ipaddr.process(text)
  const address = parsed.toString()
  if (parsed.kind() === 'ipv4') return { address, network: address }
  return { address, network: `${parsed.toByteArray().slice(0, 8).join('.')}/64` }
})

function hostOf(text: string | null): string | null {
  const host = text?.toLowerCase() ?? ''
  return /^[a-z0-9.-]{1,253}(?::\d{1,5})?$/.test(host) ? host : null
}

/** Compares in a time that tells nothing but the length. */
function equal(left: string, right: string): boolean {
  let difference = left.length ^ right.length
  for (let at = 0; at < left.length; at++) {
    difference |= left.charCodeAt(at) ^ right.charCodeAt(at % right.length)
  }
  return difference === 0
}
