/** What settling in pieces must not lose: who moves, who waits for another's sake, and what a decision may not bring. */
import { expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { type Actor, operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest, queued, reduced, settleAccount } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, scene } from '../support/scene.ts'
import { verified } from '../support/verified.ts'

const sql = await testDatabase()
const now = () => Math.floor(Date.now() / 1000)
const percent = { kind: 'percent', bps: 1000 }
const terms = { enrolment: 'open', recurrence: 'forever', commission: percent, hold_days: 7 }

/** So many payers, or differences, are the most that is settled in one transaction. */
const most = (tx: Sql, count: number) =>
  tx.unsafe(`
    create or replace function referral_private.settled_at_once() returns int language plpgsql immutable
    as 'begin return ${count}; end'`)

async function earned(owner: Actor, org: string): Promise<number> {
  const rows = await owner.rpc('my_earnings', { org_id: org })
  return rows.reduce((sum, { pending, available }) => sum + Number(pending) + Number(available), 0)
}

const tiers = [1, 2, 3].map((from) => ({ from, bps: 1000 * from }))

/** Two people bought so often, the first sale of a third arrives last and moves them in rank. */
async function moved(tx: Sql, sales: number): Promise<void> {
  const { org, mentor } = await scene(tx, {
    ...{ enrolment: 'open', hold_days: 7, recurrence: 'forever', tiers },
  })
  const { code } = await codeOf(mentor, org)
  const [late, first, second] = [person(tx), person(tx), person(tx)] as const
  for (const who of [late, first, second]) await who.rpc('redeem_code', { code })
  for (const [n, { id: userId }] of [first, second].entries())
    for (let m = 0; m < sales; m++)
      await ingest(tx, paidInvoice({ customer: `cus_${n}`, userId, at: now() + 20 + 100 * n + m }))
  await settleAccount(tx, '')
  expect(await earned(mentor, org)).toBe(sales * (100 + 200))
  await ingest(tx, paidInvoice({ customer: 'cus_late', userId: late.id, at: now() + 10 }))
  await settleAccount(tx, '')
  expect(await verified(tx)).toMatchObject({ faults: [] })
  expect(await earned(mentor, org)).toBe(100 + sales * (200 + 300))
  await checkLedger(tx)
}

test('who moves in rank is posted in full where that takes several pieces', () =>
  undone(sql, async (tx) => {
    await most(tx, 5)
    await moved(tx, 5)
  }))

test('who moves in rank is settled where all then have too many sales', () =>
  undone(sql, async (tx) => {
    await most(tx, 5)
    await moved(tx, 10)
  }))

test('a payer that waits, also for its former person’s sake, is not settled by another payer', () =>
  undone(sql, async (tx) => {
    await most(tx, 3)
    const { org, mentor } = await scene(tx, terms)
    const { code } = await codeOf(mentor, org)
    const [one, two] = [person(tx), person(tx)] as const
    // Known without evidence.
    const other = await scene(tx, terms)
    const elsewhere = await codeOf(other.mentor, other.org)
    for (const who of [one, two]) await who.rpc('redeem_code', { code: elsewhere.code })
    await tx`update referral.redemptions set redeemed_at = now() + interval '1 year'`
    // The second person's: one customer carries the code, the other bought much.
    await ingest(tx, paidInvoice({ customer: 'cus_b', userId: two.id, code, at: now() + 100 }))
    for (let n = 0; n < 13; n++)
      await ingest(tx, paidInvoice({ customer: 'cus_c', userId: two.id, at: now() + 200 + n }))
    await settleAccount(tx, '')
    expect(await earned(mentor, org)).toBe(1400)
    // It turns out that the first customer was another's before.
    await ingest(tx, paidInvoice({ customer: 'cus_b', userId: one.id, at: now() + 50, paid: 0 }))
    expect(await verified(tx)).toMatchObject({ faults: [] })
    await ingest(tx, paidInvoice({ customer: 'cus_a', userId: one.id, at: now() + 300, paid: 500 }))
    await settleAccount(tx, '')
    await checkLedger(tx)
    expect(await verified(tx)).toMatchObject({ faults: [] })
  }))

