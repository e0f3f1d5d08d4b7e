/**
 * What is taken back of payments that paid several invoices: each invoice's share is the oracle's, to the unit. There is
 * one for every twenty of `AMOUNTS`.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sum } from '../oracle/arithmetic.ts'
import { reversedOfPayment, splitOver } from '../oracle/reversals.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const cases = Math.ceil(often('AMOUNTS', 20_000) / 20)
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)

/** Small ones are often equal. */
const amount = fc.constantFrom(3, 50, 1_000_000).chain((max) => fc.integer({ min: 1, max }))

/** Refunds, which a credit note may assign to an invoice, and disputes, which give some back. */
const payment = fc.record({
  paid: fc.array(fc.oneof({ weight: 9, arbitrary: amount }, fc.constant(0)), {
    minLength: 1,
    maxLength: 5,
  }),
  refunds: fc.array(
    fc.record({
      part: fc.double({ min: 0, max: 0.4, noNaN: true }),
      failed: fc.nat(4).map((n) => n === 0),
      invoice: fc.nat(4),
      assigned: fc.constantFrom(0, 0, 0.5, 1),
    }),
    { maxLength: 4 },
  ),
  disputes: fc.array(
    fc.record({
      amount,
      currency: fc.constantFrom('usd', 'eur'),
      settled: fc.constantFrom('usd', 'eur'),
      taken: amount,
      back: fc.constantFrom(0, 0.3, 1),
    }),
    { maxLength: 2 },
  ),
})

const payments = (count: number) =>
  fc.sample(payment, { numRuns: count, seed }).map(({ paid, refunds, disputes }, n) => ({
    n,
    paid,
    refunds: refunds.map(({ part, assigned, ...refund }) => {
      const amount = Math.floor(part * paid.reduce((total, one) => total + one))
      return { ...refund, amount, assigned: Math.floor(assigned * amount) }
    }),
    disputes: disputes.map(({ taken, back, ...dispute }) => ({
      ...dispute,
      moved: [-taken, Math.floor(back * taken)],
    })),
  }))

type Payment = ReturnType<typeof payments>[0]

/** Writes the payments down as facts, and has the database reckon each invoice's share. */
async function reckoned(tx: Sql, rows: Payment[]): Promise<bigint[][]> {
  await tx`create temporary table given on commit drop as
    select * from jsonb_to_recordset(${tx.json(rows)}) as p (n int, paid bigint[], refunds jsonb, disputes jsonb)`
  await tx.unsafe(`
    insert into referral_private.invoice_payments (
      stripe_account, livemode, object_id, invoice_id, payment_key, amount_paid
    )
    select 'acct_1', false, 'inpay_' || n || '_' || i, 'in_' || n || '_' || i, 'pi_' || n, amount
    from given cross join unnest(paid) with ordinality as part (amount, i);
    insert into referral_private.refunds (
      stripe_account, livemode, refund_id, payment_key, amount, status_rank, stated_at, stated_by
    )
    select 'acct_1', false, 're_' || n || '_' || i, 'pi_' || n, (r ->> 'amount')::bigint,
      case when (r ->> 'failed')::boolean then 2 else 1 end, now(), 'evt_1'
    from given cross join jsonb_array_elements(refunds) with ordinality as refund (r, i);
    insert into referral_private.credit_notes (
      stripe_account, livemode, credit_note_id, invoice_id, outside, void, stated_at, stated_by
    )
    select 'acct_1', false, 'cn_' || n || '_' || i, 'in_' || n || '_' || 1 + (r ->> 'invoice')::int, 0, false, now(), 'evt_1'
    from given cross join jsonb_array_elements(refunds) with ordinality as refund (r, i);
    insert into referral_private.credit_note_refunds (stripe_account, livemode, credit_note_id, refund_id, amount)
    select 'acct_1', false, 'cn_' || n || '_' || i, 're_' || n || '_' || i, (r ->> 'assigned')::bigint
    from given cross join jsonb_array_elements(refunds) with ordinality as refund (r, i);
    insert into referral_private.disputes (
      stripe_account, livemode, dispute_id, payment_key, amount, currency, stated_at, stated_by
    )
    select 'acct_1', false, 'du_' || n || '_' || i, 'pi_' || n, (d ->> 'amount')::bigint, d ->> 'currency', now(), 'evt_1'
    from given cross join jsonb_array_elements(disputes) with ordinality as dispute (d, i);
    insert into referral_private.dispute_transactions
      (stripe_account, livemode, dispute_id, transaction_id, amount, currency)
    select 'acct_1', false, 'du_' || n || '_' || i, 'txn_' || j, amount::bigint, d ->> 'settled'
    from given cross join jsonb_array_elements(disputes) with ordinality as dispute (d, i)
    cross join jsonb_array_elements_text(d -> 'moved') with ordinality as moved (amount, j);
    analyze referral_private.invoice_payments, referral_private.refunds, referral_private.disputes`)
  const shares = await tx<{ shares: string[] }[]>`
    select array_agg(referral_private.reversed_share_of_invoice(
      'acct_1', false, 'in_' || n || '_' || i, array['pi_' || n], 'usd', 1
    ) order by i) as shares
    from given cross join unnest(paid) with ordinality as part (amount, i)
    group by n order by n`
  return shares.map((row) => row.shares.map(BigInt))
}

/** What the oracle says of the same. */
function expected({ n, paid, refunds, disputes }: Payment) {
  const id = (place: number) => `in_${n}_${place + 1}`
  const parts = paid.map((amount, place) => {
    const assigning = refunds.filter(({ failed, invoice }) => !failed && invoice === place)
    const assigned = sum(assigning.map(({ assigned }) => BigInt(assigned)))
    return [id(place), { paid: BigInt(amount), assigned }] as const
  })
  const whole = sum(parts.map(([, part]) => part.paid))
  const taken = reversedOfPayment(
    {
      refunds: refunds.map(({ amount, failed }) => ({ amount: BigInt(amount), failed })),
      disputes: disputes.map(({ amount, currency, settled, moved }) => ({
        amount: BigInt(amount),
        currency,
        moved: moved.map((change) => ({ amount: BigInt(change), currency: settled })),
      })),
    },
    { currency: 'usd', paid: whole || 1n },
  )
  const split = splitOver(taken, new Map(parts))
  return { whole, taken, shares: paid.map((_, place) => split.get(id(place)) ?? 0n) }
}

test(
  `what is taken back of a payment is split over its invoices as the rule says, without a cent lost or made (seed ${seed})`,
  {
    timeout: 3_600_000,
  },
  () =>
    undone(sql, async (tx) => {
      const rows = payments(cases)
      const splits = rows.map(expected)
      expect(await reckoned(tx, rows)).toEqual(splits.map(({ shares }) => shares))
      const within = splits.filter(({ whole, taken }) => taken <= whole)
      expect(within.filter(({ taken, shares }) => sum(shares) !== taken)).toEqual([])
      expect(within.length).toBeGreaterThan(cases / 3)
      proved('payments of several invoices, split, each share the oracle’s', cases)
    }),
)
