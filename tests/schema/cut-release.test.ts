/** What a release writes into a project, and what it refuses. */
import { expect, test } from 'vitest'
import { releaseFaults } from '../../scripts/releases/releases.ts'
import { madeUpProject, releasedProject } from '../support/made-up-project.ts'

const file = 'supabase/migrations/20260202000000_referbase_0_2_0.sql'

test('sets the version everywhere, freezes the migration and dates the changelog', async () => {
  const project = await releasedProject()
  const { read, folder } = project
  expect(JSON.parse(read('package.json'))).toEqual({ version: '0.2.0' })
  expect(JSON.parse(read('package-lock.json'))).toEqual({
    version: '0.2.0',
    packages: { '': { version: '0.2.0' } },
  })
  expect(read('functions/_shared/version.ts')).toBe(`export const version = '0.2.0'\n`)
  expect(read('sql/10_version.sql')).toContain(`return '0.2.0';`)
  expect(read('CHANGELOG.md')).toBe(
    '# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-02-02\n\n- Balances.\n',
  )
  expect(read(file)).toMatch(/^-- Release 0\.2\.0\. Frozen: never edit it\.\n+create schema/)
  expect(read(file)).toContain(`return '0.2.0';`)
  expect(JSON.parse(read('supabase/releases.json'))).toEqual([
    {
      version: '0.2.0',
      migrations: { '20260202000000_referbase_0_2_0.sql': expect.any(String) },
    },
  ])
  expect(await releaseFaults(folder)).toEqual([])
})

test.for(['0.2.0', '0.1.9', '0.2', 'next'])(
  'refuses the version %s after 0.2.0',
  async (version) => {
    const project = await releasedProject()
    await expect(project.release(version)).rejects.toThrow(/is not greater than|is three numbers/)
    expect(project.read('package.json')).toContain('0.2.0')
  },
)

test('refuses a changelog without what is unreleased', async () => {
  const project = madeUpProject()
  project.write('CHANGELOG.md', '# Changelog\n')
  await expect(project.release('0.2.0')).rejects.toThrow('has no line "## Unreleased"')
  expect(project.read('package.json')).toContain('0.1.0')
})

test('writes a migration that sets the version where nothing else has changed', async () => {
  const project = await releasedProject()
  expect(await project.release('0.10.0')).toEqual(['20260203000000_referbase_0_10_0.sql'])
  expect(project.read('supabase/migrations/20260203000000_referbase_0_10_0.sql')).toMatch(
    /^-- Release.*\ncreate or replace function referral_private\.installed_version\(\)\n.*return '0\.10\.0';\nend\n\$\$;\n$/s,
  )
})
