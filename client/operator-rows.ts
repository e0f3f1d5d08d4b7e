/** The rows that the operator's calls return. Times are ISO 8601, ids are UUIDs. */
import type { Composite, Nullable } from './composite.ts'

/** What is wrong with the ledger. Amounts in minor units; for the kind `due`, seconds since 1970. */
export type LedgerFault = Nullable<
  Composite<'ledger_fault'>,
  'org_id' | 'stripe_account' | 'livemode' | 'earner_id' | 'account_kind' | 'currency'
>

/** A verified slice of the ledger. `next` is where the next slice begins, null after the last one. */
export type LedgerSlice = Omit<Nullable<Composite<'ledger_slice'>, 'next'>, 'faults'> & {
  faults: LedgerFault[]
}

/** How many events of a type and an API version are parked for a reason. */
export type ParkedEventCount = Nullable<Composite<'parked_event_count'>, 'api_version'>

/** A sale that credits nobody, and the reason. */
export type UnattributedSale = Composite<'unattributed_sale'>

/** An event of Stripe's that could not be read when it came. */
export type ParkedEvent = Composite<'parked_event'>

/** What became of an event of Stripe's. */
export type EventResult = Composite<'event_result'>

/** What became of a record: `ref` is the reference of the payment or the refund. */
export type RecordedFact = Composite<'recorded_fact'>

/** How much a settlement did, and whether more waits. */
export type SettledEvents = Composite<'settled_events'>

/** How much a job did, whether it left something, and the code of the error that undid its last batch. */
export type JobRun = Nullable<Composite<'maintenance'>, 'error'>

/** What was made and deleted of the storage of clicks. */
export type ClickMaintenance = Composite<'click_maintenance'>

/** What was made and taken out of the inbox. `more`: the month that is being taken out needs another call. */
export type EventMaintenance = Composite<'event_maintenance'>
