/** The signature against deliveries that were tampered with. `SIGNATURES` says how many. */
import fc from 'fast-check'
import Stripe from 'stripe'
import { describe, expect, test } from 'vitest'
import { verifySignature } from '../../functions/stripe-webhook/signature.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { often, proved } from '../support/soak.ts'

const secrets = ['whsec_new', 'whsec_old']
const pairs = often('SIGNATURES', 3_000)
const encode = (text: string) => new TextEncoder().encode(text)

async function signed(secret: string) {
  const body = JSON.stringify(paidInvoice())
  const now = 1_800_000_000_000
  const header = await Stripe.webhooks.generateTestHeaderStringAsync({
    payload: body,
    secret,
    timestamp: now / 1000,
  })
  return { body: encode(body), header, secrets, now }
}

/** One change of a body or a header that makes another delivery of it. */
const changes: ((delivery: Awaited<ReturnType<typeof signed>>, n: number) => object | null)[] = [
  ({ body }, n) => ({
    body: body.map((byte, i) => (i === n % body.length ? byte ^ (1 << (n % 8)) : byte)),
  }),
  ({ body }, n) => ({ body: body.subarray(0, n % body.length) }),
  ({ body }, n) => ({ body: Uint8Array.from([...body, 32 + (n % 90)]) }),
  ({ header }, n) => ({
    header: header.replace(/t=\d+/, (t) => `t=${Number(t.slice(2)) + 1 + (n % 299)}`),
  }),
  ({ now }, n) => ({ now: now + (301 + (n % 100_000)) * 1000 }),
  ({ now }, n) => ({ now: now - (301 + (n % 100_000)) * 1000 }),
  (_, n) => ({ secrets: [`whsec_${n}`] }),
  ({ header }, n) => {
    const at = header.indexOf('v1=') + 3 + (n % 64)
    const digit = ((Number.parseInt(header[at] ?? '0', 16) + 1 + (n % 15)) % 16).toString(16)
    return { header: header.slice(0, at) + digit + header.slice(at + 1) }
  },
  ({ header }) => ({ header: header.replace('v1=', 'v0=') }),
  ({ header }) => ({ header: header.replace(/,v1=.*/, '') }),
  ({ header }, n) => ({ header: `${header.replace(/t=\d+/, 't=')}${n}` }),
]

test('no delivery that was tampered with is accepted, and every untouched one is, with either secret', async () => {
  let delivery = await signed('whsec_new')
  for (let n = 0; n < pairs; n++) {
    if (n % 500 === 0) {
      delivery = await signed(n % 1000 ? 'whsec_old' : 'whsec_new')
      expect(await verifySignature(delivery)).toBe(true)
    }
    const change = changes[n % changes.length]?.(delivery, n)
    expect(await verifySignature({ ...delivery, ...change }), JSON.stringify(change)).toBe(false)
  }
  proved('deliveries that were tampered with, none accepted', pairs)
}, 600_000)

/** Whether the SDK takes the delivery with one of the secrets. Its own check of the time is switched off. */
async function bySdk({ body, header, secrets, now }: Awaited<ReturnType<typeof signed>>) {
  for (const secret of secrets) {
    const provider = Stripe.createSubtleCryptoProvider()
    const verified = Stripe.webhooks.signature
      ?.verifyHeaderAsync(body, header, secret, 0, provider, now)
      .catch(() => false)
    if (await verified) return true
  }
  return false
}

describe('the signature is that of the SDK', () => {
  test('of any body under any secret', async () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 300 })
    await fc.assert(
      fc.asyncProperty(
        text,
        fc.string({ minLength: 1, unit: 'grapheme' }),
        async (payload, secret) => {
          const timestamp = 1_800_000_000
          const given = { payload, secret, timestamp }
          const header = await Stripe.webhooks.generateTestHeaderStringAsync(given)
          const now = timestamp * 1000
          const delivery = { body: encode(payload), header, secrets: ['whsec_1', secret], now }
          expect(await verifySignature(delivery)).toBe(true)
          expect(await verifySignature({ ...delivery, secrets: ['whsec_1'] })).toBe(false)
        },
      ),
    )
  })

  test.for([
    ['one', (t: string, v1: string) => `${t},${v1}`],
    ['spaces', (t: string, v1: string) => ` ${t} , ${v1} `],
    ['another scheme beside it', (t: string, v1: string) => `${t},${v1},v0=${'0'.repeat(64)}`],
    ['another one before it', (t: string, v1: string) => `${t},v1=${'0'.repeat(64)},${v1}`],
    ['another one after it', (t: string, v1: string) => `${t},${v1},v1=${'0'.repeat(64)}`],
    ['the time after it', (t: string, v1: string) => `${v1},${t}`],
    ['no time', (_: string, v1: string) => v1],
    ['nothing but the time', (t: string) => t],
    ['one that is cut', (t: string, v1: string) => `${t},${v1.slice(0, -1)}`],
    ['one that is too long', (t: string, v1: string) => `${t},${v1}0`],
    ['one in capitals', (t: string, v1: string) => `${t},v1=${v1.slice(3).toUpperCase()}`],
    ['an empty one', (t: string) => `${t},v1=`],
    ['another scheme', (t: string, v1: string) => `${t},${v1.replace('v1', 'v2')}`],
  ] as const)('with a header that has %s', async ([kind, headerOf]) => {
    const delivery = await signed('whsec_old')
    const [t = '', v1 = ''] = delivery.header.split(',')
    const other = { ...delivery, header: headerOf(t, v1) }
    // The SDK takes a name with a space before it for another.
    const asSdk = kind === 'spaces' ? { ...other, header: other.header.replaceAll(' ', '') } : other
    expect(await verifySignature(other)).toBe(await bySdk(asSdk))
  })

  test('but for more signatures than Stripe sends: the first eight are tried', async () => {
    const delivery = await signed('whsec_new')
    const [t, v1] = delivery.header.split(',')
    const behind = (n: number) => [t, ...Array(n).fill(`v1=${'0'.repeat(64)}`), v1].join(',')
    expect(await verifySignature({ ...delivery, header: behind(7) })).toBe(true)
    expect(await verifySignature({ ...delivery, header: behind(8) })).toBe(false)
  })
})
