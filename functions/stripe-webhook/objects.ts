/** The fields that are read of each Stripe object, by the names Stripe gives them. Everything else is dropped. */
import { z } from 'zod'

const amount = z.int()
const currency = z.string().regex(/^[a-z]{3}$/)
const id = z.string().regex(/^[a-zA-Z0-9_]{1,255}$/)

/** A reference to another object: its id, also where the object was sent expanded. */
const reference = z
  .union([id, z.object({ id }).transform((object) => object.id)])
  .nullish()
  .transform((value) => value ?? null)

const uuid = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)
const code = z.string().regex(/^[0-9A-Za-z](-?[0-9A-Za-z]){2,31}$/)

/** Our keys in an object's metadata; of another form, those that name somebody are as good as absent. */
const metadata = z
  .object({
    referral_redemption_id: uuid.optional().catch(undefined),
    referral_user_id: uuid.optional().catch(undefined),
    // A restriction that cannot be read restricts to nobody.
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
  customer: reference,
  customer_account: reference,
  payment_intent: reference,
  payment_link: reference,
  subscription: reference,
  invoice: reference,
  // Any text of the app's; kept only where it can mean a user or a code, so that nothing else stays in the inbox.
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
  customer: reference,
  customer_account: reference,
  parent: z
    .object({
      subscription_details: z.object({ subscription: reference, metadata }).nullish(),
    })
    .nullish(),
  metadata,
})
