/** The packed client in projects of its adopters: ES modules, CommonJS and browsers, with the oldest and the newest supabase-js. */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { projectWith, unpackedClient } from '../support/packed.ts'

const client = unpackedClient()
const manifest = JSON.parse(readFileSync(join(client, 'package.json'), 'utf8'))
afterAll(() => rmSync(dirname(client), { recursive: true }))

/** The versions of supabase-js by their names in node_modules, and the first Node on which each runs. */
const supabases = [
  ['supabase-js-2.45', 20],
  ['@supabase/supabase-js', 22],
] as const
const versionOf = (name: string): string =>
  JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version

/** The Node of this project, and the one of the machine. */
const machines = (process.env.PATH ?? '')
  .split(':')
  .filter((folder) => !folder.includes('node_modules'))
  .map((folder) => join(folder, 'node'))
const nodes = new Map(
  [process.execPath, ...machines.filter((path) => existsSync(path)).slice(0, 1)].map((path) => [
    execFileSync(path, ['--version'], { encoding: 'utf8' }).trim(),
    path,
  ]),
)

const program = `
import { createClient } from '@supabase/supabase-js'
import { createReferralClient, createStaffClient } from 'referbase'
declare const process: { env: Record<string, string | undefined>; exit(code: number): never }
const { SUPABASE_URL = '', SUPABASE_PUBLISHABLE_KEY = '', ORG_ID = '' } = process.env
type Other = { public: { Tables: {}; Views: {}; Functions: {} } }
const supabase = createClient<Other>(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY)
const referrals = createReferralClient(supabase, { orgId: ORG_ID })
const staff = createStaffClient(createClient(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY), { orgId: ORG_ID })
async function run() {
  const redeemed = await referrals.redeem('ABC')
  const listed = await referrals.listCodes({ usable: true })
  const resolved = await referrals.resolve('NOBODY')
  const suspended = await staff.suspendCode({ codeId: ORG_ID })
  console.log(redeemed.error?.code, listed.error?.code, resolved.data, suspended.error?.code)
  process.exit(0)
}
void run()
`
const printed = 'not_signed_in not_signed_in null not_signed_in'

/** What each of these says to the compiler: an error, on its own line. */
const wrong = [
  'createReferralClient(supabase)',
  'createStaffClient(supabase, {})',
  "void referrals.redeem('ABC').then(({ error }) => error?.code === 'code_taken')",
  'void referrals.createCode({ maxUse: 5 })',
  "void referrals.createCode('a-person')",
  "void staff.updateCode({ codeId: 'x', max_uses: 5 })",
  "void staff.createProgram({ key: 'x', name: 'X', terms: { comission: { kind: 'percent', bps: 1 } } })",
  "void staff.createProgram({ key: 'x', name: 'X', terms: { commission: { kind: 'percent', amount: { usd: 1 } } } })",
  "void staff.createProgram({ key: 'x', name: 'X', terms: { hold_days: null } })",
  'void staff.updateOrganisation({ web_destination: null })',
  'void staff.updateOrganisation({ codeLength: null })',
  "void staff.rejectReferral({ programId: 'x', personId: 'y', payerId: 'z' })",
  "void staff.usageForCode({ codeId: 'x', after: 'y' })",
]
/** And these compile. */
const right = [
  "void referrals.redeem('ABC').then(({ error }) => error?.code === 'already_redeemed' || error?.code === 'unreachable')",
  "void referrals.createCode('a-person', 'an-organisation', 'CODE', { maxUses: 5 })",
  "void staff.updateProgram({ programId: 'x', terms: { hold_days: null, recurrence: { months: 3 } } })",
  'void staff.updateOrganisation({ webDestination: null, codeLength: 9, active: true })',
  'void staff.createCampaignCode().then(({ data }) => data && staff.usageForCode({ codeId: data.id, after: null }))',
]

const options = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2022,dom']

/** Compiles files of a project. Returns what the compiler says. */
async function compile(project: string, files: string[], more: string[] = []): Promise<string> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const args = [tsc, ...options, '--skipLibCheck', '--types', '', ...more, ...files]
  const run = promisify(execFile)(process.execPath, args, { cwd: project })
  return run.then(({ stdout }) => stdout).catch(({ stdout }) => String(stdout))
}