test('nobody earns by what they decide, also where its payers wait', () =>
  undone(sql, async (tx) => {
    await most(tx, 3)
    const { org, mentor, coordinator } = await scene(tx, terms)
    const [rival, own] = [await codeOf(mentor, org), await codeOf(coordinator, org)]
    for (let n = 0; n < 4; n++) {
      const customer = `cus_${n}`
      await ingest(tx, paidInvoice({ customer, code: rival.code, at: now() + 50, paid: 0 }))
      await ingest(tx, paidInvoice({ customer, code: own.code, at: now() + 60 }))
    }
    expect(await earned(mentor, org)).toBe(400)
    const since = new Date((now() - 100) * 1000).toISOString()
    const forfeit = { org_id: org, member_id: mentor.id, since }
    expect(await refusal(coordinator.rpc('forfeit_from', forfeit))).toBe('not_allowed')
    await settleAccount(tx, '')
    expect(await earned(coordinator, org)).toBe(0)
  }))

const account = (n: number) => `acct_${n}`

test('an account that cannot be settled keeps no other waiting, and more is of all accounts', () =>
  undone(sql, async (tx) => {
    const stuck = await reduced(paidInvoice())
    await queued(tx, [stuck])
    await tx`update referral_private.unapplied_events set error = '23505'`
    await tx.unsafe(`
      create or replace function referral_private.state_event(
        p_kind text, p_stated referral_private.stated_event
      )
      returns referral_private.touched language plpgsql as $$
      begin
        if p_stated.event_id = '${stuck.id}' then raise unique_violation using message = 'ours'; end if;
        return ('{}'::text[], '{}'::text[])::referral_private.touched;
      end $$`)
    await tx`insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by)
      values ('acct_2', false, 'cus_1', 'evt_1')`
    await tx`insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by)
      values ('acct_3', false, 'cus_1', 'evt_1')`
    const settle = async () => (await operator(tx).rpc('settle_stripe_events'))[0]
    const calls = [await settle(), await settle(), await settle(), await settle()]
    expect(await tx`select from referral_private.to_settle`).toEqual([])
    expect(calls.at(-1)?.more).toBe(false)
  }))

test('an event for which time always runs out stops no other for long', () =>
  undone(sql, async (tx) => {
    const { org, mentor } = await scene(tx, terms)
    const { code } = await codeOf(mentor, org)
    const events = await Promise.all(
      Array.from({ length: 60 }, (_, n) => reduced(paidInvoice({ code, at: now() + 60 + n }))),
    )
    const slow = String(events[20]?.id)
    await tx.unsafe(`
      alter function referral_private.state_event(text, referral_private.stated_event) rename to stated;
      create function referral_private.state_event(p_kind text, p_stated referral_private.stated_event)
      returns referral_private.touched language plpgsql as $$
      begin
        if p_stated.event_id = '${slow}' then raise query_canceled; end if;
        return referral_private.stated(p_kind, p_stated);
      end $$`)
    await queued(tx, events)
    let calls = 0
    for (let more = true; more && calls < 60; calls++) {
      const [row] = await operator(tx).rpc('settle_stripe_events', { stripe_account: '' })
      more = row?.more === true
    }
    expect(await earned(mentor, org)).toBe(5900)
    expect(calls).toBeLessThan(20)
    const waiting = async () => [
      ...(await tx`select event_id, error from referral_private.unapplied_events`),
    ]
    expect(await waiting()).toEqual([{ event_id: slow, error: '57014' }])
    await operator(tx).rpc('settle_stripe_events')
    expect(await waiting()).toEqual([{ event_id: slow, error: '57014' }])
    expect(await ingest(tx, paidInvoice({ code, at: now() + 60 }))).toBe('applied')
    await tx.unsafe(`
      create or replace function referral_private.state_event(p_kind text, p_stated referral_private.stated_event)
      returns referral_private.touched language plpgsql as $$
      begin return referral_private.stated(p_kind, p_stated); end $$`)
    await operator(tx).rpc('settle_stripe_events')
    expect(await waiting()).toEqual([])
    expect(await earned(mentor, org)).toBe(6100)
    await checkLedger(tx)
  }))

