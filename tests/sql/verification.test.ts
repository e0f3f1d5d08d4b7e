/** verify_ledger: nothing is wrong with a ledger that only functions wrote, and what was changed by hand is named. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { ending, stageStory, stories } from '../support/money.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const now = () => Math.floor(Date.now() / 1000)
const day = 86_400
const terms = {
  enrolment: 'open',
  commission: { kind: 'percent', bps: 1000 },
  referee_reward: { kind: 'flat', amount: { usd: 300 } },
  recurrence: 'forever',
  hold_days: 7,
}

type Fault = Record<string, unknown>
type Slice = { checked: number; faults: Fault[]; next: object | null }

/** Walks all slices. Gives the faults, and how many accounts and sales were looked at. */
async function verified(tx: Sql, page_size = 100) {
  const faults: Fault[] = []
  let [checked, slices] = [0, 0]
  for (let after: object | null = null; slices < 10_000; ) {
    const [row] = await operator(tx).run(
      'select to_jsonb(s) as slice from referral.verify_ledger($1::text::jsonb, $2) as s',
      [after && JSON.stringify(after), page_size],
    )
    const slice = row?.slice as Slice
    expect(slice.checked).toBeLessThanOrEqual(page_size)
    faults.push(...slice.faults)
    checked += slice.checked
    slices += 1
    after = slice.next
    if (after === null) break
  }
  return { faults, checked, slices }
}

/** A mentor's friend buys twice: a commission and a reward are on hold, and a commission is available. */
async function earning(tx: Sql) {
  const people = await scene(tx, terms)
  const { org, mentor, friend } = people
  await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
  await tx`update referral.redemptions set redeemed_at = redeemed_at - interval '20 days'`
  const customer = 'cus_1'
  const old = paidInvoice({ customer, userId: friend.id, at: now() - 10 * day })
  const recent = paidInvoice({ customer, userId: friend.id, at: now() - 5 * day })
  for (const event of [old, recent]) await ingest(tx, event)
  const [oldSale, sale] = [String(old.data.object.id), String(recent.data.object.id)]
  const later = () => ingest(tx, paidInvoice({ customer: 'cus_2', at: now() }))
  return { ...people, oldSale, sale, later }
}

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

  test('has none while commissions are due and not released yet', () =>
    undone(sql, async (tx) => {
      await earning(tx)
      await tx`update referral.program_terms set terms = terms || '{"hold_days": 5}'`
      await tx`update referral_private.sales set paid_at = paid_at - interval '1 hour'`
      await tx`
        update referral_private.postings set due_at = due_at - interval '2 days 1 hour' where due_at is not null`
      expect(await verified(tx)).toMatchObject({ faults: [] })
    }))

  test(
    'is walked as a whole, 1,500 sales and their accounts, in slices of any size',
    {
      timeout: 300_000,
    },
    () =>
      undone(sql, async (tx) => {
        const { org, mentor, oldSale } = await earning(tx)
        await tx`
        insert into referral_private.sales
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
      await tx`update referral_private.postings set due_at = null where sale_id = ${sale}`
      expect((await verified(tx)).faults).toMatchObject([
        { kind: 'due', subject: sale, expected: row?.due, found: 0 },
      ])
    }))

  test('a balance', () =>
    undone(sql, async (tx) => {
      const { org, mentor } = await earning(tx)
      const [row] = await tx`
        update referral_private.ledger_accounts set balance = balance - 1
        where org_id = ${org} and earner_id = ${mentor.id} and kind = 'available' returning account_id`
      expect((await verified(tx)).faults).toMatchObject([
        {
          ...{
            kind: 'balance',
            org_id: org,
            livemode: false,
            subject: `account ${row?.account_id}`,
          },
          ...{ earner_id: mentor.id, account_kind: 'available', expected: 100, found: 99 },
        },
      ])
    }))

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

describe('a table that is append-only', async () => {
  const triggers = await sql<{ name: string; table: string }[]>`
    select tgname as name, tgrelid::regclass::text as table from pg_trigger
    where tgfoid = 'referral_private.refuse_change'::regproc order by 1`

  test('is one of at least four', () => expect(triggers.length).toBeGreaterThanOrEqual(4))

  const changes = [
    ['dropped', (name: string, table: string) => `drop trigger ${name} on ${table}`],
    ['disabled', (name: string, table: string) => `alter table ${table} disable trigger ${name}`],
    [
      'one that a replica skips',
      (name: string, table: string) => `alter table ${table} enable trigger ${name}`,
    ],
    [
      'one that lets rows be deleted',
      (name: string, table: string) =>
        `drop trigger ${name} on ${table};
        create trigger ${name} before update or truncate on ${table}
        for each statement execute function referral_private.refuse_change();
        alter table ${table} enable always trigger ${name}`,
    ],
    [
      'one that refuses on a condition',
      (name: string, table: string) =>
        `drop trigger ${name} on ${table};
        create trigger ${name} before update or delete or truncate on ${table}
        for each statement when (false) execute function referral_private.refuse_change();
        alter table ${table} enable always trigger ${name}`,
    ],
    [
      'one of a single column',
      (name: string, table: string) => `
        drop trigger ${name} on ${table};
        do $$
        begin
          execute (
            select format(
              'create trigger %I before update of %I or delete or truncate on ${table}
              for each statement execute function referral_private.refuse_change()', '${name}', attname
            )
            from pg_attribute where attrelid = '${table}'::regclass and attnum = 1
          );
        end $$;
        alter table ${table} enable always trigger ${name}`,
    ],
    [
      'one that lets changes pass',
      (name: string, table: string) =>
        `drop trigger ${name} on ${table};
        create function public.pass() returns trigger language plpgsql as 'begin return null; end';
        create trigger ${name} before update or delete or truncate on ${table}
        for each statement execute function public.pass();
        alter table ${table} enable always trigger ${name}`,
    ],
  ] as const

  test.for(
    changes.flatMap((change) =>
      triggers.map(({ name, table }) => [...change, name, table] as const),
    ),
  )('is named where its trigger is %s: %3$s', ([, change, name, table]) =>
    undone(sql, async (tx) => {
      await tx.unsafe(change(name, table))
      expect((await verified(tx)).faults).toMatchObject([
        {
          ...{ kind: 'trigger', subject: table.replace('referral_private.', '') },
          ...{ expected: 1, found: 0 },
        },
      ])
    }),
  )
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
