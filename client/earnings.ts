import { type Answer, type Result, settle } from './result.ts'
import type { CommissionExplanation, Earnings, StatementEntry } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** What owners of codes earned. Amounts are whole numbers in minor units (cents), per currency; currencies never mix. */
export function earningCalls(referral: ReferralSchema) {
  const ofOwner = (orgId: string, ownerId?: string) => ({
    org_id: orgId,
    ...(ownerId === undefined ? {} : { owner_id: ownerId }),
  })

  return {
    /**
     * What the person earned in an organisation, per currency: `pending` is on hold, `available` can be paid out, `owed`
     * is what they owe because money was taken back after it was paid. For staff `ownerId` is anybody.
     *
     * @example
     * const { data } = await referrals.myEarnings(orgId)
     * // [{ currency: 'usd', pending: 500, available: 1200, in_transit: 0, paid: 0, owed: 0 }]
     */
    async myEarnings(orgId: string, ownerId?: string): Promise<Result<Earnings[]>> {
      return settle(await referral.rpc('my_earnings', ofOwner(orgId, ownerId)))
    },

    /**
     * Every entry of the person's accounts, newest first: an amount that went from one kind to another, `expense` being the
     * organisation. For the next page, pass the last `entry_id` as `after`; a page has 100 unless given, 1,000 at most.
     */
    async myStatement(
      orgId: string,
      { ownerId, after, pageSize }: { ownerId?: string; after?: number; pageSize?: number } = {},
    ): Promise<Result<StatementEntry[]>> {
      const page = {
        ...(after === undefined ? {} : { after }),
        ...(pageSize === undefined ? {} : { page_size: pageSize }),
      }
      return settle(await referral.rpc('my_statement', { ...ofOwner(orgId, ownerId), ...page }))
    },

    /**
     * Why a sale earned what it did: the facts, the terms, the arithmetic, and the ids of the events behind them. The owner
     * sees their own part, staff everybody's.
     */
    async explainCommission(
      orgId: string,
      saleId: string,
      ownerId?: string,
    ): Promise<Result<CommissionExplanation[]>> {
      const answer = await referral.rpc('explain_commission', {
        ...ofOwner(orgId, ownerId),
        sale_id: saleId,
      })
      return settle(answer as Answer<CommissionExplanation[]>)
    },
  }
}
