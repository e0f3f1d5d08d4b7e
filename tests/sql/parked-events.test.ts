/** Parked events: listed page by page, and applied once a later version can read them. */
import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { refund } from '../fixtures/stripe/refund.ts'
import { operator } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { ingest, ingestReduced, reduced } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

describe('a parked event', () => {
  test('is listed, and applied once a later version can read it', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, {
        enrolment: 'open',
        commission: { kind: 'percent', bps: 1000 },
      })
      await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
      const event = paidInvoice({ userId: friend.id, at: Math.floor(Date.now() / 1000) + 5 })
      const unread = { ...event, api_version: '2031-01-01.future' }
      expect(await ingest(tx, unread)).toBe('parked')
      expect(await operator(tx).rpc('list_parked_events')).toMatchObject([
        { event_id: event.id, type: 'invoice.paid', reason: 'version 2031-01-01.future' },
      ])
      const readable = { event: await reduced(event) }
      expect(await operator(tx).rpc('resolve_parked_event', readable)).toMatchObject([
        { status: 'applied' },
      ])
      expect(await operator(tx).rpc('resolve_parked_event', readable)).toMatchObject([
        { status: 'duplicate' },
      ])
      expect(await operator(tx).rpc('list_parked_events')).toEqual([])
      expect(await mentor.rpc('my_earnings', { org_id: org })).toMatchObject([{ pending: 100n }])
    }))

  test('is applied when it comes again in a version that can be read, and once', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx, {
        enrolment: 'open',
        commission: { kind: 'percent', bps: 1000 },
      })
      await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
      const event = paidInvoice({ userId: friend.id, at: Math.floor(Date.now() / 1000) + 5 })
      const unread = { ...event, api_version: '2031-01-01.future' }
      const readable = { ...event, api_version: '2025-06-30.basil' }
      const statuses = []
      for (const delivered of [unread, unread, readable, unread, readable, event])
        statuses.push(await ingest(tx, delivered))
      expect(statuses).toEqual([
        ...['parked', 'duplicate', 'applied', 'duplicate', 'duplicate', 'duplicate'],
      ])
      expect(await operator(tx).rpc('list_parked_events')).toEqual([])
      expect(await mentor.rpc('my_earnings', { org_id: org })).toMatchObject([{ pending: 100n }])
      const resolved = await tx`
        select event ->> 'api_version' as version from referral_private.resolved_events
        where event_id = ${event.id}`
      expect(resolved).toEqual([{ version: '2025-06-30.basil' }])
    }))

  test('that the database refuses again stays parked', () =>
    undone(sql, async (tx) => {
      const event = await reduced(refund({ amount: -5, intent: 'pi_1' }))
      await ingestReduced(tx, { ...event, parked: 'refused by the database' })
      expect(await ingestReduced(tx, event)).toBe('duplicate')
      expect(await operator(tx).rpc('list_parked_events')).toMatchObject([
        { event_id: event.id, reason: 'refused by the database' },
      ])
    }))

  test('that was resolved is still a place from which a page can begin', () =>
    undone(sql, async (tx) => {
      const events = [paidInvoice(), paidInvoice()]
      for (const event of events) await ingest(tx, { ...event, api_version: '2031-01-01.future' })
      await operator(tx).rpc('resolve_parked_event', { event: await reduced(events[0] as never) })
      const after = { after_event: events[0]?.id }
      expect(await operator(tx).rpc('list_parked_events', after)).toMatchObject([
        { event_id: events[1]?.id },
      ])
    }))

  test('is resolved by an event of the same time only', () =>
    undone(sql, async (tx) => {
      const event = paidInvoice()
      await ingest(tx, { ...event, api_version: '2031-01-01.future' })
      for (const [created, status] of [
        [Number(event.created) + 1, 'duplicate'],
        [Number(event.created), 'applied'],
      ] as const)
        expect(
          await operator(tx).rpc('resolve_parked_event', {
            event: await reduced({ ...event, created }),
          }),
        ).toMatchObject([{ status }])
    }))

  test('comes page by page, each once', () =>
    undone(sql, async (tx) => {
      const parked = Array.from({ length: 5 }, () => ({
        ...paidInvoice(),
        api_version: '2031-01-01.future',
      }))
      for (const event of parked) await ingest(tx, event)
      const listed: unknown[] = []
      for (let page = [{}] as Record<string, unknown>[]; page.length; ) {
        const after = listed.length ? { after_event: listed.at(-1) } : {}
        page = await operator(tx).rpc('list_parked_events', { max_rows: 2, ...after })
        listed.push(...page.map((row) => row.event_id))
      }
      expect(listed).toEqual(parked.map((event) => event.id))
    }))

  test('is counted by mode, type, version and reason until it is resolved', () =>
    undone(sql, async (tx) => {
      const counts = async (args = {}) => {
        const rows = await operator(tx).rpc('count_parked_events', args)
        return rows.map((row) =>
          ['events', 'stripe_accounts', 'livemode', 'type', 'api_version', 'reason']
            .map((column) => row[column])
            .join(' '),
        )
      }
      expect(await counts()).toEqual([])
      const future = { api_version: '2031-01-01.future' }
      const first = { ...paidInvoice({ at: 1_800_000_000 }), ...future }
      const other = { ...paidInvoice({ account: 'acct_1', at: 1_900_000_000 }), ...future }
      const none = { ...paidInvoice({ livemode: true }), api_version: null }
      const shape = paidInvoice()
      shape.data.object.currency = 'dollars'
      for (const event of [first, other, none, shape, paidInvoice()]) await ingest(tx, event)
      const known = `1 1 false invoice.paid ${shape.api_version} shape of currency`
      const newer = 'false invoice.paid 2031-01-01.future version 2031-01-01.future'
      const live = '1 1 true invoice.paid  version null'
      expect(await counts()).toEqual([`2 2 ${newer}`, known, live])
      expect(await counts({ livemode: false })).toEqual([`2 2 ${newer}`, known])
      expect(await counts({ livemode: true })).toEqual([live])
      const [row] = await operator(tx).rpc('count_parked_events')
      expect([row?.first_at, row?.last_at]).toEqual([
        new Date(1_800_000_000_000),
        new Date(1_900_000_000_000),
      ])
      const readable = await reduced({ ...first, api_version: shape.api_version as string })
      await operator(tx).rpc('resolve_parked_event', { event: readable })
      expect(await counts({ livemode: false })).toEqual([known, `1 1 ${newer}`])
    }))
})
