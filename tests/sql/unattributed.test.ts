/** list_unattributed: sales that credit nobody, and why. */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../fixtures/stripe/invoice-payment-paid.ts'
import { refund } from '../fixtures/stripe/refund.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest, settleAccount } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const now = Math.floor(Date.now() / 1000)
const terms = { enrolment: 'open', commission: { kind: 'percent', bps: 1000 } }

const listed = async (tx: Sql, args: object = {}) =>
  (await operator(tx).rpc('list_unattributed', args as Record<string, unknown>)).map(
    ({ sale_id, reason }) => `${sale_id} ${reason}`,
  )

test('lists sales that credit nobody, newest first, each with its reason', () =>
  undone(sql, async (tx) => {
    const { org, mentor, coordinator, friend } = await scene(tx, {
      ...terms,
      minimum_sale: { usd: 500 },
    })
    const { code } = await codeOf(mentor, org)
    const [redeemed] = await friend.rpc('redeem_code', { code })
    const invoice = (id: string, seconds: number, more: object) =>
      ingest(tx, paidInvoice({ id, at: now + seconds, ...more }))
    await invoice('in_credited', 10, { userId: friend.id })
    await invoice('in_nobody', 20, { customer: 'cus_nobody' })
    const buyer = person(tx)
    await buyer.rpc('redeem_code', { code })
    await invoice('in_small', 30, { userId: buyer.id, paid: 499, customer: 'cus_small' })
    await invoice('in_own', 40, { userId: mentor.id, code, customer: 'cus_own' })
    const about = { customer: 'cus_refunded', at: now + 50 }
    await ingest(tx, completedSession({ ...about, reference: code }))
    await invoice('in_refunded', 51, about)
    await ingest(tx, paidInvoicePayment({ invoice: 'in_refunded', intent: 'pi_refunded' }))
    await ingest(tx, refund({ intent: 'pi_refunded', amount: 1000 }))
    expect((await listed(tx)).filter((line) => !line.startsWith('in_own'))).toEqual([
      'in_small minimum_sale',
      'in_nobody no_evidence',
    ])
    expect((await listed(tx))[0]).toMatch(/^in_own (self_referral|no_evidence)$/)
    await coordinator.rpc('reject_redemption', { redemption_id: redeemed?.redemption_id })
    expect(await listed(tx)).toContain('in_credited rejected')
    const [row] = await operator(tx).rpc('list_unattributed')
    expect(row).toMatchObject({
      ...{ stripe_account: '', livemode: false, sale_id: 'in_own', payer_id: 'cus_own' },
      ...{ paid_at: new Date((now + 40) * 1000), currency: 'usd', paid: 1000n },
    })
  }))

test('a sale that waits to be settled is one of settlement_pending, until it is', () =>
  undone(sql, async (tx) => {
    const { org, mentor } = await scene(tx, terms)
    const { code } = await codeOf(mentor, org)
    await tx.unsafe(`create or replace function referral_private.settled_at_once() returns int language plpgsql immutable
      as 'begin return 0; end'`)
    await ingest(tx, paidInvoice({ id: 'in_waiting', code, at: now + 5 }))
    expect(await listed(tx)).toEqual(['in_waiting settlement_pending'])
    await tx.unsafe(`create or replace function referral_private.settled_at_once() returns int language plpgsql immutable
      as 'begin return 250; end'`)
    await settleAccount(tx)
    expect(await listed(tx)).toEqual([])
  }))

test('a sale that earns nothing by its percentage is one of zero_amount', () =>
  undone(sql, async (tx) => {
    const { org, mentor } = await scene(tx, { ...terms, commission: { kind: 'percent', bps: 0 } })
    const { code } = await codeOf(mentor, org)
    await ingest(tx, paidInvoice({ id: 'in_free', code, at: now + 5 }))
    expect(await listed(tx)).toEqual(['in_free zero_amount'])
  }))

test('narrows by mode and Stripe account', () =>
  undone(sql, async (tx) => {
    await ingest(tx, paidInvoice({ id: 'in_test', at: now }))
    await ingest(tx, paidInvoice({ id: 'in_live', at: now + 1, livemode: true }))
    await ingest(tx, paidInvoice({ id: 'in_theirs', at: now + 2, account: 'acct_1' }))
    const of = async (args: object) =>
      (await listed(tx, args)).map((line) => line.replace(' no_evidence', ''))
    expect(await of({})).toEqual(['in_theirs', 'in_live', 'in_test'])
    expect(await of({ livemode: true })).toEqual(['in_live'])
    expect(await of({ stripe_account: '' })).toEqual(['in_live', 'in_test'])
    expect(await of({ stripe_account: 'acct_1', livemode: true })).toEqual([])
  }))

test.for([{ livemode: true }, { account: 'acct_1' }])(
  'lists a sale although one of the same id has earned elsewhere: %o',
  (elsewhere) =>
    undone(sql, async (tx) => {
      const { org, mentor } = await scene(tx, terms)
      const { code } = await codeOf(mentor, org)
      const of = { id: 'in_1', at: now + 5 }
      await ingest(tx, paidInvoice({ ...of, code }))
      expect(await listed(tx)).toEqual([])
      await ingest(tx, paidInvoice({ ...of, ...elsewhere }))
      expect(await listed(tx)).toEqual(['in_1 no_evidence'])
    }),
)

test('comes page by page, each sale once, also those of one time and of one id', () =>
  undone(sql, async (tx) => {
    for (let n = 0; n < 4; n++) await ingest(tx, paidInvoice({ id: `in_${n}`, at: now }))
    for (const more of [{ livemode: true }, { account: 'acct_1' }])
      await ingest(tx, paidInvoice({ id: 'in_2', at: now, ...more }))
    const seen: string[] = []
    for (let after: unknown = null; ; ) {
      const [row, ...more] = await operator(tx).run(
        'select to_jsonb(u) as row from referral.list_unattributed(after => $1::text::jsonb, page_size => 1) as u',
        [after && JSON.stringify(after)],
      )
      expect(more).toEqual([])
      if (!row) break
      const { sale_id, stripe_account, livemode } = row.row as Record<string, unknown>
      seen.push(`${sale_id} ${stripe_account} ${livemode}`)
      after = row.row
    }
    expect(seen).toEqual([
      'in_3  false',
      'in_2 acct_1 false',
      'in_2  true',
      'in_2  false',
      'in_1  false',
      'in_0  false',
    ])
  }))

test.for(['{}', '[]', '"in_1"', '{"sale_id": "in_1"}'])('after %s is refused', (after) =>
  undone(sql, async (tx) => {
    const call = operator(tx).run('select referral.list_unattributed(after => $1::text::jsonb)', [
      after,
    ])
    expect(await refusal(call)).toBe('invalid_argument')
  }),
)
