/** The typed client for the operator's server: proofs and lists over all organisations. */
import { optional } from './arguments.ts'
import { createCalls } from './calls.ts'
import type { Page } from './page.ts'
import type { Call } from './result.ts'
import type { LedgerSlice, ParkedEventCount, UnattributedSale } from './rows.ts'
import type { AnySupabaseClient } from './schema.ts'

export type OperatorClient = {
  /**
   * Compares a slice of the ledger with itself and with the facts. `faults` is what is wrong. Pass `next` as `after` for the
   * next slice; it is null after the last one. `pageSize` is 100 accounts or sales unless given, 1,000 at most.
   *
   * @example
   * for (let after: LedgerSlice['next'] | undefined; after !== null; ) {
   *   const { data, error } = await operator.verifyLedger({ after })
   *   if (error) throw error
   *   if (data.faults.length) await alert(data.faults)
   *   after = data.next
   * }
   */
  verifyLedger(options?: {
    after?: LedgerSlice['next'] | undefined
    pageSize?: number
  }): Call<'verify_ledger', LedgerSlice>

  /**
   * Returns a page of the sales that credit nobody, newest first, each with the reason. `stripeAccount` is empty for the
   * platform's own account; all accounts unless given. `livemode` true is live money, false that of test mode; both unless
   * given.
   */
  listUnattributed(
    options?: Page<
      Pick<UnattributedSale, 'paid_at' | 'sale_id' | 'stripe_account' | 'livemode'>
    > & { livemode?: boolean; stripeAccount?: string },
  ): Call<'list_unattributed', UnattributedSale[]>

  /**
   * Counts the events of Stripe's that are parked, most first: they could not be read when they came, and earn nothing yet.
   * Both modes unless given.
   *
   * @example
   * const { data, error } = await operator.countParkedEvents({ livemode: true })
   * if (error) throw error
   * if (data.length) await alert(data.map(({ events, type, reason }) => `${events} ${type}: ${reason}`))
   */
  countParkedEvents(options?: {
    livemode?: boolean
  }): Call<'count_parked_events', ParkedEventCount[]>
}

/**
 * Wraps a supabase-js client that has the secret key. Use it on a server only. With another key the calls return
 * `not_signed_in`, or, while somebody is signed in, `misconfigured`.
 *
 * @example
 * const operator = createOperatorClient(createClient(url, secretKey))
 */
export function createOperatorClient(supabase: AnySupabaseClient): OperatorClient {
  const { rpc } = createCalls(supabase)
  return {
    verifyLedger: (options) =>
      rpc('verify_ledger', { after: optional, pageSize: optional }, options),
    listUnattributed: (options) =>
      rpc(
        'list_unattributed',
        {
          livemode: optional,
          stripeAccount: optional,
          after: ['paid_at', 'sale_id', 'stripe_account', 'livemode'],
          pageSize: optional,
        },
        options,
      ),
    countParkedEvents: (options) => rpc('count_parked_events', { livemode: optional }, options),
  }
}
