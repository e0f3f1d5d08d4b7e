/** The typed client for the operator's server: proofs and lists over all organisations. */
import { given } from './given.ts'
import { guarded } from './guarded.ts'
import { type Result, type SupabaseResponse, toResult } from './result.ts'
import type { LedgerSlice, ParkedEventCount, UnattributedSale } from './rows.ts'
import { type AnySupabaseClient, referralSchema } from './schema.ts'

export type OperatorClient = ReturnType<typeof createOperatorClient>

/**
 * Wraps a supabase-js client that has the secret key. Use it on a server only. With another key the calls return
 * `not_signed_in`, or, while somebody is signed in, `misconfigured`.
 *
 * @example
 * const operator = createOperatorClient(createClient(url, secretKey))
 */
export function createOperatorClient(supabase: AnySupabaseClient) {
  const referral = referralSchema(supabase)

  return guarded({
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
    async verifyLedger({
      after,
      pageSize,
    }: {
      after?: LedgerSlice['next'] | undefined
      pageSize?: number
    } = {}): Promise<Result<LedgerSlice>> {
      const args = given({}, { after: after ?? undefined, page_size: pageSize })
      const response = await referral.rpc('verify_ledger', args)
      return toResult(response as SupabaseResponse<LedgerSlice>)
    },

    /**
     * Returns a page of the sales that credit nobody, newest first, each with the reason. For the next page, pass the last row
     * as `after`. `stripeAccount` is empty for the platform's own account; all accounts unless given.
     */
    async listUnattributed({
      livemode,
      stripeAccount,
      after,
      pageSize,
    }: {
      livemode?: boolean
      stripeAccount?: string
      after?: UnattributedSale
      pageSize?: number
    } = {}): Promise<Result<UnattributedSale[]>> {
      const optional = { livemode, stripe_account: stripeAccount, after, page_size: pageSize }
      const response = await referral.rpc('list_unattributed', given({}, optional))
      return toResult(response as SupabaseResponse<UnattributedSale[]>)
    },

    /**
     * Counts the events of Stripe's that are parked, most first: they could not be read when they came, and earn nothing yet.
     * Both modes unless given.
     *
     * @example
     * const { data, error } = await operator.countParkedEvents({ livemode: true })
     * if (error) throw error
     * if (data.length) await alert(data.map(({ events, type, reason }) => `${events} ${type}: ${reason}`))
     */
    async countParkedEvents({
      livemode,
    }: {
      livemode?: boolean
    } = {}): Promise<Result<ParkedEventCount[]>> {
      const response = await referral.rpc('count_parked_events', given({}, { livemode }))
      return toResult(response as SupabaseResponse<ParkedEventCount[]>)
    },
  })
}
