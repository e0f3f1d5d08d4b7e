/** docs/stripe.md: its examples compile, and what they put into Stripe credits the referrer when the payment comes. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Stripe from 'stripe'
import { expect, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { type RawEvent, unique } from '../fixtures/stripe/about.ts'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { succeededIntent } from '../fixtures/stripe/payment-intent-succeeded.ts'
import { promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { operator } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { printedBy, programOf } from '../support/examples.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const program = programOf('docs/stripe.md')
const terms = {
  ...{ enrolment: 'open', commission: { kind: 'percent', bps: 1000 } },
  ...{ recurrence: 'forever', hold_days: 0 },
}

/** Runs the examples against a Stripe that only keeps what it is sent; gives that by path. */
async function sent(names: Record<string, string>): Promise<Map<string, URLSearchParams>> {
  const requests = new Map<string, URLSearchParams>()
  const keep: typeof fetch = async (url, init) => {
    requests.set(new URL(String(url)).pathname, new URLSearchParams(String(init?.body)))
    return Response.json({ id: unique(), object: 'made' })
  }
  const stripe = new Stripe('sk_test_1', { httpClient: Stripe.createFetchHttpClient(keep) })
  await printedBy(program, { stripe, ...names })
  return requests
}

/** A mentor's code, a friend who has redeemed it unless `isNew`, and what the examples send about them. */
async function selling(tx: Sql, { isNew = false } = {}) {
  const people = await scene(tx, terms)
  const { code } = await codeOf(people.mentor, people.org)
  if (!isNew) await people.friend.rpc('redeem_code', { code })
  const names = {
    userId: people.friend.id,
    code,
    price: 'price_1',
    customer: 'cus_1',
    coupon: 'c1',
  }
  const requests = await sent(names)
  const parameter = (path: string, name: string) => String(requests.get(path)?.get(name))
  const earned = async () => {
    const rows = await people.mentor.rpc('my_earnings', { org_id: people.org })
    return rows.reduce(
      (sum, { pending, available }) => sum + Number(pending) + Number(available),
      0,
    )
  }
  // A second after the code was made and redeemed, however long that took.
  const at = Math.floor(Date.now() / 1000) + 1
  return { ...people, code, parameter, earned, at }
}

test('the examples compile', () => {
  // Inside the repository, so that `stripe` is the package of the project.
  const folder = join(root, '.referbase', `stripe-${crypto.randomUUID()}`)
  mkdirSync(folder, { recursive: true })
  try {
    const names = 'stripe: Stripe, price: string, userId: string, customer: string, code: string'
    const head = `import type Stripe from 'stripe'\nexport async function run(${names}, coupon: string) {\n`
    const tail = '\nreturn [session, intent, subscription, link, promotion]\n}\n'
    writeFileSync(join(folder, 'examples.ts'), head + program + tail)
    const { compilerOptions } = JSON.parse(readFileSync('tsconfig.json', 'utf8'))
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: { ...compilerOptions, typeRoots: [join(root, 'node_modules/@types')] },
        include: ['.'],
      }),
    )
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    expect(() =>
      execFileSync(process.execPath, [tsc], { cwd: folder, stdio: 'pipe' }),
    ).not.toThrow()
  } finally {
    rmSync(folder, { recursive: true })
    // Only where nothing else is in it.
    if (readdirSync(dirname(folder)).length === 0) rmdirSync(dirname(folder))
  }
})

test('Checkout: the user in client_reference_id, and renewals that say nothing', () =>
  undone(sql, async (tx) => {
    const { parameter, earned, at } = await selling(tx)
    const reference = parameter('/v1/checkout/sessions', 'client_reference_id')
    await ingest(tx, completedSession({ customer: 'cus_1', reference, at }))
    await ingest(tx, paidInvoice({ customer: 'cus_1', at }))
    await ingest(tx, paidInvoice({ customer: 'cus_1', at: at + 1 }))
    expect(await earned()).toBe(200)
  }))

/** An event whose object has this metadata. */
const withMetadata = (event: RawEvent, metadata: Record<string, string>): RawEvent => ({
  ...event,
  data: { object: { ...event.data.object, metadata } },
})

test('an intent: its own metadata; without it, it is no sale', () =>
  undone(sql, async (tx) => {
    const { parameter, earned, at } = await selling(tx)
    const referral_user_id = parameter('/v1/payment_intents', 'metadata[referral_user_id]')
    const paid = (n: number) => succeededIntent({ customer: 'cus_1', at: at + n })
    await ingest(tx, withMetadata(paid(0), { referral_user_id }))
    await ingest(tx, paid(1))
    expect(await earned()).toBe(100)
    expect(await operator(tx).rpc('list_unattributed')).toEqual([])
  }))

test('a subscription: its metadata, which invoices copy', () =>
  undone(sql, async (tx) => {
    const { parameter, earned, at } = await selling(tx)
    const userId = parameter('/v1/subscriptions', 'metadata[referral_user_id]')
    await ingest(tx, paidInvoice({ customer: 'cus_1', userId, at }))
    expect(await earned()).toBe(100)
  }))

test('a Payment Link: its metadata, which sessions copy, or the code after its address', () =>
  undone(sql, async (tx) => {
    const { parameter, earned, at, code: reference } = await selling(tx, { isNew: true })
    const code = parameter('/v1/payment_links', 'metadata[referral_code]')
    const about = { mode: 'payment', paymentLink: 'plink_1', customer: null } as const
    await ingest(tx, completedSession({ ...about, code, at }))
    await ingest(tx, completedSession({ ...about, reference, at: at + 1 }))
    expect(await earned()).toBe(200)
  }))

test('a promotion code: its metadata', () =>
  undone(sql, async (tx) => {
    const { parameter, earned, at } = await selling(tx, { isNew: true })
    const code = parameter('/v1/promotion_codes', 'metadata[referral_code]')
    await ingest(tx, promotionCode({ id: 'promo_1', code, at }))
    const about = { mode: 'payment', promotionCode: 'promo_1' } as const
    await ingest(tx, completedSession({ ...about, at: at + 1 }))
    expect(await earned()).toBe(100)
  }))

test('a code that is redeemed after the payment is not credited', () =>
  undone(sql, async (tx) => {
    const { friend, code, earned, at } = await selling(tx, { isNew: true })
    await ingest(tx, paidInvoice({ userId: friend.id, at: at - 61 }))
    await friend.rpc('redeem_code', { code })
    expect(await earned()).toBe(0)
    expect(await operator(tx).rpc('list_unattributed')).toMatchObject([{ reason: 'no_evidence' }])
  }))
