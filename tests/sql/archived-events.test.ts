/** Months of the inbox that are past can be taken out of it; their events stay known. */
import { expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, refusal } from '../support/actors.ts'
import { month, past, pastMonth, table } from '../support/archiving.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { verified } from '../support/verified.ts'

const sql = await testDatabase()

const maintain = async (tx: Sql, args: Record<string, unknown> = { retention: '90 days' }) =>
  (await operator(tx).rpc('maintain_events', args))[0]

const partitions = async (tx: Sql) =>
  (
    await tx`
      select partition from referral_private.months_of('referral_private.stripe_events') order by 1`
  ).map(({ partition }) => String(partition))

/** Takes out what is past, call by call; returns how many months that were. */
async function takeOut(
  tx: Sql,
  args: Record<string, unknown> = { retention: '90 days' },
): Promise<number> {
  for (let taken = 0, calls = 0; ; calls++) {
    const done = await maintain(tx, args)
    taken += Number(done?.partitions_archived)
    if (!done?.more && !done?.partitions_archived) return taken
    expect(calls).toBeLessThan(20)
  }
}

/** Each with an event, in months that are past and have partitions. */
const staged = (run: (tx: Sql) => Promise<void>) =>
  undone(sql, async (tx) => {
    await maintain(tx, {})
    for (const back of [6, 5]) {
      await pastMonth(tx, back)
      expect(await ingest(tx, past(back, 'evt_1'))).toBe('applied')
    }
    return run(tx)
  })

test('the job makes the partitions of this month and the next two, once', () =>
  undone(sql, async (tx) => {
    expect(await maintain(tx, {})).toEqual({
      ...{ partitions_made: 3, partitions_archived: 0, more: false },
    })
    expect(await partitions(tx)).toEqual([0, -1, -2].map((back) => `stripe_events_${month(back)}`))
    expect(await maintain(tx, {})).toMatchObject({ partitions_made: 0 })
  }))

test('nobody changes a row of a partition, and nobody but the owner may use it', () =>
  undone(sql, async (tx) => {
    await tx`alter default privileges in schema referral_private grant all on tables to anon, service_role`
    await maintain(tx, {})
    const [partition] = await partitions(tx)
    await ingest(tx, { ...paidInvoice(), created: Math.floor(Date.now() / 1000) })
    const rows = `referral_private.${partition}`
    for (const change of [`delete from ${rows}`, `truncate ${rows} cascade`])
      await expect(tx.savepoint((at) => at.unsafe(change))).rejects.toThrow('append-only')
    const tables = await tx`
      select c.relrowsecurity, array(
        select a.grantee::regrole::text from aclexplode(c.relacl) as a where a.grantee <> c.relowner) as granted
      from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
      where i.inhparent = 'referral_private.stripe_events'::regclass`
    expect(tables).toEqual(Array(4).fill({ relrowsecurity: true, granted: [] }))
  }))

test('a partition without its trigger is a fault of the ledger', () =>
  undone(sql, async (tx) => {
    await maintain(tx, {})
    const [partition] = await partitions(tx)
    await tx.unsafe(`drop trigger stripe_events_are_append_only on referral_private.${partition}`)
    expect((await verified(tx)).faults).toMatchObject([{ kind: 'trigger', subject: partition }])
  }))

test('nothing is taken out unless a retention is given, of 90 days at least', () =>
  staged(async (tx) => {
    const before = await partitions(tx)
    expect(await takeOut(tx, {})).toBe(0)
    expect(await takeOut(tx, { retention: '1 year' })).toBe(0)
    expect(await partitions(tx)).toEqual(before)
    expect(await refusal(operator(tx).rpc('maintain_events', { retention: '89 days' }))).toBe(
      'invalid_argument',
    )
    expect(await refusal(operator(tx).rpc('run_maintenance', { event_retention: '89 days' }))).toBe(
      'invalid_argument',
    )
  }))

