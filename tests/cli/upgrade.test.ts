/** `referbase upgrade` to made-up newer packages, applied by the real Supabase CLI. */
import { createHash } from 'node:crypto'
import { cpSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import {
  adopterRepository,
  apply,
  type Files,
  filesOf,
  migrationsOf,
  packageOf,
  push,
  referbase,
  removeFolders,
  temporaryFolder,
  write,
} from '../support/adopter.ts'
import { standInForCron } from '../support/cron.ts'
import { projectDatabase } from '../support/project-database.ts'

const organisations =
  'create schema referral;\n\ncreate schema referral_private;\n\ncreate table referral.organisations (name text);\n'
const columnMore = 'alter table referral.organisations add column slug text;\n'

type Made = {
  version: string
  released?: Record<string, string>
  preview?: string
  changelog?: string
}

/** A package with migrations that are named after the release that brought them, and one that none has. */
function made({ version, released = {}, preview, changelog = '' }: Made): string {
  const entries = Object.entries(released).map(([version, text]) => {
    const [, minor] = version.split('.')
    const name = `2025010${minor}000000_referbase_${version.replaceAll('.', '_')}.sql`
    return { version, name, text, hash: createHash('sha256').update(text).digest('hex') }
  })
  const releases = entries.map(({ version, name, hash }) => ({
    version,
    migrations: { [name]: hash },
  }))
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const files: Files = {
    'package.json': JSON.stringify({ ...manifest, version }),
    'CHANGELOG.md': changelog,
    'supabase/releases.json': JSON.stringify(releases),
    'dist/functions/referbase-link/index.js': `// ${version}\n`,
  }
  for (const { name, text } of entries) files[`supabase/migrations/${name}`] = text
  if (preview) files['supabase/migrations/20250109000000_referbase.sql'] = preview
  return packageOf(files)
}

const first = { '0.2.0': organisations }
const both = { ...first, '0.3.0': columnMore }

afterAll(removeFolders)

/** The Supabase CLI takes seconds for each push. */
const slow = { timeout: 480_000 }

let empty: string
beforeAll(async () => {
  empty = await adopterRepository()
})

function repository(files: Files = {}): string {
  const folder = temporaryFolder()
  cpSync(empty, folder, { recursive: true })
  write(folder, files)
  return folder
}

test(
  'a newer release adds its migration and keeps rows; the adopter’s files stay, renamed ones too',
  slow,
  async () => {
    const { sql, url } = await projectDatabase()
    const folder = repository()
    await referbase(made({ version: '0.2.0', released: first }), folder, ['init'])
    const [installed = ''] = migrationsOf(folder)
    renameSync(
      join(folder, installed),
      join(folder, installed.replace('referbase_0_2_0', 'friends')),
    )
    await apply(folder, sql)
    await sql`insert into referral.organisations values ('Acme')`
    write(folder, { 'supabase/migrations/20250101000000_early.sql': 'select 1;\n' })
    const before = filesOf(folder)

    const newer = made({ version: '0.3.0', released: both })
    expect(await referbase(newer, folder, ['upgrade'])).toMatchObject({ code: 0, stderr: '' })
    const { [migrationsOf(folder).at(-1) ?? '']: added, ...after } = filesOf(folder)
    expect(added).toMatch(/^-- referbase 0\.3\.0, 20250103000000_referbase_0_3_0\.sql, sha256 /)
    const link = 'supabase/functions/referbase-link/index.js'
    expect(after).toEqual({ ...before, [link]: after[link], [webhook]: after[webhook] })
    expect(after[link]).toContain('\n// 0.3.0\n')

    expect(await push(folder, url, '--include-all')).toMatchObject({ code: 0 })
    expect(await sql`select * from referral.organisations`).toEqual([{ name: 'Acme', slug: null }])
  },
)

const webhook = 'supabase/functions/referbase-stripe-webhook/index.js'

test('what the changelog asks for since the installed release is printed', async () => {
  const changelog = `# Changelog

## 0.4.0

### Codes

- A later release.

## 0.3.0

### You must do

Set the secret X.

### Links

- Shorter.

## 0.2.0

### You must do

Nothing that is new to you.
`
  const folder = repository()
  await referbase(made({ version: '0.2.0', released: first }), folder, ['init'])
  const newer = made({ version: '0.3.0', released: both, changelog })
  const { stdout } = await referbase(newer, folder, ['upgrade'])
  expect(stdout).toContain(
    'Changes since 0.2.0:\n\n## 0.3.0\n\nSet the secret X.\n\nNext:\n1. Apply',
  )
  const again = repository()
  await referbase(made({ version: '0.2.0', released: first }), again, ['init'])
  const json = JSON.parse((await referbase(newer, again, ['upgrade', '--json'])).stdout)
  expect(json).toMatchObject({ version: '0.3.0', from: '0.2.0' })
  expect(json.notes).toEqual(['Changes since 0.2.0:\n\n## 0.3.0\n\nSet the secret X.\n'])
  expect(stdout).not.toContain('later release')
  expect(stdout).not.toContain('new to you')
})

test('without an installation it says to run init, and an older package is refused', async () => {
  const folder = repository()
  const older = made({ version: '0.2.0', released: first })
  expect(await referbase(older, folder, ['upgrade'])).toMatchObject({
    code: 1,
    stderr:
      'referbase is not installed in this repository. Run `npx --no-install referbase init`.\n',
  })
  await referbase(made({ version: '0.3.0', released: both }), folder, ['init'])
  const before = filesOf(folder)
  for (const command of ['init', 'upgrade']) {
    expect(await referbase(older, folder, [command])).toMatchObject({
      code: 1,
      stderr: 'referbase 0.3.0 is installed, and this package is 0.2.0. Use a newer package.\n',
    })
  }
  expect(filesOf(folder)).toEqual(before)
})

test('a package from before the installed preview is refused', async () => {
  const folder = repository()
  await referbase(made({ version: '0.2.0', released: first, preview: columnMore }), folder, [
    'init',
  ])
  const { code, stderr } = await referbase(made({ version: '0.2.0', released: first }), folder, [
    'upgrade',
  ])
  expect(code).toBe(1)
  expect(stderr).toContain('this package does not have it. Use a newer package.')
})

test('a preview that was released as it is stays', async () => {
  const folder = repository()
  await referbase(made({ version: '0.1.0', preview: organisations }), folder, ['init'])
  const before = migrationsOf(folder)
  await referbase(made({ version: '0.2.0', released: first }), folder, ['upgrade'])
  expect(migrationsOf(folder)).toEqual(before)
})

test('a migration that the adopter changed is said, and stays', async () => {
  const folder = repository()
  const pack = made({ version: '0.2.0', released: first })
  await referbase(pack, folder, ['init'])
  const [path = ''] = migrationsOf(folder)
  write(folder, { [path]: `${filesOf(folder)[path]}select 1;\n` })
  expect(await referbase(pack, folder, ['upgrade'])).toMatchObject({
    code: 0,
    stderr: `${path} was changed after referbase wrote it. It stays as it is.\n`,
  })
})

describe('a newer preview', () => {
  const older = () => made({ version: '0.1.0', preview: organisations })
  const newer = () =>
    made({
      version: '0.1.0',
      preview: organisations.replace('(name text)', '(name text, slug text)'),
    })

  test('replaces the older one in one migration, which also runs from nothing', slow, async () => {
    const { sql, url } = await projectDatabase()
    const fresh = await projectDatabase()
    const folder = repository()
    await referbase(older(), folder, ['init', '--cron'])
    await sql.unsafe(standInForCron)
    await fresh.sql.unsafe(standInForCron)
    await apply(folder, sql)

    const pack = newer()
    const { stdout } = await referbase(pack, folder, ['upgrade', '--cron'])
    expect(stdout).toContain('drop the preview of referbase that is installed')
    expect(migrationsOf(folder)).toHaveLength(3)
    expect(await push(folder, url)).toMatchObject({ code: 0 })
    expect(await push(folder, fresh.url)).toMatchObject({ code: 0 })
    for (const database of [sql, fresh.sql]) {
      expect(await database`select name, slug from referral.organisations`).toEqual([])
      expect(await database`select jobname from cron.job`).toHaveLength(1)
    }
    expect((await referbase(pack, folder, ['upgrade', '--cron'])).stdout).toMatch(/^Nothing to do/)
  })

  test('is refused over data, and nothing is dropped', slow, async () => {
    const { sql, url } = await projectDatabase()
    const folder = repository()
    await referbase(older(), folder, ['init'])
    await apply(folder, sql)
    await sql`insert into referral.organisations values ('Acme')`
    const before = filesOf(folder)
    for (const command of ['upgrade', 'init']) {
      const known = await referbase(newer(), folder, [command, '--db-url', url])
      expect(known).toMatchObject({ code: 1, stdout: '' })
      expect(known.stderr).toContain('referral.organisations has rows. Nothing was written. Export')
    }
    expect(filesOf(folder)).toEqual(before)
    const { stdout } = await referbase(newer(), folder, ['upgrade'])
    expect(stdout).toContain(
      `delete these files in place of that:\n- ${migrationsOf(folder).at(-1)}\n`,
    )
    const { code, text } = await push(folder, url)
    expect(code).toBe(1)
    expect(text).toContain('referral.organisations has rows. Export them and drop it with: npx')
    expect(await sql`select * from referral.organisations`).toEqual([{ name: 'Acme' }])
  })

  test(
    'makes every packed migration anew, and the release after it is added to them',
    slow,
    async () => {
      const { sql, url } = await projectDatabase()
      const folder = repository()
      const preview = (column: string) =>
        `alter table referral.organisations add column ${column} text;\n`
      const pack = (column: string) =>
        made({ version: '0.2.0', released: first, preview: preview(column) })
      await referbase(pack('slug'), folder, ['init'])
      await apply(folder, sql)
      await referbase(pack('tag'), folder, ['upgrade'])
      expect(migrationsOf(folder)).toHaveLength(4)
      await push(folder, url)
      const released = { ...first, '0.3.0': preview('tag') }
      await referbase(made({ version: '0.3.0', released }), folder, ['upgrade'])
      expect(migrationsOf(folder)).toHaveLength(4)
      expect(await sql`select name, tag from referral.organisations`).toEqual([])
    },
  )
})
