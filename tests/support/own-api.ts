/** A Data API of a test file's own, on a database of its own: no other file adds to what is counted there. */
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { afterAll, inject } from 'vitest'
import { connect } from '../../cli/database.ts'
import { startApi } from '../../scripts/stack/api.ts'
import { keysOf } from '../../scripts/stack/keys.ts'
import { readProject } from '../../scripts/stack/project.ts'
import { root } from '../../scripts/stack/root.ts'
import { testDatabase } from './database.ts'

export async function ownApi() {
  const sql = await testDatabase()
  const [row] = await sql`select current_database() as name`
  const home = mkdtempSync(join(tmpdir(), 'referbase-api-'))
  const keys = keysOf(home)
  const { console } = globalThis
  const api = await startApi({
    databaseUrl: inject('servers').admin.replace('DATABASE', String(row?.name)),
    api: readProject(root).api,
    keys,
    log: join(home, 'api.log'),
  })
  // The API has taken it for itself, and writes many lines for each call that is refused.
  const itsConsole = globalThis.console
  globalThis.console = console
  const answer = async (request: Request) => {
    globalThis.console = itsConsole
    return api.fetch(request).finally(() => {
      globalThis.console = console
    })
  }
  const server = serve({ fetch: answer, port: 0, hostname: '127.0.0.1' })
  await new Promise((resolve) => server.once('listening', resolve))
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve))
    await api.stop()
    rmSync(home, { recursive: true, force: true })
  })
  const { port } = server.address() as AddressInfo
  const environment = {
    SUPABASE_URL: `http://127.0.0.1:${port}`,
    SUPABASE_SECRET_KEY: keys.secret,
    SUPABASE_PUBLISHABLE_KEY: keys.publishable,
  }
  return {
    sql,
    environment,
    database: connect(environment.SUPABASE_URL, keys.secret),
    /** The schema owner's. */
    databaseUrl: inject('servers').postgres.replace('DATABASE', String(row?.name)),
  }
}
