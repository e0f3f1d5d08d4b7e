import { optional, required } from './arguments.ts'
import type { Calls } from './calls.ts'
import { first } from './first.ts'
import type { EventResult, ParkedEvent, ParkedEventCount } from './operator-rows.ts'
import type { Page } from './page.ts'
import type { Call } from './result.ts'

/** Stripe's events. The function `stripe-webhook` takes deliveries; these calls are for servers that take them themselves. */
export type OperatorEventCalls = {
  /**
   * Takes a verified event of Stripe's, reduced as `stripe-webhook` reduces it. `status` is `applied`, `stored` if it waits
   * because another call has the Stripe account, `duplicate` if it came before, `ignored` for a type that states no fact, or
   * `parked` if it could not be read. Where `unsettled` is true, call `settleStripeEvents`.
   */
  ingestStripeEvent(options: { event: object }): Call<'ingest_stripe_event', EventResult>

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

  /** Returns a page of the parked events, oldest first, without what is personal. */
  listParkedEvents(
    page?: Page<Pick<ParkedEvent, 'event_id'>>,
  ): Call<'list_parked_events', ParkedEvent[]>

  /**
   * Applies a parked event that can be read now, reduced as `stripe-webhook` reduces it. `duplicate`: it is not parked any
   * more.
   */
  resolveParkedEvent(options: { event: object }): Call<'resolve_parked_event', EventResult>
}

export function operatorEventCalls({ rpc, list }: Calls): OperatorEventCalls {
  return {
    ingestStripeEvent: (options) => first(rpc('ingest_stripe_event', { event: required }, options)),

    countParkedEvents: (options) => list('count_parked_events', { livemode: optional }, options),

    listParkedEvents: (page) =>
      list(
        'list_parked_events',
        { after: 'event_id', pageSize: optional },
        page,
        ({ after: after_event, page_size: max_rows }) => ({ after_event, max_rows }),
      ),

    resolveParkedEvent: (options) =>
      first(rpc('resolve_parked_event', { event: required }, options)),
  }
}
