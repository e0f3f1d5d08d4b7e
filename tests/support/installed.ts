/** A project of an adopter, with the packed package and the programs of the stack in its `node_modules`. */
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { root } from '../../scripts/stack/root.ts'
import { unpackedClient } from './packed.ts'
import { launch, type Running } from './processes.ts'

/** Makes the project, which has no `supabase` folder yet. */
export function installedProject() {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-project-'))
  // Also for the user that runs Postgres when this one is root.
  chmodSync(folder, 0o755)
  const modules = join(folder, 'node_modules')
  mkdirSync(modules)
  for (const name of readdirSync(join(root, 'node_modules')))
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  const unpacked = unpackedClient()
  cpSync(unpacked, join(modules, 'referbase'), { recursive: true })
  rmSync(dirname(unpacked), { recursive: true })
  return {
    folder,
    /** Runs the command as `npx referbase` does. */
    referbase: (args: string[], environment: NodeJS.ProcessEnv = {}, cwd = folder): Running =>
      launch(process.execPath, [join(modules, 'referbase/dist/cli.js'), ...args], {
        cwd,
        env: { ...process.env, ...environment },
      }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
