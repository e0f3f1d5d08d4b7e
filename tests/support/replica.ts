/** A Postgres server with the schema, and a hot standby that replicates it: two servers of npm's Postgres. */
import { execFileSync } from 'node:child_process'
import { appendFileSync, cpSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type postgres from 'postgres'
import { applyMigrations, createProject, createRoles } from '../../scripts/stack/database.ts'
import { postgresIdentity, temporaryHome } from '../../scripts/stack/home.ts'
import { freePort } from '../../scripts/stack/ports.ts'
import { type Postgres, startPostgres } from '../../scripts/stack/postgres.ts'

/** Starts both. The standby begins as a copy of the primary's data folder, made while the primary was stopped. */
export async function startWithReplica() {
  const identity = postgresIdentity()
  const [home, replicaHome] = [temporaryHome(identity), temporaryHome(identity)]
  const [port, replicaPort] = [await freePort(), await freePort()]
  const settings = { identity, durable: false, sharedBuffers: '32MB' }
  const running: Postgres[] = []
  const stop = async () => {
    await Promise.all(running.splice(0).map((server) => server.stop()))
    for (const folder of [home, replicaHome]) rmSync(folder, { recursive: true, force: true })
  }
  const start = async (home: string, port: number) => {
    const server = await startPostgres({ ...settings, home, port })
    running.unshift(server)
    return server
  }
  try {
    const first = await start(home, port)
    await createRoles(first)
    await createProject(first, 'postgres')
    await applyMigrations(first, 'postgres')
    await running.pop()?.stop()
    const data = join(replicaHome, 'data')
    execFileSync('cp', ['-a', join(home, 'data'), data])
    cpSync(join(home, 'database-password'), join(replicaHome, 'database-password'))
    writeFileSync(join(data, 'standby.signal'), '')
    const { username, password } = new URL(first.url('postgres', 'supabase_admin'))
    appendFileSync(
      join(data, 'postgresql.auto.conf'),
      `primary_conninfo = 'host=127.0.0.1 port=${port} user=${username} password=${password}'\n`,
    )
    const primary = await start(home, port)
    const replica = await start(replicaHome, replicaPort)
    return { primary, replica, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Waits until the replica has what the primary has now. */
export async function replayed(primary: postgres.Sql, replica: postgres.Sql): Promise<void> {
  const [now] = await primary`select pg_current_wal_insert_lsn()::text as lsn`
  for (let tries = 0; tries < 20_000; tries++) {
    const [row] = await replica`select pg_last_wal_replay_lsn() >= ${now?.lsn}::pg_lsn as has_all`
    if (row?.has_all) return
  }
  throw new Error('the replica did not catch up')
}

/** Runs the work while the replica replays nothing, as one that is far behind. The connection is the superuser's. */
export async function whileBehind(replica: postgres.Sql, work: () => Promise<void>): Promise<void> {
  await replica`select pg_wal_replay_pause()`
  try {
    for (let state = ''; state !== 'paused'; )
      state = (await replica`select pg_get_wal_replay_pause_state() as state`)[0]?.state
    await work()
  } finally {
    await replica`select pg_wal_replay_resume()`
  }
}
