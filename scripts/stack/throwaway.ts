import { rmSync } from 'node:fs'
import { createRoles } from './database.ts'
import { postgresIdentity, temporaryHome } from './home.ts'
import { freePort } from './ports.ts'
import { type Postgres, type Programs, startPostgres } from './postgres.ts'

/**
 * Starts a temporary Postgres server with a hosted project's roles and no project. Stopping removes its data. Without
 * `durable` it does not wait for the disk.
 */
export async function startThrowawayPostgres(
  settings: { durable?: boolean; sharedBuffers?: string; programs?: Programs } = {},
): Promise<Postgres> {
  const identity = postgresIdentity()
  const home = temporaryHome(identity)
  const remove = () => rmSync(home, { recursive: true, force: true })
  try {
    const server = await startPostgres({
      home,
      port: await freePort(),
      identity,
      durable: false,
      ...settings,
    })
    await createRoles(server)
    return { ...server, stop: () => server.stop().finally(remove) }
  } catch (error) {
    remove()
    throw error
  }
}
