/** How two facts are read of any of Stripe's objects: its customer, and an invoice's metadata. */
import type { Book } from './books.ts'

type Payer = { customer: string | null; customer_account: string | null }

/** An object's customer. A customer account is the customer that any object names beside it. */
export function customersIn({ shown }: Book): (object: Payer) => string | null {
  const all = [shown.session, shown.invoice, shown.intent, shown.discount].flat()
  const objects = all.map(({ object }) => object)
  const pairs = objects.flatMap(({ customer, customer_account: account }) =>
    customer !== null && account !== null ? [{ customer, account }] : [],
  )
  const byAccount = Map.groupBy(pairs, ({ account }) => account)
  return ({ customer, customer_account: account }) => {
    const [known] = (byAccount.get(account ?? '') ?? []).map((pair) => pair.customer).toSorted()
    return customer ?? known ?? account
  }
}

/** The subscription's, over which goes the invoice's own. */
export const metadataOf = ({ parent, metadata }: Book['shown']['invoice'][0]['object']) => ({
  ...parent?.subscription_details?.metadata,
  ...metadata,
})
