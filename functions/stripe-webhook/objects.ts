/** The schema of each Stripe object, under Stripe's field names. Other fields are dropped. */
import { z } from 'zod'
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

const customer = z
  .union([customerId, z.object({ id: customerId }).transform((object) => object.id)])
  .nullish()
  .transform((value) => value ?? null)

/** The id of another object, also if Stripe sends that object expanded. */
const reference = z
  .union([id, z.object({ id }).transform((object) => object.id)])
  .nullish()
  .transform((value) => value ?? null)

/** https://docs.stripe.com/api/checkout/sessions/object */
export const checkoutSession = z
  .object({
    id,
    created: timestamp,
    mode: z.enum(['payment', 'setup', 'subscription']),
    payment_status: z.enum(['no_payment_required', 'paid', 'unpaid']),
    currency: currency.nullable(),
    amount_total: amount.nullable(),
    total_details: z.object({ amount_tax: amount }).nullish(),
    customer,
    customer_account: reference,
    payment_intent: reference,
    payment_link: reference,
    subscription: reference,
    invoice: reference,
    discounts: z.array(z.object({ promotion_code: reference })).nullish(),
    client_reference_id: clientReference,
    metadata,
  })
  // A payment is known by its amount and currency.
  .superRefine((session, context) => {
    if (session.mode !== 'payment') return
    for (const name of ['currency', 'amount_total'] as const)
      if (session[name] === null) context.addIssue({ code: 'custom', path: [name] })
  })

/** https://docs.stripe.com/api/invoices/object */
export const invoice = z.object({
  id,
  created: timestamp,
  currency,
  amount_paid: amount,
  total: amount,
  total_excluding_tax: amount.nullish(),
  status_transitions: z.object({ paid_at: timestamp.nullable() }).nullish(),
  customer,
  customer_account: reference,
  parent: z
    .object({
      subscription_details: z.object({ subscription: reference, metadata }).nullish(),
    })
    .nullish(),
  metadata,
})

/** https://docs.stripe.com/api/payment_intents/object */
export const paymentIntent = z.object({
  id,
  created: timestamp,
  currency,
  amount_received: amount,
  amount_details: z
    .object({ tax: z.object({ total_tax_amount: amount.nullish() }).nullish() })
    .nullish(),
  customer,
  customer_account: reference,
  latest_charge: reference,
  metadata,
})

/** https://docs.stripe.com/api/invoice-payment/object */
export const invoicePayment = z.object({
  id,
  invoice: reference.pipe(id),
  amount_paid: amount.nullable(),
  payment: z.object({
    type: z.enum(['charge', 'payment_intent', 'payment_record']),
    payment_intent: reference,
    charge: reference,
  }),
})

/** The payment: its intent, its charge, or both. */
const ofPayment = { payment_intent: reference, charge: reference }

/** https://docs.stripe.com/api/refunds/object */
export const refund = z.object({
  id,
  amount,
  status: z.enum(['pending', 'requires_action', 'succeeded', 'failed', 'canceled']).nullable(),
  ...ofPayment,
})

/** https://docs.stripe.com/api/charges/object */
export const charge = z.object({ id, payment_intent: reference })

/** https://docs.stripe.com/api/disputes/object */
export const dispute = z.object({
  id,
  created: timestamp,
  amount,
  currency,
  status: z.enum([
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
  ]),
  balance_transactions: z.array(z.object({ id, amount, currency })),
  payment_intent: reference,
  charge: reference.pipe(id),
})

/** https://docs.stripe.com/api/radar/early_fraud_warnings/object */
export const warning = z.object({
  id,
  created: timestamp,
  payment_intent: reference,
  charge: reference.pipe(id),
})

/** https://docs.stripe.com/api/credit_notes/object */
export const creditNote = z.object({
  id,
  status: z.enum(['issued', 'void']),
  invoice: reference.pipe(id),
  out_of_band_amount: amount.nullable(),
  refunds: z.array(
    z
      .object({
        refund: reference,
        amount_refunded: amount,
        // Null, or absent before clover, where it is an ordinary refund.
        type: z.enum(['refund', 'payment_record_refund']).nullish(),
      })
      .refine(({ refund, type }) => refund !== null || type, { path: ['type'] })
      .transform((part) => ({ ...part, type: part.type ?? 'refund' })),
  ),
})

/** https://docs.stripe.com/api/discounts/object */
export const discount = z.object({
  id,
  start: timestamp,
  customer,
  customer_account: reference,
  promotion_code: reference,
})

/** https://docs.stripe.com/api/promotion_codes/object */
export const promotionCode = z.object({ id, metadata })

/** What a promotion code's event says of before, where it says so: the code it belonged to, or none. */
export const previousPromotionCode = z.object({
  metadata: z
    .looseObject({})
    .refine((metadata) => 'referral_code' in metadata)
    .pipe(z.object({ referral_code: code.nullable().catch(null) })),
})
