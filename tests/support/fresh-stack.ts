/** Stacks that `npm start -- --fresh` starts, and copies of the project to start them in. */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import { readEnvironmentFile } from '../../scripts/stack/spawn.ts'
import { processesWith, type Running, start, until } from './processes.ts'

/** A folder that everybody may write, which is removed after the test. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-test-'))
  chmodSync(folder, 0o777)
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A stack that is starting: resolves when it has written its env file. */
export async function started(running: Running, file: string) {
  const failed = running.ended.then(({ stderr }) => Promise.reject(new Error(stderr)))
  await Promise.race([until(() => readIfAny(file).includes('SUPABASE_URL=http'), 100), failed])
  failed.catch(() => {})
  const environment = readEnvironmentFile(file)
  // By its ports the stack's processes are known.
  const ports = [environment.SUPABASE_URL, environment.DATABASE_URL].map((url) =>
    String(new URL(url).port),
  )
  const processes = () =>
    ports.flatMap((port) => [
      ...processesWith(`-p ${port} `),
      ...processesWith(`127.0.0.1:${port},`),
    ])
  return { ...running, file, environment, processes }
}

/** A fresh stack that has written its env file. */
export function freshStack({ args = [], ...options }: Options & { args?: string[] } = {}) {
  const file = join(newFolder(), 'env')
  return started(start('start.ts', ['--fresh', '--env-file', file, ...args], options), file)
}

type Options = Parameters<typeof start>[2]

const readIfAny = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : '')

/** A copy of the project with the installed packages, some left out. */
export function copyOfProject({ without = '' } = {}): string {
  const copy = newFolder()
  for (const name of ['scripts', 'cli', 'supabase', 'functions', 'client', 'package.json', 'sql']) {
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  mkdirSync(join(copy, 'node_modules'))
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== without)
      symlinkSync(join(root, 'node_modules', name), join(copy, 'node_modules', name))
  }
  return copy
}
