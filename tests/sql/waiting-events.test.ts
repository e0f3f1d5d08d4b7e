/** Events that are stored while somebody else has the Stripe account, and what settles them. */
import { describe, expect, test } from 'vitest'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator } from '../support/actors.ts'
import { type Sql, testDatabase } from '../support/database.ts'
import { ingest, ingestReduced, queued, reduced, settleAccount } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, scene } from '../support/scene.ts'
import { type Session, sessions } from '../support/sessions.ts'

const sql = await testDatabase()
const terms = {
  ...{ enrolment: 'open', recurrence: 'forever', hold_days: 0 },
  commission: { kind: 'percent', bps: 1000 },
}
const now = () => Math.floor(Date.now() / 1000)

/** Somebody who has redeemed, and what their referrer has earned of it. */
async function referred() {
  const { org, mentor, friend, admin } = await scene(sql, terms)
  await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
  const paid = (amount: number) => paidInvoice({ userId: friend.id, paid: amount, at: now() + 60 })
  const earned = async () => {
    const rows = await mentor.rpc('my_earnings', { org_id: org })
    return rows.reduce(
      (sum, { pending, available }) => sum + Number(pending) + Number(available),
      0,
    )
  }
  return { org, friend, admin, paid, earned }
}

/** Does something while somebody has the platform's Stripe account. */
const whileLocked = (work: (holder: Session) => Promise<void>) =>
  sessions(sql, async (holder) => {
    await holder.tx`select referral_private.lock_stripe_account('')`
    await work(holder)
    await holder.commit()
  })

const waiting = async (tx: Sql = sql): Promise<object[]> =>
  (await tx`select event_id, error from referral_private.unapplied_events order by stored_at`).map(
    (row) => ({ ...row }),
  )

describe('a delivery that finds the account locked', () => {
  test('is stored, is no duplicate until it is applied, and is settled later', async () => {
    const { paid, earned } = await referred()
    const event = paid(1000)
    await whileLocked(async () => {
      expect(await ingest(sql, event)).toBe('stored')
      expect(await ingest(sql, event)).toBe('stored')
      expect(await waiting()).toEqual([{ event_id: event.id, error: null }])
      expect(await earned()).toBe(0)
    })
    expect(await operator(sql).rpc('settle_stripe_events', { stripe_account: '' })).toEqual([
      { done: 1, more: false },
    ])
    expect(await earned()).toBe(100)
    expect(await ingest(sql, event)).toBe('duplicate')
    expect(await waiting()).toEqual([])
  })

  test('is applied by the next delivery, each sale caused by its own event', async () => {
    const { org, paid, earned } = await referred()
    const events = [paid(1000), paid(2000), paid(3000)] as const
    await whileLocked(async () => {
      for (const event of events.slice(1)) expect(await ingest(sql, event)).toBe('stored')
    })
    expect(await ingest(sql, events[0])).toBe('applied')
    expect(await earned()).toBe(600)
    const causes = await sql`
      select amount::int, caused_by from referral_private.ledger_entries where org_id = ${org} order by 1`
    expect(causes.map((row) => ({ ...row }))).toEqual(
      events.map(({ id }, n) => ({ amount: 100 * (n + 1), caused_by: id })),
    )
  })

  test('says unsettled until nothing waits', async () => {
    const { paid } = await referred()
    const unsettled = async () => {
      const event = await reduced(paid(1000))
      const [row] = await operator(sql).rpc('ingest_stripe_event', { event })
      return row?.unsettled
    }
    await whileLocked(async () => expect(await unsettled()).toBe(true))
    expect(await unsettled()).toBe(false)
  })

  test('is settled by run_maintenance where nobody else does', async () => {
    const { paid, earned } = await referred()
    // The first call makes the partitions of clicks, and leaves the other jobs.
    await operator(sql).rpc('run_maintenance')
    await whileLocked(async () => expect(await ingest(sql, paid(1000))).toBe('stored'))
    const rows = await operator(sql).rpc('run_maintenance')
    expect(rows.find(({ job }) => job === 'settle_stripe_events')).toMatchObject({ done: 1 })
    expect(await earned()).toBe(100)
  })

  test('is left alone by a call for any account, which waits for nobody', async () => {
    const { paid } = await referred()
    await whileLocked(async () => {
      expect(await ingest(sql, paid(1000))).toBe('stored')
      expect(await operator(sql).rpc('settle_stripe_events')).toEqual([{ done: 0, more: true }])
    })
    expect(await operator(sql).rpc('settle_stripe_events')).toEqual([{ done: 1, more: false }])
  })

  test('asked for by its id, is not waited for once it is applied', async () => {
    const { paid } = await referred()
    const event = paid(1000)
    await ingest(sql, event)
    await whileLocked(async () => {
      const args = { stripe_account: '', event_id: event.id }
      expect(await operator(sql).rpc('settle_stripe_events', args)).toEqual([
        { done: 0, more: false },
      ])
    })
  })

  test('of another Stripe account is applied at once', () =>
    whileLocked(async () => {
      const account = `acct_${crypto.randomUUID().slice(0, 8)}`
      expect(await ingest(sql, { ...paidInvoice(), account })).toBe('applied')
    }))

  test('that states nothing is answered without the lock', () =>
    whileLocked(async () => {
      expect(await ingest(sql, { ...paidInvoice(), type: 'customer.created' })).toBe('ignored')
      const event = { ...(await reduced(paidInvoice())), parked: 'for a test' }
      expect(await ingestReduced(sql, event)).toBe('parked')
    }))
})

