/** The ledger as people read it, and that nobody can change it. */
import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { anonymous, details, operator, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { ingest } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { ending, stageStory, stories } from '../support/money.ts'
import { codeOf, scene } from '../support/scene.ts'
import { numberOf } from '../support/stage.ts'

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
      const { mentor, admin, org } = await told(
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
      const ofMentor = { org_id: org, earner_id: mentor.id }
      const causes = (await admin.rpc('my_statement', ofMentor)).map(({ caused_by }) => caused_by)
      expect(causes).toHaveLength(whole.length)
      expect(causes.every((cause) => String(cause).startsWith('evt_'))).toBe(true)
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
      const { admin, org, events, redemption } = await told(tx, 'three partial refunds')
      const sale = (events[1] as { data: { object: { id: string } } }).data.object.id
      const [row, ...more] = await admin.rpc('explain_commission', { org_id: org, sale_id: sale })
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

  test.for([
    [300, null, '300 × (1000 − 0) / 1000, rounded half up = 300'],
    [1500, null, 'at most the price: 1000 − 0, rounded half up = 1000'],
    [900, 800, 'at most the price without tax: (1000 − 0) × 800 / 1000, rounded half up = 800'],
  ] as const)('of a flat amount of %i and a price without tax of %s', ([flat, withoutTax, text]) =>
    undone(sql, async (tx) => {
      const commission = { kind: 'flat', amount: { usd: flat } }
      const { org, mentor, admin } = await scene(tx, { enrolment: 'open', commission })
      const { code } = await codeOf(mentor, org)
      await ingest(tx, paidInvoice({ id: 'in_1', code, withoutTax }))
      const call = { org_id: org, sale_id: 'in_1' }
      expect(await admin.rpc('explain_commission', call)).toMatchObject([{ arithmetic: text }])
    }),
  )

  test('says by its id why a sale earns nothing, to admins only', () =>
    undone(sql, async (tx) => {
      const { mentor, admin, coordinator, friend, org, events } = await told(tx, 'a minimum sale')
      const sale = (events[0] as { data: { object: { id: string } } }).data.object.id
      const call = { org_id: org, sale_id: sale }
      expect(await admin.rpc('explain_commission', call)).toMatchObject([
        { ...{ sale_id: sale, sale_number: null, amount: 0n, refusal: 'minimum_sale' } },
      ])
      for (const reader of [mentor, coordinator])
        expect(await refusal(reader.rpc('explain_commission', call))).toBe('not_allowed')
      expect(await refusal(friend.rpc('explain_commission', call))).toBe('not_a_member')
    }))

  test('says by its number why a sale earns nothing any more, to admins and the owner only', () =>
    undone(sql, async (tx) => {
      const { mentor, admin, coordinator, friend, org, redemption } = await told(
        tx,
        'a one-off checkout',
      )
      await admin.rpc('reject_redemption', { redemption_id: redemption })
      const numbers = (await mentor.rpc('my_statement', { org_id: org })).map(
        ({ sale_number }) => sale_number,
      )
      expect(numbers).toEqual([numbers[0], numbers[0]])
      const call = { org_id: org, sale_number: String(numbers[0]) }
      for (const reader of [mentor, admin])
        expect(await reader.rpc('explain_commission', call)).toMatchObject([
          { ...{ amount: 0n, refusal: 'rejected', arithmetic: '0: rejected' } },
        ])
      for (const reader of [friend, coordinator])
        expect(await reader.rpc('explain_commission', call)).toEqual([])
    }))

  test.for([
    [{}, 'neither'],
    [{ sale_number: 1, sale_id: 'in_1' }, 'both'],
  ] as const)('asks for a number or an id, and refuses %o, which is %s', ([sale]) =>
    undone(sql, async (tx) => {
      const { admin, org } = await scene(tx)
      const call = () => admin.rpc('explain_commission', { org_id: org, ...sale })
      expect(await refusal(call())).toBe('invalid_argument')
      expect(await details(call())).toBe('sale_number: it, or sale_id, and not both')
    }),
  )

  test('knows a sale by its first entry only, and no entry of a payout', () =>
    undone(sql, async (tx) => {
      const { mentor, org } = await told(tx, 'a fraud warning holds what was available')
      const [later, first] = await mentor.rpc('my_statement', { org_id: org })
      const explained = (sale_number: unknown) =>
        mentor.rpc('explain_commission', { org_id: org, sale_number: String(sale_number) })
      expect(first?.entry_id).toBe(first?.sale_number)
      expect(await explained(first?.entry_id)).toHaveLength(1)
      expect(await explained(later?.entry_id)).toEqual([])
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
      expect.objectContaining({ earner_id: mentor.id, available: 200n, reward_available: 0n }),
    )
    expect(rows).toContainEqual(
      expect.objectContaining({ earner_id: friend.id, available: 0n, reward_available: 300n }),
    )
  }))

test('a friend sees their reward, on hold as long as the commission, and then available', () =>
  undone(sql, async (tx) => {
    const terms = {
      enrolment: 'open',
      commission: { kind: 'percent', bps: 1000 },
      referee_reward: { kind: 'flat', amount: { usd: 300 } },
      hold_days: 7,
    }
    const { org, mentor, friend } = await scene(tx, terms)
    await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
    const at = Math.floor(Date.now() / 1000) + 5
    const sale = paidInvoice({ userId: friend.id, at })
    await ingest(tx, sale)
    const shown = async () => {
      await checkLedger(tx)
      const [row, ...more] = await friend.rpc('my_earnings', { org_id: org })
      expect(more).toEqual([])
      const [line] = await friend.rpc('my_statement', { org_id: org })
      return [row?.reward_pending, row?.reward_available, row?.pending, line?.to_kind]
    }
    expect(await shown()).toEqual([300n, 0n, 0n, 'reward_pending'])
    const number = await numberOf(tx, org, String(sale.data.object.id))
    const args = { org_id: org, sale_number: number }
    expect(await friend.rpc('explain_commission', args)).toMatchObject([
      { kind: 'reward_pending', amount: 300n, available_at: new Date((at + 7 * 86_400) * 1000) },
    ])
    expect(
      await tx`select kind, due_at from referral_private.postings where earner_id = ${friend.id}`,
    ).toEqual([{ kind: 'reward_pending', due_at: new Date((at + 7 * 86_400) * 1000) }])
    await rewriteTerms(tx, `set terms = terms || '{"hold_days": 0}'`)
    await tx`update referral.redemptions set redeemed_at = redeemed_at - interval '2 hours'`
    await tx`update referral_private.sales set paid_at = paid_at - interval '1 hour'`
    await tx`update referral_private.postings set due_at = due_at - interval '8 days'`
    expect(await operator(tx).rpc('release_due_commissions')).toEqual([
      { release_due_commissions: 1 },
    ])
    const [row] = await friend.rpc('my_earnings', { org_id: org })
    expect(row).toMatchObject({ reward_pending: 0n, reward_available: 300n })
    const [line] = await friend.rpc('my_statement', { org_id: org })
    expect(line).toMatchObject({ from_kind: 'reward_pending', to_kind: 'reward_available' })
  }))

const nothing = {
  ...{ livemode: false, pending: 0n, in_transit: 0n, paid: 0n, owed: 0n },
  ...{ reward_pending: 0n, reward_available: 0n, settlement_pending: false },
}

test('earnings of currencies never mix', () =>
  undone(sql, async (tx) => {
    const { mentor, org } = await told(tx, 'yen and dinars are minor units like others')
    const rows = await mentor.rpc('my_earnings', { org_id: org })
    expect(rows).toEqual([
      { ...nothing, currency: 'jpy', available: 101n },
      { ...nothing, currency: 'kwd', available: 1235n },
    ])
  }))

test('an entry of a payout, which has no sale, is a line of the statement', () =>
  undone(sql, async (tx) => {
    const { mentor, org } = await told(tx, 'a one-off checkout')
    await tx`
      insert into referral_private.ledger_accounts (org_id, livemode, earner_id, kind, currency)
      select org_id, livemode, earner_id, 'in_transit', currency
      from referral_private.ledger_accounts where kind = 'available'`
    await tx`
      insert into referral_private.ledger_entries (
        org_id, debit_account_id, credit_account_id, amount, currency, reason_key, livemode, payout_id, caused_by
      )
      select a.org_id, a.account_id, b.account_id, 50, a.currency, 'payout 1', a.livemode, gen_random_uuid(), 'payout 1'
      from referral_private.ledger_accounts as a
      join referral_private.ledger_accounts as b on b.org_id = a.org_id and b.earner_id = a.earner_id
      where a.kind = 'available' and b.kind = 'in_transit'`
    const [line, ...more] = await mentor.rpc('my_statement', { org_id: org })
    expect(line).toMatchObject({
      amount: 50n,
      from_kind: 'available',
      to_kind: 'in_transit',
      sale_number: null,
    })
    expect(more.every(({ sale_number }) => typeof sale_number === 'bigint')).toBe(true)
  }))

test('an entry of nothing is refused', () =>
  undone(sql, async (tx) => {
    await told(tx, 'a one-off checkout')
    const call = tx`
      insert into referral_private.ledger_entries (
        org_id, debit_account_id, credit_account_id, amount, currency, reason_key, livemode, caused_by
      )
      select org_id, debit_account_id, credit_account_id, 50, currency, 'nothing', livemode, 'nothing'
      from referral_private.ledger_entries limit 1`
    await expect(call).rejects.toMatchObject({
      constraint_name: 'ledger_entries_belong_to_one_thing',
    })
  }))

describe('what is written once', () => {
  const tables = [
    'ledger_entries',
    'stripe_events',
    'resolved_events',
    'recorded_facts',
    'code_states',
    'switches',
    'changes',
  ]
  const values: Record<string, string> = {
    switches: 'active = true',
    changes: 'actor_id = null',
    ledger_entries: 'amount = 1',
    recorded_facts: "provider = 'x'",
    code_states: 'since = now()',
  }
  const changes = (table: string) => [
    `update referral_private.${table} set ${values[table] ?? "stripe_account = 'x'"}`,
    `delete from referral_private.${table}`,
    `truncate referral_private.${table} cascade`,
  ]

  test.for(tables)('%s stays as it is, for every role, the owner and a replica', (table) =>
    undone(sql, async (tx) => {
      await told(tx, 'a one-off checkout')
      for (const statement of changes(table)) {
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
