import { given } from './given.ts'
import { type Result, type SupabaseResponse, toResult } from './result.ts'
import type { Change } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

/** The record of changes, for admins. */
export function staffChangeCalls(referral: ReferralSchema) {
  return {
    /**
     * Returns a page of what staff and the operator changed, newest first: the actor, the time, and the columns before and
     * after. `actor_id` is null for the operator. `subjectId` filters by an organisation, member, program, code, batch of codes
     * or decision, `actorId` by a person. `pageSize` is 100 unless given, 1,000 at most. For the next page, pass the last `id` as
     * `after`. Admins only.
     *
     * Errors: `not_allowed`, `invalid_argument`.
     *
     * @example
     * const { data } = await staff.listChanges(orgId, { subjectId: programId })
     * // [{ subject: 'terms', before: { hold_days: 14, version: 1 }, after: { hold_days: 30, version: 2 }, … }]
     */
    async listChanges(
      orgId: string,
      {
        subjectId,
        actorId,
        after,
        pageSize,
      }: { subjectId?: string; actorId?: string; after?: number; pageSize?: number } = {},
    ): Promise<Result<Change[]>> {
      const optional = { subject_id: subjectId, actor_id: actorId, after, page_size: pageSize }
      const response = await referral.rpc('list_changes', given({ org_id: orgId }, optional))
      return toResult(response as SupabaseResponse<Change[]>)
    },
  }
}
