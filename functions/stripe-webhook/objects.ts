/** The schema of each Stripe object, under Stripe's field names. Other fields are dropped. */
import { z } from 'zod'

const amount = z.int()
const currency = z.string().regex(/^[a-z]{3}$/)
const id = z.string().regex(/^[a-zA-Z0-9_]{1,255}$/)

/** A customer's id. An app can choose it itself. */
const customerId = z.string().regex(/^[A-Za-z0-9_.:-]{1,255}$/)
const customer = z
  .union([customerId, z.object({ id: customerId }).transform((object) => object.id)])
  .nullish()
  .transform((value) => value ?? null)

/** The id of another object, also if Stripe sends that object expanded. */
const reference = z
  .union([id, z.object({ id }).transform((object) => object.id)])
  .nullish()
  .transform((value) => value ?? null)

const uuid = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)
const code = z.string().regex(/^[0-9A-Za-z](-?[0-9A-Za-z]){2,31}$/)

/** Our keys in an object's metadata. A value of another form is dropped. */
const metadata = z
  .object({
    referral_redemption_id: uuid.optional().catch(undefined),
    referral_user_id: uuid.optional().catch(undefined),
    // An invalid restriction becomes the nil UUID, which no organisation has.
    referral_org_id: uuid.optional().catch('00000000-0000-0000-0000-000000000000'),
    referral_code: code.optional().catch(undefined),
  })
  .nullish()
  .transform((value) => value ?? {})

/** https://docs.stripe.com/api/checkout/sessions/object */
export const checkoutSession = z.object({
  id,
  created: z.int(),
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
  // The app's own text. It is kept only if it has the form of a user id or a code.
  client_reference_id: z.union([uuid, code]).nullable().catch(null),
  metadata,
})

/** https://docs.stripe.com/api/invoices/object */
export const invoice = z.object({
  id,
  created: z.int(),
  currency,
  amount_paid: amount,
  total: amount,
  total_excluding_tax: amount.nullish(),
  status_transitions: z.object({ paid_at: z.int().nullable() }).nullish(),
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
  created: z.int(),
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
  created: z.int(),
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
  created: z.int(),
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
    z.object({
      refund: reference,
      amount_refunded: amount,
      type: z.enum(['refund', 'payment_record_refund']),
    }),
  ),
})

/** https://docs.stripe.com/api/discounts/object */
export const discount = z.object({
  id,
  start: z.int(),
  customer,
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
