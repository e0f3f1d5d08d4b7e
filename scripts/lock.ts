/**
 * `npm run lock`: completes package-lock.json, so that `npm ci` accepts it on every platform. npm leaves out optional
 * packages that the registry did not have when the lock was made, and later refuses a lock without them. What the registry
 * has by now is entered by npm, with its hash; what it still lacks is entered by its name, without one. `--check` writes
 * nothing, and fails if an entry is missing.
 */
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError, runMain } from '../cli/cli-error.ts'
import { root } from './stack/root.ts'

type Entry = {
  resolved?: string
  integrity?: string
  inBundle?: boolean
  link?: boolean
  version?: string
  optional?: boolean
  dev?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  optionalDependencies?: Record<string, string>
}

/** The missing entries of optional packages, by their path in node_modules. */
export function missingEntries(packages: Record<string, Entry>): Record<string, Entry> {
  const missing: Record<string, Entry> = {}
  for (const [parent, { optionalDependencies = {}, dev }] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      if (`node_modules/${name}` in packages || `${parent}/node_modules/${name}` in packages)
        continue
      const { os, cpu, libc } = platformOf(name)
      // In npm's order of keys, which npm would restore otherwise.
      missing[`node_modules/${name}`] = {
        version: version.replace(/^[\^~]/, ''),
        ...(cpu && { cpu }),
        ...(dev && { dev }),
        ...(libc && { libc }),
        optional: true,
        ...(os && { os }),
      }
    }
  }
  return missing
}

/**
 * The paths of entries without a hash, with which npm could compare what it downloads. The project itself, links and
 * what is bundled in another package are not downloaded.
 */
export function unverifiedEntries(packages: Record<string, Entry>): string[] {
  return Object.entries(packages)
    .filter(([path, { integrity, inBundle, link }]) => path && !integrity && !inBundle && !link)
    .map(([path]) => path)
}

const systems = {
  darwin: 'darwin',
  linux: 'linux',
  win32: 'win32',
  windows: 'win32',
  android: 'android',
  freebsd: 'freebsd',
  openharmony: 'openharmony',
}
const processors = {
  x64: 'x64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: 'ia32',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
  wasm32: 'wasm32',
}

/** Reads a package's platforms from its name, such as `@scope/tool-linux-x64-musl`. */
function platformOf(name: string): Pick<Entry, 'os' | 'cpu' | 'libc'> {
  const words = name.slice(name.indexOf('/') + 1).split('-')
  const pick = (table: Record<string, string>) => words.flatMap((word) => table[word] ?? [])
  const [os, cpu] = [pick(systems), pick(processors)]
  const libc = words.some((word) => word.startsWith('musl')) ? ['musl'] : []
  if (words.some((word) => /^(gnu|glibc)/.test(word))) libc.push('glibc')
  return {
    ...(os[0] && { os }),
    ...(cpu[0] && { cpu }),
    ...(libc[0] && os.includes('linux') && { libc }),
  }
}

/** Fails if `npm ci` would refuse the lock file, or if an entry names the host of a registry. */
function requireInstallable(packages: Record<string, Entry>): void {
  const [named] = Object.entries(packages).find(([, { resolved }]) => resolved) ?? []
  if (named) throw new CliError(`package-lock.json names a host for ${named}: remove "resolved".`)
  const { status, stderr } = npm('ci', '--dry-run')
  if (status === 0) return
  const reason = stderr.split('\n').find((line) => /Missing|Invalid|EUSAGE/.test(line))
  throw new CliError(`npm ci refuses package-lock.json: ${reason ?? stderr}`)
}

function npm(...args: string[]) {
  const always = ['--ignore-scripts', '--no-audit', '--no-fund']
  return spawnSync('npm', [...args, ...always], { cwd: root, encoding: 'utf8' })
}

const file = join(root, 'package-lock.json')
type Lock = { packages: Record<string, Entry> }
const readLock = async () => JSON.parse(await readFile(file, 'utf8')) as Lock

async function writeLock(lock: Lock): Promise<void> {
  const entries = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1))
  const sorted = { ...lock, packages: Object.fromEntries(entries) }
  await writeFile(file, `${JSON.stringify(sorted, null, 2)}\n`)
}

/** Lets npm enter what the registry has, then enters the rest by name. Returns the paths of these. */
async function complete(): Promise<string[]> {
  const before = await readLock()
  const packages = { ...before.packages }
  for (const path of unverifiedEntries(packages)) delete packages[path]
  await writeLock({ ...before, packages })
  const { status, stderr } = npm(
    'install',
    '--package-lock-only',
    '--omit-lockfile-registry-resolved',
  )
  if (status !== 0) {
    await writeLock(before)
    throw new CliError(`npm cannot complete package-lock.json: ${stderr}`)
  }
  const lock = await readLock()
  const missing = missingEntries(lock.packages)
  await writeLock({ ...lock, packages: { ...lock.packages, ...missing } })
  return Object.keys(missing)
}

if (import.meta.main) {
  await runMain(async () => {
    if (process.argv.includes('--check')) {
      const { packages } = await readLock()
      const names = Object.keys(missingEntries(packages))
      if (names.length) {
        throw new CliError(`package-lock.json lacks ${names.join(', ')}: run "npm run lock".`)
      }
      requireInstallable(packages)
      return
    }
    const unverified = await complete()
    process.stdout.write(`package-lock.json is complete; ${unverified.length} without a hash\n`)
    for (const path of unverified) process.stdout.write(`  ${path}\n`)
  })
}
