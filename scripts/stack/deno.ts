/** How Deno runs an edge function: what it may reach, and where its npm packages come from. */
import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { denoBinary } from './programs.ts'
import type { EdgeFunction, Project } from './project.ts'
import { root } from './root.ts'

type Settings = {
  project: Pick<Project, 'folder' | 'packages'>
  home: string
  apiPort: number
  port: number
  environment: Record<string, string>
  /** The variables that a function of this package reads. The project's own functions read all that are given. */
  allowed?: readonly string[] | undefined
  /** Whether it ends when this process does; it does unless this is false. */
  endsWithParent?: boolean
}

/** Starts the function. It listens on the port of 127.0.0.1, and says so. */
export function spawnDeno(edgeFunction: EdgeFunction, settings: Settings): ChildProcess {
  const { project, home, port, environment, allowed, endsWithParent = true } = settings
  const given = Object.entries(environment).filter(([name]) => allowed?.includes(name) ?? true)
  return spawn(
    denoBinary(),
    [
      'run',
      '--no-prompt',
      '--no-lock',
      ...(project.packages === 'installed'
        ? ['--cached-only', '--node-modules-dir=manual']
        : ['--node-modules-dir=none']),
      ...configuration(edgeFunction),
      ...(endsWithParent ? [preload('end-with-parent')] : []),
      ...(allowed ? narrow(settings, allowed) : wide(settings)),
      allowed ? edgeFunction.entrypoint : withDefaultExport(edgeFunction, home),
    ],
    {
      cwd: project.folder,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: {
        ...(project.packages === 'installed' ? { DENO_DIR: join(home, 'deno') } : forDownloads()),
        ...Object.fromEntries(given),
        PATH: process.env.PATH ?? '',
        DENO_NO_UPDATE_CHECK: '1',
        DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
        NO_COLOR: '1',
      },
    },
  )
}

const preload = (name: string) => `--preload=${join(root, 'scripts/stack', `${name}.ts`)}`

/** A function of this package reaches the API, and nothing else. */
const narrow = ({ apiPort, port }: Settings, allowed: readonly string[]): string[] => [
  `--allow-net=127.0.0.1:${apiPort},127.0.0.1:${port}`,
  `--allow-env=${allowed.join(',')}`,
]

/** On the platform a function has the network, its own files, and a temporary folder. */
const wide = ({ project }: Settings): string[] => [
  preload('edge-runtime'),
  '--allow-net',
  '--allow-env',
  '--allow-sys',
  `--allow-read=${join(project.folder, 'supabase')},${tmpdir()}`,
  `--allow-write=${tmpdir()}`,
]

function configuration({ config }: EdgeFunction): string[] {
  if (!config) return ['--no-config']
  return [/^deno\.jsonc?$/.test(basename(config)) ? `--config=${config}` : `--import-map=${config}`]
}

/** A function may also export its handler, `export default { fetch }`. Deno serves that of a file that it is told to. */
function withDefaultExport({ name, entrypoint }: EdgeFunction, home: string): string {
  const file = join(home, `${name}.main.js`)
  const text = `import * as entry from ${JSON.stringify(pathToFileURL(entrypoint).href)}
if (typeof entry.default?.fetch === 'function') Deno.serve((request) => entry.default.fetch(request))
`
  writeFileSync(file, text)
  return file
}

/** Deno's cache of the user, and how the user's npm and Deno reach a registry. */
function forDownloads(): Record<string, string> {
  const { npm_config_registry: registry, ...environment } = process.env
  const names = Object.keys(environment).filter((name) => reaching.test(name))
  return {
    // The functions of a project do not have the packages of its app.
    DENO_NO_PACKAGE_JSON: '1',
    ...(registry && { NPM_CONFIG_REGISTRY: registry }),
    ...Object.fromEntries(names.map((name) => [name, environment[name] ?? ''])),
  }
}

const reaching =
  /^(HOME|XDG_CACHE_HOME|DENO_DIR|DENO_CERT|DENO_TLS_CA_STORE|DENO_AUTH_TOKENS|NPM_CONFIG_REGISTRY|JSR_URL|NODE_EXTRA_CA_CERTS|(https?|all|no)_proxy)$/i
