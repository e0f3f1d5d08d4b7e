/** Commands of the project as a user starts them, and what is left of them. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { root } from '../../scripts/stack/root.ts'

export type Ended = { code: number | null; stdout: string; stderr: string }
export type Running = { child: ChildProcess; ended: Promise<Ended> }

/** Starts a script of the project, or of another folder that holds a copy of it. */
export function start(
  script: string,
  args: string[] = [],
  {
    folder = root,
    node = process.execPath,
    ...options
  }: SpawnOptions & { folder?: string; node?: string } = {},
): Running {
  const all = ['--', join(folder, 'scripts', script), ...args]
  return launch(node, all, { cwd: folder, ...options })
}

/** Starts a program, and keeps what it says. */
export function launch(program: string, args: string[], options: SpawnOptions): Running {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('close', (code) => resolve({ code, ...output }))
    child.once('error', reject)
  })
  return { child, ended }
}

/** The command lines of running processes that contain the text. */
export function processesWith(text: string): string[] {
  return processIds()
    .filter((pid) => pid !== process.pid)
    .map(commandLine)
    .filter((line) => line.includes(text))
}

/** The processes that this one has started, and that still run. */
export function childrenOf(parent: number | undefined): number[] {
  return processIds().filter(
    (pid) => read(`/proc/${pid}/stat`).split(') ')[1]?.split(' ')[1] === String(parent),
  )
}

/** What a process was called with; nothing once it has ended. */
export const commandLine = (pid: number) => read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')

const processIds = () =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Asks until the answer is yes; fails after half a minute, or after other seconds. */
export async function until(question: () => boolean, seconds = 30): Promise<void> {
  for (let tries = 0; tries < seconds * 40; tries++) {
    if (question()) return
    await setTimeout(25)
  }
  throw new Error(`it never came true: ${question}`)
}
