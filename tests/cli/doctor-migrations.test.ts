/** `referbase doctor` in a repository whose migrations are not those of the database or of the package. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { checkHistory } from '../../cli/doctor/history.ts'
import { pack } from '../../cli/pack.ts'
import { withHeader } from '../../cli/repository/header.ts'
import { referbase } from '../support/cli.ts'
import { checksOf, installation } from '../support/doctor.ts'

const { sql, local, databaseUrl } = await installation()
const folder = mkdtempSync(join(tmpdir(), 'referbase-doctor-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** In a process of its own, which is in the repository. */
const examineHere = async (env: Record<string, string>, ...args: string[]) =>
  checksOf(await referbase(['doctor', '--json', ...args], env, { cwd: folder }))

describe('the migrations', () => {
  const migrations = join(folder, 'supabase/migrations')
  const [packed = { name: '', text: '' }] = pack.migrations()
  const write = (stamp: string, text = packed.text) =>
    writeFileSync(
      join(migrations, `${stamp}_referbase.sql`),
      withHeader('--', { version: pack.version, name: packed.name, preview: true }, text),
    )
  beforeEach(() => {
    rmSync(join(folder, 'supabase'), { recursive: true, force: true })
    mkdirSync(migrations, { recursive: true })
    writeFileSync(join(folder, 'supabase/config.toml'), '')
  })

  test('are applied, or are not, or are older than the last applied one', async () => {
    const [row] =
      await sql`select max(version) as version from supabase_migrations.schema_migrations`
    const applied = async () => (await checkHistory(databaseUrl, folder)).at(-1)
    expect(await applied()).toMatchObject({ state: 'unchecked' })
    write(String(row?.version))
    expect(await applied()).toMatchObject({ state: 'ok' })
    write('20990101000000')
    expect(await applied()).toMatchObject({
      state: 'wrong',
      message: 'Not applied: supabase/migrations/20990101000000_referbase.sql.',
      remedy: 'npx supabase migration up',
    })
    write('20200101000000')
    const { checked } = await examineHere({ ...local, DATABASE_URL: databaseUrl })
    expect(checked.repository_version?.state).toBe('ok')
    expect(checked.migrations_applied?.remedy).toBe('npx supabase migration up --include-all')
  })

  test('are of another preview of the same version', async () => {
    const version = async () => (await checkHistory(undefined, folder))[0]
    write('20260101000000')
    expect(await version()).toMatchObject({ check: 'repository_version', state: 'ok' })
    write('20260101000000', 'select 1;\n')
    expect(await version()).toMatchObject({
      state: 'wrong',
      message: expect.stringContaining(`another text of ${packed.name}`),
      remedy: expect.stringContaining('npx --no-install referbase upgrade'),
    })
  })

  test('are not compared without the database, or with one that does not respond', async () => {
    write('20990101000000')
    expect((await examineHere(local)).checked.migrations_applied?.state).toBe('unchecked')
    const nowhere = 'postgresql://postgres:a-password@127.0.0.1:1/postgres'
    const { checked } = await examineHere(local, '--db-url', nowhere)
    expect(checked.migrations_applied?.state).toBe('wrong')
    expect(JSON.stringify(checked)).not.toContain('a-password')
  })
})
