/** The local stack in one call: Postgres, migrations, Data API and Auth, edge functions, gateway. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CliError } from '../../cli/cli-error.ts'
import { startApi } from './api.ts'
import { applyMigrations, createProject, createRoles, migrationHashes } from './database.ts'
import { functionVariables } from './function-variables.ts'
import { startFunctions } from './functions.ts'
import { startGateway } from './gateway.ts'
import { lastingHome, postgresIdentity, temporaryHome } from './home.ts'
import { keysOf } from './keys.ts'
import { stopLeftover } from './leftover.ts'
import { freePort, requireFreePort } from './ports.ts'
import { startPostgres } from './postgres.ts'
import { requirePrograms } from './programs.ts'
import type { Project } from './project.ts'

export type Stack = {
  environment: Record<string, string>
  /** The folder of data, keys and logs. */
  home: string
  stop: () => Promise<void>
}

export type StackOptions = {
  project: Project
  fresh: boolean
  /** Whether the seed files that config.toml names are run, each once. */
  seed: boolean
  /** Whether the devices of the network reach the API. The database listens on 127.0.0.1 only. */
  exposed?: boolean
  /** The secret that `stripe listen` signs with; that of `supabase/functions/.env` or a drawn one unless given. */
  webhookSecret?: string | undefined
  /** Is told what is being done. */
  progress?: (text: string) => void
  /** Ends the start before its next step. */
  signal?: AbortSignal
}

/**
 * Starts all services, and returns when all respond. A fresh stack is empty, has a temporary folder and free ports, and is
 * removed when it stops. The other stack keeps its data, and listens on the ports of config.toml.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { project, fresh, seed, exposed, webhookSecret } = options
  const beginning = (text: string) => {
    options.signal?.throwIfAborted()
    options.progress?.(text)
  }
  const stops: (() => Promise<void> | void)[] = []
  const stop = async () => {
    for (const step of stops.splice(0).reverse()) await step()
  }
  try {
    requirePrograms()
    const identity = postgresIdentity()
    const apiPort = fresh ? await freePort() : project.api.port
    const databasePort = fresh ? await freePort() : project.db.port
    // The port comes first: only the stack that holds it may touch the persistent data.
    const gateway = await startGateway(apiPort, exposed ? '0.0.0.0' : '127.0.0.1')
    stops.push(gateway.stop)
    const home = fresh ? temporaryHome(identity) : lastingHome(identity, project.folder)
    if (fresh) stops.push(() => rmSync(home, { recursive: true, force: true }))
    const keys = keysOf(home)
    const data = join(home, 'data')
    const done = join(home, 'bootstrapped')
    const firstStart = !existsSync(done)
    stopLeftover(data)
    await requireFreePort(databasePort)
    // The marker is written last. Without it the first start was interrupted, and starts again.
    if (firstStart) rmSync(data, { recursive: true, force: true })
    else await requireSameMigrations(project.folder, done)

    beginning('starting Postgres …')
    const server = await startPostgres({ home, port: databasePort, identity, durable: !fresh })
    stops.push(server.stop)
    if (firstStart) {
      await createRoles(server)
      await createProject(server, 'postgres')
    }
    beginning('applying migrations …')
    await applyMigrations(server, 'postgres', { folder: project.folder, seed })
    writeFileSync(done, JSON.stringify(await migrationHashes(project.folder)))

    const { api: settings } = project
    const databaseUrl = server.url('postgres', 'supabase_admin')
    const log = join(home, 'api.log')
    const api = await startApi({ databaseUrl, api: settings, keys, log })
    stops.push(api.stop)
    const url = `http://127.0.0.1:${apiPort}`
    const variables = functionVariables({
      folder: project.folder,
      url,
      databaseUrl: server.url('postgres', 'postgres'),
      keys,
      webhookSecret,
    })
    beginning('starting functions …')
    const functions = await startFunctions({ project, home, apiPort, environment: variables })
    stops.push(functions.stop)
    gateway.open({ api, functions, keys })
    await requireAnswers(url, keys.publishable)
    const environment = {
      SUPABASE_URL: url,
      SUPABASE_PUBLISHABLE_KEY: keys.publishable,
      SUPABASE_SECRET_KEY: keys.secret,
      DATABASE_URL: server.url('postgres', 'postgres'),
      DATABASE_ADMIN_URL: databaseUrl,
      FUNCTIONS_URL: `${url}/functions/v1`,
      STRIPE_WEBHOOK_SECRET: variables.STRIPE_WEBHOOK_SECRET,
      LINK_PROXY_SECRET: variables.LINK_PROXY_SECRET,
      JWT_SECRET: keys.jwtSecret,
    }
    return { environment, home, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The CLI compares versions only, and would silently skip an edited migration. */
async function requireSameMigrations(folder: string, done: string): Promise<void> {
  const now = await migrationHashes(folder)
  const applied = Object.entries(JSON.parse(readFileSync(done, 'utf8')) as Record<string, string>)
  const changed = applied.find(([name, hash]) => now[name] !== hash)
  if (!changed) return
  throw new CliError(
    `The migration ${changed[0]} has changed since it was applied: start with --fresh for an empty stack, or remove ${dirname(done)} to begin again.`,
  )
}

async function requireAnswers(url: string, apikey: string): Promise<void> {
  for (const path of ['/rest/v1/', '/auth/v1/settings']) {
    const { status } = await fetch(url + path, { headers: { apikey } })
    if (status >= 500)
      throw new CliError(
        `The stack started, but ${path} answers ${status}; its logs are in the data folder.`,
      )
  }
}
