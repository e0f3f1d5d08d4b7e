import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type ReferralErrorCode, referralError } from '../../client/errors.ts'
import { toReferralError } from '../../client/platform-errors.ts'
import { functionErrors } from '../../functions/_shared/errors.ts'
import { testDatabase } from '../support/database.ts'
import { sqlSource } from '../support/sql-source.ts'

const sql = await testDatabase()
const document = readFileSync('docs/errors.md', 'utf8')
const documented = Object.fromEntries(
  document
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

const ofClient = Object.keys(documented['From the client'] ?? {})
/** The client's union; of the database's part a test says that it is generated from the database. */
const clientCodes = [...Object.keys(registry), ...ofClient] as ReferralErrorCode[]

test('docs/errors.md lists exactly the errors that are the client’s own', () => {
  const [, own = ''] = /DatabaseErrorCode\n(.*?)\n\n/s.exec(
    readFileSync('client/errors.ts', 'utf8'),
  ) ?? ['', '']
  expect([...own.matchAll(/'(\w+)'/g)].map(([, code]) => code).sort()).toEqual(ofClient.sort())
})

test('the client knows an error of the database by its form', () => {
  for (const code of Object.keys(registry)) {
    const body = { code, message: 'No.', details: null, hint: null }
    expect(toReferralError(body, 400)).toEqual(referralError(code as 'busy', 'No.', null))
  }
})

/** The cells of the rows of a section, without the heads. */
const rowsOf = (section: string) =>
  (document.split(`## ${section}\n`)[1]?.split('\n## ')[0] ?? '')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (?:---|code \|)/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )

test('docs/errors.md and the client mark as final what ends a claim in the database', async () => {
  const rows = await sql`
    select code, referral_private.is_final_refusal(code) as final from referral_private.error_registry()`
  const final = rows.filter((row) => row.final).map(({ code }) => String(code))
  expect(final).toHaveLength(9)
  const told = [...rowsOf('From the database'), ...rowsOf('From the client')]
  expect(
    told
      .filter((cells) => cells.includes('yes'))
      .map(([code]) => code)
      .sort(),
  ).toEqual(final.map((code) => `\`${code}\``).sort())
  const marked = clientCodes.filter((code) => referralError(code, '', null).final)
  expect([...marked].sort()).toEqual([...final].sort())
})

test('only errors of redeem_code are final, and those that may pass are not', async () => {
  const [row] = await sql`
    select obj_description('referral.redeem_code'::regproc, 'pg_proc') as comment`
  const [, list = ''] = /^Errors: ([^.]*)\./m.exec(row?.comment) ?? []
  const final = (code: string) =>
    referralError(code as 'busy', '', null).final ? 'final' : 'may pass'
  const kinds = Map.groupBy(list.split(/,\s+/), final)
  expect(kinds.get('final')).toHaveLength(9)
  expect(kinds.get('may pass')?.sort()).toEqual(
    ['anonymous_user', 'busy', 'code_suspended', 'code_uses_reserved', 'invalid_argument'].concat([
      'invalid_click',
      'not_signed_in',
      'program_inactive',
      'rate_limited',
    ]),
  )
})

test('docs/errors.md says of the platform’s errors what the client makes of them', () => {
  const rows = rowsOf('From the platform')
  expect(rows.length).toBeGreaterThan(15)
  for (const [codes = '', statuses = '', , ours = ''] of rows)
    for (const code of codes.split(', '))
      for (const status of statuses.split(', ').map(Number)) {
        const error = toReferralError({ code: code === 'none' ? '' : code }, status)
        expect(`${code} ${status} \`${error.code}\``).toBe(`${code} ${status} ${ours}`)
      }
})

test('docs/errors.md says which errors of the client are retryable', () => {
  const retryable = clientCodes.filter((code) => referralError(code, '', null).retryable)
  const [, told = ''] = /^\| `retryable` \| ([^|]*) \|/m.exec(document) ?? []
  expect([...told.matchAll(/`(\w+)`/g)].map(([, code]) => code)).toEqual(
    ['busy', 'code_uses_reserved', 'rate_limited', 'unreachable'].filter((code) =>
      retryable.some((known) => known === code),
    ),
  )
  expect(retryable).toHaveLength(4)
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
