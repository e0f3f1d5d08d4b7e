/** A project folder of its own for releases: a few files of sql/, and what a release writes. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { cutRelease } from '../../scripts/releases/cut.ts'
import type { MadeUpRelease } from '../fixtures/made-up/releases.ts'
import { madeUpSql } from '../fixtures/made-up/sql.ts'

type Edits = MadeUpRelease['source']

/** Makes the project before its first release. `finished` is called with what removes it. */
export function madeUpProject(finished: (remove: () => void) => void = onTestFinished) {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-made-up-'))
  finished(() => rmSync(folder, { recursive: true }))
  const read = (path: string) => readFileSync(join(folder, path), 'utf8')
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  for (const [path, text] of Object.entries(madeUpSql)) write(path, text)
  write('package.json', '{ "version": "0.1.0" }')
  write('package-lock.json', '{ "version": "0.1.0", "packages": { "": { "version": "0.1.0" } } }')
  write('functions/_shared/version.ts', `export const version = '0.1.0'\n`)
  write('CHANGELOG.md', '# Changelog\n\n## Unreleased\n\n- Balances.\n')
  write('supabase/releases.json', '[]')
  write('supabase/migrations/20260101000000_referbase.sql', '')

  let day = Date.UTC(2026, 1, 1)
  return {
    folder,
    read,
    write,
    /** Replaces texts of sql/, each of which must be there. */
    edit(edits: Edits) {
      for (const [path, pairs] of Object.entries(edits))
        for (const [text, becomes] of pairs) {
          const edited = read(path).replace(text, () => becomes)
          if (edited === read(path)) throw new Error(`${path} has no ${text}`)
          write(path, edited)
        }
    },
    /** Adds an unreleased migration, and returns its name. */
    migrate(text: string) {
      day += 86_400_000
      const name = `${new Date(day).toISOString().slice(0, 10).replaceAll('-', '')}000000_change.sql`
      write(`supabase/migrations/${name}`, text)
      return name
    },
    /** Cuts a release, each a day after what was before. */
    release(version: string) {
      day += 86_400_000
      return cutRelease(version, folder, new Date(day))
    },
  }
}

/** The project after its first release, which has the schema as it is in sql/. */
export async function releasedProject() {
  const project = madeUpProject()
  await project.release('0.2.0')
  return project
}
