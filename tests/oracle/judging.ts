/** Which evidence stands for a purchase, and why it is passed over, where it is. */
import type { Saying } from './carried.ts'
import { forfeitsOf } from './decisions.ts'
import { type Evidence, evidenceOf, whyNever } from './evidence.ts'
import { hasPaidBefore } from './history.ts'
import type { Naming } from './naming.ts'
import { groupsOf, type Payer } from './payers.ts'
import type { Payment } from './payments.ts'
import type { People } from './people.ts'
import { day, type Terms, type Time, wholeSecond } from './world.ts'

/** Evidence as it stands for one purchase. */
export type Candidate = Evidence & {
  boundAt: Time
  terms: Terms
  /** Null where it can win. */
  passedOver: string | null
}

export type Purchases = {
  payers: Map<string, Payer>
  /** What counts as paid before, and what is a sale. */
  own: Payment[]
  sales: Payment[]
}

/** By purchase, the evidence of its payer and of the payers of the same person that is no later than the payment. */
export function judgesOf(
  sayings: Saying[],
  { payers, own, sales }: Purchases,
  naming: Naming,
  people: People,
): (payment: Payment) => Candidate[] {
  const byCarrier = new Map<string, Saying[]>()
  for (const saying of sayings)
    for (const carrier of saying.carriers)
      byCarrier.set(carrier, [...(byCarrier.get(carrier) ?? []), saying])
  const groups = groupsOf(payers).flatMap((group) => {
    const evidence = evidenceOf(group, byCarrier, people)
    return group.map(({ id }) => [id, { group, evidence }] as const)
  })
  const groupOf = new Map(groups)
  const paidBy = Map.groupBy(own, ({ payer }) => payer)
  const soldTo = Map.groupBy(sales, ({ payer }) => payer)
  const paymentsOf = ({ id }: Payer) => paidBy.get(id) ?? []

  return (payment) => {
    const payer = payers.get(payment.payer) as Payer
    const { group, evidence } = groupOf.get(payer.id) ?? { group: [], evidence: [] }
    const paidAt = wholeSecond(payment.paidAt)
    const fits = ({ org, program }: Evidence, sale: Payment) =>
      [null, org].includes(naming.org(sale)) && [null, program].includes(sale.program)
    /** The purchases that it could have won, this one among them. */
    const openTo = (of: Evidence) => {
      const others = group.filter((other) => of.bound(other) <= paidAt)
      const sold = others.flatMap(({ id }) => soldTo.get(id) ?? [])
      return [payment, ...sold.filter((sale) => of.at <= sale.paidAt && fits(of, sale))]
    }
    const passedOver = (of: Evidence) =>
      whyNever(of, payer.person, people) ??
      (of.agreed?.terms.customers === 'new' && hasPaidBefore(of, payer, group, paymentsOf, naming)
        ? 'existing_customer'
        : whyEnded(of, openTo(of), paidAt, people))
    return evidence
      .filter(({ at, program }) => at <= paidAt && [null, program].includes(payment.program))
      .map((of) => ({
        ...of,
        boundAt: of.bound(payer),
        terms: of.agreed?.terms as Terms,
        passedOver: passedOver(of),
      }))
  }
}

/** Lapsed without a purchase in its window, unless staff confirmed it; or forfeited before it could have won any. */
function whyEnded(of: Evidence, open: Payment[], paidAt: Time, { decisions }: People) {
  const ends = of.at + (of.agreed?.terms.conversion_window_days ?? 0) * day
  const isConfirmed = decisions.some(
    ({ kind, redemption }) => kind === 'confirm' && redemption === of.redemption?.id,
  )
  if (!isConfirmed && open.every(({ soldAt }) => soldAt > ends)) return 'conversion_window'
  const first = Math.min(...open.map((sale) => wholeSecond(sale.paidAt)))
  const forfeits = forfeitsOf(decisions, of, paidAt)
  return forfeits.some(({ since }) => (since ?? -Infinity) <= first) ? 'forfeited' : null
}
