import { optional, required } from './arguments.ts'
import type { Calls } from './calls.ts'
import type { Page } from './page.ts'
import type { Call } from './result.ts'
import type { CommissionExplanation, Earnings, StatementEntry } from './rows.ts'

/** Whose money, and of which mode. */
export type MoneyOf = {
  /** The signed-in person unless given. Admins may pass any. */
  earnerId?: string
  /** True is live money, false that of test mode; both unless given. */
  livemode?: boolean
}

/** Calls about earnings. Amounts are whole numbers in minor units (cents), one row per currency and mode. */
export type EarningCalls = {
  /**
   * Returns a person's money in an organisation, per currency and mode. Commissions: `pending` is on hold, `available` can be
   * paid out, and `owed` is the amount that the person owes, because a sale was reversed after the payout. The rewards that
   * the person got as a friend are `reward_pending` (on hold) and `reward_available`.
   *
   * @example
   * const { data } = await referrals.myEarnings({ livemode: true })
   * // [{ currency: 'usd', livemode: true, pending: 500, available: 1200, in_transit: 0, paid: 0, owed: 0,
   * //   reward_pending: 0, reward_available: 300 }]
   */
  myEarnings(of?: MoneyOf): Call<'my_earnings', Earnings[]>

  /**
   * Returns the ledger entries of a person, newest first. Each entry moves an amount from one kind of account to another;
   * `expense` is the organisation's. `sale_number` is the same in all entries of a sale.
   */
  myStatement(
    of?: MoneyOf & Page<Pick<StatementEntry, 'entry_id'>>,
  ): Call<'my_statement', StatementEntry[]>

  /**
   * Explains the commission of a sale: the facts, the terms and the calculation. An earner sees their own commission or
   * reward, admins see all, with the ids of the events. `sale` is a `sale_number` of `myStatement`; admins may also pass a
   * `sale_id`, such as Stripe's invoice. To people who are not staff, `code_id` is the first code of its chain.
   */
  explainCommission(
    of: MoneyOf & { sale: number | string },
  ): Call<'explain_commission', CommissionExplanation[]>
}

const moneyOf = { orgId: required, earnerId: optional, livemode: optional }

export function earningCalls({ rpc, list }: Calls): EarningCalls {
  return {
    myEarnings: (of) => list('my_earnings', moneyOf, of),
    myStatement: (of) =>
      list('my_statement', { ...moneyOf, after: 'entry_id', pageSize: optional }, of),
    explainCommission: (of) =>
      rpc('explain_commission', { ...moneyOf, sale: required }, of, ({ sale, ...rest }) => ({
        ...rest,
        [typeof sale === 'number' ? 'sale_number' : 'sale_id']: sale,
      })),
  }
}
