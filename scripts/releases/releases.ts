/**
 * The releases and their migrations. supabase/releases.json names the frozen files of each release with their hashes, the
 * oldest release first. A migration that no release names is unreleased.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../stack/root.ts'

export type Release = { version: string; migrations: Record<string, string> }

export const releasesFile = 'supabase/releases.json'
export const migrationsFolder = 'supabase/migrations'

/** The first line of a draft begins with it. A draft is finished when its note is gone. */
export const draftMark = '-- Draft:'

/** The releases of a project folder, the oldest first. */
export const readReleases = async (folder = root): Promise<Release[]> =>
  JSON.parse(await readFile(join(folder, releasesFile), 'utf8'))

export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex')

/** The names of the migrations of a project folder, in their order. */
export async function migrationsOf(
  folder = root,
): Promise<{ frozen: string[]; unreleased: string[] }> {
  const names = (await readdir(join(folder, migrationsFolder)))
    .filter((name) => name.endsWith('.sql'))
    .sort()
  const frozen = (await readReleases(folder)).flatMap(({ migrations }) => Object.keys(migrations))
  return { frozen, unreleased: names.filter((name) => !frozen.includes(name)) }
}

/** A time as migrations are named by it, in UTC. */
export const stampOf = (at: Date): string => at.toISOString().replace(/\D/g, '').slice(0, 14)

/** Every way in which the migrations and releases.json disagree, a sentence each. */
export async function releaseFaults(folder = root): Promise<string[]> {
  const releases = await readReleases(folder)
  const { frozen, unreleased } = await migrationsOf(folder)
  const textOf = (name: string) =>
    readFile(join(folder, migrationsFolder, name), 'utf8').catch(() => null)
  const faults: string[] = []
  for (const { version, migrations } of releases)
    for (const [name, hash] of Object.entries(migrations)) {
      const text = await textOf(name)
      if (text === null)
        faults.push(
          `${name} of release ${version} is missing: restore it, projects have applied it.`,
        )
      else if (hashOf(text) !== hash)
        faults.push(
          `${name} of release ${version} was changed: restore it, and put the change into an unreleased migration.`,
        )
    }
  if (frozen.some((name, i) => name <= (frozen[i - 1] ?? '')))
    faults.push(`${releasesFile} does not name the migrations in the order of their file names.`)
  const versions = releases.map(({ version }) => version)
  if (versions.some((version, i) => i > 0 && !isGreater(version, String(versions[i - 1]))))
    faults.push(
      `${releasesFile} does not name the releases in their order: ${versions.join(', ')}.`,
    )
  const last = frozen.at(-1) ?? ''
  for (const name of unreleased) {
    if (name < last)
      faults.push(`${name} comes before ${last}, which is released: give it a later time.`)
    if ((await textOf(name))?.startsWith(draftMark))
      faults.push(`${name} is a draft: finish it as its note says, and remove the note.`)
  }
  if (releases.length === 0 && unreleased.length !== 1)
    faults.push(`There is one migration until the first release, not ${unreleased.join(', ')}.`)
  return faults
}

/** Whether a version, as 0.2.0, comes after another. */
export function isGreater(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number))
  const place = [0, 1, 2].find((i) => a?.[i] !== b?.[i])
  return place !== undefined && Number(a?.[place]) > Number(b?.[place])
}
