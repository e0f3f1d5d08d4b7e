import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { referralErrorCodes } from '../../client/errors.ts'
import { functionErrors } from '../../functions/_shared/errors.ts'
import { testDatabase } from '../support/database.ts'
import { sqlSource } from '../support/sql-source.ts'

const sql = await testDatabase()
const documented = Object.fromEntries(
  readFileSync('docs/errors.md', 'utf8')
    .split(/^## /m)
    .map((section) => [
      section.slice(0, section.indexOf('\n')),
      Object.fromEntries(
        [...section.matchAll(/^\| `(\w+)`\s*\| (\d*)/gm)].map(([, code, status]) => [
          code,
          Number(status),
        ]),
      ),
    ]),
)
const registry = Object.fromEntries(
  (await sql`select code, status from referral_private.error_registry()`).map(
    ({ code, status }) => [code, status],
  ),
)

test('docs/errors.md lists exactly the errors of the database, with their status', () => {
  expect(documented['From the database']).toEqual(registry)
})

test('docs/errors.md lists exactly the errors of the edge functions, with their status', () => {
  const statuses = Object.entries(functionErrors).map(([code, [status]]) => [code, status])
  expect(documented['From the edge functions']).toEqual(Object.fromEntries(statuses))
})

test('the client’s union is the errors of the database and its own', () => {
  const own = Object.keys(documented['From the client'] ?? {})
  expect([...referralErrorCodes].sort()).toEqual([...Object.keys(registry), ...own].sort())
})

test('every registered error is raised somewhere, and every raised one is registered', async () => {
  const source = (await sqlSource()).map(({ code }) => code).join('\n')
  const elsewhere = source.replace(
    /create function referral_private\.error_registry[\s\S]*?\$\$;/,
    '',
  )
  expect(Object.keys(registry).filter((code) => !elsewhere.includes(`'${code}'`))).toEqual([])
  const raised = [...source.matchAll(/raise_error\('(\w+)'/g)].map(([, code]) => code)
  expect(raised.filter((code) => !(String(code) in registry))).toEqual([])
})

test('messages are sentences without names of the schema', async () => {
  const rows = await sql`select code, message from referral_private.error_registry()`
  expect(rows.filter(({ message }) => !/^[A-Z][^_]*\.$/.test(message))).toEqual([])
})

test('an unregistered code cannot be raised', async () => {
  await expect(sql`select referral_private.raise_error('no_such_code')`).rejects.toThrow(
    'query returned no rows',
  )
})

test('busy tells when to try again', async () => {
  const error = await sql`select referral_private.raise_error('busy')`.catch((reason) => reason)
  expect(JSON.parse(error.detail)).toEqual({ status: 503, headers: { 'Retry-After': '1' } })
})
