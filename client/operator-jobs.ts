import { optional } from './arguments.ts'
import type { Calls } from './calls.ts'
import { first } from './first.ts'
import type { ClickMaintenance, EventMaintenance, JobRun, SettledEvents } from './operator-rows.ts'
import type { Call } from './result.ts'

/** How many rows a call handles at most. */
type Batch = { maxRows?: number }

/** Jobs. `runMaintenance` runs all of them; each can be called alone, too. */
export type OperatorJobCalls = {
  /**
   * Runs all jobs, in small batches. Call it every minute, and again at once while a row has `more`. `error` is the code of an
   * error that undid the last batch of a job; the other jobs have run all the same. The list is empty while another call is
   * under way. `maxSeconds` is 5 unless given, 30 at most. Clicks are kept for `clickRetention`, an interval of 90 days or
   * more, 120 days unless given. Stripe's events stay in the inbox for `eventRetention`, 90 days or more, for ever unless
   * given.
   *
   * @example
   * const { data, error } = await operator.runMaintenance()
   * if (error) throw error
   * for (const job of data) if (job.error) await alert(`${job.job}: ${job.error}`)
   */
  runMaintenance(options?: {
    maxSeconds?: number
    clickRetention?: string
    eventRetention?: string
  }): Call<'run_maintenance', JobRun[]>

  /** Ends codes that are past their time. Returns how many: call again while that is `maxRows`, 1,000 unless given. */
  expireCodes(options?: Batch): Call<'expire_codes', number>

  /**
   * Marks pending redemptions whose conversion window is over. Returns how many: call again while that is `maxRows`, 1,000
   * unless given.
   */
  expireRedemptions(options?: Batch): Call<'expire_redemptions', number>

  /**
   * Makes the partitions of clicks of this month and the next two, and deletes what is past `retention`, an interval of 90
   * days or more, 120 days unless given. `maxRows` is 100,000 clicks and 100,000 visitors unless given.
   */
  maintainClicks(
    options?: Batch & { retention?: string },
  ): Call<'maintain_clicks', ClickMaintenance>

  /**
   * Makes the partitions of the inbox of this month and the next two. With a `retention`, an interval of 90 days or more, it
   * takes out the oldest month that ended before it: call again while there is `more`. The month's table stays, as
   * `referral_private.archived_events_2025_01`, and its events are recognised as duplicates for ever. `maxRows` is 100,000
   * events unless given.
   */
  maintainEvents(
    options?: Batch & { retention?: string },
  ): Call<'maintain_events', EventMaintenance>

  /** Deletes rate-limit counts of past hours. Returns how many: call again while that is `maxRows`, 1,000 unless given. */
  purgeRateLimits(options?: Batch): Call<'purge_rate_limits', number>

  /**
   * Deletes codes given at sign-up by people who did not come back, and past reservations. Returns how many: call again while
   * that is `maxRows`, 1,000 unless given.
   */
  purgeSignUpClaims(options?: Batch): Call<'purge_sign_up_claims', number>

  /**
   * Links payers to users who signed up after an event named them. Returns how many users: call again while that is
   * `maxRows`, 500 unless given.
   */
  recogniseUsers(options?: Batch): Call<'recognise_users', number>

  /**
   * Applies Stripe's events that are stored and wait, or settles payers that wait, of a Stripe account (the empty text is the
   * platform's own), or of the one that has waited longest. Call it where `ingestStripeEvent` says `unsettled`, and again
   * while there is `more`; `runMaintenance` does it too.
   *
   * @example
   * const { data, error } = await operator.settleStripeEvents()
   * if (error) throw error
   * console.log(data.done, data.more)
   */
  settleStripeEvents(options?: {
    stripeAccount?: string
    /** Nothing is done if this event does not wait any more. */
    eventId?: string
  }): Call<'settle_stripe_events', SettledEvents>

  /**
   * Makes commissions and rewards available whose hold is over, of one Stripe account. Returns how many sales it looked at:
   * call again until that is 0. `maxRows` is 250 sales unless given, and at most.
   */
  releaseDueCommissions(options?: Batch): Call<'release_due_commissions', number>
}

const batch = { maxRows: optional }

export function operatorJobCalls({ rpc }: Calls): OperatorJobCalls {
  return {
    runMaintenance: (options) =>
      rpc(
        'run_maintenance',
        { maxSeconds: optional, clickRetention: optional, eventRetention: optional },
        options,
      ),
    expireCodes: (options) => rpc('expire_codes', batch, options),
    expireRedemptions: (options) => rpc('expire_redemptions', batch, options),
    maintainClicks: (options) =>
      first(rpc('maintain_clicks', { ...batch, retention: optional }, options)),
    maintainEvents: (options) =>
      first(rpc('maintain_events', { ...batch, retention: optional }, options)),
    purgeRateLimits: (options) => rpc('purge_rate_limits', batch, options),
    purgeSignUpClaims: (options) => rpc('purge_sign_up_claims', batch, options),
    recogniseUsers: (options) => rpc('recognise_users', batch, options),
    settleStripeEvents: (options) =>
      first(rpc('settle_stripe_events', { stripeAccount: optional, eventId: optional }, options)),
    releaseDueCommissions: (options) => rpc('release_due_commissions', batch, options),
  }
}
