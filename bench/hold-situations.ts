import { createHash } from 'node:crypto'
import { paidInvoice } from '../tests/fixtures/stripe/invoice-paid.ts'
import { promotionCode } from '../tests/fixtures/stripe/promotion-code.ts'
import { facts, redemptions, settled } from './facts.ts'

/** A call that takes the account lock: a statement, or an event that arrives. */
export type Call = { what: string } & ({ statement: string } | { event: object })

/** What is known beforehand, as SQL, and the calls that are measured on it, one after the other. */
export type Situation = {
  name: string
  prepare: string[]
  /** Gets the time of the first facts, in seconds since 1970. */
  calls: (at: number) => Call[]
}

/** The nth code of the organisation. */
export const nthCode = (n: number) =>
  createHash('md5').update(String(n)).digest('hex').slice(0, 16).toUpperCase()

const user = "md5('bench user')::uuid"
const userId = createHash('md5').update('bench user').digest('hex')
const asUuid = (hex: string) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

const terms = (changes: object) =>
  `select referral.update_program(bench.program_id(), '${JSON.stringify({ terms: changes })}')`

/** A paid invoice of a customer. */
const invoice = (customer: string, about: { at: number; code?: string; userId?: string }) =>
  paidInvoice({ customer: `cus_${customer}`, ...about })

/** The situations, with this share of their sizes. */
export function situations(scale: number): Situation[] {
  const n = (size: number) => Math.round(size * scale)
  const [customers, sales, payers, ahead] = [n(8_000), n(20_000), n(16_000), n(100_000)]
  const promotion = (at: number, about: object) =>
    promotionCode({ id: 'promo_bench', at, ...about })
  const tiers = [1, 2, sales / 2, sales].map((from, i) => ({
    from: Math.ceil(from) + (i > 1 ? 1 : 0),
    bps: 1000 + i,
  }))
  return [
    {
      name: 'promotion',
      prepare: [facts({ name: 'a', sales: customers, names: 'promotion' })],
      calls: (at) => [
        {
          what: `a promotion code of ${customers} customers is mapped`,
          event: promotion(at - 20, { code: nthCode(1) }),
        },
        {
          what: `a promotion code of ${customers} customers is mapped to another code`,
          event: promotion(at - 10, { code: nthCode(2), previous: nthCode(1) }),
        },
      ],
    },
    {
      name: 'person',
      prepare: [facts({ name: 'b', sales, customers: 1 }), redemptions(user, '(select) as one')],
      calls: (at) => [
        {
          what: `a customer with ${sales} sales is linked to a person`,
          event: invoice('b0', { at: at + sales + 1, userId: asUuid(userId) }),
        },
        {
          what: `one more sale of a person with ${sales}`,
          event: invoice('b0', { at: at + sales + 2, userId: asUuid(userId) }),
        },
        {
          what: `reject_referral of a person with ${sales} sales`,
          statement: `select referral.reject_referral(bench.org_id(), bench.program_id(), ${user})`,
        },
      ],
    },
    {
      name: 'shared_user',
      prepare: [
        redemptions(user, '(select) as one'),
        facts({ name: 'c', sales: payers, user }),
        settled('c', true),
      ],
      calls: (at) => [
        {
          what: `one more sale of a user under ${payers} payers`,
          event: invoice('c1', { at: at + payers + 1, userId: asUuid(userId) }),
        },
      ],
    },
    {
      name: 'shared_user_codes',
      prepare: [facts({ name: 'c', sales: payers, user, names: 'code' })],
      calls: (at) => [
        {
          what: `${payers} payers, each with a code, and one user: the first settlement`,
          event: invoice('c1', { at: at + payers + 1, userId: asUuid(userId), code: nthCode(1) }),
        },
      ],
    },
    {
      name: 'tiers',
      prepare: [
        terms({ commission: null, tiers }),
        facts({ name: 'd', sales, names: 'code' }),
        settled('d'),
      ],
      calls: (at) => [
        {
          what: `an early sale of a referrer with ${sales} referrals under tiers`,
          event: invoice('early', { at, code: nthCode(1) }),
        },
      ],
    },
    {
      name: 'stripe_account',
      prepare: [redemptions("md5('friend' || n)::uuid", `generate_series(1, ${n(30_000)}) as n`)],
      calls: () => [
        {
          what: `stripe_account_id over ${n(30_000)} redemptions`,
          statement: `select referral.update_organisation(bench.org_id(), '{"stripe_account_id": "acct_bench"}')`,
        },
      ],
    },
    {
      name: 'program',
      prepare: [
        facts({ name: 'f', sales: ahead, names: 'code' }),
        settled('f'),
        facts({ name: 'g', sales: ahead, names: 'code', ahead: '1 year' }),
        settled('g'),
      ],
      calls: () => [
        {
          what: `new terms over ${ahead} sales, and ${ahead} that are dated ahead`,
          statement: terms({ commission: { kind: 'percent', bps: 1500 } }),
        },
      ],
    },
    {
      name: 'forfeit',
      prepare: [facts({ name: 'h', sales, names: 'code' }), settled('h')],
      calls: (at) => [
        {
          what: `forfeit_from of a member with ${sales} sales`,
          statement: `select referral.forfeit_from(bench.org_id(), md5('referrer1')::uuid, null, to_timestamp(${at}))`,
        },
      ],
    },
  ]
}
