/** `referbase` as it is built, in a process of its own, and as its source in this one, which costs no start. */
import { type SpawnOptions, spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { run } from '../../cli/run.ts'
import { root } from '../../scripts/stack/root.ts'
import type { Ended } from './processes.ts'

/** The environment has only what is given, and the path of the system's programs. */
export async function referbase(
  args: string[],
  env: Record<string, string> = {},
  options: SpawnOptions = {},
): Promise<Ended> {
  const { PATH, NODE_COMPILE_CACHE } = process.env
  const child = spawn(process.execPath, [join(root, 'dist/cli.js'), ...args], {
    cwd: root,
    ...options,
    env: { PATH, NODE_COMPILE_CACHE, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { code, stdout, stderr }
}

/** Runs a command in this process, with what it reads and writes apart. */
export async function referbaseHere(
  args: string[],
  env: Record<string, string> = {},
): Promise<Ended> {
  const output = { stdout: '', stderr: '' }
  const { stdout, stderr } = process
  const writes = { stdout: stdout.write, stderr: stderr.write }
  const kept = { env: process.env, exitCode: process.exitCode }
  const into =
    (name: 'stdout' | 'stderr') =>
    (chunk: string | Uint8Array, ...more: unknown[]) => {
      output[name] += String(chunk)
      for (const done of more) if (typeof done === 'function') done()
      return true
    }
  stdout.write = into('stdout') as typeof stdout.write
  stderr.write = into('stderr') as typeof stderr.write
  process.env = { PATH: process.env.PATH, ...env }
  try {
    const code = await run(args)
    return { code, ...output }
  } finally {
    Object.assign(stdout, { write: writes.stdout })
    Object.assign(stderr, { write: writes.stderr })
    process.env = kept.env
    process.exitCode = kept.exitCode
  }
}
