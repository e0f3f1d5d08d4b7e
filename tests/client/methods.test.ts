/** The clients have a method for every function of docs/api.md. */
import { globSync, readFileSync } from 'node:fs'
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

const aCode =
  'an address is logged, which is no place for what people type; and the code may be new'

/** What only reads, and is asked by POST, of the primary: why. */
const notByGet = new Map([
  ['code_uses', 'the ids of 1,000 codes are too long for an address'],
  [
    'explain_commission',
    'the id of a sale can be any text, which the local Data API reads as JSON in an address',
  ],
  ['find_code', aCode],
  ['get_active_code', 'it is asked right after a rotation'],
  ['has_redeemed', aCode],
  ['installed_version', 'it is asked right after an upgrade'],
  ['link_site', 'it has no method'],
  ['my_redemption', 'it is asked right after a redemption'],
  ['resolve_code', aCode],
  ['validate_code', `${aCode}: what it says can be final`],
])

test('what is asked by GET only reads, and what only reads is asked by GET, but for what must not be old', async () => {
  const text = globSync('client/*.ts')
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n')
  const byGet = [...text.matchAll(/\blist\(\s*'(\w+)'/g)].map(([, rpc]) => String(rpc))
  const rows = await sql<{ name: string }[]>`
    select proname as name from pg_proc
    where pronamespace = 'referral'::regnamespace and provolatile in ('s', 'i')`
  const reads = rows.map(({ name }) => name).sort()
  expect([...new Set([...byGet, ...notByGet.keys()])].sort()).toEqual(reads)
  expect(byGet.filter((rpc) => notByGet.has(rpc))).toEqual([])
})
