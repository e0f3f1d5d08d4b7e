import { optional } from './arguments.ts'
import type { Calls } from './calls.ts'
import type { Call } from './result.ts'
import type { HealthCheck } from './rows.ts'

/** Whether the organisation is set up, for admins. */
export type StaffHealthCalls = {
  /**
   * Checks whether the organisation is set up and earns. `remedy` says what mends a check that is not `ok`. Admins only.
   *
   * @example
   * const { data } = await staff.health()
   * // [{ name: 'destinations', ok: false, found: 1, message: 'web_destination is not set.', remedy: … }, …]
   */
  health(): Call<'health', HealthCheck[]>
}

export function staffHealthCalls({ list }: Calls): StaffHealthCalls {
  return {
    health: () => list('health', { orgId: optional }, undefined),
  }
}
