/** A project's Postgres that can be killed, and recovers. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { applyMigrations, createProject, createRoles } from '../stack/database.ts'
import { postgresIdentity, temporaryHome } from '../stack/home.ts'
import { freePort } from '../stack/ports.ts'
import { type Postgres, startPostgres } from '../stack/postgres.ts'

export type Killable = {
  /** Of the database, as the schema's owner. It stays the same. */
  url: string
  /** All of Postgres dies at once, as when the machine does. */
  kill: () => void
  /** Waits until it has recovered. */
  recover: () => Promise<void>
  stop: () => Promise<void>
}

/** Starts it, with the schema in it. It waits for the disk, as a deployed one does. */
export async function killable(): Promise<Killable> {
  const identity = postgresIdentity()
  const home = temporaryHome(identity)
  const settings = { home, port: await freePort(), identity, durable: true }
  let server = await startPostgres(settings)
  await createRoles(server)
  await createProject(server, 'postgres')
  await applyMigrations(server, 'postgres')
  return {
    url: server.url('postgres', 'postgres'),
    kill: () =>
      void process.kill(
        Number(readFileSync(join(home, 'data/postmaster.pid'), 'utf8').split('\n')[0]),
        'SIGKILL',
      ),
    recover: async () => {
      server = await restarted(settings)
    },
    stop: async () => {
      await server.stop()
      rmSync(home, { recursive: true, force: true })
    },
  }
}

/** Restarts Postgres after a crash. It retries, because the old shared memory is released after a moment. */
async function restarted(settings: Parameters<typeof startPostgres>[0]): Promise<Postgres> {
  for (let tries = 0; ; tries++) {
    try {
      return await startPostgres(settings)
    } catch (error) {
      if (tries === 50) throw error
      await setTimeout(100)
    }
  }
}
