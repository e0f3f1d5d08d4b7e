/** verify_ledger: nothing is wrong with a ledger that only functions wrote, and what was changed by hand is named. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { operator, person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { ending, stageStory, stories } from '../support/money.ts'
import { earning, verified } from '../support/verified.ts'

const sql = await testDatabase()
const day = 86_400

describe('a ledger that only functions wrote', () => {
  test('has no faults, after every story', { timeout: 300_000 }, () =>
    undone(sql, async (tx) => {
      for (const story of stories) {
        const staged = await stageStory(tx, story)
        for (const event of staged.events) await operator(tx).rpc('ingest_stripe_event', { event })
        await ending(tx, staged)
      }
      expect((await verified(tx)).faults).toEqual([])
    }),
  )

  test('is walked account by account, and sale by sale', () =>
    undone(sql, async (tx) => {
      const { org } = await earning(tx)
      const [row] = await tx`
        select count(*)::int as accounts from referral_private.ledger_accounts where org_id = ${org}`
      const accounts = Number(row?.accounts)
      expect(await verified(tx, 1)).toEqual({
        ...{ faults: [], checked: accounts + 2, slices: accounts + 1 + 2 + 1 },
      })
    }))

  test.for([
    ['commissions', [10, 5]],
    ['a commission and a reward', [5]],
  ] as const)('has none while %s are due and not released yet', ([, daysAgo]) =>
    undone(sql, async (tx) => {
      await earning(tx, [...daysAgo])
      await rewriteTerms(tx, `set terms = terms || '{"hold_days": 5}'`)
      await tx`update referral_private.sales set paid_at = paid_at - interval '1 hour'`
      await tx`
        update referral_private.postings set due_at = due_at - interval '2 days 1 hour' where due_at is not null`
      expect(await verified(tx)).toMatchObject({ faults: [] })
    }),
  )

  test(
    'is walked as a whole, 1,500 sales and their accounts, in slices of any size',
    {
      timeout: 300_000,
    },
    () =>
      undone(sql, async (tx) => {
        const { org, mentor, oldSale } = await earning(tx)
        await tx`
        insert into referral_private.sales (
          stripe_account, livemode, sale_id, payer_id, is_guest, org_id, program_id, subscription_id, object_ids,
          currency, paid, reversed, total, total_excluding_tax, sale_at, paid_at, warned_at
        )
        select stripe_account, livemode, 'in_' || n, 'cus_of_' || n, is_guest, org_id, program_id, subscription_id, object_ids, currency, paid, reversed,
          total, total_excluding_tax, sale_at, paid_at, warned_at
        from referral_private.sales, generate_series(1, 1498) as n where sale_id = ${oldSale}`
        const [row] = await tx`
        select count(*)::int as accounts from referral_private.ledger_accounts where org_id = ${org}`
        const all = { faults: [], checked: 1500 + Number(row?.accounts) }
        expect(await verified(tx)).toMatchObject({ ...all, slices: 1 + 16 })
        expect(await verified(tx, 1000)).toMatchObject({ ...all, slices: 1 + 2 })
        await tx`
        insert into referral_private.postings (org_id, stripe_account, livemode, sale_id, earner_id, kind, currency, amount, entries)
        values (${org}, '', false, 'in_nowhere', ${mentor.id}, 'available', 'usd', 7, 1)`
        expect((await verified(tx, 7)).faults).toMatchObject([
          { kind: 'entries', subject: 'in_nowhere', expected: 0, found: 7 },
          { kind: 'target', subject: 'in_nowhere', expected: 0, found: 7 },
        ])
      }),
  )
})

describe('what was changed by hand is named', () => {
  test('one sale’s posting, also after another event', () =>
    undone(sql, async (tx) => {
      const { org, mentor, sale, later } = await earning(tx)
      await tx`
        update referral_private.postings set amount = amount + 5
        where sale_id = ${sale} and earner_id = ${mentor.id}`
      await later()
      const about = {
        ...{ org_id: org, livemode: false, stripe_account: '', subject: sale },
        ...{ earner_id: mentor.id, account_kind: 'pending', currency: 'usd' },
      }
      expect((await verified(tx)).faults).toEqual([
        { ...about, kind: 'entries', expected: 100, found: 105 },
        { ...about, kind: 'target', expected: 100, found: 105 },
      ])
    }))

  test('a posting that is gone', () =>
    undone(sql, async (tx) => {
      const { sale, mentor } = await earning(tx)
      await tx`delete from referral_private.postings where sale_id = ${sale} and earner_id = ${mentor.id}`
      expect((await verified(tx)).faults).toMatchObject([
        { kind: 'entries', subject: sale, expected: 100, found: 0 },
        { kind: 'target', subject: sale, expected: 100, found: 0 },
      ])
    }))

  test('when a posting is due', () =>
    undone(sql, async (tx) => {
      const { sale } = await earning(tx)
      const [row] = await tx`
        select extract(epoch from due_at)::int as due from referral_private.postings
        where sale_id = ${sale} and kind = 'pending'`
      await tx`
        update referral_private.postings set due_at = due_at + interval '1 day'
        where sale_id = ${sale} and kind = 'pending'`
      expect((await verified(tx)).faults).toMatchObject([
        { kind: 'due', subject: sale, expected: row?.due, found: Number(row?.due) + day },
      ])
      await tx`
        update referral_private.postings set due_at = due_at - interval '1 day' + interval '0.1 seconds'
        where sale_id = ${sale} and kind = 'pending'`
      expect((await verified(tx)).faults).toMatchObject([
        { kind: 'due', subject: sale, expected: row?.due, found: row?.due },
      ])
      await tx`update referral_private.postings set due_at = null where sale_id = ${sale}`
      expect((await verified(tx)).faults).toMatchObject([
        { kind: 'due', subject: sale, expected: row?.due, found: 0 },
      ])
    }))

  test.for([-1, 1])('a balance that is %d off', (off) =>
    undone(sql, async (tx) => {
      const { org, mentor } = await earning(tx)
      const [row] = await tx`
        update referral_private.ledger_accounts set balance = balance + ${off}
        where org_id = ${org} and earner_id = ${mentor.id} and kind = 'available' returning account_id`
      expect((await verified(tx)).faults).toMatchObject([
        {
          ...{ kind: 'balance', org_id: org, livemode: false },
          ...{ subject: `account ${row?.account_id}`, earner_id: mentor.id },
          ...{ account_kind: 'available', expected: 100, found: 100 + off },
        },
      ])
    }),
  )

  test.for([
    ['credit', 'eur', false],
    ['credit', 'usd', true],
    ['debit', 'eur', false],
    ['debit', 'usd', true],
  ] as const)(
    'a balance to which an entry was added that is not its account’s: a %s, %s, live mode %s',
    ([side, currency, livemode]) =>
      undone(sql, async (tx) => {
        const { sale } = await earning(tx)
        const off = side === 'credit' ? 9 : -9
        const [entry] = await tx`
          select e.org_id, e.debit_account_id as expense, e.credit_account_id as pending
          from referral_private.ledger_entries as e
          join referral_private.ledger_accounts as a on a.account_id = e.credit_account_id
          where e.sale_id = ${sale} and a.kind = 'pending'`
        const { org_id, expense, pending } = entry ?? {}
        const row = {
          ...{ org_id, amount: 9, currency, livemode, reason_key: 'by hand', caused_by: 'hand' },
          ...{ stripe_account: '', sale_id: sale },
          debit_account_id: side === 'credit' ? expense : pending,
          credit_account_id: side === 'credit' ? pending : expense,
        }
        await tx`insert into referral_private.ledger_entries ${tx(row)}`
        await tx`
          update referral_private.ledger_accounts set balance = balance + ${off}
          where account_id = ${pending}`
        expect((await verified(tx)).faults).toMatchObject([
          { kind: 'balance', account_kind: 'pending', expected: 100, found: 100 + off },
          { kind: 'entries', subject: sale, currency, livemode, expected: off, found: 0 },
        ])
      }),
  )

  test('a fact that was not settled', () =>
    undone(sql, async (tx) => {
      const { sale } = await earning(tx)
      await tx`update referral_private.sales set reversed = 500 where sale_id = ${sale}`
      expect((await verified(tx)).faults).toMatchObject([
        { kind: 'target', subject: sale, account_kind: 'pending', expected: 50, found: 100 },
      ])
    }))

  test('an entry that the owner inserted, of a known sale and of one that there is not', () =>
    undone(sql, async (tx) => {
      const { sale } = await earning(tx)
      for (const subject of [sale, 'in_nowhere']) {
        const inserted = tx.savepoint(async (point) => {
          await point`
            insert into referral_private.ledger_entries (
              org_id, debit_account_id, credit_account_id, amount, currency, reason_key, stripe_account, livemode,
              sale_id, caused_by
            )
            select e.org_id, e.debit_account_id, e.credit_account_id, 9, e.currency, 'by hand', e.stripe_account, e.livemode,
              ${subject}, 'hand'
            from referral_private.ledger_entries as e
            join referral_private.ledger_accounts as a on a.account_id = e.credit_account_id
            where e.sale_id = ${sale} and a.kind = 'pending' limit 1`
          const expected = subject === sale ? 109 : 9
          expect((await verified(point)).faults).toMatchObject([
            { kind: 'balance', account_kind: 'pending', expected: 109, found: 100 },
            { kind: 'entries', subject, account_kind: 'pending', expected, found: expected - 9 },
          ])
          throw new Error('undo')
        })
        await expect(inserted).rejects.toThrow('undo')
      }
    }))
})

test.for([
  '{}',
  '[]',
  '"in_1"',
  '{"sale_id": "in_1"}',
  '{"org_id": "nobody", "account_id": 1}',
  '{"org_id": null, "account_id": 1}',
])('a slice after %s is refused', (after) =>
  undone(sql, async (tx) => {
    const call = operator(tx).run('select referral.verify_ledger($1::text::jsonb)', [after])
    expect(await refusal(call)).toBe('invalid_argument')
    expect(await refusal(person(tx).rpc('verify_ledger'))).toBe('42501')
  }),
)

test('the procedure of docs/reliability.md walks all slices, and warns of a fault', () =>
  undone(sql, async (tx) => {
    const text = readFileSync('docs/reliability.md', 'utf8')
    const [, procedure = ''] = /```sql\n(create procedure .*?)```/s.exec(text) ?? []
    await tx.unsafe(procedure)
    const { sale } = await earning(tx)
    const walk = () => tx.unsafe('call public.verify_whole_ledger()')
    await walk()
    await tx`update referral_private.postings set amount = amount + 5 where sale_id = ${sale}`
    await tx.unsafe(
      procedure
        .replace('create procedure', 'create or replace procedure')
        .replace('raise warning', 'raise exception'),
    )
    await expect(walk()).rejects.toThrow(sale)
  }))
