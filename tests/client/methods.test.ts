/** The clients have a method for every RPC that people call. */
import { expect, test } from 'vitest'
import { clientMethods } from '../../scripts/api/client-methods.ts'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()

/** RPCs that people may call and that have no method, each with the reason. */
const withoutMethod = new Map([['link_site', 'functions/link calls it, to serve a link host']])

/** What the operator's server calls from an app's code; jobs and deliveries are called from SQL and by the functions. */
test('the operator has methods for proofs and lists', async () => {
  const methods = await clientMethods()
  expect(methods.get('verify_ledger')).toBe('operator.verifyLedger')
  expect(methods.get('list_unattributed')).toBe('operator.listUnattributed')
  expect(methods.get('count_parked_events')).toBe('operator.countParkedEvents')
})

test('every RPC that people may call has a method, except those listed with a reason', async () => {
  const rows = await sql<{ name: string }[]>`
    select proname as name from pg_proc
    where pronamespace = 'referral'::regnamespace and has_function_privilege('authenticated', oid, 'EXECUTE')`
  const methods = await clientMethods()
  const missing = rows.map(({ name }) => name).filter((name) => !methods.has(name))
  expect(missing.sort()).toEqual([...withoutMethod.keys()].sort())
})
