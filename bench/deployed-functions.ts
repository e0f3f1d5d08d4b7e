/** The edge functions for benches: their files, their variables, and a Deno of their own as the local stack starts it. */
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliError } from '../cli/cli-error.ts'
import { bundleFunctions } from '../scripts/build/functions.ts'
import { spawnDeno } from '../scripts/stack/deno.ts'
import { functionEnvironment } from '../scripts/stack/functions.ts'
import { freePort } from '../scripts/stack/ports.ts'
import { readProject } from '../scripts/stack/project.ts'
import { root } from '../scripts/stack/root.ts'
import { type StackEnvironment, spawnStack } from '../scripts/stack/spawn.ts'
import { type ApiRelay, startApiRelay } from './api-relay.ts'

export type FunctionName = keyof typeof functionEnvironment

export type Deployment = {
  /** A file that Deno runs: a function as it is deployed or as its sources are, or a server that does nothing else. */
  file: (name: FunctionName | 'bare', form?: 'bundle' | 'sources') => string
  start: (file: string, name: FunctionName) => Promise<Started>
  /** Stands before the Data API. */
  api: ApiRelay
  environment: StackEnvironment
}

export type Started = { port: number; pid: number; stop: () => Promise<void> }

/** Runs the work on a fresh stack with all functions, and removes them. */
export async function* onDeployedFunctions<Row>(
  work: (deployment: Deployment) => AsyncGenerator<Row>,
): AsyncGenerator<Row> {
  // Inside the repository, where Deno finds the libraries in node_modules.
  const folder = join(root, '.referbase', `bench-${crypto.randomUUID()}`)
  mkdirSync(folder, { recursive: true })
  const project = readProject(root, 'installed')
  const { environment, stop } = await spawnStack()
  const api = await startApiRelay(environment.SUPABASE_URL)
  const bare = join(folder, 'bare.js')
  writeFileSync(
    bare,
    `Deno.serve(() => new Response(null, { status: 302, headers: { location: 'https://example.com/' } }))\n`,
  )
  // The platform loads nothing before a function.
  const settings = { project, home: folder, apiPort: api.port, endsWithParent: false }
  const variables = {
    ...environment,
    SUPABASE_URL: api.url,
    LINK_FALLBACK_URL: 'https://example.com/',
    STRIPE_LIVEMODE: 'false',
  }
  try {
    await bundleFunctions(folder)
    yield* work({
      api,
      environment,
      file: (name, form) =>
        name === 'bare'
          ? bare
          : form === 'sources'
            ? (project.functions.find((found) => found.name === name)?.entrypoint ?? '')
            : join(folder, name, 'index.js'),
      start: (file, name) => start({ ...settings, environment: variables }, file, name),
    })
  } finally {
    api.stop()
    await stop()
    rmSync(folder, { recursive: true })
  }
}

type Settings = Omit<Parameters<typeof spawnDeno>[1], 'port' | 'allowed'>

async function start(settings: Settings, file: string, name: FunctionName): Promise<Started> {
  const port = await freePort()
  const found = readConfigOf(settings, name)
  const child = spawnDeno(
    { ...found, entrypoint: file },
    { ...settings, port, allowed: functionEnvironment[name] },
  )
  let output = ''
  await new Promise<void>((resolve, reject) => {
    const heard = (chunk: Buffer) => {
      output += chunk
      if (output.includes('Listening on')) resolve()
    }
    child.stdout?.on('data', heard)
    child.stderr?.on('data', heard)
    child.once('exit', () => reject(new CliError(`${file} did not start: ${output}`)))
  })
  const ended = once(child, 'exit')
  const stop = async () => {
    child.kill('SIGKILL')
    await ended
  }
  return { port, pid: child.pid ?? 0, stop }
}

function readConfigOf({ project }: Settings, name: FunctionName) {
  const found = readProject(project.folder).functions.find((each) => each.name === name)
  if (!found) throw new CliError(`There is no function "${name}".`)
  return found
}
