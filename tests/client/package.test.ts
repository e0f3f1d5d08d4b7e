import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'

const project = mkdtempSync(join(tmpdir(), 'referbase-package-'))
const run = (command: string, args: string[], cwd = project) =>
  execFileSync(command, args, {
    cwd,
    encoding: 'utf8',
    stdio: 'pipe',
    env: { ...process.env, ...inject('stack') },
  })

beforeAll(() => {
  run('npm', ['pack', '--pack-destination', project], root)
  const modules = join(project, 'node_modules')
  mkdirSync(join(modules, 'referbase'), { recursive: true })
  const [packed] = run('ls', [project])
    .split('\n')
    .filter((name) => name.endsWith('.tgz'))
  run('tar', ['-xzf', String(packed), '-C', join(modules, 'referbase'), '--strip-components=1'])
  // The peer dependency, and what it needs, as npm would lay them beside it.
  mkdirSync(join(modules, '@supabase'))
  cpSync(join(root, 'node_modules/@supabase/supabase-js'), join(modules, '@supabase/supabase-js'), {
    recursive: true,
  })
  for (const name of [
    'auth-js',
    'functions-js',
    'postgrest-js',
    'realtime-js',
    'storage-js',
    'phoenix',
  ]) {
    symlinkSync(join(root, 'node_modules/@supabase', name), join(modules, '@supabase', name))
  }
  writeFileSync(join(project, 'package.json'), '{"type":"module"}')
})
afterAll(() => rmSync(project, { recursive: true }))

const program = `
import { createClient } from '@supabase/supabase-js'
import { createReferralClient, createStaffClient } from 'referbase'
const supabase = createClient(process.env.SUPABASE_URL ?? '', process.env.SUPABASE_PUBLISHABLE_KEY ?? '')
const { error } = await createReferralClient(supabase).redeem('ABC')
console.log(error?.code, typeof createStaffClient(supabase).suspendCode)
process.exit(0)
`

test('the packed package runs in plain Node', () => {
  writeFileSync(join(project, 'program.mjs'), program)
  expect(run(process.execPath, ['program.mjs']).trim()).toBe('not_signed_in function')
})

test('the packed package has its types', () => {
  writeFileSync(
    join(project, 'program.ts'),
    `${program}
const wrong: 'no_such_code' | undefined = error?.code
const right: 'already_redeemed' extends NonNullable<typeof error>['code'] ? true : false = true
console.log(wrong, right)`,
  )
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const args = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'esnext',
    '--skipLibCheck',
    '--types',
    join(root, 'node_modules/@types/node'),
  ]
  const output = (() => {
    try {
      return run(process.execPath, [tsc, ...args, 'program.ts'])
    } catch (error) {
      return (error as { stdout: string }).stdout
    }
  })()
  expect(output.match(/error TS/g)).toHaveLength(1)
  expect(output).toContain(`not assignable to type '"no_such_code" | undefined'`)
})
