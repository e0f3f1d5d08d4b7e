import { optional, required } from './arguments.ts'
import type { Calls } from './calls.ts'
import type { Page } from './page.ts'
import type { Call } from './result.ts'
import type { Change } from './rows.ts'

/** The record of changes, for admins. */
export type StaffChangeCalls = {
  /**
   * Returns a page of what staff and the operator changed, newest first: the actor, the time, and the columns before and
   * after. `actor_id` is null for the operator. `subjectId` filters by an organisation, member, program, code, batch of codes
   * or decision, `actorId` by a person. Admins only.
   *
   * @example
   * const { data } = await staff.listChanges({ subjectId: programId })
   * // [{ subject: 'terms', before: { hold_days: 14, version: 1 }, after: { hold_days: 30, version: 2 }, … }]
   */
  listChanges(
    filter?: Page<Pick<Change, 'id'>> & { subjectId?: string; actorId?: string },
  ): Call<'list_changes', Change[]>
}

export function staffChangeCalls({ list }: Calls): StaffChangeCalls {
  return {
    listChanges: (filter) =>
      list(
        'list_changes',
        {
          orgId: required,
          subjectId: optional,
          actorId: optional,
          after: 'id',
          pageSize: optional,
        },
        filter,
      ),
  }
}
