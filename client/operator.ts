/** The typed client for the operator's server: organisations, payments, events, jobs, and checks over all organisations. */
import { createCalls } from './calls.ts'
import { type OperatorCheckCalls, operatorCheckCalls } from './operator-checks.ts'
import { type OperatorEventCalls, operatorEventCalls } from './operator-events.ts'
import { type OperatorJobCalls, operatorJobCalls } from './operator-jobs.ts'
import {
  type OperatorOrganisationCalls,
  operatorOrganisationCalls,
} from './operator-organisations.ts'
import { type OperatorPaymentCalls, operatorPaymentCalls } from './operator-payments.ts'
import type { AnySupabaseClient } from './schema.ts'

export type OperatorClient = OperatorOrganisationCalls &
  OperatorPaymentCalls &
  OperatorEventCalls &
  OperatorCheckCalls &
  OperatorJobCalls

/**
 * Wraps a supabase-js client that has the secret key. Use it on a server only. With another key the calls return
 * `not_signed_in`, or, while somebody is signed in, `misconfigured`. For programs, members and codes pass the same
 * supabase-js client to `createStaffClient`: the operator may do what staff of every organisation may do.
 *
 * @example
 * const operator = createOperatorClient(createClient(url, secretKey))
 */
export function createOperatorClient(supabase: AnySupabaseClient): OperatorClient {
  const calls = createCalls(supabase)
  return {
    ...operatorOrganisationCalls(calls),
    ...operatorPaymentCalls(calls),
    ...operatorEventCalls(calls),
    ...operatorCheckCalls(calls),
    ...operatorJobCalls(calls),
  }
}
