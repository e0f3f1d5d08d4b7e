/** The schema of each Stripe object, under Stripe's field names. Other fields are dropped. */
import {
  amount,
  clientReference,
  code,
  currency,
  customerId,
  id,
  metadata,
  timestamp,
} from './forms.ts'
import {
  checked,
  either,
  list,
  maybe,
  object,
  oneOf,
  orElse,
  orNull,
  refuse,
  type Shape,
  turned,
} from './shape.ts'

/** The id of another object, also if Stripe sends that object expanded. */
const required = (id: Shape<string>) =>
  either(
    id,
    turned(object({ id }), (expanded) => expanded.id),
  )

/** The same, where there can be no such object. */
const referenceOf = (id: Shape<string>) => turned(maybe(required(id)), (value) => value ?? null)
const customer = referenceOf(customerId)
const reference = referenceOf(id)
const requiredReference = required(id)

/** https://docs.stripe.com/api/checkout/sessions/object */
export const checkoutSession = checked(
  object({
    id,
    created: timestamp,
    mode: oneOf('payment', 'setup', 'subscription'),
    payment_status: oneOf('no_payment_required', 'paid', 'unpaid'),
    currency: orNull(currency),
    amount_total: orNull(amount),
    total_details: maybe(object({ amount_tax: amount })),
    customer,
    customer_account: reference,
    payment_intent: reference,
    payment_link: reference,
    subscription: reference,
    invoice: reference,
    discounts: maybe(list(object({ promotion_code: reference }))),
    client_reference_id: clientReference,
    metadata,
  }),
  // A payment is known by its amount and currency.
  (session) =>
    session.mode === 'payment'
      ? (['currency', 'amount_total'] as const).filter((name) => session[name] === null)
      : [],
)

/** https://docs.stripe.com/api/invoices/object */
export const invoice = object({
  id,
  created: timestamp,
  currency,
  amount_paid: amount,
  total: amount,
  total_excluding_tax: maybe(amount),
  status_transitions: maybe(object({ paid_at: orNull(timestamp) })),
  customer,
  customer_account: reference,
  parent: maybe(
    object({ subscription_details: maybe(object({ subscription: reference, metadata })) }),
  ),
  metadata,
})

/** https://docs.stripe.com/api/payment_intents/object */
export const paymentIntent = object({
  id,
  created: timestamp,
  currency,
  amount_received: amount,
  amount_details: maybe(object({ tax: maybe(object({ total_tax_amount: maybe(amount) })) })),
  customer,
  customer_account: reference,
  latest_charge: reference,
  metadata,
})

/** https://docs.stripe.com/api/invoice-payment/object */
export const invoicePayment = object({
  id,
  invoice: requiredReference,
  amount_paid: orNull(amount),
  payment: object({
    type: oneOf('charge', 'payment_intent', 'payment_record'),
    payment_intent: reference,
    charge: reference,
  }),
})

/** The payment: its intent, its charge, or both. */
const ofPayment = { payment_intent: reference, charge: reference }

/** https://docs.stripe.com/api/refunds/object */
export const refund = object({
  id,
  amount,
  status: orNull(oneOf('pending', 'requires_action', 'succeeded', 'failed', 'canceled')),
  ...ofPayment,
})

/** https://docs.stripe.com/api/charges/object */
export const charge = object({ id, payment_intent: reference })

/** https://docs.stripe.com/api/disputes/object */
export const dispute = object({
  id,
  created: timestamp,
  amount,
  currency,
  status: oneOf(
    'appeal_needs_response',
    'appeal_under_review',
    'lost',
    'needs_response',
    'prevented',
    'under_review',
    'warning_closed',
    'warning_needs_response',
    'warning_under_review',
    'won',
  ),
  balance_transactions: list(object({ id, amount, currency })),
  payment_intent: reference,
  charge: requiredReference,
})

/** https://docs.stripe.com/api/radar/early_fraud_warnings/object */
export const warning = object({
  id,
  created: timestamp,
  payment_intent: reference,
  charge: requiredReference,
})

/** https://docs.stripe.com/api/credit_notes/object */
export const creditNote = object({
  id,
  status: oneOf('issued', 'void'),
  invoice: requiredReference,
  out_of_band_amount: orNull(amount),
  refunds: list(
    turned(
      checked(
        object({
          refund: reference,
          amount_refunded: amount,
          // Null, or absent before clover, where it is an ordinary refund.
          type: maybe(oneOf('refund', 'payment_record_refund')),
        }),
        ({ refund, type }) => (refund === null && !type ? ['type'] : []),
      ),
      (part) => ({ ...part, type: part.type ?? 'refund' }),
    ),
  ),
})

/** https://docs.stripe.com/api/discounts/object */
export const discount = object({
  id,
  start: timestamp,
  customer,
  customer_account: reference,
  promotion_code: reference,
})

/** https://docs.stripe.com/api/promotion_codes/object */
export const promotionCode = object({ id, metadata })

/** What a promotion code's event says of before, where it says so: the code it belonged to, or none. */
export const previousPromotionCode = object({
  metadata: (value, path, faults) =>
    'referral_code' in Object(value)
      ? object({ referral_code: orElse(code, null) })(value, path, faults)
      : refuse(path, faults),
})