const environment = () => ({ ...process.env, ...inject('stack'), ORG_ID: crypto.randomUUID() })
const printedBy = async (node: string, file: string) =>
  (await promisify(execFile)(node, [file], { env: environment() })).stdout.trim()

describe.each(supabases)('with %s', (name, since) => {
  const project = projectWith(client, name)
  writeFileSync(join(project, 'program.mts'), program)
  writeFileSync(join(project, 'program.cts'), program)
  const runs = [...nodes].filter(([version]) => Number(version.slice(1, 3)) >= since)
  const versions = runs.map(([version]) => version).join(' and ')

  test(`compiles as an ES module and as CommonJS, and runs on Node ${versions}`, async () => {
    expect(await compile(project, ['program.mts', 'program.cts'])).toBe('')
    expect(runs.length).toBeGreaterThan(0)
    for (const [version, node] of runs)
      for (const file of ['program.mjs', 'program.cjs'])
        expect([version, await printedBy(node, join(project, file))]).toEqual([version, printed])
  })

  test('runs as a browser’s bundle', async () => {
    const entry = join(project, 'bundle.ts')
    writeFileSync(entry, program)
    const bundle = await rolldown({ input: entry, platform: 'browser', logLevel: 'silent' })
    await bundle.write({ file: join(project, 'bundle.js'), format: 'es', codeSplitting: false })
    const text = readFileSync(join(project, 'bundle.js'), 'utf8')
    expect(text.match(/^import .*$/gm)).toBeNull()
    expect(await printedBy(process.execPath, join(project, 'bundle.js'))).toBe(printed)
  })

  test('refuses to compile what would be wrong', async () => {
    for (const extension of ['mts', 'cts']) {
      const [head] = program.split('async function')
      const lines = [...right, ...wrong]
      writeFileSync(join(project, `types.${extension}`), `${head}${lines.join('\n')}`)
      const output = await compile(project, [`types.${extension}`], ['--noEmit'])
      const first = String(head).split('\n').length + right.length
      const places = [...output.matchAll(/^types\.\w+\((\d+),/gm)].map(([, line]) => Number(line))
      expect([...new Set(places)], output).toEqual(wrong.map((_, n) => first + n))
    }
  })
})

test('the versions that package.json promises are those that were tried', () => {
  const [oldest] = supabases.map(([name]) => versionOf(name))
  expect(manifest.peerDependencies).toEqual({ '@supabase/supabase-js': `>=${oldest} <3` })
  expect(manifest.dependencies).toBeUndefined()
})

test('an app that only refers loads 4 KB of it, compressed, beside supabase-js', async () => {
  const entry = join(dirname(client), 'entry.js')
  const source = JSON.stringify(join(client, 'dist/index.js'))
  writeFileSync(entry, `export { createReferralClient } from ${source}`)
  const bundle = await rolldown({ input: entry, platform: 'browser' })
  const { output } = await bundle.generate({ minify: true })
  expect(output).toHaveLength(1)
  expect(gzipSync(output[0].code, { level: 9 }).length).toBeLessThanOrEqual(4096)
})

describe('the published types', () => {
  test.each(['dist', 'dist/cjs'])('of %s say of every method what it does', (folder) => {
    const files = ['codes', 'redemptions', 'earnings', 'index', 'links'].concat(
      ['codes', 'redemptions', 'decisions', 'members', 'settings', 'changes', 'health'].map(
        (x) => `staff-${x}`,
      ),
      ['organisations', 'payments', 'events', 'checks', 'jobs'].map((x) => `operator-${x}`),
    )
    const silent = files.flatMap((file) => {
      const text = readFileSync(join(client, folder, `${file}.d.ts`), 'utf8')
      const methods = [...text.matchAll(/(\*\/\n)? {4}(\w+)(?:\(|: \()/g)]
      expect(methods.length, file).toBeGreaterThan(0)
      return methods.filter(([, comment]) => !comment).map(([, , name]) => `${file}: ${name}`)
    })
    expect(silent).toEqual([])
  })
})
