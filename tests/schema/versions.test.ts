import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import Stripe from 'stripe'
import { expect, test } from 'vitest'
import { version } from '../../functions/_shared/version.ts'
import { versions } from '../../functions/stripe-webhook/event.ts'
import { missingEntries, unverifiedEntries } from '../../scripts/lock.ts'
import { functionEnvironment } from '../../scripts/stack/functions.ts'
import { readProject } from '../../scripts/stack/project.ts'
import { root } from '../../scripts/stack/root.ts'

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'))
const manifest = json('package.json')
const { functions } = readProject(root)

test('the edge functions import exactly the versions that package.json has', () => {
  const imports = Object.entries<string>(json('functions/deno.json').imports)
  expect(imports.length).toBeGreaterThan(0)
  for (const [name, specifier] of imports) {
    expect(specifier).toBe(`npm:${name}@${manifest.devDependencies[name]}`)
  }
})

test('the edge functions say the version of package.json', () => {
  expect(version).toBe(manifest.version)
})

test('the newest API version that the webhook knows is that of the Stripe SDK', () => {
  expect(versions.to).toBe(Stripe.API_VERSION.slice(0, 10))
})

test('every dependency has an exact version', () => {
  const versions = Object.values(manifest.devDependencies)
  const exact = /^(?:npm:[@\w/-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/
  expect(versions.filter((version) => !exact.test(String(version)))).toEqual([])
})

test('every function is listed in config.toml and in the local stack', () => {
  const files = globSync('functions/*/index.ts').map((file) => resolve(file))
  const listed = new Map(functions.map(({ name, entrypoint }) => [name, entrypoint]))
  expect([...listed.values()].sort()).toEqual(files.sort())
  expect(Object.keys(functionEnvironment).sort()).toEqual([...listed.keys()].sort())
})

test('each function reads exactly the environment that it is given', () => {
  const files = new Map(functions.map(({ name, entrypoint }) => [name, entrypoint]))
  for (const [name, given] of Object.entries(functionEnvironment)) {
    const source = readFileSync(files.get(name) ?? '', 'utf8')
    const read = [...source.matchAll(/^ {4}([A-Z_]+): /gm)].map(([, variable]) => variable)
    expect(read.sort(), name).toEqual([...given].sort())
  }
})

test('a lock file without an optional package of another platform is completed', () => {
  const packages = {
    'node_modules/tool': {
      version: '1.2.3',
      dev: true,
      optionalDependencies: { '@tool/linux-x64-musl': '1.2.3', '@tool/win32-arm64': '1.2.3' },
    },
    'node_modules/@tool/win32-arm64': { version: '1.2.3' },
  }
  expect(missingEntries(packages)).toEqual({
    'node_modules/@tool/linux-x64-musl': {
      version: '1.2.3',
      dev: true,
      optional: true,
      os: ['linux'],
      cpu: ['x64'],
      libc: ['musl'],
    },
  })
  expect(missingEntries(json('package-lock.json').packages)).toEqual({})
})

/** What the registry had not when the lock was made: the CLI's binaries for other platforms, see docs/decisions.md. */
const withoutHash = [
  'darwin-arm64',
  'darwin-x64',
  'linux-arm64',
  'linux-arm64-musl',
  'linux-x64-musl',
  'windows-arm64',
  'windows-x64',
].map((platform) => `node_modules/@supabase/cli-${platform}`)

test('every entry of the lock file has the hash of its package, but for those that are explained', () => {
  const { packages } = json('package-lock.json')
  expect(unverifiedEntries(packages)).toEqual(withoutHash)
  for (const path of withoutHash)
    expect(packages[path], path).toMatchObject({ optional: true, dev: true })
})

test('an entry without a hash is found, unless nothing is downloaded for it', () => {
  const packages = {
    '': {},
    'node_modules/kept': { version: '1.0.0', integrity: 'sha512-…' },
    'node_modules/bare': { version: '1.0.0' },
    'node_modules/bare/node_modules/part': { version: '1.0.0', inBundle: true },
    'node_modules/linked': { link: true },
  }
  expect(unverifiedEntries(packages)).toEqual(['node_modules/bare'])
})
