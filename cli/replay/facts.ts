import type postgres from 'postgres'

/** Months that were taken out of the inbox, with the tables that have their events. */
export type ArchivedMonth = { month: string; table: string; found: boolean }

export const archivedMonths = async (source: postgres.Sql): Promise<ArchivedMonth[]> =>
  source<ArchivedMonth[]>`
    select m.month, m.table, to_regclass(m.table) is not null as found
    from (
      select left(a.month::text, 7) as month,
        'referral_private.archived_events_' || replace(left(a.month::text, 7), '-', '_') as table
      from referral_private.archived_months as a
      where a.archived_at is not null
    ) as m
    order by m.month`

/**
 * Takes every event of the source's inbox again, and of these tables, in the form in which it was applied. Returns how many
 * there are.
 */
export async function replayEvents(
  source: postgres.Sql,
  target: postgres.Sql,
  tables: string[],
): Promise<number> {
  let count = 0
  const all = ['referral_private.stripe_events', ...tables]
  const events = all.map((table) => `select * from ${table}`).join(' union all ')
  const inbox = source`
    select e.status, e.body_sha256, e.event, p.event as parked, r.event as resolved
    from (${source.unsafe(events)}) as e
    left join referral_private.parked_events as p
      on (p.event_created_at, p.event_id, p.stripe_account, p.livemode) = (e.created_at, e.event_id, e.stripe_account, e.livemode)
    left join referral_private.resolved_events as r
      on (r.event_created_at, r.event_id, r.stripe_account, r.livemode) = (e.created_at, e.event_id, e.stripe_account, e.livemode)
    order by e.received_at`.cursor(500)
  for await (const rows of inbox) {
    for (const { status, body_sha256, event, parked, resolved } of rows) {
      const given = resolved ?? (status === 'parked' ? { ...parked, parked: event.parked } : event)
      await target`select referral.ingest_stripe_event(${target.json({ ...given, body_sha256 })})`
      count += 1
    }
  }
  return count
}

/** Records the facts of other providers again. Returns how many there are. */
export async function replayRecords(source: postgres.Sql, target: postgres.Sql): Promise<number> {
  let count = 0
  const facts = source`
    select * from referral_private.recorded_facts order by recorded_at`.cursor(500)
  for await (const rows of facts) {
    for (const fact of rows) await record(target, fact)
    count += rows.length
  }
  return count
}

async function record(target: postgres.Sql, fact: postgres.Row): Promise<void> {
  const { org_id, livemode, kind, provider, ref, content } = fact
  const options = target.json({ livemode })
  if (kind === 'payment')
    await target`
      select referral.record_payment(
        ${org_id}, ${provider}, ${ref}, ${content.referee_id}, ${content.amount}, ${content.currency}, ${content.tax},
        to_timestamp(${content.paid_at}), ${content.program_id}, ${options}
      )`
  else if (kind === 'refund')
    await target`
      select referral.record_refund(
        ${org_id}, ${provider}, ${ref}, ${content.payment_ref}, ${content.amount}, ${options}
      )`
  else
    await target`select referral.record_refund_reversed(${org_id}, ${provider}, ${ref}, ${options})`
}
