/** How two facts are read of any of Stripe's objects: its customer, and an invoice's metadata. */
import type { Book } from './books.ts'

type Payer = { customer: string | null; customer_account: string | null }

export const customerOf = ({ customer, customer_account }: Payer) => customer ?? customer_account

/** The subscription's, over which goes the invoice's own. */
export const metadataOf = ({ parent, metadata }: Book['shown']['invoice'][0]['object']) => ({
  ...parent?.subscription_details?.metadata,
  ...metadata,
})
