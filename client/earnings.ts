import { type Result, type SupabaseResponse, toResult } from './result.ts'
import type { CommissionExplanation, Earnings, StatementEntry } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** Calls about earnings. Amounts are whole numbers in minor units (cents), one row per currency. */
export function earningCalls(referral: ReferralSchema) {
  const ofOwner = (orgId: string, ownerId?: string) => ({
    org_id: orgId,
    ...(ownerId === undefined ? {} : { owner_id: ownerId }),
  })

  return {
    /**
     * Returns a person's earnings in an organisation, per currency. `pending` is on hold, and `available` can be paid out.
     * `owed` is the amount that the person owes, because a sale was reversed after the payout. Staff may pass any `ownerId`.
     *
     * @example
     * const { data } = await referrals.myEarnings(orgId)
     * // [{ currency: 'usd', pending: 500, available: 1200, in_transit: 0, paid: 0, owed: 0 }]
     */
    async myEarnings(orgId: string, ownerId?: string): Promise<Result<Earnings[]>> {
      return toResult(await referral.rpc('my_earnings', ofOwner(orgId, ownerId)))
    },

    /**
     * Returns the ledger entries of a person, newest first. Each entry moves an amount from one kind of account to another;
     * `expense` is the organisation's. `pageSize` is 100 unless given, 1,000 at most. For the next page, pass the last
     * `entry_id` as `after`.
     */
    async myStatement(
      orgId: string,
      { ownerId, after, pageSize }: { ownerId?: string; after?: number; pageSize?: number } = {},
    ): Promise<Result<StatementEntry[]>> {
      const page = {
        ...(after === undefined ? {} : { after }),
        ...(pageSize === undefined ? {} : { page_size: pageSize }),
      }
      return toResult(await referral.rpc('my_statement', { ...ofOwner(orgId, ownerId), ...page }))
    },

    /**
     * Explains the commission of a sale: the facts, the terms, the calculation, and the ids of the events. An owner sees
     * their own commission, staff see all.
     */
    async explainCommission(
      orgId: string,
      saleId: string,
      ownerId?: string,
    ): Promise<Result<CommissionExplanation[]>> {
      const response = await referral.rpc('explain_commission', {
        ...ofOwner(orgId, ownerId),
        sale_id: saleId,
      })
      return toResult(response as SupabaseResponse<CommissionExplanation[]>)
    },
  }
}
