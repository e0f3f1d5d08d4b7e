/** The local stack in one call: Postgres, migrations, Data API and Auth, edge functions, gateway. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CliError } from '../../cli/cli-error.ts'
import { startApi } from './api.ts'
import {
  applyMigrations,
  createProject,
  createRoles,
  execute,
  migrationHashes,
} from './database.ts'
import { startFunctions } from './functions.ts'
import { startGateway } from './gateway.ts'
import { lastingHome, postgresIdentity, temporaryHome } from './home.ts'
import { keysOf } from './keys.ts'
import { stopLeftover } from './leftover.ts'
import { freePort, requireFreePort } from './ports.ts'
import { startPostgres } from './postgres.ts'
import { root } from './root.ts'

export type Stack = {
  environment: Record<string, string>
  hasDemo: boolean
  stop: () => Promise<void>
}

type Options = {
  fresh: boolean
  /** Whether the devices of the network reach the API. The database listens on 127.0.0.1 only. */
  exposed?: boolean
  /** The secret that `stripe listen` signs with; drawn unless given. */
  webhookSecret?: string | undefined
}

/**
 * Starts all services, and returns when all respond. A fresh stack is empty, has a temporary folder and free ports, and is
 * removed when it stops. The other stack keeps its data, and listens on 54321 and 54322.
 */
export async function startStack({ fresh, exposed, webhookSecret }: Options): Promise<Stack> {
  const stops: (() => Promise<void> | void)[] = []
  const stop = async () => {
    for (const step of stops.splice(0).reverse()) await step()
  }
  try {
    const identity = postgresIdentity()
    const [apiPort, databasePort] = fresh ? [await freePort(), await freePort()] : [54321, 54322]
    // The port comes first: only the stack that holds it may touch the persistent data.
    const gateway = await startGateway(apiPort, exposed ? '0.0.0.0' : '127.0.0.1')
    stops.push(gateway.stop)
    const home = fresh ? temporaryHome(identity) : lastingHome(identity)
    if (fresh) stops.push(() => rmSync(home, { recursive: true, force: true }))
    const keys = { ...keysOf(home), ...(webhookSecret && { webhookSecret }) }
    const data = join(home, 'data')
    const done = join(home, 'bootstrapped')
    const firstStart = !existsSync(done)
    stopLeftover(data)
    await requireFreePort(databasePort)
    // The marker is written last. Without it the first start was interrupted, and starts again.
    if (firstStart) rmSync(data, { recursive: true, force: true })
    else await requireSameMigrations(done)

    const server = await startPostgres({ home, port: databasePort, identity, durable: !fresh })
    stops.push(server.stop)
    if (firstStart) {
      await createRoles(server)
      await createProject(server, 'postgres')
    }
    await applyMigrations(server, 'postgres')
    if (firstStart && !fresh) {
      await execute(server.url('postgres', 'postgres'), { file: join(root, 'supabase/seed.sql') })
    }
    writeFileSync(done, JSON.stringify(await migrationHashes()))

    const api = await startApi({
      databaseUrl: server.url('postgres', 'supabase_admin'),
      keys,
      log: join(home, 'api.log'),
    })
    stops.push(api.stop)
    const url = `http://127.0.0.1:${apiPort}`
    const environment = {
      SUPABASE_URL: url,
      SUPABASE_PUBLISHABLE_KEY: keys.publishable,
      SUPABASE_SECRET_KEY: keys.secret,
      DATABASE_URL: server.url('postgres', 'postgres'),
      DATABASE_ADMIN_URL: server.url('postgres', 'supabase_admin'),
      FUNCTIONS_URL: `${url}/functions/v1`,
      STRIPE_WEBHOOK_SECRET: keys.webhookSecret,
      LINK_PROXY_SECRET: keys.proxySecret,
      JWT_SECRET: keys.jwtSecret,
    }
    const functions = await startFunctions({
      home,
      apiPort,
      environment: {
        SUPABASE_URL: url,
        SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishable }),
        SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secret }),
        STRIPE_WEBHOOK_SECRET: keys.webhookSecret,
        STRIPE_LIVEMODE: 'false',
        LINK_FALLBACK_URL: 'https://example.com/',
        LINK_PROXY_SECRET: keys.proxySecret,
      },
    })
    stops.push(functions.stop)
    gateway.open({ api, functions })
    await requireAnswers(environment)
    return { environment, hasDemo: !fresh, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The CLI compares versions only, and would silently skip an edited migration. */
async function requireSameMigrations(done: string): Promise<void> {
  const now = await migrationHashes()
  const applied = Object.entries(JSON.parse(readFileSync(done, 'utf8')) as Record<string, string>)
  if (applied.every(([name, hash]) => now[name] === hash)) return
  throw new CliError(
    `The schema has changed since the data was made: run "npm start -- --fresh" for an empty stack, or remove ${dirname(done)} to begin again.`,
  )
}

async function requireAnswers(environment: {
  SUPABASE_URL: string
  SUPABASE_PUBLISHABLE_KEY: string
}): Promise<void> {
  const apikey = environment.SUPABASE_PUBLISHABLE_KEY
  const paths = [
    '/rest/v1/rpc/resolve_code?code=none',
    '/auth/v1/settings',
    '/functions/v1/referbase-link/none',
  ]
  for (const path of paths) {
    const { status } = await fetch(environment.SUPABASE_URL + path, {
      headers: { apikey, 'accept-profile': 'referral' },
      redirect: 'manual',
    })
    if (status >= 400)
      throw new CliError(
        `The stack started, but ${path} answers ${status}; its logs are in the data folder.`,
      )
  }
}
