/** What payers bought before: whether evidence brings somebody who had paid already. */
import type { Evidence } from './evidence.ts'
import type { Naming } from './naming.ts'
import type { Payer } from './payers.ts'
import type { Payment } from './payments.ts'
import { wholeSecond } from './world.ts'

/**
 * Whether the payer, or another one that was linked to the same person by then, had paid something before. Payments with
 * the same code, or for another organisation, say nothing.
 */
export const hasPaidBefore = (
  { at, org, code }: Evidence,
  payer: Payer,
  group: Payer[],
  paymentsOf: (payer: Payer) => Payment[],
  naming: Naming,
): boolean =>
  group
    .filter((other) => other === payer || other.linkedAt <= at)
    .flatMap(paymentsOf)
    .some(
      (payment) =>
        wholeSecond(payment.paidAt) < at &&
        [null, org].includes(naming.org(payment)) &&
        !naming.carries(payment, code),
    )
