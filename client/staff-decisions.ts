import { given, required } from './given.ts'
import { type Result, toResult } from './result.ts'
import type { Decision } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** A person, or a payer: a Stripe customer, or a guest's invoice or payment. */
export type RejectedReferral = { personId: string } | { payerId: string }

/** A member, or a code with all codes that it was rotated from or into. */
export type Forfeited = { memberId: string } | { codeId: string }

/** Decisions that end what should not earn, for staff. Nobody decides on themself, or on a code that is theirs. */
export function staffDecisionCalls(referral: ReferralSchema) {
  return {
    /**
     * Rejects a referral of a program until the decision is withdrawn: its purchases earn nobody anything.
     *
     * Errors: `program_not_found`, `not_allowed`, `invalid_argument`.
     *
     * @example
     * await staff.rejectReferral(orgId, programId, { payerId: 'cus_123' }, 'stolen card')
     */
    async rejectReferral(
      orgId: string,
      programId: string,
      of: RejectedReferral,
      reason?: string,
    ): Promise<Result<Decision>> {
      required('of', of)
      const subject = 'personId' in of ? { person_id: of.personId } : { payer_id: of.payerId }
      const args = given({ org_id: orgId, program_id: programId }, { ...subject, reason })
      return toResult(await referral.rpc('reject_referral', args))
    },

    /**
     * Ends what a member earns and what their codes earn for others, or what a code earns. `since` (now unless given) and
     * `until` (never unless given) are ISO 8601. They may be past or future, and are rounded down to a second: purchases
     * that were paid between them earn nothing.
     *
     * Errors: `member_not_found`, `code_not_found`, `not_allowed`, `invalid_argument`.
     */
    async forfeitFrom(
      orgId: string,
      of: Forfeited,
      { reason, ...times }: { since?: string; until?: string; reason?: string } = {},
    ): Promise<Result<Decision>> {
      required('of', of)
      const subject = 'memberId' in of ? { member_id: of.memberId } : { code_id: of.codeId }
      const args = given({ org_id: orgId }, { ...subject, ...times, reason })
      return toResult(await referral.rpc('forfeit_from', args))
    },

    /** Withdraws a decision, which then counts as never made. Admins only. Errors: `decision_not_found`, `not_allowed`. */
    async withdrawDecision(decisionId: string, reason?: string): Promise<Result<Decision>> {
      const args = given({ decision_id: decisionId }, { reason })
      return toResult(await referral.rpc('withdraw_decision', args))
    },

    /**
     * Returns a page of the organisation's decisions, newest first. `limit` is 100 unless given, 1,000 at most. For the next
     * page, pass the last decision of this page as `after`. `personId`, `memberId` and `redemptionId` filter the list.
     * `standing` leaves out withdrawn decisions.
     */
    async listDecisions(
      orgId: string,
      { limit = 100, after, personId, memberId, redemptionId, standing = false }: Filter = {},
    ): Promise<Result<Decision[]>> {
      let decisions = referral.from('decisions').select().eq('org_id', required('org_id', orgId))
      if (personId) decisions = decisions.eq('person_id', personId)
      if (memberId) decisions = decisions.eq('member_id', memberId)
      if (redemptionId) decisions = decisions.eq('redemption_id', redemptionId)
      if (standing) decisions = decisions.is('withdrawn_at', null)
      if (after)
        decisions = decisions.or(
          `decided_at.lt."${after.decided_at}",and(decided_at.eq."${after.decided_at}",id.gt."${after.id}")`,
        )
      return toResult(
        await decisions.order('decided_at', { ascending: false }).order('id').limit(limit),
      )
    },
  }
}

type Filter = {
  limit?: number
  after?: Pick<Decision, 'decided_at' | 'id'>
  personId?: string
  memberId?: string
  redemptionId?: string
  standing?: boolean
}
