/** The edge functions that a repository lacks, or has from an older package. */
import { pack } from '../pack.ts'
import type { Change } from './changes.ts'
import { readHeader, withHeader } from './header.ts'
import { functionPath } from './installed.ts'
import type { Repository } from './repository.ts'

/** A file that is not as we wrote it is replaced with `overwrite` only, or else is among `kept`. */
export function newFunctions(
  repository: Repository,
  { overwrite }: { overwrite: boolean },
): { changes: Change[]; kept: string[] } {
  const changes: Change[] = []
  const kept: string[] = []
  for (const { name, text } of pack.functions()) {
    const path = functionPath(name)
    const before = repository.read(path)
    // The header may be packed already.
    const after = readHeader('//', text)
      ? text
      : withHeader('//', { version: pack.version, name }, text)
    if (before?.replaceAll('\r\n', '\n') === after) continue
    const header = before === undefined ? undefined : readHeader('//', before)
    const isAdopters = before !== undefined && (header === undefined || header.changed)
    if (isAdopters && !overwrite) kept.push(path)
    else changes.push({ path, before, after })
  }
  return { changes, kept }
}