test('a payer for whom time always runs out stops no other for long', () =>
  undone(sql, async (tx) => {
    await tx.unsafe(`
      alter function referral_private.settle_at_once(text, boolean, text[], text[], referral_private.cause[], boolean)
      rename to settled;
      create function referral_private.settle_at_once(
        a text, b boolean, p_payer_ids text[], c text[], d referral_private.cause[], e boolean
      )
      returns void language plpgsql as $$
      begin
        if 'cus_20' = any (p_payer_ids) then raise query_canceled; end if;
        perform referral_private.settled(a, b, p_payer_ids, c, d, e);
      end $$`)
    await tx`insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by)
      select '', false, 'cus_' || n, 'evt_1' from generate_series(1, 60) as n`
    let calls = 0
    for (let more = true; more && calls < 60; calls++) {
      const [row] = await operator(tx).rpc('settle_stripe_events', { stripe_account: '' })
      more = row?.more === true
    }
    const waiting = async () => [
      ...(await tx`select payer_id, error from referral_private.to_settle`),
    ]
    expect(await waiting()).toEqual([{ payer_id: 'cus_20', error: '57014' }])
    expect(calls).toBeLessThan(20)
    await operator(tx).rpc('settle_stripe_events')
    expect(await waiting()).toEqual([{ payer_id: 'cus_20', error: '57014' }])
    await tx.unsafe(`
      drop function referral_private.settle_at_once(text, boolean, text[], text[], referral_private.cause[], boolean);
      alter function referral_private.settled(text, boolean, text[], text[], referral_private.cause[], boolean)
      rename to settle_at_once`)
    await operator(tx).rpc('settle_stripe_events')
    expect(await waiting()).toEqual([])
  }))

test('more is true while another account waits', () =>
  undone(sql, async (tx) => {
    for (const n of [2, 3])
      await tx`insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by)
        values (${account(n)}, false, 'cus_1', 'evt_1')`
    await settleAccount(tx)
    expect(await tx`select stripe_account from referral_private.to_settle`).toEqual([])
  }))

test.for([['settled'], ['released']])('a payer that cannot be %s stops no other', ([how]) =>
  undone(sql, async (tx) => {
    await most(tx, 3)
    const { org, mentor } = await scene(tx, terms)
    const { code } = await codeOf(mentor, org)
    for (const n of [0, 1, 2])
      await ingest(tx, paidInvoice({ customer: `cus_${n}`, code, at: now() + 50 + n }))
    await tx.unsafe(`
      create function public.refuse() returns trigger language plpgsql as $$
      begin
        if new.sale_id in (select sale_id from referral_private.sales where payer_id = 'cus_0')
          and new.amount > 100 then raise check_violation; end if;
        return new;
      end $$;
      create trigger refuse before insert or update on referral_private.postings
      for each row execute function public.refuse()`)
    await tx`update referral_private.sales set paid = 2000, total = 2000, total_excluding_tax = 2000`
    if (how === 'released') {
      await tx`update referral_private.postings set due_at = now() - interval '1 hour'`
      await operator(tx).rpc('release_due_commissions')
    } else {
      for (const n of [0, 1, 2])
        await tx`insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by)
          values ('', false, ${`cus_${n}`}, 'evt_1')`
    }
    await settleAccount(tx, '')
    expect(await earned(mentor, org)).toBe(500)
    expect(await tx`select payer_id from referral_private.to_settle`).toEqual([
      { payer_id: 'cus_0' },
    ])
  }),
)
