/** Which code a promotion code belongs to: a history, in the order of the events that state it. */
import type { Book } from './books.ts'
import { normalForm } from './code-forms.ts'
import { sorted } from './order.ts'
import type { Time } from './world.ts'

/** The normal form of the code that a promotion code belongs to at a time; null of none. */
export type Promotions = (promotion: string, at: Time) => string | null

export function promotionsOf({ shown }: Book): Promotions {
  const byId = Map.groupBy(shown.promotionCode, ({ object }) => object.id)
  return (promotion, at) => {
    const history = sorted(byId.get(promotion) ?? [], (event) => [event.at, event.by])
    const stated = history.findLast((event) => event.at <= at)
    if (stated) return normal(stated.object.metadata.referral_code)
    const [first] = history
    if (first?.previous) return normal(first.previous.metadata.referral_code)
    return normal(first?.object.metadata.referral_code)
  }
}

const normal = (code: string | null | undefined) => (code ? normalForm(code) : null)
