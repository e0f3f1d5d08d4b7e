/** What rewards are worth, on random sales: every amount is the oracle's, to the unit. `AMOUNTS` says how many sales. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { worth } from '../oracle/rewards.ts'
import type { Reward } from '../oracle/world.ts'
import { testDatabase } from '../support/database.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const cases = often('AMOUNTS', 20_000)
const seed = Number(process.env.STORY_SEED ?? Date.now() % 2 ** 31)
const chunk = 2_000

const percent = fc.record({
  kind: fc.constant('percent'),
  bps: fc.integer({ min: 0, max: 10_000 }),
})
const flat = fc.record({
  kind: fc.constant('flat'),
  amount: fc.dictionary(fc.constantFrom('usd', 'eur'), fc.integer({ min: 0, max: 10_000_000 }), {
    minKeys: 1,
  }),
})

/** A reward, a payment with its tax, and what was taken back step by step, not always all of it. */
const sale = fc.record({
  reward: fc.oneof(percent, flat) as fc.Arbitrary<Reward>,
  paid: fc.oneof(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 2 ** 45 })),
  unpaid: fc.integer({ min: -1_000, max: 1_000 }),
  tax: fc.option(fc.double({ min: 0, max: 1.1, noNaN: true })),
  above: fc.boolean(),
  taken: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
})

const sales = (from: number) =>
  fc
    .sample(sale, { numRuns: chunk, seed: from })
    .map(({ reward, above, paid, unpaid, tax, taken }, n) => {
      const total = paid + unpaid
      const steps = taken.map((part) => Math.floor(part * paid)).sort((a, b) => a - b)
      const net = tax === null ? null : total - Math.floor(tax * Math.abs(total))
      return { n, reward, above, paid, total, net, steps: [0, ...steps, paid] }
    })

/** What each reward is worth after each step, as the database reckons. */
async function reckoned(rows: ReturnType<typeof sales>): Promise<(bigint | null)[]> {
  const amounts = await sql<{ amount: bigint | null }[]>`
    select referral_private.reward_on(
      g.reward, row('usd', g.paid, step.reversed, g.total, g.net)::referral_private.price, g.above
    ) as amount
    from jsonb_to_recordset(${sql.json(rows)}) as g (n int, reward jsonb, above boolean, paid bigint, total bigint, net bigint, steps bigint[])
    cross join unnest(g.steps) with ordinality as step (reversed, place)
    order by g.n, step.place`
  return amounts.map(({ amount }) => amount)
}

test(`a reward is worth what its formula says, less with each step, and nothing in the end (seed ${seed})`, {
  timeout: 3_600_000,
}, async () => {
  for (let done = 0; done < cases; done += chunk) {
    const rows = sales(seed + done)
    const amounts = rows.map(({ reward, above, paid, total, net, steps }) =>
      steps.map((reversed) =>
        worth(
          reward,
          {
            paid: BigInt(paid),
            reversed: BigInt(reversed),
            total: BigInt(total),
            withoutTax: net === null ? null : BigInt(net),
            currency: 'usd',
          },
          above,
        ),
      ),
    )
    expect(await reckoned(rows)).toEqual(amounts.flat())
    const broken = amounts.filter((steps, n) => {
      const most = rows[n]?.reward.kind === 'percent' ? BigInt(rows[n].paid) : (steps[0] ?? 0n)
      const isLess = (amount: bigint, n: number) => amount >= 0n && amount <= (steps[n - 1] ?? most)
      return !steps.every((amount, n) => amount === null || isLess(amount, n)) || steps.at(-1)
    })
    expect(broken).toEqual([])
  }
  proved('random sales, reversed step by step, each amount the oracle’s', cases)
})
