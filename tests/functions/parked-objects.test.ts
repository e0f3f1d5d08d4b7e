/** What is kept of an event that cannot be read yet: listed names with values of a listed form, and nothing else. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { schemas } from '../../functions/stripe-webhook/event.ts'
import { forms, ownText, parkedObject } from '../../functions/stripe-webhook/parked-object.ts'
import { read, type Shape } from '../../functions/stripe-webhook/shape.ts'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { creditNote } from '../fixtures/stripe/credit-note.ts'
import { dispute, fraudWarning } from '../fixtures/stripe/dispute.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../fixtures/stripe/invoice-payment-paid.ts'
import { succeededIntent } from '../fixtures/stripe/payment-intent-succeeded.ts'
import { personalFields, personalIn, personalValues } from '../fixtures/stripe/personal-fields.ts'
import { createdDiscount, promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { refund, refundedCharge } from '../fixtures/stripe/refund.ts'
import { reduced } from '../support/ingest.ts'

const uuid = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff'
const named = { userId: uuid, redemptionId: uuid, orgId: uuid, code: 'MINT-12' }
const inDispute = { charge: 'ch_1', intent: 'pi_1', amount: 500 }

/** One event of each kind, and more where a kind has several shapes. */
const events: [string, RawEvent][] = [
  ['a subscription’s session', completedSession({ ...named, promotionCode: 'promo_1' })],
  ['a payment’s session', completedSession({ ...named, mode: 'payment', paymentLink: 'plink_1' })],
  ['a guest’s session', completedSession({ customer: null, mode: 'payment', reference: 'MINT-1' })],
  ['an invoice', paidInvoice({ ...named, customerAccount: 'acct_1' })],
  ['an intent', succeededIntent({ ...named, charge: 'ch_1' })],
  ['an invoice payment', paidInvoicePayment({ invoice: 'in_1', intent: 'pi_1' })],
  ['a charge’s invoice payment', paidInvoicePayment({ invoice: 'in_1', charge: 'ch_1' })],
  ['a refund', refund({ amount: 100, intent: 'pi_1', charge: 'ch_1' })],
  ['a refund without a status', refund({ amount: 100, status: null })],
  ['a charge', refundedCharge({ intent: 'pi_1' })],
  ['a dispute', dispute({ ...inDispute, moved: [['txn_1', -500, 'eur']] })],
  ['a warning', fraudWarning({ charge: 'ch_1', intent: 'pi_1' })],
  ['a credit note', creditNote({ invoice: 'in_1', refunds: [{ refund: 're_1', amount: 5 }] })],
  ['a discount', createdDiscount({ customerAccount: 'acct_1', promotionCode: 'promo_1' })],
  ['a promotion code', promotionCode({ code: 'MINT-1', previous: 'OLD-1' })],
]
const parkedOf = (event: RawEvent) => reduced({ ...event, api_version: '2031-01-01.future' })
const text = (value: unknown) => JSON.stringify(value)
/** The event with what is changed in its object. */
const withObject = (event: RawEvent, change: object): RawEvent => ({
  ...event,
  data: { ...event.data, object: { ...event.data.object, ...change } },
})

/** The names that a shape asks for at any depth, by objects that note them. What cannot be an object is then a list. */
function namesOf(shape: Shape<object>, lists: readonly string[] = []): Set<string> {
  const names = new Set<string>()
  const noting = (path: string): unknown => {
    if (lists.includes(path)) return [noting(`${path}.0`)]
    const get = (_: object, name: string) => {
      if (!/^metadata|\.metadata/.test(path)) names.add(name)
      return noting(path ? `${path}.${name}` : name)
    }
    return new Proxy({}, { get: (target, name) => get(target, String(name)) })
  }
  const { faults = [] } = read(shape, noting(''))
  const unknown = faults.filter((path) => !lists.includes(path))
  return unknown.length > 0 ? namesOf(shape, [...lists, ...unknown]) : names
}

test('the names of a parked object are those that objects.ts reads', () => {
  const asked = new Set([...schemas.values()].flatMap((shape) => [...namesOf(shape)]))
  expect(asked.size).toBeGreaterThan(30)
  expect([...forms.keys(), ...ownText.keys()].sort()).toEqual([...asked].sort())
})

