import { optional, required } from './arguments.ts'
import type { Calls } from './calls.ts'
import type { Call } from './result.ts'
import type { Member } from './rows.ts'

/** The role of a member: `member`, `coordinator` or `admin`. Coordinators and admins are staff. */
type Role = Member['role']

/** Calls about members, for staff. */
export type StaffMemberCalls = {
  /** Adds a person, as `member` unless another role is given. Coordinators add members, admins add any role. */
  addMember(options: { userId: string; role?: Role }): Call<'add_member', Member>

  /** Sets a member's role. Admins only. */
  setMemberRole(options: { userId: string; role: Role }): Call<'set_member_role', Member>

  /**
   * Removes a member's rights and ends their codes. `block` refuses them new codes and ends what they earn from now on.
   */
  deactivateMember(options: {
    userId: string
    reason?: string
    block?: boolean
  }): Call<'deactivate_member', Member>

  /** Restores a member's role. Ended codes stay ended. `unblock`, for admins, allows them new codes and to earn again. */
  reactivateMember(options: {
    userId: string
    reason?: string
    unblock?: boolean
  }): Call<'reactivate_member', Member>
}

const ofMember = { orgId: required, userId: required }

export function staffMemberCalls({ rpc }: Calls): StaffMemberCalls {
  return {
    addMember: (options) => rpc('add_member', { ...ofMember, role: optional }, options),
    setMemberRole: (options) => rpc('set_member_role', { ...ofMember, role: required }, options),
    deactivateMember: (options) =>
      rpc('deactivate_member', { ...ofMember, reason: optional, block: optional }, options),
    reactivateMember: (options) =>
      rpc('reactivate_member', { ...ofMember, reason: optional, unblock: optional }, options),
  }
}
