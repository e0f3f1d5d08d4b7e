import { pack } from '../pack.ts'
import { type Line, ok, wrong } from './line.ts'

/** Compares the version of a part of the project with this package's. `again` puts this package's there. */
export function compareVersion(check: string, part: string, version: string, again: string): Line {
  if (version === pack.version) return ok(check, `${part} has version ${version}.`)
  const order = version.localeCompare(pack.version, 'en', { numeric: true })
  return order > 0
    ? wrong(
        check,
        `${part} has version ${version}, which is newer than ${pack.version} of this package.`,
        `Use the package of version ${version}.`,
      )
    : wrong(check, `${part} has version ${version}, this package has ${pack.version}.`, again)
}
