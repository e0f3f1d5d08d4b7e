/** The address of a visitor, beside that of ipaddr.js, which knows every spelling. */
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { describe, expect, test } from 'vitest'
import { visitorOf } from '../../functions/link/visitor.ts'

const addressOf = (text: string) => {
  const { address, network } = visitorOf(new Headers({ 'cf-connecting-ip': text }), [])
  return { address, network }
}

/** The same by the library. */
function expected(text: string) {
  const isAddress = ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text)
  if (!isAddress) return { address: null, network: null }
  const parsed = ipaddr.process(text)
  const address = parsed.toString()
  if (parsed.kind() === 'ipv4') return { address, network: address }
  const groups = parsed.toNormalizedString().split(':').slice(0, 4)
  return { address, network: `${groups.join(':')}::/64` }
}

const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }))
const ipv6 = fc.array(group, { minLength: 8, maxLength: 8 }).chain((groups) => {
  const parts = groups.map((number) => number.toString(16))
  const padded = parts.map((part) => part.padStart(4, '0'))
  const short = ipaddr.fromByteArray(groups.flatMap((n) => [n >> 8, n & 255])).toString()
  return fc.constantFrom(parts.join(':'), padded.join(':').toUpperCase(), short)
})

describe('a visitor’s address', () => {
  test('of IPv4, whole or in IPv6, is that of the library', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.constantFrom('', '::ffff:', '::FFFF:'), (address, prefix) => {
        expect(addressOf(prefix + address)).toEqual({ address, network: address })
      }),
    )
  })

  test('of IPv6 is that of the library in every spelling, with the network of 64 bits', () => {
    fc.assert(
      fc.property(fc.oneof(ipv6, fc.ipV6()), (text) => {
        // The library takes ::1.2.3.4, which nobody uses any more, for an address of IPv4.
        fc.pre(!/^(?:0{0,4}:)+(?:\d+\.){3}\d+$/.test(text))
        expect(addressOf(text)).toEqual(expected(text))
      }),
      { numRuns: 2000 },
    )
  })

  test('is none where the library has none', () => {
    const parts = fc.constantFrom(
      '1',
      '0',
      '255',
      '256',
      '01',
      'ffff',
      ':',
      '::',
      '.',
      'g',
      '%',
      '[',
    )
    const text = fc.array(parts, { maxLength: 9 }).map((list) => list.join(''))
    fc.assert(
      fc.property(text, (text) => {
        fc.pre(!text.includes('%') && !/::.*\./.test(text))
        expect(addressOf(text)).toEqual(expected(text))
      }),
      { numRuns: 5000 },
    )
  })

  test.for(['', '1.2.3', '1.2.3.4.5', '0x7f.1', '1.2.3.4]', '::1]:80', '::1@a', 'fe80::1%eth0'])(
    'is none for %j',
    (text) => {
      expect(addressOf(text)).toEqual({ address: null, network: null })
    },
  )
})