test('months that ended before the retention are taken out, the oldest first, and their tables stay', () =>
  staged(async (tx) => {
    expect(await takeOut(tx)).toBe(2)
    expect(await partitions(tx)).toHaveLength(3)
    for (const back of [6, 5])
      expect(await tx.unsafe(`select event_id from ${table(back)}`)).toEqual([
        { event_id: `evt_1_${back}` },
      ])
    const months = await tx`
      select month::text, archived_at is not null as out from referral_private.archived_months order by 1`
    expect(months).toEqual(
      [6, 5].map((back) => ({ month: `${month(back).replace('_', '-')}-01`, out: true })),
    )
  }))

test('an event of a month that was taken out is a duplicate, and one that is new is stored once', () =>
  staged(async (tx) => {
    const entries = () => tx`select count(*) from referral_private.sales`
    await takeOut(tx)
    const before = await entries()
    expect(await ingest(tx, past(6, 'evt_1'))).toBe('duplicate')
    expect(await entries()).toEqual(before)
    expect(await ingest(tx, past(6, 'evt_late'))).toBe('applied')
    expect(await ingest(tx, past(6, 'evt_late'))).toBe('duplicate')
    expect(await tx`select event_id from referral_private.stripe_events`).toEqual([
      { event_id: 'evt_late_6' },
    ])
  }))

test('an event that comes while keys are copied stays known, be it older than those', () =>
  staged(async (tx) => {
    expect(await maintain(tx)).toMatchObject({ more: true })
    expect(await ingest(tx, past(6, 'evt_late', -3600))).toBe('applied')
    expect(await takeOut(tx)).toBe(2)
    expect(await ingest(tx, past(6, 'evt_late', -3600))).toBe('duplicate')
  }))

test('keys are copied in calls of a bounded size, those of one second together', () =>
  staged(async (tx) => {
    for (const [id, seconds] of [
      ['evt_2', 0],
      ['evt_3', 1],
      ['evt_4', 2],
    ] as const)
      await ingest(tx, past(6, id, seconds))
    const keys = async () => {
      await maintain(tx, { retention: '90 days', max_rows: 1 })
      const [row] = await tx`select count(*)::int from referral_private.archived_events`
      return row?.count
    }
    expect([await keys(), await keys(), await keys()]).toEqual([2, 3, 4])
  }))

test.for([
  ['is parked', 'parked'],
  ['waits to be applied', 'unapplied'],
])('a month stays while an event of it %s', ([, how]) =>
  staged(async (tx) => {
    const event = past(6, 'evt_open')
    if (how === 'parked')
      expect(await ingest(tx, { ...event, api_version: '2031-01-01.future' })).toBe('parked')
    else
      await tx`
        insert into referral_private.unapplied_events (stripe_account, livemode, event_id, event_created_at)
        select stripe_account, livemode, event_id, created_at from referral_private.stripe_events
        where event_id = 'evt_1_6'`
    expect(await takeOut(tx)).toBe(1)
    expect(await partitions(tx)).toContain(`stripe_events_${month(6)}`)
  }),
)

test('a month stays that got an event that is parked while its keys were copied', () =>
  staged(async (tx) => {
    expect(await maintain(tx)).toMatchObject({ more: true })
    const event = { ...past(6, 'evt_open'), api_version: '2031-01-01.future' }
    expect(await ingest(tx, event)).toBe('parked')
    await takeOut(tx)
    expect(await partitions(tx)).toContain(`stripe_events_${month(6)}`)
  }))

test('a month without events is not taken out in the call in which that begins: its partition is locked', () =>
  undone(sql, async (tx) => {
    await maintain(tx, {})
    await pastMonth(tx, 6)
    expect(await maintain(tx)).toMatchObject({ more: true, partitions_archived: 0 })
    expect(await maintain(tx)).toMatchObject({ more: false, partitions_archived: 1 })
  }))

test('run_maintenance takes out what is past where it is told to', () =>
  staged(async (tx) => {
    const run = async () =>
      (await operator(tx).rpc('run_maintenance', { event_retention: '90 days' })).find(
        ({ job }) => job === 'maintain_events',
      )
    const runs = []
    for (let calls = 0; calls < 8; calls++) runs.push(await run())
    expect(runs.reduce((sum, row) => sum + Number(row?.done), 0)).toBe(2)
    expect(runs.at(-1)).toMatchObject({ done: 0, more: false, error: null })
    expect(await partitions(tx)).toHaveLength(3)
  }))
