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
  if (ipv4.test(text)) return { address: text, network: text }
  // The address parser of the platform knows every spelling, and writes each address in one.
  const host = /^[\da-f:.]+$/i.test(text) && URL.parse(`http://[${text}]`)?.hostname
  if (!host) return noAddress
  const groups = groupsOf(host.slice(1, -1))
  const mapped = groups.slice(0, 6).join(':') === '0:0:0:0:0:ffff'
  if (mapped) {
    const address = groups.slice(6).flatMap(bytesOf).join('.')
    return { address, network: address }
  }
  return { address: host.slice(1, -1), network: `${groups.slice(0, 4).join(':')}::/64` }
})

/** Four numbers up to 255, without zeros before them, which some read as octal. */
const ipv4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/

/** The eight groups of an IPv6 address, of which `::` stands for those that are zero. */
function groupsOf(address: string): string[] {
  const [before = [], after = []] = address
    .split('::')
    .map((part) => part.split(':').filter(Boolean))
  return [...before, ...Array(8 - before.length - after.length).fill('0'), ...after]
}

function bytesOf(group: string): number[] {
  const number = Number.parseInt(group, 16)
  return [number >> 8, number & 255]
}

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
