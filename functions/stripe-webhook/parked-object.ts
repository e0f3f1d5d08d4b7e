import { clientReference, metadata } from './forms.ts'
import { read, type Shape } from './shape.ts'

type Scalar = string | number | boolean
type Form = (value: Scalar) => boolean

const text =
  (form: RegExp): Form =>
  (value) =>
    typeof value === 'string' && value.length <= 255 && form.test(value)
const integer =
  (least: number, greatest: number): Form =>
  (value) =>
    Number.isInteger(value) && Number(value) >= least && Number(value) <= greatest

const id = text(/^[a-z]+_[A-Za-z0-9_]+$/)
/** An app can choose a customer's id, but no id is the number of a telephone, a card or a bank account. */
const customer = text(/^(?![\d.:-]{9,}$)(?![A-Za-z]{2}\d{2}[A-Za-z0-9]{11,}$)[A-Za-z0-9_.:-]+$/)
/** A mode, a status, a type: also one that is not known yet. */
const word = text(/^[a-z]+(_[a-z]+)*$/)
const currency = text(/^[a-z]{3}$/)
/** The amounts of Stripe have at most twelve digits. */
const amount = integer(-999_999_999_999, 999_999_999_999)
const timestamp = integer(0, 99_999_999_999)
/** An object that is looked into, and has no other form. */
const container: Form = () => false

/** The names that objects.ts reads, at any depth, with the form that a value must have. */
export const forms: ReadonlyMap<string, Form> = new Map([
  ...names(id, 'id', 'charge', 'customer_account', 'discounts', 'invoice', 'latest_charge'),
  ...names(id, 'payment_intent', 'payment_link', 'promotion_code', 'refund', 'subscription'),
  ...names(customer, 'customer'),
  ...names(word, 'mode', 'payment_status', 'status', 'type'),
  ...names(currency, 'currency'),
  ...names(amount, 'amount', 'amount_paid', 'amount_received', 'amount_refunded', 'amount_tax'),
  ...names(amount, 'amount_total', 'out_of_band_amount', 'total', 'total_excluding_tax'),
  ...names(amount, 'total_tax_amount'),
  ...names(timestamp, 'created', 'paid_at', 'start'),
  ...names(container, 'amount_details', 'balance_transactions', 'parent', 'payment', 'refunds'),
  ...names(container, 'status_transitions', 'subscription_details', 'tax', 'total_details'),
])

/** The app's own text: what a known version keeps of it. */
export const ownText: ReadonlyMap<string, Shape<unknown>> = new Map<string, Shape<unknown>>([
  ['client_reference_id', clientReference],
  ['metadata', metadata],
])

/** Deeper objects are not kept. */
const greatestDepth = 16

/**
 * Copies of an object what is kept of an event that cannot be read yet: the names that objects.ts reads, at any depth, where
 * the values have the form of an id, an amount, a currency, a time, a word or a code. A name whose value has another form is
 * kept with `false`, which no version reads as a value, so that the event is not taken for one without it.
 */
export function parkedObject(object: object): object {
  return fieldsOf(object, 0)
}

function fieldsOf(object: object, depth: number): object {
  return Object.fromEntries(
    Object.entries(object).flatMap(([name, value]) => {
      const form = forms.get(name)
      if (form) return [[name, keep(value, form, depth + 1)]]
      const own = ownText.get(name)
      if (!own) return []
      const { data, faults } = read(own, value)
      return [[name, faults ? false : data]]
    }),
  )
}

function keep(value: unknown, form: Form, depth: number): unknown {
  if (value === null) return null
  if (typeof value !== 'object') return form(value as Scalar) ? value : false
  if (depth > greatestDepth) return false
  return Array.isArray(value)
    ? value.map((item) => keep(item, form, depth + 1))
    : fieldsOf(value, depth)
}

function names(form: Form, ...list: string[]): [name: string, form: Form][] {
  return list.map((name) => [name, form])
}
