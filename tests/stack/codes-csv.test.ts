import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, inject, test } from 'vitest'
import { sceneOverHttp, stackDatabase } from '../support/http.ts'
import { start } from '../support/processes.ts'

const sql = stackDatabase()
const folder = mkdtempSync(join(tmpdir(), 'referbase-csv-'))
afterAll(() => rmSync(folder, { recursive: true }))
const file = (text: string) => {
  const path = join(folder, `${crypto.randomUUID()}.csv`)
  writeFileSync(path, text)
  return path
}
const run = (script: string, args: string[]) =>
  start(join('codes', script), args, { env: { PATH: process.env.PATH, ...inject('stack') } }).ended
const countOf = async (org: string) =>
  (await sql`select count(*)::int from referral.codes where org_id = ${org}`)[0]?.count

test('codes are imported from a file and exported again', async () => {
  const { org } = await sceneOverHttp()
  const own = org.slice(0, 8).toUpperCase()
  const rows = `\ufeffCode, max_uses ,description\n"FAIR-${own}",5,"one, two"\n\nSHOP-${own},,=1+1\n`
  const imported = await run('import.ts', ['--org', org, file(rows)])
  expect([imported.code, imported.stdout]).toEqual([
    0,
    expect.stringMatching(/^2 codes taken, as batch /),
  ])
  const target = join(folder, 'out.csv')
  const exported = await run('export.ts', ['--org', org, target])
  expect([exported.code, exported.stdout]).toEqual([0, `3 codes written to ${target}\n`])
  const lines = readFileSync(target, 'utf8').trim().split('\n')
  expect(lines).toHaveLength(4)
  expect(lines.find((line) => line.startsWith(`FAIR-${own},active,,"one, two"`))).toBeTruthy()
  // A cell that a spreadsheet would run is written as text.
  expect(lines.find((line) => line.startsWith(`SHOP-${own}`))).toContain("'=1+1")
})

test('a file with lines that cannot be taken is refused whole, each line named', async () => {
  const { org, code } = await sceneOverHttp()
  const rows = `code,max_uses,expires_at\nGOOD-${org.slice(0, 8)},,\n🎉,,\n${code},,\nMANY,many,\nLATE,,2001-01-01\n`
  const { code: exit, stderr } = await run('import.ts', ['--org', org, file(rows)])
  expect(exit).toBe(1)
  const problems = stderr.split('\n').filter((line) => line.startsWith('line '))
  expect(problems).toEqual([
    'line 3: invalid_code: 🎉',
    `line 4: code_taken: ${code}`,
    'line 5: invalid_argument: MANY',
    'line 6: invalid_argument: LATE',
  ])
  expect(await countOf(org)).toBe(1)
})

test.for([
  ['no arguments', [], /Usage/],
  ['an unknown option', ['--what'], /Usage/],
  [
    'a file that is not there',
    ['--org', crypto.randomUUID(), '/nowhere.csv'],
    /cannot be read as CSV/,
  ],
] as const)('%s is explained in one sentence', async ([, args, expected]) => {
  const { code, stdout, stderr } = await run('import.ts', [...args])
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr.trim().split('\n')).toHaveLength(1)
  expect(stderr).toMatch(expected)
})
