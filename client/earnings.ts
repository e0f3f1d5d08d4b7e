import { given, required } from './given.ts'
import { type Result, type SupabaseResponse, toResult } from './result.ts'
import type { CommissionExplanation, Earnings, StatementEntry } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** Whose money, and of which mode: `livemode` true is live money, false that of test mode; both unless given. */
export type MoneyOf = { earnerId?: string; livemode?: boolean }

/** Calls about earnings. Amounts are whole numbers in minor units (cents), one row per currency and mode. */
export function earningCalls(referral: ReferralSchema) {
  const moneyOf = (orgId: string, { earnerId, livemode }: MoneyOf) =>
    given({ org_id: orgId }, { earner_id: earnerId, livemode })

  return {
    /**
     * Returns a person's money in an organisation, per currency and mode. Commissions: `pending` is on hold, `available` can be
     * paid out, and `owed` is the amount that the person owes, because a sale was reversed after the payout. The rewards that
     * the person got as a friend are `reward_pending` (on hold) and `reward_available`. Admins may pass any `earnerId`.
     *
     * @example
     * const { data } = await referrals.myEarnings(orgId, { livemode: true })
     * // [{ currency: 'usd', livemode: true, pending: 500, available: 1200, in_transit: 0, paid: 0, owed: 0,
     * //   reward_pending: 0, reward_available: 300 }]
     */
    async myEarnings(orgId: string, of: MoneyOf = {}): Promise<Result<Earnings[]>> {
      const response = await referral.rpc('my_earnings', moneyOf(orgId, of))
      return toResult(response as SupabaseResponse<Earnings[]>)
    },

    /**
     * Returns the ledger entries of a person, newest first. Each entry moves an amount from one kind of account to another;
     * `expense` is the organisation's. `sale_number` is the same in all entries of a sale. `pageSize` is 100 unless given, 1,000 at most. For the next page, pass the last
     * `entry_id` as `after`.
     */
    async myStatement(
      orgId: string,
      { after, pageSize, ...of }: MoneyOf & { after?: number; pageSize?: number } = {},
    ): Promise<Result<StatementEntry[]>> {
      const args = given(moneyOf(orgId, of), { after, page_size: pageSize })
      const response = await referral.rpc('my_statement', args)
      return toResult(response as SupabaseResponse<StatementEntry[]>)
    },

    /**
     * Explains the commission of a sale: the facts, the terms and the calculation. An earner sees their own commission or
     * reward, admins see all, with the ids of the events. `sale` is a `sale_number` of `myStatement`; admins may also pass a
     * `sale_id`, such as Stripe's invoice. Errors: `not_allowed` (a `sale_id`, or somebody else's money, is for admins). To
     * people who are not staff, `code_id` is the first code of its chain of rotations.
     */
    async explainCommission(
      orgId: string,
      sale: number | string,
      of: MoneyOf = {},
    ): Promise<Result<CommissionExplanation[]>> {
      const which =
        typeof sale === 'number' ? { sale_number: sale } : { sale_id: required('sale', sale) }
      const response = await referral.rpc('explain_commission', given(moneyOf(orgId, of), which))
      return toResult(response as SupabaseResponse<CommissionExplanation[]>)
    },
  }
}
