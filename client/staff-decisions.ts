import { optional, required } from './arguments.ts'
import type { Calls } from './calls.ts'
import { type Page, pageOf } from './page.ts'
import type { Call } from './result.ts'
import type { Decision } from './rows.ts'

/** The referral of a person, or of a payer: a Stripe customer, or a guest's invoice or payment. */
export type RejectedReferral = { programId: string; reason?: string } & (
  | { personId: string; payerId?: never }
  | { payerId: string; personId?: never }
)

/** A member, or a code with all codes that it was rotated from or into. */
export type Forfeit = {
  /** ISO 8601, past or future, rounded down to a second; now unless given. */
  since?: string
  /** ISO 8601, past or future, rounded down to a second; never unless given. */
  until?: string
  reason?: string
} & ({ memberId: string; codeId?: never } | { codeId: string; memberId?: never })

/** Which decisions to list. */
export type DecisionFilter = Page<Pick<Decision, 'decided_at' | 'id'>> & {
  personId?: string
  memberId?: string
  redemptionId?: string
  /** Leaves out withdrawn decisions. */
  standing?: boolean
}

/** Decisions that end what should not earn, for staff. Nobody decides on themself, or on a code that is theirs. */
export type StaffDecisionCalls = {
  /**
   * Rejects a referral of a program until the decision is withdrawn: its purchases earn nobody anything.
   *
   * @example
   * await staff.rejectReferral({ programId, payerId: 'cus_123', reason: 'stolen card' })
   */
  rejectReferral(options: RejectedReferral): Call<'reject_referral', Decision>

  /**
   * Ends what a member earns and what their codes earn for others, or what a code earns: purchases that were paid from
   * `since` until `until` earn nothing.
   *
   * @example
   * await staff.forfeitFrom({ memberId, since: '2026-11-01', reason: 'bought leads' })
   */
  forfeitFrom(options: Forfeit): Call<'forfeit_from', Decision>

  /** Withdraws a decision, which then counts as never made. Admins only. */
  withdrawDecision(options: {
    decisionId: string
    reason?: string
  }): Call<'withdraw_decision', Decision>

  /** Returns a page of the organisation's decisions, newest first. */
  listDecisions(filter?: DecisionFilter): Call<never, Decision[]>
}

const ofOrganisation = { orgId: required, reason: optional }

export function staffDecisionCalls({ rpc, read }: Calls): StaffDecisionCalls {
  return {
    rejectReferral: (options) =>
      rpc(
        'reject_referral',
        { ...ofOrganisation, programId: required, personId: optional, payerId: optional },
        options,
      ),

    forfeitFrom: (options) =>
      rpc(
        'forfeit_from',
        {
          ...ofOrganisation,
          memberId: optional,
          codeId: optional,
          since: optional,
          until: optional,
        },
        options,
      ),

    withdrawDecision: (options) =>
      rpc('withdraw_decision', { decisionId: required, reason: optional }, options),

    listDecisions: (filter) =>
      read(
        {
          orgId: required,
          personId: optional,
          memberId: optional,
          redemptionId: optional,
          standing: optional,
          after: ['decided_at', 'id'],
          pageSize: optional,
        },
        filter,
        (referral, { standing, after, page_size, ...columns }) => {
          let query = referral.from('decisions').select()
          for (const column in columns) query = query.eq(column, columns[column])
          if (standing) query = query.is('withdrawn_at', null)
          return pageOf(query, 'decided_at', { after, page_size })
        },
      ),
  }
}
