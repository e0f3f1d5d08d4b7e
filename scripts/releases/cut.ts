/** Cuts a release in a project folder: sets the version, freezes the unreleased migrations, and dates the changelog. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from '../../cli/cli-error.ts'
import { generatedMark, migrationFromSource, sqlFiles } from '../sql-files.ts'
import { root } from '../stack/root.ts'
import {
  hashOf,
  isGreater,
  migrationsFolder,
  migrationsOf,
  readReleases,
  releasesFile,
  stampOf,
} from './releases.ts'

const versionFile = 'functions/_shared/version.ts'

/** Refuses what is not a later version than package.json's. */
export async function requireLater(version: string, folder = root): Promise<void> {
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  if (!/^\d+\.\d+\.\d+$/.test(version)) throw new CliError('A version is three numbers: 0.2.0')
  if (!isGreater(version, manifest.version))
    throw new CliError(`${version} is not greater than ${manifest.version}, the version now.`)
}

/** Writes the release, and returns the names of its migrations. What is not a later version is refused. */
export async function cutRelease(
  version: string,
  folder = root,
  at = new Date(),
): Promise<string[]> {
  const read = (path: string) => readFile(join(folder, path), 'utf8')
  const write = (path: string, text: string) => writeFile(join(folder, path), text)
  const writeJson = (path: string, value: unknown) =>
    write(path, `${JSON.stringify(value, null, 2)}\n`)

  await requireLater(version, folder)
  const changelog = await read('CHANGELOG.md')
  if (!changelog.includes('\n## Unreleased\n'))
    throw new CliError('CHANGELOG.md has no line "## Unreleased".')
  const sourceOfVersion = await fileOfVersion(folder)
  const releases = await readReleases(folder)

  await writeJson('package.json', { ...JSON.parse(await read('package.json')), version })
  const lock = JSON.parse(await read('package-lock.json'))
  lock.version = lock.packages[''].version = version
  await writeJson('package-lock.json', lock)
  await write(versionFile, (await read(versionFile)).replace(/'[^']*'/, `'${version}'`))
  const source = await read(sourceOfVersion)
  await write(sourceOfVersion, source.replace(versionFunction, `$1'${version}'$2`))
  await write(
    'CHANGELOG.md',
    changelog.replace(
      '\n## Unreleased\n',
      `\n## Unreleased\n\n## ${version} - ${at.toISOString().slice(0, 10)}\n`,
    ),
  )

  const texts = releases.length
    ? await unreleasedTexts(folder, await read(sourceOfVersion))
    : [await migrationFromSource(folder)]
  const { unreleased } = await migrationsOf(folder)
  const migrations: Record<string, string> = {}
  for (const [i, text] of texts.entries()) {
    const place = texts.length > 1 ? `_${i + 1}` : ''
    const name = `${stampOf(new Date(at.getTime() + i * 1000))}_referbase_${version.replaceAll('.', '_')}${place}.sql`
    const old = unreleased[i]
    if (old) await rename(join(folder, migrationsFolder, old), join(folder, migrationsFolder, name))
    const frozen = `-- Release ${version}. Frozen: never edit it.\n${text.replace(generatedMark, '')}`
    await write(`${migrationsFolder}/${name}`, frozen)
    migrations[name] = hashOf(frozen)
  }
  await writeJson(releasesFile, [...releases, { version, migrations }])
  return Object.keys(migrations)
}

/** The function that returns the version, with what is before and after the version. */
const versionFunction =
  /(^create function referral_private\.installed_version\(\).*?return )'[^']*'(;.*?^\$\$;$)/ms

async function fileOfVersion(folder: string): Promise<string> {
  for (const file of await sqlFiles(folder))
    if (versionFunction.test(await readFile(join(folder, file), 'utf8'))) return file
  throw new CliError('No file of sql/ has the function referral_private.installed_version().')
}

/** The unreleased migrations, the last of which sets the version. Where there are none, one that does nothing else. */
async function unreleasedTexts(folder: string, source: string): Promise<string[]> {
  const { unreleased } = await migrationsOf(folder)
  const texts = await Promise.all(
    unreleased.map((name) => readFile(join(folder, migrationsFolder, name), 'utf8')),
  )
  const [text = ''] = versionFunction.exec(source) ?? []
  const setsVersion = `${text.replace('create function', 'create or replace function')}\n`
  return [...texts.slice(0, -1), [...texts.slice(-1), setsVersion].join('\n')]
}
