import { optional } from './arguments.ts'
import type { Calls } from './calls.ts'
import type { LedgerSlice, UnattributedSale } from './operator-rows.ts'
import type { Page } from './page.ts'
import type { Call } from './result.ts'
import { rowAsText } from './row-as-text.ts'
import type { HealthCheck } from './rows.ts'

/** Checks over all organisations: health, proofs of the ledger, sales that credit nobody, and the version. */
export type OperatorCheckCalls = {
  /**
   * Checks whether the installation runs and all organisations are set up, or, with `orgId`, one organisation. `remedy` says
   * what mends a check that is not `ok`. It is cheap: call it from your monitoring.
   *
   * @example
   * const { data, error } = await operator.health()
   * if (error) throw error
   * for (const { ok, name, message, remedy } of data) if (!ok) await alert(`${name}: ${message} ${remedy}`)
   */
  health(options?: { orgId?: string }): Call<'health', HealthCheck[]>

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

  /** Returns the version of referbase that the database has, such as `0.2.0`. */
  installedVersion(): Call<'installed_version', string>
}

export function operatorCheckCalls({ rpc, list }: Calls): OperatorCheckCalls {
  return {
    health: (options) => list('health', { orgId: optional }, options),

    verifyLedger: (options) =>
      list('verify_ledger', { after: optional, pageSize: optional }, options, rowAsText),

    listUnattributed: (options) =>
      list(
        'list_unattributed',
        {
          livemode: optional,
          stripeAccount: optional,
          after: ['paid_at', 'sale_id', 'stripe_account', 'livemode'],
          pageSize: optional,
        },
        options,
        rowAsText,
      ),

    installedVersion: () => rpc('installed_version', {}, {}),
  }
}
