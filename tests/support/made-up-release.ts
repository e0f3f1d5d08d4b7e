/** Turns the package in a project's `node_modules` into a made-up release: the real one, with a version and a migration more. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

type Release = { version: string; migrations: Record<string, string> }

/** Releases what is there as `version`, with another migration where there is one. */
export function releaseAs(folder: string, version: string, migration?: string): void {
  const file = (path: string) => join(folder, path)
  const edit = (path: string, change: (text: string) => string) =>
    writeFileSync(file(path), change(readFileSync(file(path), 'utf8')))
  const manifest = JSON.parse(readFileSync(file('package.json'), 'utf8'))
  const before = `'${manifest.version}'`
  writeFileSync(file('package.json'), JSON.stringify({ ...manifest, version }))
  for (const name of readdirSync(file('dist/functions')))
    edit(`dist/functions/${name}/index.js`, (text) =>
      text.replaceAll(`"${manifest.version}"`, `"${version}"`),
    )
  edit('CHANGELOG.md', (text) => `# Changelog\n\n## ${version} - 2027-01-01\n\n${text}`)

  const releases: Release[] = JSON.parse(readFileSync(file('supabase/releases.json'), 'utf8'))
  if (migration)
    writeFileSync(
      file(`supabase/migrations/20270101000000_referbase_${version.replaceAll('.', '_')}.sql`),
      migration,
    )
  const released = releases.flatMap(({ migrations }) => Object.keys(migrations))
  const unreleased = readdirSync(file('supabase/migrations')).filter(
    (name) => name.endsWith('.sql') && !released.includes(name),
  )
  const migrations: Record<string, string> = {}
  for (const name of unreleased) {
    const path = `supabase/migrations/${name}`
    if (!existsSync(file(path)) || unreleased.length !== 1) throw new Error('one migration at most')
    edit(path, (text) => text.replaceAll(before, `'${version}'`))
    migrations[name] = createHash('sha256')
      .update(readFileSync(file(path)))
      .digest('hex')
  }
  writeFileSync(
    file('supabase/releases.json'),
    JSON.stringify([...releases, { version, migrations }]),
  )
}
