import { optional, required } from './arguments.ts'
import type { Calls } from './calls.ts'
import { first } from './first.ts'
import type { RecordedFact } from './operator-rows.ts'
import type { Call } from './result.ts'

/** What a record is about. */
type OfProvider = {
  orgId: string
  /** A lower-case label of yours, such as `app_store`. */
  provider: string
  /** False records in test mode, where a reference can be used once more. True unless given. */
  livemode?: boolean
}

/** A payment that did not go through Stripe. Amounts are whole numbers in minor units: 500 is 5.00 USD. */
export type RecordedPayment = OfProvider & {
  /** The provider's reference, up to 255 printable characters. */
  paymentRef: string
  /** The user who paid. */
  refereeId: string
  amount: number
  /** Lower-case, such as `usd`. */
  currency: string
  /** The part of the amount that is tax. Unknown unless given. */
  tax?: number
  /** ISO 8601. */
  paidAt: string
  /** Every program of the organisation unless given. */
  programId?: string
}

/** A refund of a recorded payment, or of a part of it. */
export type RecordedRefund = OfProvider & { refundRef: string; paymentRef: string; amount: number }

/** Payments that do not go through Stripe. Each call can be repeated: the same content is a `duplicate`. */
export type OperatorPaymentCalls = {
  /**
   * Records a payment. `status` is `applied`, or `duplicate` if the reference was recorded before with the same content; with
   * other content the call returns `record_conflict`.
   *
   * @example
   * await operator.recordPayment({
   *   orgId,
   *   provider: 'app_store',
   *   paymentRef: 'transfer-1',
   *   refereeId: userId,
   *   amount: 999,
   *   currency: 'usd',
   *   paidAt: '2026-11-21T12:00:00Z',
   * })
   */
  recordPayment(payment: RecordedPayment): Call<'record_payment', RecordedFact>

  /** Records a refund. It may be recorded before its payment. */
  recordRefund(refund: RecordedRefund): Call<'record_refund', RecordedFact>

  /** Records that a refund failed after all. */
  recordRefundReversed(
    refund: OfProvider & { refundRef: string },
  ): Call<'record_refund_reversed', RecordedFact>
}

const ofProvider = { orgId: required, provider: required, livemode: optional }

/** The arguments, with the mode where the database has it. */
const withMode = ({ livemode, ...args }: { livemode?: unknown }) =>
  livemode === undefined ? args : { ...args, options: { livemode } }

export function operatorPaymentCalls({ rpc }: Calls): OperatorPaymentCalls {
  return {
    recordPayment: (payment) =>
      first(
        rpc(
          'record_payment',
          {
            ...ofProvider,
            paymentRef: required,
            refereeId: required,
            amount: required,
            currency: required,
            tax: optional,
            paidAt: required,
            programId: optional,
          },
          payment,
          withMode,
        ),
      ),

    recordRefund: (refund) =>
      first(
        rpc(
          'record_refund',
          { ...ofProvider, refundRef: required, paymentRef: required, amount: required },
          refund,
          withMode,
        ),
      ),

    recordRefundReversed: (refund) =>
      first(
        rpc('record_refund_reversed', { ...ofProvider, refundRef: required }, refund, withMode),
      ),
  }
}
