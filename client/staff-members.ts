import { given } from './given.ts'
import { type Result, toResult } from './result.ts'
import type { Member, Organisation, Program } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

type Role = Member['role']
type Changes = Record<string, string | number | boolean | null | object>

/** Calls about members, programs and the organisation, for staff. */
export function staffMemberCalls(referral: ReferralSchema) {
  return {
    /** Adds a person. Coordinators add members, admins add any role. Errors: `member_exists`, `member_deactivated`, `not_allowed`. */
    async addMember(orgId: string, userId: string, role: Role = 'member'): Promise<Result<Member>> {
      const args = given({ org_id: orgId, user_id: userId, role })
      return toResult(await referral.rpc('add_member', args))
    },

    /** Sets a member's role. Admins only. Errors: `last_admin`, `member_not_found`, `not_allowed`. */
    async setMemberRole(orgId: string, userId: string, role: Role): Promise<Result<Member>> {
      const args = given({ org_id: orgId, user_id: userId, role })
      return toResult(await referral.rpc('set_member_role', args))
    },

    /** Removes a member's rights and ends their codes. `block` refuses them new codes and ends what they earn from now on. Errors: `last_admin`, `not_allowed`. */
    async deactivateMember(
      orgId: string,
      userId: string,
      { reason, block = false }: { reason?: string; block?: boolean } = {},
    ): Promise<Result<Member>> {
      const args = given({ org_id: orgId, user_id: userId, block }, { reason })
      return toResult(await referral.rpc('deactivate_member', args))
    },

    /** Restores a member's role. Ended codes stay ended. `unblock`, for admins, allows them new codes and to earn again. */
    async reactivateMember(
      orgId: string,
      userId: string,
      { reason, unblock = false }: { reason?: string; unblock?: boolean } = {},
    ): Promise<Result<Member>> {
      const args = given({ org_id: orgId, user_id: userId, unblock }, { reason })
      return toResult(await referral.rpc('reactivate_member', args))
    },

    /** Creates a program. The organisation's first program is its default. Errors: `program_exists`, `invalid_terms`, `not_allowed`. */
    async createProgram(
      orgId: string,
      key: string,
      name: string,
      terms: Changes = {},
    ): Promise<Result<Program>> {
      const args = given({ org_id: orgId, key, name, terms: terms as never })
      return toResult(await referral.rpc('create_program', args))
    },

    /**
     * Changes `name`, `active`, `is_default` (to true) and `terms`. Of the terms, keys that are not given stay, and a key that is
     * null gets its default. Changed terms are stored as a new version.
     *
     * Errors: `program_not_found`, `invalid_terms`, `rate_limited`.
     */
    async updateProgram(programId: string, changes: Changes): Promise<Result<Program>> {
      const args = given({ program_id: programId, changes: changes as never })
      return toResult(await referral.rpc('update_program', args))
    },

    /** Changes settings of the organisation. Admins only. Errors: `invalid_argument`, `not_allowed`. */
    async updateOrganisation(orgId: string, changes: Changes): Promise<Result<Organisation>> {
      const args = given({ org_id: orgId, changes: changes as never })
      return toResult(await referral.rpc('update_organisation', args))
    },
  }
}
