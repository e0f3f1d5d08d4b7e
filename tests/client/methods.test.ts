/** The clients have a method for every function of docs/api.md. */
import { expect, test } from 'vitest'
import { clientMethods } from '../../scripts/api/client-methods.ts'
import { testDatabase } from '../support/database.ts'

const sql = await testDatabase()

/** Functions that have no method, each with the reason. */
const withoutMethod = new Map([['link_site', 'functions/link calls it, to serve a link host']])

test('every public function has a method, except those listed with a reason', async () => {
  const rows = await sql<{ name: string }[]>`
    select proname as name from pg_proc where pronamespace = 'referral'::regnamespace`
  const methods = await clientMethods()
  const missing = rows.map(({ name }) => name).filter((name) => !methods.has(name))
  expect(missing.sort()).toEqual([...withoutMethod.keys()].sort())
})

test('the method of a function is named with its client', async () => {
  const methods = await clientMethods()
  expect(methods.get('create_code')).toEqual(['referrals.createCode'])
  expect(methods.get('suspend_code')).toEqual(['staff.suspendCode'])
  expect(methods.get('record_payment')).toEqual(['operator.recordPayment'])
  expect(methods.get('health')).toEqual(['operator.health', 'staff.health'])
})