describe('of events that are settled together', () => {
  test('one that the database refuses is parked, and the others earn', async () => {
    const { paid, earned } = await referred()
    const [good, bad, better] = await Promise.all([paid(1000), paid(2000), paid(3000)].map(reduced))
    Object.assign((bad as RawEvent).data.object, { amount_paid: 2 ** 53 })
    await whileLocked(async () => {
      for (const event of [good, bad, better] as object[])
        expect(await ingestReduced(sql, event)).toBe('stored')
    })
    await settleAccount(sql, '')
    expect(await earned()).toBe(400)
    expect(await waiting()).toEqual([])
    expect(
      await sql`select reason from referral_private.parked_events where event_id = ${String(bad?.id)}`,
    ).toEqual([{ reason: 'refused by the database' }])
    expect(await ingestReduced(sql, bad as object)).toBe('duplicate')
  })

  const failing = (tx: Sql, id: string, raise: string) =>
    tx.unsafe(`
      create or replace function referral_private.state_event(
        p_kind text, p_stated referral_private.stated_event
      )
      returns referral_private.touched language plpgsql as $$
      begin
        if p_stated.event_id = '${id}' then ${raise} end if;
        return ('{}'::text[], '{}'::text[])::referral_private.touched;
      end $$`)
  const undone = (work: (tx: Sql) => Promise<void>) =>
    sessions(sql, async ({ tx }) => work(tx as never))

  test('one that meets a fault of ours waits with its error, and only run_maintenance tries it again', () =>
    undone(async (tx) => {
      const events = await Promise.all([paidInvoice(), paidInvoice()].map(reduced))
      await queued(tx, events)
      const id = String(events[0]?.id)
      await failing(tx, id, "raise unique_violation using message = 'ours';")
      const settle = (args = {}) => operator(tx).rpc('settle_stripe_events', args)
      expect(await settle({ stripe_account: '' })).toEqual([{ done: 1, more: false }])
      expect(await waiting(tx)).toEqual([{ event_id: id, error: '23505' }])
      expect(await settle({ stripe_account: '' })).toEqual([{ done: 0, more: false }])
      await failing(tx, 'nobody', 'null;')
      expect(await settle({ stripe_account: '' })).toEqual([{ done: 0, more: false }])
      expect(await settle()).toEqual([{ done: 1, more: false }])
      expect(await waiting(tx)).toEqual([])
    }))

  test.for([
    ['a lock that was not got', "raise lock_not_available using message = 'busy';"],
    ['a time-out', "raise query_canceled using message = 'slow';"],
  ])('all wait after %s, and nothing of them is stated', ([, raise]) =>
    undone(async (tx) => {
      const events = await Promise.all([paidInvoice(), paidInvoice()].map(reduced))
      await queued(tx, events)
      await failing(tx, String(events[1]?.id), String(raise))
      expect(await operator(tx).rpc('settle_stripe_events', { stripe_account: '' })).toEqual([
        { done: 0, more: true },
      ])
      expect(await waiting(tx)).toEqual(events.map(({ id }) => ({ event_id: id, error: null })))
      expect(await tx`select from referral_private.parked_events where reason = 'busy'`).toEqual([])
    }),
  )

  test('a delivery that cannot be applied now is stored all the same', () =>
    undone(async (tx) => {
      const event = await reduced(paidInvoice())
      await failing(tx, String(event.id), "raise query_canceled using message = 'slow';")
      expect(await ingestReduced(tx, event)).toBe('stored')
      expect(await waiting(tx)).toEqual([{ event_id: event.id, error: null }])
    }))

  test('two hundred are taken at once, the oldest first', () =>
    undone(async (tx) => {
      const { mentor, org } = await scene(tx, terms)
      const { code } = await codeOf(mentor, org)
      const events = await Promise.all(
        Array.from({ length: 201 }, () => reduced(paidInvoice({ code, at: now() + 60 }))),
      )
      await queued(tx, events)
      const settle = () => operator(tx).rpc('settle_stripe_events', { stripe_account: '' })
      expect(await settle()).toEqual([{ done: 200, more: true }])
      expect(await waiting(tx)).toEqual([{ event_id: events[200]?.id, error: null }])
      expect(await tx`select from referral_private.to_settle`).toEqual([])
      expect(await settle()).toEqual([{ done: 1, more: false }])
      const [row] = await mentor.rpc('my_earnings', { org_id: org })
      expect(row).toMatchObject({ pending: 20_100n })
    }))
})

test('the ledger is what the oracle says', () => checkLedger(sql))
