import { reduceEvent } from '../../functions/stripe-webhook/event.ts'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { type Actor, operator, patiently } from './actors.ts'
import type { Sql } from './database.ts'

/** Delivers an event as the webhook does once it is verified: reduced by the same code. Gives the answer's status. */
export async function ingest(sql: Sql, event: RawEvent): Promise<string> {
  return ingestReduced(sql, await reduced(event))
}

/** What the webhook makes of an event. */
export async function reduced(event: RawEvent): Promise<Record<string, unknown>> {
  const result = await reduceEvent(new TextEncoder().encode(JSON.stringify(event)))
  if (!result) throw new Error('not an event')
  return result
}

/** Hands the database an event that is reduced already, or pretends to be. */
export async function ingestReduced(
  sql: Sql,
  event: object,
  by: Actor = operator(sql),
): Promise<string> {
  const [row] = await by.rpc('ingest_stripe_event', { event })
  return String(row?.status)
}

/** Delivers a reduced event as the webhook does: it is stored, and what waits then is settled. */
export async function deliver(sql: Sql, event: object): Promise<void> {
  const [row] = await patiently(() => operator(sql).rpc('ingest_stripe_event', { event }))
  const { account = '' } = event as { account?: string }
  if (row?.unsettled) await settleAccount(sql, account)
}

/** Settles what waits of a Stripe account, or of all, call by call. */
export async function settleAccount(sql: Sql, account?: string): Promise<void> {
  const given = account === undefined ? {} : { stripe_account: account }
  const [row] = await patiently(() => operator(sql).rpc('settle_stripe_events', given))
  if (row?.more) await settleAccount(sql, account)
}

/** Puts events into the queue of this transaction, as deliveries do that find the account locked. */
export async function queued(tx: Sql, events: object[]): Promise<void> {
  for (const event of events)
    await tx`
      with
        made as (
          insert into referral_private.stripe_events (
            stripe_account, livemode, event_id, type, status, created_at, body_sha256, event
          )
          select '', (e -> 'livemode')::boolean, e ->> 'id', e ->> 'type', 'applied',
            to_timestamp((e -> 'created')::bigint), e ->> 'body_sha256', e - 'body_sha256'
          from (select ${tx.json(event as never)}::jsonb as e) as given
          returning livemode, event_id, created_at
        )
      insert into referral_private.unapplied_events (stripe_account, livemode, event_id, event_created_at)
      select '', livemode, event_id, created_at from made`
}
