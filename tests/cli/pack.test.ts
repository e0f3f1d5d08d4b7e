/** What `npm pack` packs: all that an adopter needs, and nothing that lies about. */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { linksOf } from '../support/documents.ts'

const folder = mkdtempSync(join(tmpdir(), 'referbase-pack-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Files that nobody wants to publish, in every folder that is packed. */
const junk = [
  ...['.env', '.env.local', 'notes.txt', 'referbase-0.0.1.tgz', 'client/.env'],
  ...['functions/.env', 'functions/link/.env', 'supabase/.env', 'supabase/.temp/project-ref'],
  ...['supabase/migrations/.env', 'supabase/migrations/notes.txt', 'supabase/notes.sql'],
  ...['docs/notes.txt', 'docs/.env', 'docs/hosts/.env', 'docs/hosts/referral-secret.conf'],
  ...['scripts/stack/.env', 'scripts/stack/bootstrap/.env', 'scripts/notes.ts'],
  ...['dist/.env', 'dist/old.js', 'dist/functions/old/index.js', 'dist/functions/.env'],
]

/** A copy of the tree, as somebody works in it, with the junk. */
function tree(): string {
  const copy = join(folder, 'tree')
  const left = ['node_modules', '.git', '.referbase', '.mutate', 'dist']
  const filter = (path: string) => !left.includes(relative(root, path))
  cpSync(root, copy, { recursive: true, filter })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  for (const file of junk) {
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    writeFileSync(join(copy, file), 'SECRET=1\n')
  }
  return copy
}

/** The real `npm pack`, which builds first. Returns the folder of the unpacked package, and its files. */
function packed(copy: string) {
  const options = { cwd: copy, encoding: 'utf8', stdio: 'pipe' } as const
  const output = execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], options)
  const archive = join(folder, basename(output.trim().split('\n').at(-1) ?? ''))
  execFileSync('tar', ['-xzf', archive, '-C', folder])
  const files = readdirSync(join(folder, 'package'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(join(folder, 'package'), join(entry.parentPath, entry.name)))
  return { unpacked: join(folder, 'package'), files }
}

const { unpacked, files } = packed(tree())

test('every packed file is of one of these kinds, and every kind is packed', () => {
  const kinds = [
    /^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/,
    /^dist\/(cjs\/)?[a-z-]+\.js$/,
    /^dist\/(cjs\/)?[a-z-]+(\.types)?\.d\.ts$/,
    /^dist\/(cjs\/)?database\.types\.js$/,
    /^dist\/cjs\/package\.json$/,
    /^dist\/functions\/referbase-(link|stripe-webhook)\/index\.js$/,
    /^supabase\/(migrations\/\d{14}_[a-z0-9_]+\.sql|releases\.json)$/,
    /^scripts\/stack\/bootstrap\/(database|roles)\.sql$/,
    /^scripts\/stack\/(edge-runtime|end-with-parent)\.ts$/,
    /^docs\/[a-z-]+\.md$/,
    /^docs\/hosts\/(cloudflare-worker|forward|vercel-build|vercel-middleware)\.ts$/,
    /^docs\/hosts\/(nginx\.conf|vercel\.json)$/,
  ]
  expect(files.filter((file) => kinds.filter((kind) => kind.test(file)).length !== 1)).toEqual([])
  expect(kinds.filter((kind) => !files.some((file) => kind.test(file)))).toEqual([])
})

test('nothing that lay about is packed', () => {
  expect(files.filter((file) => junk.includes(file))).toEqual([])
  for (const file of files)
    expect(readFileSync(join(unpacked, file), 'utf8'), file).not.toBe('SECRET=1\n')
})

test('every module of the client, function, migration and document is packed', () => {
  const of = (path: string, ends: string) =>
    readdirSync(join(root, path)).filter((name) => name.endsWith(ends))
  const modules = of('client', '.ts').map((name) => name.slice(0, -'.ts'.length))
  const expected = [
    ...modules.flatMap((name) =>
      ['dist', 'dist/cjs'].flatMap((path) => [`${path}/${name}.js`, `${path}/${name}.d.ts`]),
    ),
    ...['link', 'stripe-webhook'].map((name) => `dist/functions/referbase-${name}/index.js`),
    ...of('supabase/migrations', '.sql').map((name) => `supabase/migrations/${name}`),
    ...of('docs', '.md').map((name) => `docs/${name}`),
    ...readdirSync(join(root, 'docs/hosts')).map((name) => `docs/hosts/${name}`),
    'dist/cli.js',
  ]
  expect(expected.filter((file) => !files.includes(file))).toEqual([])
})

test('every link of a packed document leads to a packed file', () => {
  const links = files
    .filter((file) => file.endsWith('.md'))
    .flatMap((document) => linksOf(document).map(({ path }) => ({ document, path })))
  expect(links.length).toBeGreaterThan(100)
  expect(links.filter(({ path }) => !files.includes(path))).toEqual([])
})

test('the packed command runs, and npm has no script of it to warn of', () => {
  const { bin, scripts, version } = JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8'))
  const output = execFileSync(process.execPath, [join(unpacked, bin.referbase), '--version'])
  expect(output.toString().trim()).toBe(version)
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare'])
    expect(scripts).not.toHaveProperty(name)
})