describe('a parked event', () => {
  test.for(events)(
    'of %s says, once it can be read, what it said when it came',
    async ([, event]) => {
      const kept = (await parkedOf(event)) as RawEvent
      const { data, parked } = await reduced({ ...kept, api_version: event.api_version as string })
      expect(parked).toBeUndefined()
      expect(data).toEqual((await reduced(event)).data)
    },
  )

  test.for(events)('of %s keeps nothing of the fields that are not listed', async ([, event]) => {
    const before = await parkedOf(event)
    const after = await parkedOf(withObject(event, personalFields))
    expect(after.data).toEqual(before.data)
    expect(personalIn(after)).toEqual([])
  })

  test.for(events)('of %s keeps nothing of them inside what is listed', async ([, event]) => {
    for (const name of forms.keys())
      for (const value of [personalFields, [personalFields], { parent: { tax: personalFields } }]) {
        const { data } = await parkedOf(withObject(event, { [name]: value }))
        expect(personalIn(data), name).toEqual([])
      }
  })

  test('keeps no value of another form in a listed name, and says that there was one', () => {
    let places = 0
    for (const name of forms.keys())
      for (const value of personalValues) {
        // An app can choose the ids of its customers.
        if (name === 'customer' && ['Olivia', 'OLIVIA-1'].includes(String(value))) continue
        for (const given of [value, [value], { id: value }, [{ id: [value] }]]) {
          const kept = text(parkedObject({ [name]: given }))
          expect(kept, name).not.toContain(text(value))
          expect(kept, name).toContain('false')
          places += 1
        }
      }
    expect(places).toBeGreaterThan(3500)
  })

  test.for(events)('of %s is not read without a field that was not as known', async ([, event]) => {
    for (const name of [...forms.keys()].filter((key) => key in event.data.object))
      for (const value of personalValues) {
        const unknown = withObject(event, { [name]: value })
        const { parked } = await reduced(unknown)
        const kept = (await parkedOf(unknown)) as RawEvent
        const again = await reduced({ ...kept, api_version: event.api_version as string })
        if (parked) expect(again, `${name} ${value}`).toHaveProperty('parked')
      }
  })

  test('keeps of a restriction that cannot be read that it restricts to nobody', async () => {
    const event = withObject(paidInvoice(), { metadata: { referral_org_id: 'Olivia Friend' } })
    expect((await parkedOf(event)).data).toMatchObject({
      object: { metadata: { referral_org_id: '00000000-0000-0000-0000-000000000000' } },
    })
  })

  test.for([
    ['null', null, {}],
    ['empty', {}, {}],
    ['an empty list', [], false],
    ['text', 'Olivia', false],
    ['other keys', { referral: 'MINT', note: 'Olivia', Olivia: 'MINT' }, {}],
    ['other forms', { referral_code: 'a b', referral_user_id: 'Olivia Friend' }, {}],
  ] as const)('keeps our keys of metadata: %s', ([, metadata, kept]) => {
    expect(parkedObject({ metadata })).toEqual({ metadata: kept })
  })
})

const names = [...forms.keys(), ...ownText.keys()]
const anyName = fc.oneof(fc.constantFrom(...names), fc.string({ unit: 'binary', maxLength: 8 }))
const { object } = fc.letrec<{ value: unknown; object: Record<string, unknown> }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(...personalValues, 'cus_1', 'usd', 1000, null, false),
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.double(),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('object'),
  ),
  object: fc.dictionary(anyName, tie('value'), { maxKeys: 6 }) as never,
}))

/** Every name and every text in a value. */
function* partsOf(value: unknown): Generator<{ name: string } | { text: string }> {
  if (typeof value === 'string') yield { text: value }
  if (typeof value !== 'object' || value === null) return
  for (const [name, inner] of Object.entries(value)) {
    if (!Array.isArray(value)) yield { name }
    yield* partsOf(inner)
  }
}

test('of any object, only listed names are kept, and text that Postgres can store; and that again stays', () => {
  const own = ['referral_code', 'referral_org_id', 'referral_redemption_id', 'referral_user_id']
  fc.assert(
    fc.property(object, (given) => {
      const kept = JSON.parse(text(parkedObject(given)))
      for (const part of partsOf(kept)) {
        if ('name' in part) expect([...names, ...own]).toContain(part.name)
        else expect(part.text).toMatch(/^[A-Za-z0-9_.:-]{1,255}$/)
      }
      expect(JSON.parse(text(parkedObject(kept)))).toEqual(kept)
    }),
    { numRuns: 2000 },
  )
})

test('of an object that is deeper than any, no more is kept than sixteen levels', () => {
  let deep: object = { amount: 1 }
  for (let level = 0; level < 100_000; level++) deep = level % 2 ? [deep] : { parent: deep }
  expect(text(parkedObject({ parent: deep })).length).toBeLessThan(300)
})
