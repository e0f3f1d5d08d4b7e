/** The arithmetic of commissions and reversals, on random sales. `AMOUNTS` says how many. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const cases = often('AMOUNTS', 20_000)
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)
const chunk = 2_000

/** A reward, a payment with its tax, and what was taken back step by step, not always all of it. */
const sale = fc.record({
  bps: fc.integer({ min: 0, max: 10_000 }),
  flat: fc.option(fc.integer({ min: 0, max: 10_000_000 })),
  paid: fc.oneof(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 2 ** 45 })),
  unpaid: fc.integer({ min: 0, max: 1_000 }),
  tax: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
  taken: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
})

test(`of a sale that is wholly taken back nothing stays, and no step takes more than there was (seed ${seed})`, {
  timeout: 3_600_000,
}, async () => {
  for (let done = 0; done < cases; done += chunk) {
    const rows = fc
      .sample(sale, { numRuns: chunk, seed: seed + done })
      .map(({ bps, flat, paid, unpaid, tax, taken }) => {
        const total = paid + unpaid
        const steps = taken.map((part) => Math.floor(part * paid)).sort((a, b) => a - b)
        return {
          reward:
            flat === null ? { kind: 'percent', bps } : { kind: 'flat', amount: { usd: flat } },
          paid,
          total,
          net: tax === null ? null : total - Math.floor(tax * total),
          steps: [0, ...steps, paid],
        }
      })
    const wrong = await sql`
      with
        given as (
          select row_number() over () as n, r.*
          from jsonb_to_recordset(${sql.json(rows)}) as r (reward jsonb, paid bigint, total bigint, net bigint, steps bigint[])
        ),
        worth as (
          select g.n, g.paid, g.reward, step.place, step.reversed, referral_private.reward_on(g.reward, row(
            '', false, 'in_1', 'cus_1', false, null, null, 'usd', g.paid, step.reversed, g.total, g.net, now(), now(), null
          )::referral_private.sales) as amount
          from given as g cross join unnest(g.steps) with ordinality as step (reversed, place)
        )
      select * from (
        select w.*, lag(w.amount) over (partition by w.n order by w.place) as before from worth as w
      ) as steps
      where amount < 0 or amount > before or (reversed = paid and amount <> 0)
        or (reward ->> 'kind' = 'percent' and amount > paid)`
    expect(wrong).toEqual([])
  }
  proved('random sales, taken back step by step to nothing', cases)
})

/** An intent that pays several invoices, with refunds of it. */
const split = fc.record({
  weights: fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 5 }),
  refunds: fc.array(fc.double({ min: 0, max: 0.4, noNaN: true }), { maxLength: 5 }),
})

test(`what is taken back of a payment is split over its invoices without a cent lost or made (seed ${seed})`, {
  timeout: 3_600_000,
}, async () => {
  const runs = Math.ceil(cases / 20)
  const payments = fc.sample(split, { numRuns: runs, seed }).map(({ weights, refunds }, n) => {
    const paid = weights.reduce((sum, weight) => sum + weight, 0)
    return { n, weights, refunds: refunds.map((part) => Math.floor(part * paid)) }
  })
  const wrong = await sql.begin(async (tx) => {
    await tx`
      insert into referral_private.invoice_payments (stripe_account, livemode, link_id, invoice_id, payment_key, amount_paid)
      select 'acct_split', false, 'inpay_' || p.n || '_' || w.place, 'in_' || p.n || '_' || w.place, 'pi_' || p.n, w.weight
      from jsonb_to_recordset(${tx.json(payments)}) as p (n int, weights bigint[], refunds bigint[])
      cross join unnest(p.weights) with ordinality as w (weight, place)`
    await tx`
      insert into referral_private.refunds (stripe_account, livemode, refund_id, payment_key, amount, status_rank, stated_at, stated_by)
      select 'acct_split', false, 're_' || p.n || '_' || r.place, 'pi_' || p.n, r.amount, 1, now(), 'evt_1'
      from jsonb_to_recordset(${tx.json(payments)}) as p (n int, weights bigint[], refunds bigint[])
      cross join unnest(p.refunds) with ordinality as r (amount, place)`
    await tx`analyze referral_private.invoice_payments`
    await tx`analyze referral_private.refunds`
    return tx`
      select p.n, p.taken, s.shares
      from (
        select p.n, p.weights, coalesce((select sum(r) from unnest(p.refunds) as r), 0) as taken
        from jsonb_to_recordset(${tx.json(payments)}) as p (n int, weights bigint[], refunds bigint[])
      ) as p
      cross join lateral (
        select sum(referral_private.reversed_share_of_invoice(
          'acct_split', false, 'in_' || p.n || '_' || w.place, array['pi_' || p.n], 'usd', w.weight
        )) as shares
        from unnest(p.weights) with ordinality as w (weight, place)
      ) as s
      where s.shares <> p.taken`
  })
  expect(wrong).toEqual([])
  proved('payments of several invoices, split', runs)
})
