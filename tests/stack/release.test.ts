/** `npm run release` on a copy of this project. */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readReleases, releaseFaults } from '../../scripts/releases/releases.ts'
import { root } from '../../scripts/stack/root.ts'
import { start } from '../support/processes.ts'

const copy = mkdtempSync(join(tmpdir(), 'referbase-release-'))
afterAll(() => rmSync(copy, { recursive: true }))

const git = (folder: string, ...args: string[]) =>
  execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.org', ...args], {
    cwd: folder,
    encoding: 'utf8',
  })

/** Commits the copy as it is. */
function commit(): void {
  git(copy, 'add', '--all')
  git(copy, 'commit', '--quiet', '--message', 'all')
}

const files = git(root, 'ls-files', '--cached', '--others', '--exclude-standard').trim().split('\n')
for (const file of files) cpSync(join(root, file), join(copy, file))
mkdirSync(join(copy, 'node_modules'))
for (const name of readdirSync(join(root, 'node_modules')))
  symlinkSync(join(root, 'node_modules', name), join(copy, 'node_modules', name))
git(copy, 'init', '--quiet')
commit()

const release = (...args: string[]) => start('release.ts', args, { folder: copy }).ended

test.for([
  [[], 'Usage: npm run release -- 0.2.0'],
  [['0.1.0'], '0.1.0 is not greater than 0.1.0, the version now.'],
  [['one'], 'A version is three numbers: 0.2.0'],
] as const)('%j is refused', async ([args, message]) => {
  expect(await release(...args)).toEqual({ code: 1, stdout: '', stderr: `${message}\n` })
})

test('a changed working tree is refused, and a migration that sql/ has left behind', {
  timeout: 600_000,
}, async () => {
  const file = join(copy, 'sql/00_foundation/10_schemas.sql')
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, `${text}\n`)
  expect(await release('0.2.0')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^Commit these changes first, or undo them:\n M sql\/00_found/),
  })
  commit()
  expect(await release('0.2.0')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^supabase\/migrations\/.* is stale: run "npm run migrate"\.\n$/),
  })
  writeFileSync(file, text)
  commit()
})

test('a release sets the version and freezes the migration, and commits nothing', {
  timeout: 600_000,
}, async () => {
  const { code, stdout, stderr } = await release('0.2.0')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  const [{ migrations = {} } = {}, ...more] = await readReleases(copy)
  expect(more).toEqual([])
  const [name = ''] = Object.keys(migrations)
  expect(name).toMatch(/^\d{14}_referbase_0_2_0\.sql$/)
  expect(stdout).toContain(`Release 0.2.0 has supabase/migrations/${name}.`)
  expect(await releaseFaults(copy)).toEqual([])
  const changed = git(copy, 'status', '--porcelain', '--no-renames').trim().split('\n')
  expect(changed.map((line) => line.slice(2).trim()).sort()).toEqual([
    ...['CHANGELOG.md', 'functions/_shared/version.ts', 'package-lock.json', 'package.json'],
    'sql/00_foundation/70_version.sql',
    'supabase/migrations/20261121000000_referbase.sql',
    `supabase/migrations/${name}`,
    'supabase/releases.json',
  ])
})
