/** A folder inside the repository, where `referbase` is the package itself, for the files that a document has a reader save. */
import { mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { inject } from 'vitest'
import { root } from '../../scripts/stack/root.ts'

/** Makes the folder, with the addresses and keys of the run's stack in `.env.stack`. */
export function openWorkshop(name: string) {
  const folder = join(root, '.referbase', `${name}-${crypto.randomUUID()}`)
  mkdirSync(folder, { recursive: true })
  const environment = Object.entries(inject('stack')).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(join(folder, '.env.stack'), environment.join(''))
  return {
    folder,
    write: (file: string, text: string) => {
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      writeFileSync(join(folder, file), text)
    },
    close: () => {
      rmSync(folder, { recursive: true })
      // Only where nothing else is in it.
      if (readdirSync(dirname(folder)).length === 0) rmdirSync(dirname(folder))
    },
  }
}
