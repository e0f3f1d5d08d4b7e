import { reasonOf } from './reason.ts'
import { type Result, settle } from './result.ts'
import type { Member, Organisation, Program } from './rows.ts'
import type { ReferralSchema } from './schema.ts'

type Role = Member['role']
type Changes = Record<string, string | number | boolean | null | object>

/** What staff do with members, programs and the organisation itself. */
export function staffMemberCalls(referral: ReferralSchema) {
  return {
    /** Lets a person in: coordinators add members, admins anyone. Errors: `member_exists`, `member_deactivated`, `not_allowed`. */
    async addMember(orgId: string, userId: string, role: Role = 'member'): Promise<Result<Member>> {
      return settle(await referral.rpc('add_member', { org_id: orgId, user_id: userId, role }))
    },

    /** Admins only. Errors: `last_admin`, `member_not_found`, `not_allowed`. */
    async setMemberRole(orgId: string, userId: string, role: Role): Promise<Result<Member>> {
      return settle(await referral.rpc('set_member_role', { org_id: orgId, user_id: userId, role }))
    },

    /** Takes a member's rights and ends their codes; `block` keeps new codes from them. Errors: `last_admin`, `not_allowed`. */
    async deactivateMember(
      orgId: string,
      userId: string,
      { reason, block = false }: { reason?: string; block?: boolean } = {},
    ): Promise<Result<Member>> {
      const args = { org_id: orgId, user_id: userId, block, ...reasonOf(reason) }
      return settle(await referral.rpc('deactivate_member', args))
    },

    /** Gives a member their role back; ended codes stay ended. `unblock`, for admins, lets them have codes again. */
    async reactivateMember(
      orgId: string,
      userId: string,
      { reason, unblock = false }: { reason?: string; unblock?: boolean } = {},
    ): Promise<Result<Member>> {
      const args = { org_id: orgId, user_id: userId, unblock, ...reasonOf(reason) }
      return settle(await referral.rpc('reactivate_member', args))
    },

    /** Creates a program; the organisation's first is its default. Errors: `program_exists`, `invalid_terms`, `not_allowed`. */
    async createProgram(
      orgId: string,
      key: string,
      name: string,
      terms: Changes = {},
    ): Promise<Result<Program>> {
      const args = { org_id: orgId, key, name, terms: terms as never }
      return settle(await referral.rpc('create_program', args))
    },

    /** Changes `name`, `active`, `is_default` (to true) and `terms`, which become a new version. Errors: `program_not_found`, `invalid_terms`. */
    async updateProgram(programId: string, changes: Changes): Promise<Result<Program>> {
      const args = { program_id: programId, changes: changes as never }
      return settle(await referral.rpc('update_program', args))
    },

    /** Changes settings of the organisation. Admins only. Errors: `invalid_argument`, `not_allowed`. */
    async updateOrganisation(orgId: string, changes: Changes): Promise<Result<Organisation>> {
      const args = { org_id: orgId, changes: changes as never }
      return settle(await referral.rpc('update_organisation', args))
    },
  }
}
