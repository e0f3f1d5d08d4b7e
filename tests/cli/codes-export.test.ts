/** `referbase codes export`, over HTTP: what is written, and what a failure leaves. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { referbaseHere } from '../support/cli.ts'
import { sceneOverHttp, stackDatabase } from '../support/http.ts'
import { until } from '../support/processes.ts'
import { startRelay } from '../support/relay.ts'

const sql = stackDatabase()
const stack = inject('stack')
const folder = mkdtempSync(join(tmpdir(), 'referbase-csv-'))
afterAll(() => rmSync(folder, { recursive: true }))
const run = (...args: string[]) => referbaseHere(['codes', 'export', ...args], stack)
const place = () => {
  const path = join(folder, crypto.randomUUID())
  mkdirSync(path)
  return { path, target: join(path, 'out.csv') }
}
/** Gives an organisation this many more codes, as rows. */
const addCodes = (org: string, count: number) => sql`
  insert into referral.codes (org_id, program_id, code, description, created_by)
  select p.org_id, p.id, 'ROW' || upper(left(p.org_id::text, 8)) || n, 'row ' || n, gen_random_uuid()
  from referral.programs as p, generate_series(1, ${count}::int) as n where p.org_id = ${org}`

/** An organisation whose codes are several pages. */
const large = await sceneOverHttp()
await addCodes(large.org, 2500)

describe('codes export', () => {
  test('writes every code with its uses, and cells that a spreadsheet would run as text', async () => {
    const { org, friend, code } = large
    await friend.supabase.rpc('redeem_code', { code }).throwOnError()
    const [odd] = await sql`
      update referral.codes set description = '=1+1, "a"' where org_id = ${org} and description = 'row 7'
      returning code`
    const { target } = place()
    expect(await run('--org', org, target)).toEqual({
      code: 0,
      stdout: `2501 codes written to ${target}\n`,
      stderr: '',
    })
    const [header, ...lines] = readFileSync(target, 'utf8').trim().split('\n')
    expect(header).toBe(
      'code,status,referrer_id,description,uses_count,max_uses,expires_at,created_at,batch_id,id,beneficiary',
    )
    expect(new Set(lines.map((line) => line.split(',')[0])).size).toBe(2501)
    expect(lines.find((line) => line.startsWith(`${code},`))).toMatch(
      /^[\w-]+,active,[\w-]{36},,1,/,
    )
    expect(lines.find((line) => line.startsWith(`${odd?.code},`))).toContain(`,"'=1+1, ""a""",0,`)
  })

  test('writes the codes of one program to standard output, and the count elsewhere', async () => {
    const { org, admin, code } = await sceneOverHttp()
    const program = { org_id: org, key: 'other', name: 'Other', terms: { enrolment: 'open' } }
    const { data } = await admin.supabase.rpc('create_program', program).throwOnError()
    const none = await run('--org', org, '--program', data.id, '-')
    expect([none.stdout.split('\n').length, none.stderr]).toEqual([2, '0 codes written\n'])
    const all = await run('--org', org, '-')
    expect(all.stdout).toContain(`\n${code},active,`)
  })

  test.for([
    ['that is no id', 'ID', /^The organisation cannot be read: .*"ID"/],
    ['that there is not', crypto.randomUUID(), /^There is no organisation /],
  ] as const)('of an organisation %s leaves the file as it was', async ([, org, why]) => {
    const { path, target } = place()
    writeFileSync(target, 'kept\n')
    const { code, stdout, stderr } = await run('--org', org, target)
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(why)
    expect([readdirSync(path), readFileSync(target, 'utf8')]).toEqual([['out.csv'], 'kept\n'])
  })

  test('to a place that cannot be written is one sentence', async () => {
    const { org } = await sceneOverHttp()
    const { path } = place()
    const { code, stderr } = await run('--org', org, path)
    expect([code, stderr.split('\n').length]).toEqual([1, 2])
    expect(stderr).toMatch(/cannot be written: EISDIR/)
    const nowhere = await run('--org', org, join(path, 'no', 'out.csv'))
    expect(nowhere.stderr).toMatch(/cannot be written: ENOENT/)
    expect(readdirSync(path)).toEqual([])
  })

  test('has no dry run', async () => {
    const { code, stderr } = await run('--org', crypto.randomUUID(), '--dry-run', 'x')
    expect([code, stderr]).toEqual([2, expect.stringMatching(/unknown option '--dry-run'/)])
  })

  /** An export in a process of its own. */
  const begin = (file: string, env = {}) => {
    const args = [join(root, 'cli/main.ts'), 'codes', 'export', '--org', large.org, file]
    const child = spawn(process.execPath, args, {
      env: { PATH: process.env.PATH, ...stack, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return { child, stderr: text(child.stderr), ended: once(child, 'close') }
  }

  test('that is interrupted leaves the file as it was, and nothing beside it', async () => {
    const relay = await startRelay()
    relay.hangAfter = 1
    const { path, target } = place()
    writeFileSync(target, 'kept\n')
    const { child, stderr, ended } = begin(target, { SUPABASE_URL: relay.url })
    await until(() => readdirSync(path).length === 2)
    child.kill('SIGINT')
    expect([(await ended)[0], await stderr]).toEqual([130, ''])
    expect([readdirSync(path), readFileSync(target, 'utf8')]).toEqual([['out.csv'], 'kept\n'])
  })

  test('whose reader has gone, as after head, ends without a word', async () => {
    const { child, stderr, ended } = begin('-')
    await once(child.stdout, 'data')
    child.stdout.destroy()
    expect([(await ended)[0], await stderr]).toEqual([141, ''])
  })
})
