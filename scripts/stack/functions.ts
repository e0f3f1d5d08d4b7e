/** The edge functions of the local stack. Each runs the file that is deployed in a Deno process of its own. */
import type { ChildProcess } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { CliError } from '../../cli/cli-error.ts'
import { spawnDeno } from './deno.ts'
import { freePort } from './ports.ts'
import { type EdgeFunction, type Project, readProject } from './project.ts'
import { root } from './root.ts'

/** The environment variables of each function of this package. It may read no others. */
export const functionEnvironment = {
  'referbase-link': [
    'SUPABASE_URL',
    'SUPABASE_PUBLISHABLE_KEYS',
    'SUPABASE_PUBLISHABLE_KEY',
    'SUPABASE_SECRET_KEYS',
    'SUPABASE_SECRET_KEY',
    'LINK_FALLBACK_URL',
    'LINK_PROXY_SECRET',
  ],
  'referbase-stripe-webhook': [
    'SUPABASE_URL',
    'SUPABASE_SECRET_KEYS',
    'SUPABASE_SECRET_KEY',
    'STRIPE_WEBHOOK_SECRET',
    'STRIPE_LIVEMODE',
  ],
} as const

export type Functions = {
  port: (name: string) => number | undefined
  pid: (name: string) => number | undefined
  /** Whether callers need a token or an API key; undefined if there is no such function. */
  verifiesJwt: (name: string) => boolean | undefined
  /** The port of the function, once it listens. Rejects with an error that says why it does not. */
  ready: (name: string) => Promise<number>
  stop: () => Promise<void>
}

type Settings = {
  home: string
  apiPort: number
  environment: Record<string, string>
  /** Whose functions they are; this package's by default. */
  project?: Project
  /** The functions to serve; all by default. */
  names?: string[]
  /** The files to serve in place of the project's, by the names of the functions. */
  files?: ReadonlyMap<string, string>
}

/**
 * Starts the functions of this package, and waits until each listens. The project's own functions start when they are called,
 * so that one that does not start is no concern of the others.
 */
export async function startFunctions(settings: Settings): Promise<Functions> {
  const { project = readProject(root, 'installed'), names, files, ...rest } = settings
  const served = new Map(
    project.functions
      .filter(({ name }) => names?.includes(name) ?? true)
      .map((found) => ({ ...found, entrypoint: files?.get(found.name) ?? found.entrypoint }))
      .map((edgeFunction) => [edgeFunction.name, edgeFunction]),
  )
  const starting = new Map<string, Promise<number>>()
  const running = new Map<string, Running>()

  async function start(edgeFunction: EdgeFunction): Promise<number> {
    const { name } = edgeFunction
    const port = await freePort()
    const child = spawnDeno(edgeFunction, { ...rest, project, port, allowed: allowed.get(name) })
    running.set(name, { child, port })
    // One that has ended starts again when it is called.
    child.once('exit', () => {
      running.delete(name)
      starting.delete(name)
    })
    const log = createWriteStream(join(rest.home, `${name}.log`), { flags: 'a' })
    child.stdout?.pipe(log)
    child.stderr?.pipe(log)
    await listening(name, child)
    return port
  }

  const ready = (name: string): Promise<number> => {
    const edgeFunction = served.get(name)
    if (!edgeFunction) throw new CliError(`There is no function "${name}".`)
    const port = starting.get(name) ?? start(edgeFunction)
    starting.set(name, port)
    return port
  }
  const stop = async () => {
    await Promise.all([...running.values()].map(({ child }) => endOf(child)))
  }
  try {
    await Promise.all([...served.keys()].filter((name) => allowed.has(name)).map(ready))
  } catch (error) {
    await stop()
    throw error
  }
  return {
    port: (name) => running.get(name)?.port,
    pid: (name) => running.get(name)?.child.pid,
    verifiesJwt: (name) => served.get(name)?.verifiesJwt,
    ready,
    stop,
  }
}

type Running = { child: ChildProcess; port: number }

const allowed: ReadonlyMap<string, readonly string[]> = new Map(Object.entries(functionEnvironment))

/** Waits for Deno's message that it listens. Rejects with the reason that a function prints before it ends. */
function listening(name: string, child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = ''
    const read = (chunk: Buffer) => {
      output += chunk
      if (output.includes('Listening on')) resolve()
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    child.once('error', reject)
    child.once('exit', () => {
      const reason = output.split('\n').find((line) => /error|missing/i.test(line)) ?? output
      reject(new CliError(`The function "${name}" did not start: ${reason.trim()}`))
    })
  })
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill('SIGTERM')
  })
}
