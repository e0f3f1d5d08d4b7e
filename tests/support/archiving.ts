/** Months of the inbox that are past. */
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import type { Sql } from './database.ts'

const monthOf = (back: number) => {
  const now = new Date()
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - back, 1))
}

/** As the name of its partition ends. */
export const month = (back: number) => monthOf(back).toISOString().slice(0, 7).replace('-', '_')

/** The table that has its events once it was taken out. */
export const table = (back: number) => `referral_private.archived_events_${month(back)}`

/** An event of that month: of its 15th day, and so many seconds later. */
export function past(back: number, id: string, seconds = 0): RawEvent {
  const created = monthOf(back).getTime() / 1000 + 14 * 86_400 + seconds
  return { ...paidInvoice(), id: `${id}_${back}`, created, livemode: false }
}

/** Makes the month's partition, as the job would have made it then. */
export const pastMonth = (tx: Sql, back: number) =>
  tx`select referral_private.make_event_months(array[${monthOf(back).toISOString().slice(0, 10)}::timestamp])`
