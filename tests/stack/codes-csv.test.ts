import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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
  const someone = crypto.randomUUID()
  const rows = `\ufeffCode, max_uses ,description,beneficiary\n"FAIR-${own}",5,"one, two",\n\nSHOP-${own},,=1+1,${someone}\n`
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
  expect(lines.find((line) => line.startsWith(`SHOP-${own}`))).toMatch(`,${someone}`)
})

test('a file with lines that cannot be taken is refused whole, each line and column named', async () => {
  const { org, code } = await sceneOverHttp()
  const good = `GOOD-${org.slice(0, 8)}`
  const rows = `code,max_uses,expires_at,beneficiary\n${good},,,\n🎉,,,\n\n,,,\nMANY,many,12/31/2099,me\nLATE,,2001-01-01,\nC0CK-5,,,\n${good},,,\n`
  const { code: exit, stderr } = await run('import.ts', ['--org', org, file(rows)])
  expect(exit).toBe(1)
  const problems = stderr.split('\n').filter((line) => line.startsWith('line '))
  expect(problems).toEqual([
    'line 3, column code: invalid_code: 🎉 (3 to 32 letters and digits)',
    'line 6, column beneficiary: invalid_argument: me (the id of a user)',
    'line 6, column expires_at: invalid_argument: 12/31/2099 (ISO 8601, such as 2030-12-31)',
    'line 6, column max_uses: invalid_argument: many (a whole number from 1 to 100000)',
    'line 7, column expires_at: invalid_argument: 2001-01-01 (in the past)',
    'line 8, column code: code_reserved: C0CK-5 (COCK)',
    `line 9, column code: code_taken: ${good} (the same as line 2)`,
  ])
  const taken = await run('import.ts', ['--org', org, file(`code\n${good}\n${code}\n`)])
  expect(taken.stderr).toContain(`line 3, column code: code_taken: ${code}\n`)
  expect(await countOf(org)).toBe(1)
})

test('a dry run says what each line would do, and stores nothing', async () => {
  const { org } = await sceneOverHttp()
  const own = org.slice(0, 8).toUpperCase()
  const good = `code,max_uses,expires_at\n“fair ${own}”,5,2099-12-31\n\nshop-${own},,\n`
  const planned = await run('import.ts', ['--org', org, '--dry-run', file(good)])
  expect([planned.code, planned.stdout.split('\n')]).toEqual([
    0,
    [
      `line 2: FAIR-${own}, 5 uses, until 2100-01-01T00:00:00+00:00`,
      `line 4: SHOP-${own}, no limit, no end`,
      'A dry run: 2 codes would be taken',
      '',
    ],
  ])
  const bad = await run('import.ts', ['--dry-run', '--org', org, file(`${good}admin,,\n`)])
  expect([bad.code, bad.stdout.split('\n').length]).toEqual([1, 3])
  expect(bad.stderr).toContain('line 5, column code: code_reserved: admin (ADMIN)\n')
  expect(await countOf(org)).toBe(1)
})

test('20,000 lines are taken in one command, and not one of them where one is wrong', async () => {
  const { org } = await sceneOverHttp()
  const own = org.slice(0, 4).toUpperCase()
  const lines = Array.from({ length: 20_000 }, (_, n) => `BULK-${own}-${100_000 + n},5,2099-12-31`)
  const wrong = file(['code,max_uses,expires_at', ...lines, 'LAST,x,'].join('\n'))
  const refused = await run('import.ts', ['--org', org, wrong])
  expect(refused.stderr).toContain('line 20002, column max_uses: invalid_argument: x')
  expect(await countOf(org)).toBe(1)
  const right = file(['code,max_uses,expires_at', ...lines].join('\n'))
  const taken = await run('import.ts', ['--org', org, right])
  expect(taken.stdout).toMatch(/^20000 codes taken, as batch /)
  expect(await countOf(org)).toBe(20_001)
}, 120_000)

test.for([
  ['semicolons', 'code;max_uses\nA-1;5\n', /separated by “;”/],
  ['an unknown column', 'code,Expiry Date\nA-1,2030-01-01\n', /Unknown columns: “Expiry Date”/],
] as const)('a file with %s is refused in one sentence', async ([, text, expected]) => {
  const args = ['--org', crypto.randomUUID(), file(text)]
  const { code, stdout, stderr } = await run('import.ts', args)
  expect([code, stdout, stderr.trim().split('\n').length]).toEqual([1, '', 1])
  expect(stderr).toMatch(expected)
})

test.for([
  ['the publishable key', inject('stack').SUPABASE_PUBLISHABLE_KEY],
  ['a placeholder of it', 'sb_publishable_…'],
  ['the older form of it', `eyJ.${btoa(JSON.stringify({ role: 'anon' }))}.x`],
])('%s in place of the secret key is refused in one sentence', async ([, key]) => {
  const stack = { ...inject('stack'), SUPABASE_SECRET_KEY: String(key) }
  const env = { PATH: process.env.PATH, ...stack }
  const org = crypto.randomUUID()
  const commands = [
    ['codes/import.ts', '--org', org, file('code\nA-1B\n')],
    ['codes/export.ts', '--org', org, join(folder, 'none.csv')],
    ['parked.ts'],
  ]
  for (const [script = '', ...args] of commands) {
    const { code, stdout, stderr } = await start(script, args, { env }).ended
    expect([script, code, stdout]).toEqual([script, 1, ''])
    expect(stderr).toBe(
      'SUPABASE_SECRET_KEY is the publishable key. Set it to the secret key, which begins with sb_secret_.\n',
    )
  }
})

test('a key of another project is named as what it is', async () => {
  const env = { PATH: process.env.PATH, ...inject('stack'), SUPABASE_SECRET_KEY: 'sb_secret_wrong' }
  const org = crypto.randomUUID()
  for (const [script, ...args] of [
    ['codes/import.ts', '--org', org, file('code\nA-1B\n')],
    ['codes/export.ts', '--org', org, join(folder, 'none.csv')],
    ['parked.ts'],
  ] as const) {
    const { code, stderr } = await start(script, [...args], { env }).ended
    expect([script, code]).toEqual([script, 1])
    expect(stderr).toContain('misconfigured. The API key is not one of this project')
  }
})

test.for([
  ['that is no id', 'ID', /^The organisation cannot be read: .*"ID"/],
  ['that there is not', crypto.randomUUID(), /^There is no organisation /],
] as const)('an export of an organisation %s leaves the file as it was', async ([, org, why]) => {
  const target = file('code\nKEPT-1\n')
  const { code, stdout, stderr } = await run('export.ts', ['--org', org, target])
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(why)
  expect(readFileSync(target, 'utf8')).toBe('code\nKEPT-1\n')
  expect(existsSync(`${target}.new`)).toBe(false)
})

test('an export has no dry run', async () => {
  const { code, stderr } = await run('export.ts', ['--org', crypto.randomUUID(), '--dry-run', 'x'])
  expect([code, stderr]).toEqual([1, expect.stringMatching(/Usage/)])
})

test.for([
  ['no arguments', [], /Usage/],
  ['an unknown option', ['--what'], /Usage/],
  ['a file that is not there', ['--org', crypto.randomUUID(), '/nowhere.csv'], /cannot be read/],
] as const)('%s is explained in one sentence', async ([, args, expected]) => {
  const { code, stdout, stderr } = await run('import.ts', [...args])
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr.trim().split('\n')).toHaveLength(1)
  expect(stderr).toMatch(expected)
})
