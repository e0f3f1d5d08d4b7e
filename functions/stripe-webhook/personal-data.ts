/** Fields of Stripe's objects, at any depth, that identify a person or hold an app's free text. */
const personal = new Set([
  'account_holder_name',
  'cancel_url',
  'ip',
  'ip_address',
  'owner',
  'return_url',
  'success_url',
  'tax_id',
  'tax_ids',
  'user_agent',
  'verified_name',
  'website',
  'address',
  'billing_details',
  'client_secret',
  'collected_information',
  'custom_fields',
  'customer_address',
  'customer_details',
  'customer_email',
  'customer_name',
  'customer_phone',
  'customer_shipping',
  'customer_tax_ids',
  'description',
  'email',
  'evidence',
  'footer',
  'hosted_invoice_url',
  'invoice_pdf',
  'last_payment_error',
  'memo',
  'name',
  'payment_method_details',
  'pdf',
  'phone',
  'receipt_email',
  'receipt_url',
  'shipping',
  'shipping_address',
  'shipping_details',
  'statement_descriptor',
  'statement_descriptor_suffix',
  'url',
])

/** Our keys in metadata. Other keys are the app's. */
const ownKey = /^referral_/
const ownReference = /^[0-9A-Za-z-]{3,36}$/

/** Copies an object without personal fields. */
export function withoutPersonalData(value: object): object {
  return copy(value) as object
}

function copy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copy)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]): [string, unknown][] => {
      if (personal.has(key)) return []
      if (key === 'client_reference_id')
        return ownReference.test(String(inner)) ? [[key, inner]] : []
      if (key === 'metadata' && typeof inner === 'object' && inner !== null)
        return [
          [
            key,
            Object.fromEntries(
              Object.entries(inner).filter(
                ([name, given]) => ownKey.test(name) && ownReference.test(String(given)),
              ),
            ),
          ],
        ]
      return [[key, copy(inner)]]
    }),
  )
}
