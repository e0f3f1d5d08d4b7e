/** The ledger as people read it, and that nobody can change it. */
import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { anonymous, operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { ending, stageStory, stories } from '../support/money.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

/** A story that has ended. */
async function told(tx: Sql, name: string) {
  const story = stories.find((candidate) => candidate.name === name)
  if (!story) throw new Error(name)
  const staged = await stageStory(tx, story)
  for (const event of staged.events) await operator(tx).rpc('ingest_stripe_event', { event })
  await ending(tx, staged)
  return staged
}

describe('my_statement', () => {
  test('adds up to the balance, page by page', () =>
    undone(sql, async (tx) => {
      const { mentor, org } = await told(
        tx,
        'a cap per referral, and room for others when a sale below it is refunded',
      )
      const pages = []
      for (let after: unknown = null; ; after = pages.at(-1)?.entry_id) {
        const page = await mentor.rpc('my_statement', { org_id: org, page_size: 2, after })
        if (!page.length) break
        pages.push(...page)
      }
      const whole = await mentor.rpc('my_statement', { org_id: org })
      expect(pages).toEqual(whole)
      const sum = whole.reduce(
        (total, { from_kind, to_kind, amount }) =>
          total +
          Number(amount) * (Number(to_kind === 'available') - Number(from_kind === 'available')),
        0,
      )
      expect(sum).toBe(250)
      expect(whole.every(({ caused_by }) => String(caused_by).startsWith('evt_'))).toBe(true)
    }))

  test('shows moves between pending and available as such', () =>
    undone(sql, async (tx) => {
      const { mentor, org } = await told(tx, 'a fraud warning holds what was available')
      expect(await mentor.rpc('my_statement', { org_id: org })).toMatchObject([
        { from_kind: 'available', to_kind: 'pending', amount: 100n },
        { from_kind: 'expense', to_kind: 'available', amount: 100n },
      ])
    }))

  test('shows nobody else’s', () =>
    undone(sql, async (tx) => {
      const { coordinator, org } = await told(tx, 'a one-off checkout')
      expect(await coordinator.rpc('my_statement', { org_id: org })).toEqual([])
    }))
})

describe('explain_commission', () => {
  test('gives facts, terms, arithmetic and events', () =>
    undone(sql, async (tx) => {
      const { mentor, org, events, redemption } = await told(tx, 'three partial refunds')
      const sale = (events[1] as { data: { object: { id: string } } }).data.object.id
      const [row, ...more] = await mentor.rpc('explain_commission', { org_id: org, sale_id: sale })
      expect(more).toEqual([])
      expect(row).toMatchObject({
        amount: 70n,
        kind: 'available',
        paid: 1001n,
        reversed: 300n,
        arithmetic: '(1001 − 300) × 1001 × 1000 / (1001 × 10000), rounded half up = 70',
        terms_version: 1,
        redemption_id: redemption,
        refusal: null,
      })
      expect(row?.event_ids).toHaveLength(5)
    }))

  test('says why a sale earns nothing, to staff and the owner only', () =>
    undone(sql, async (tx) => {
      const { mentor, coordinator, friend, org, events } = await told(tx, 'a minimum sale')
      const sale = (events[0] as { data: { object: { id: string } } }).data.object.id
      for (const reader of [mentor, coordinator])
        expect(
          await reader.rpc('explain_commission', { org_id: org, sale_id: sale }),
        ).toMatchObject([{ amount: 0n, refusal: 'minimum_sale', arithmetic: '0: minimum_sale' }])
      expect(await friend.rpc('explain_commission', { org_id: org, sale_id: sale })).toEqual([])
    }))
})

test('org_liabilities lists commissions and rewards, for admins', () =>
  undone(sql, async (tx) => {
    const { admin, mentor, friend, org } = await told(
      tx,
      'the referee’s reward is an account of its own',
    )
    const rows = await admin.rpc('org_liabilities', { org_id: org })
    expect(rows).toHaveLength(2)
    expect(rows).toContainEqual(
      expect.objectContaining({ earner_id: mentor.id, available: 200n, reward: 0n }),
    )
    expect(rows).toContainEqual(
      expect.objectContaining({ earner_id: friend.id, available: 0n, reward: 300n }),
    )
  }))

test('earnings of currencies never mix', () =>
  undone(sql, async (tx) => {
    const { mentor, org } = await told(tx, 'yen and dinars are minor units like others')
    const rows = await mentor.rpc('my_earnings', { org_id: org })
    expect(rows).toEqual([
      { currency: 'jpy', pending: 0n, available: 101n, in_transit: 0n, paid: 0n, owed: 0n },
      { currency: 'kwd', pending: 0n, available: 1235n, in_transit: 0n, paid: 0n, owed: 0n },
    ])
  }))

describe('what is written once', () => {
  const tables = ['ledger_entries', 'stripe_events', 'resolved_events', 'recorded_facts']
  const changes = (table: string) => [
    `update referral_private.${table} set ${table === 'ledger_entries' ? 'amount = 1' : "stripe_account = 'x'"}`,
    `delete from referral_private.${table}`,
    `truncate referral_private.${table} cascade`,
  ]

  test.for(tables)('%s stays as it is, for every role, the owner and a replica', (table) =>
    undone(sql, async (tx) => {
      await told(tx, 'a one-off checkout')
      const update = table === 'recorded_facts' ? "set provider = 'x'" : null
      for (const change of changes(table)) {
        const statement =
          update && change.startsWith('update')
            ? `update referral_private.${table} ${update}`
            : change
        for (const actor of [anonymous(tx), operator(tx)])
          expect(await refusal(actor.run(statement)), statement).toBe('42501')
        const refused = tx.savepoint((point) => point.unsafe(statement))
        expect(await refusal(refused), statement).toBe('23001')
      }
      const [row] = await tx`
        select count(*)::int as always from pg_trigger
        where tgrelid = ${`referral_private.${table}`}::regclass and tgname like '%append_only' and tgenabled = 'A'`
      expect(row?.always).toBe(1)
    }),
  )
})

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
      const { reduced } = await import('../support/ingest.ts')
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
})
