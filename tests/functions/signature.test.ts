/** The signature against deliveries that were tampered with. `SIGNATURES` says how many. */
import Stripe from 'stripe'
import { expect, test } from 'vitest'
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
