/** docs/terms.md: its examples run, its keys and defaults are those of the database, and its values are accepted. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createStaffClient } from '../../client/index.ts'
import { printedBy, programOf, promisedBy } from '../support/examples.ts'
import { operatorOverHttp, personOverHttp, stackDatabase } from '../support/http.ts'

const sql = stackDatabase()
const file = 'docs/terms.md'
const [, table = ''] = /\| key .*\n.*\n((?:\|.*\n)*)/.exec(readFileSync(file, 'utf8')) ?? ['', '']
const rows = table
  .trim()
  .split('\n')
  .map((row) => row.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '')))
  .map(([key = '', value = '', unless = '']) => ({ key: key.replaceAll('`', ''), value, unless }))

const isTerm = async (key: string, value: string) => {
  const [row] = await sql`
    select referral_private.is_term(${key}, ${value}::text::jsonb) as is_term`
  return row?.is_term
}

test('the five programmes are made, and terms changed, as the comments say', async () => {
  const { id: admin_id, supabase } = await personOverHttp()
  const { data: org } = await operatorOverHttp()
    .rpc('create_organisation', { name: 'Org', slug: `terms-${crypto.randomUUID()}`, admin_id })
    .throwOnError()
  const program = programOf(file)
  expect(promisedBy(program)).toHaveLength(6)
  const values = { staff: createStaffClient(supabase, { orgId: org.id }) }
  expect(await printedBy(program, values)).toEqual(promisedBy(program))
})

/** The keys that the database knows. */
async function knownKeys() {
  const [row] = await sql`
    select pg_get_functiondef('referral_private.is_term(text,jsonb)'::regprocedure) as text`
  const conditions = [...String(row?.text).matchAll(/when p_key (?:=|in) (.*) then/g)]
  const known = conditions.flatMap(([, text]) => [...String(text).matchAll(/'(\w+)'/g)])
  return known.map(([, key]) => key).sort()
}

test('the keys are those that the database knows', async () => {
  expect(rows.map(({ key }) => key).sort()).toEqual(await knownKeys())
})

test('the keys of the client’s type are those that the database knows', async () => {
  const text = readFileSync('client/terms.ts', 'utf8').split('type ProgramTerms')[1] ?? ''
  const keys = [...text.matchAll(/^ {2}(\w+)\?:/gm)].map(([, key]) => key)
  expect(keys.sort()).toEqual(await knownKeys())
})

test.for(rows)(
  '$key: its values and its limits are accepted, and nothing beyond them',
  async ({ key, value }) => {
    for (const [, json = ''] of value.matchAll(/`([[{"tf][^`]*)`/g)) {
      expect(await isTerm(key, json), json).toBe(true)
    }
    const [, least, most] = /^(\d+) to (\d+):/.exec(value) ?? []
    if (least === undefined) return
    for (const limit of [least, most]) expect(await isTerm(key, String(limit))).toBe(true)
    for (const beyond of [Number(least) - 1, Number(most) + 1])
      expect(await isTerm(key, String(beyond))).toBe(false)
  },
)

test('what is filled in is what the table says', async () => {
  const [row] = await sql`select referral_private.complete_terms('{}') as terms`
  for (const [key, value] of Object.entries(row?.terms)) {
    const told = rows.find((one) => one.key === key)?.unless.replaceAll('`', '')
    expect(told, key).toBe(JSON.stringify(value))
  }
})
