/** The Data API and Auth of the local stack: @supabase/lite on our Postgres, with our grants and PostgREST's values. */
import { Console } from 'node:console'
import { createWriteStream } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import postgres from 'postgres'
import { withAuth } from './auth.ts'
import type { Keys } from './keys.ts'
import { importLite, importLitePostgres } from './programs.ts'
import type { Project } from './project.ts'

export type Api = { fetch: (request: Request) => Promise<Response>; stop: () => Promise<void> }

type Settings = { databaseUrl: string; api: Project['api']; keys: Keys; log: string }

/** Starts the API on a database. Its output, sixteen lines for each refused call, goes to the log file. */
export async function startApi({ databaseUrl, api, keys, log }: Settings): Promise<Api> {
  const file = createWriteStream(log, { flags: 'a' })
  globalThis.console = new Console({ stdout: file, stderr: file })
  const { App } = await importLite()
  const { PostgresConnection } = await importLitePostgres()

  const connection = new PostgresConnection({
    url: databaseUrl,
    postgresOptions: { max: 40, onnotice: () => {}, types },
  })
  // By default it grants ALL on every table with row-level security, which would hide a missing or excess grant.
  Object.assign(connection, { ensureRlsContext: async () => true })
  const app = new App({
    connection,
    api,
    db: { migrations: { enabled: false } },
    auth: {
      enabled: true,
      jwt_secret: keys.jwtSecret,
      publishable_key: keys.publishable,
      secret_key: keys.secret,
      email: { enable_confirmations: false },
    },
  })
  // Without a peer address the admin mode stays off.
  const lite = async (request: Request) => app.fetch(request, { peerAddress: null })
  const sql = postgres(databaseUrl, { max: 4, onnotice: () => {} })
  return {
    fetch: withAuth({ lite, sql, keys }),
    // `close` waits for the connections of aborted requests, which Postgres ends when it stops.
    stop: async () => {
      await Promise.race([Promise.all([connection.close(), sql.end()]), setTimeout(1000)])
    },
  }
}

const json = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
const sameText = (value: unknown) => String(value)

/** Renders values as PostgREST does. */
const types = {
  json: { to: 114, from: [114], serialize: json, parse: JSON.parse },
  jsonb: { to: 3802, from: [3802], serialize: json, parse: JSON.parse },
  numeric: { to: 1700, from: [1700], serialize: sameText, parse: Number },
  timestamptz: {
    to: 1184,
    from: [1184],
    serialize: sameText,
    parse: (value: string) => value.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00'),
  },
}
