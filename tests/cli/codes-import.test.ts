/** `referbase codes import`, over HTTP: all lines or none, and what is said of each. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, inject, test } from 'vitest'
import { referbase, referbaseHere } from '../support/cli.ts'
import { sceneOverHttp, stackDatabase } from '../support/http.ts'

const sql = stackDatabase()
const stack = inject('stack')
const folder = mkdtempSync(join(tmpdir(), 'referbase-csv-'))
afterAll(() => rmSync(folder, { recursive: true }))
const file = (text: string) => {
  const path = join(folder, `${crypto.randomUUID()}.csv`)
  writeFileSync(path, text)
  return path
}
const run = (...args: string[]) => referbaseHere(['codes', 'import', ...args], stack)
const countOf = async (org: string) =>
  (await sql`select count(*)::int from referral.codes where org_id = ${org}`)[0]?.count

test('codes are imported from a file, in a process as a user starts it', async () => {
  const { org } = await sceneOverHttp()
  const own = org.slice(0, 8).toUpperCase()
  const someone = crypto.randomUUID()
  const rows = `\ufeffCode, max_uses ,description,beneficiary\n"FAIR-${own}",5,"one, two",\n\nSHOP-${own},,=1+1,${someone}\n`
  const imported = await referbase(['codes', 'import', '--org', org, file(rows)], stack)
  expect(imported).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^2 codes imported, as batch [0-9a-f-]{36}\n$/),
    stderr: '',
  })
  const stored = await sql`
    select code, description, beneficiary_id from referral.codes
    where org_id = ${org} and batch_id is not null order by code`
  expect(stored).toEqual([
    { code: `FAIR-${own}`, description: 'one, two', beneficiary_id: null },
    { code: `SHOP-${own}`, description: '=1+1', beneficiary_id: someone },
  ])
})

test('a file with lines that cannot be imported is refused whole, each line and column named', async () => {
  const { org, code } = await sceneOverHttp()
  const good = `GOOD-${org.slice(0, 8)}`
  const rows = `code,max_uses,expires_at,beneficiary\n${good},,,\n🎉,,,\n\n,,,\nMANY,many,12/31/2099,me\nLATE,,2001-01-01,\nC0CK-5,,,\n${good},,,\n`
  const { code: exit, stdout, stderr } = await run('--org', org, file(rows))
  expect([exit, stdout]).toEqual([1, ''])
  const problems = stderr.split('\n').filter((line) => line.includes(', column '))
  expect(problems).toEqual([
    'line 3, column code: invalid_code: 🎉 (3 to 32 letters and digits)',
    'line 6, column beneficiary: invalid_argument: me (the id of a user)',
    'line 6, column expires_at: invalid_argument: 12/31/2099 (ISO 8601, such as 2030-12-31)',
    'line 6, column max_uses: invalid_argument: many (a whole number from 1 to 100000)',
    'line 7, column expires_at: invalid_argument: 2001-01-01 (in the past)',
    'line 8, column code: code_reserved: C0CK-5 (COCK)',
    `line 9, column code: code_taken: ${good} (the same as line 2)`,
  ])
  const taken = await run('--org', org, file(`code\n${good}\n${code}\n`))
  expect(taken.stderr).toContain(`line 3, column code: code_taken: ${code}\n`)
  expect(taken.stderr).toMatch(/Nothing was imported. Correct these lines, and try again.\n$/)
  expect(await countOf(org)).toBe(1)
})

test('a dry run says what each line would do, and stores nothing', async () => {
  const { org } = await sceneOverHttp()
  const own = org.slice(0, 8).toUpperCase()
  const good = `code,max_uses,expires_at\n“fair ${own}”,5,2099-12-31\n\nshop-${own},,\n`
  expect(await run('--org', org, '--dry-run', file(good))).toEqual({
    code: 0,
    stdout: `line 2: FAIR-${own}, 5 uses, until 2100-01-01T00:00:00+00:00
line 4: SHOP-${own}, no limit, no end
A dry run: 2 codes would be imported
`,
    stderr: '',
  })
  const bad = await run('--dry-run', '--org', org, file(`${good}admin,,\n`))
  expect([bad.code, bad.stdout.split('\n').length]).toEqual([1, 3])
  expect(bad.stderr).toContain('line 5, column code: code_reserved: admin (ADMIN)\n')
  expect(await countOf(org)).toBe(1)
})

test('with --json a script reads what was imported, and what is wrong', async () => {
  const { org } = await sceneOverHttp()
  const own = org.slice(0, 8).toUpperCase()
  const planned = await run('--org', org, '--dry-run', '--json', file(`code\nfair-${own}\n`))
  expect(JSON.parse(planned.stdout)).toMatchObject({
    made: 1,
    batch_id: null,
    lines: [{ line: 2, code: `FAIR-${own}`, faults: [] }],
  })
  const refused = await run('--org', org, '--json', file(`code\nfair-${own}\n\nadmin\n`))
  expect([refused.code, refused.stderr.split('\n').length]).toEqual([1, 2])
  const { made, lines } = JSON.parse(refused.stdout)
  expect([made, lines.at(-1)]).toMatchObject([
    0,
    { line: 4, faults: [{ column: 'code', code: 'code_reserved', details: 'ADMIN' }] },
  ])
  const imported = await run('--org', org, '--json', file(`code\nfair-${own}\n`))
  expect(imported).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(imported.stdout)).toEqual({
    made: 1,
    batch_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    lines: [],
  })
})

test('3,000 lines are imported in one command, and not one of them where one is wrong', async () => {
  const { org } = await sceneOverHttp()
  const own = org.slice(0, 4).toUpperCase()
  const lines = Array.from({ length: 3000 }, (_, n) => `BULK-${own}-${100_000 + n},5,2099-12-31`)
  const wrong = file(['code,max_uses,expires_at', ...lines, 'LAST,x,'].join('\n'))
  const refused = await run('--org', org, wrong)
  expect(refused.stderr).toContain('line 3002, column max_uses: invalid_argument: x')
  expect(await countOf(org)).toBe(1)
  const right = file(['code,max_uses,expires_at', ...lines].join('\n'))
  const imported = await run('--org', org, right)
  expect(imported.stdout).toMatch(/^3000 codes imported, as batch /)
  expect(await countOf(org)).toBe(3001)
})

test.for([
  ['semicolons', 'code;max_uses\nA-1;5\n', /separated by “;”/],
  ['an unknown column', 'code,Expiry Date\nA-1,2030-01-01\n', /Unknown columns: “Expiry Date”/],
  ['no codes', '', /The file is empty/],
] as const)('a file with %s is refused in one sentence', async ([, text, expected]) => {
  const { code, stdout, stderr } = await run('--org', crypto.randomUUID(), file(text))
  expect([code, stdout, stderr.trim().split('\n').length]).toEqual([1, '', 1])
  expect(stderr).toMatch(expected)
})

test.for([
  ['that is not there', '/nowhere.csv', /^\/nowhere.csv cannot be read: ENOENT/],
  ['that is a folder', folder, /cannot be read: EISDIR/],
] as const)('a file %s is refused in one sentence', async ([, path, expected]) => {
  const { code, stdout, stderr } = await run('--org', crypto.randomUUID(), path)
  expect([code, stdout, stderr.trim().split('\n').length]).toEqual([1, '', 1])
  expect(stderr).toMatch(expected)
})

test.for([
  ['no arguments', [], /required option '--org <id>'/],
  ['no file', ['--org', 'x'], /missing required argument 'file'/],
  ['an unknown option', ['--org', 'x', 'codes.csv', '--what'], /unknown option '--what'/],
] as const)(
  '%s is a wrong command line, with where the options are',
  async ([, args, expected]) => {
    const { code, stdout, stderr } = await run(...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(expected)
    expect(stderr).toContain('Run it with --help for the options.')
  },
)

const commands = [
  ['codes', 'import', '--org', crypto.randomUUID(), file('code\nA-1B\n')],
  ['codes', 'export', '--org', crypto.randomUUID(), join(folder, 'none.csv')],
  ['parked'],
]

test.for([
  [
    'the publishable key',
    stack.SUPABASE_PUBLISHABLE_KEY,
    /^SUPABASE_SECRET_KEY is the publishable key. Set it to the secret key.*\n$/,
  ],
  [
    'a key of another project',
    'sb_secret_wrong',
    /misconfigured. The API key is not of this project.*\n$/,
  ],
])('%s in place of the secret key is named as what it is', async ([, key, said]) => {
  for (const args of commands) {
    const env = { ...stack, SUPABASE_SECRET_KEY: String(key) }
    const { code, stdout, stderr } = await referbaseHere(args, env)
    expect([args[1], code, stdout]).toEqual([args[1], 1, ''])
    expect(stderr).toMatch(said as RegExp)
  }
})
