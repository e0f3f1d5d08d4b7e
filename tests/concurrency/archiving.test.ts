/** Deliveries while a month of the inbox is taken out. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { operator, refusal } from '../support/actors.ts'
import { month, past, pastMonth } from '../support/archiving.ts'
import { type Sql, testDatabase } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { sessions } from '../support/sessions.ts'

const sql = await testDatabase()

const maintain = (tx: Sql = sql) => operator(tx).rpc('maintain_events', { retention: '90 days' })
let back = 400

/** Takes out all months that are past. */
async function finish(): Promise<void> {
  const [done] = await maintain()
  if (done?.more || done?.partitions_archived) await finish()
}

beforeEach(async () => {
  back -= 1
  await operator(sql).rpc('maintain_events')
  await pastMonth(sql, back)
  await ingest(sql, past(back, 'evt_1'))
})

afterEach(finish)

test('a delivery that waits while its month is taken out is a duplicate', async () => {
  await maintain()
  await sessions(sql, async (job, delivery) => {
    expect(await maintain(job.tx)).toMatchObject([{ partitions_archived: 1 }])
    const waiting = ingest(delivery.tx, past(back, 'evt_1'))
    await delivery.blocked()
    await job.commit()
    expect(await waiting).toBe('duplicate')
  })
})

test('a delivery that waits while its month begins to be taken out keeps its key', async () => {
  await sessions(sql, async (job, delivery) => {
    expect(await maintain(job.tx)).toMatchObject([{ more: true }])
    const waiting = ingest(delivery.tx, past(back, 'evt_2', -60))
    await delivery.blocked()
    await job.commit()
    expect(await waiting).toBe('applied')
    await delivery.commit()
  })
  const rows =
    await sql`select event_id from referral_private.archived_events where event_id like ${`%\\_${back}`}`
  expect(rows.map(({ event_id }) => event_id).sort()).toEqual([`evt_1_${back}`, `evt_2_${back}`])
})

test.for(['begins to be taken out', 'is taken out'])(
  'a month %s only after a delivery that is writing to it',
  async (what) => {
    if (what === 'is taken out') await maintain()
    await sessions(sql, async (delivery, job) => {
      await ingest(delivery.tx, past(back, 'evt_2', -60))
      const waiting = maintain(job.tx)
      await job.blocked()
      await delivery.commit()
      expect(await waiting).toMatchObject([{ more: what !== 'is taken out' }])
      await job.commit()
    })
    await finish()
    expect(await ingest(sql, past(back, 'evt_2', -60))).toBe('duplicate')
    const [kept] = await sql`
      select count(*)::int as months from referral_private.months_of('referral_private.stripe_events')
      where partition = ${`stripe_events_${month(back)}`}`
    expect(kept?.months).toBe(0)
  },
)

test('a month stays if a delivery that is writing to it is parked', async () => {
  await maintain()
  await sessions(sql, async (delivery, job) => {
    const event = { ...past(back, 'evt_open'), api_version: '2031-01-01.future' }
    expect(await ingest(delivery.tx, event)).toBe('parked')
    const waiting = maintain(job.tx)
    await job.blocked()
    await delivery.commit()
    expect(await waiting).toMatchObject([{ partitions_archived: 0, more: false }])
  })
  await sql`delete from referral_private.parked_events`
})

test('the job answers busy rather than wait for a long transaction', async () => {
  await maintain()
  await sessions(sql, async (reader) => {
    await reader.tx`select from referral_private.stripe_events limit 1`
    expect(await refusal(maintain())).toBe('busy')
  })
  expect(await maintain()).toMatchObject([{ partitions_archived: 1 }])
})
