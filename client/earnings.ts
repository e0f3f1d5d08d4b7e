import { type Result, type SupabaseResponse, toResult } from './result.ts'
import type { CommissionExplanation, Earnings, StatementEntry } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** Calls about earnings. Amounts are whole numbers in minor units (cents), one row per currency. */
export function earningCalls(referral: ReferralSchema) {
  const ofEarner = (orgId: string, earnerId?: string) => ({
    org_id: orgId,
    ...(earnerId === undefined ? {} : { earner_id: earnerId }),
  })

  return {
    /**
     * Returns a person's earnings in an organisation, per currency. `pending` is on hold, and `available` can be paid out.
     * `owed` is the amount that the person owes, because a sale was reversed after the payout. Staff may pass any `earnerId`.
     *
     * @example
     * const { data } = await referrals.myEarnings(orgId)
     * // [{ currency: 'usd', pending: 500, available: 1200, in_transit: 0, paid: 0, owed: 0 }]
     */
    async myEarnings(orgId: string, earnerId?: string): Promise<Result<Earnings[]>> {
      const response = await referral.rpc('my_earnings', ofEarner(orgId, earnerId))
      return toResult(response as SupabaseResponse<Earnings[]>)
    },

    /**
     * Returns the ledger entries of a person, newest first. Each entry moves an amount from one kind of account to another;
     * `expense` is the organisation's. `pageSize` is 100 unless given, 1,000 at most. For the next page, pass the last
     * `entry_id` as `after`.
     */
    async myStatement(
      orgId: string,
      { earnerId, after, pageSize }: { earnerId?: string; after?: number; pageSize?: number } = {},
    ): Promise<Result<StatementEntry[]>> {
      const page = {
        ...(after === undefined ? {} : { after }),
        ...(pageSize === undefined ? {} : { page_size: pageSize }),
      }
      const response = await referral.rpc('my_statement', { ...ofEarner(orgId, earnerId), ...page })
      return toResult(response as SupabaseResponse<StatementEntry[]>)
    },

    /**
     * Explains the commission of a sale: the facts, the terms, the calculation, and the ids of the events. An earner sees
     * their own commission, staff see all.
     */
    async explainCommission(
      orgId: string,
      saleId: string,
      earnerId?: string,
    ): Promise<Result<CommissionExplanation[]>> {
      const response = await referral.rpc('explain_commission', {
        ...ofEarner(orgId, earnerId),
        sale_id: saleId,
      })
      return toResult(response as SupabaseResponse<CommissionExplanation[]>)
    },
  }
}
