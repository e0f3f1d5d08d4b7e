/** The edge functions of the local stack. Each runs the file that is deployed in a Deno process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, existsSync } from 'node:fs'
import { join } from 'node:path'
import { CliError } from '../../cli/cli-error.ts'
import { configuredFunctions } from './config.ts'
import { freePort } from './ports.ts'
import { root } from './root.ts'

/** The environment variables of each function. It may read no others. */
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

type FunctionName = keyof typeof functionEnvironment
export type Functions = {
  port: (name: string) => number | undefined
  pid: (name: string) => number | undefined
  stop: () => Promise<void>
}

type Settings = {
  home: string
  apiPort: number
  environment: Record<string, string>
  /** The functions to start; all by default. */
  names?: FunctionName[]
  /** The file of each function. By default the one that supabase/config.toml names. */
  files?: ReadonlyMap<string, string>
}

/** Starts the functions and waits until each listens. */
export async function startFunctions(settings: Settings): Promise<Functions> {
  const deno = join(root, 'node_modules/deno/deno')
  if (!existsSync(deno)) throw new CliError('Deno is missing in node_modules: run "npm ci".')
  const running = new Map<string, Running>()
  const { names = Object.keys(functionEnvironment) as FunctionName[] } = settings
  for (const name of names) {
    running.set(name, startFunction(name, deno, await freePort(), settings))
  }
  const stop = async () => {
    await Promise.all([...running.values()].map(({ child }) => endOf(child)))
  }
  try {
    await Promise.all([...running].map(([name, { child }]) => listening(name, child)))
  } catch (error) {
    await stop()
    throw error
  }
  return {
    port: (name) => running.get(name)?.port,
    pid: (name) => running.get(name)?.child.pid,
    stop,
  }
}

type Running = { child: ChildProcess; port: number }

function startFunction(
  name: FunctionName,
  deno: string,
  port: number,
  { home, apiPort, environment, files = configuredFunctions() }: Settings,
): Running {
  const allowed = functionEnvironment[name]
  const file = files.get(name)
  if (!file) throw new CliError(`There is no file of the function "${name}".`)
  const child = spawn(
    deno,
    [
      'run',
      '--no-prompt',
      '--cached-only',
      '--no-lock',
      '--node-modules-dir=manual',
      `--config=${join(root, 'functions/deno.json')}`,
      `--preload=${join(root, 'scripts/stack/end-with-parent.ts')}`,
      `--allow-net=127.0.0.1:${apiPort},127.0.0.1:${port}`,
      `--allow-env=${allowed.join(',')}`,
      file,
    ],
    {
      cwd: root,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: {
        ...Object.fromEntries(
          Object.entries(environment).filter(([key]) => allowed.some((allow) => allow === key)),
        ),
        PATH: process.env.PATH ?? '',
        DENO_DIR: join(home, 'deno'),
        DENO_NO_UPDATE_CHECK: '1',
        DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
        NO_COLOR: '1',
      },
    },
  )
  const log = createWriteStream(join(home, `${name}.log`), { flags: 'a' })
  child.stdout.pipe(log)
  child.stderr.pipe(log)
  return { child, port }
}

/** Waits for Deno's message that it listens. A function that ends before that prints the reason to standard error. */
function listening(name: string, child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = ''
    const read = (chunk: Buffer) => {
      output += chunk
      if (output.includes('Listening on')) resolve()
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
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
