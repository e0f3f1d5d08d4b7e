/** The packed client in a project of its own, beside a version of supabase-js, as npm would lay them. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { root } from '../../scripts/stack/root.ts'

/** Packs the client as it was built, and unpacks it. Returns its folder. */
export function unpackedClient(): string {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-package-'))
  const options = { cwd: root, encoding: 'utf8', stdio: 'pipe' } as const
  // Without the scripts, which would build dist/ anew while other tests use it.
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder]
  const packed = execFileSync('npm', args, options)
  execFileSync('tar', ['-xzf', join(folder, packed.trim()), '-C', folder])
  return join(folder, 'package')
}

/** A project with the client and one version of supabase-js: a folder of node_modules, by its name there. */
export function projectWith(client: string, supabaseJs: string): string {
  const project = mkdtempSync(join(dirname(client), 'project-'))
  const modules = join(project, 'node_modules')
  mkdirSync(join(modules, '@supabase'), { recursive: true })
  cpSync(client, join(modules, 'referbase'), { recursive: true })
  symlinkSync(join(root, 'node_modules', supabaseJs), join(modules, '@supabase/supabase-js'))
  writeFileSync(join(project, 'package.json'), '{"type":"module"}')
  return project
}
