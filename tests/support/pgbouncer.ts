/** Debian's PgBouncer with the settings of docs/scaling.md, in front of a Postgres server. */
import { type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { chownSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import postgres from 'postgres'
import { postgresIdentity, temporaryHome } from '../../scripts/stack/home.ts'
import { freePort } from '../../scripts/stack/ports.ts'
import { root } from '../../scripts/stack/root.ts'
import { blocksOf } from './blocks.ts'

/** Debian puts it where only root looks for programs. */
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }

/** Starts it before the server and database of `url`: many clients, and so many connections to the server. */
export async function startPgBouncer(url: string, serverConnections: number) {
  if (spawnSync('pgbouncer', ['--version'], { env }).error)
    throw new Error('PgBouncer is missing: install it, on Debian with "apt-get install pgbouncer"')
  const [block] = blocksOf(join(root, 'docs/scaling.md'))
    .filter(({ language }) => language === 'ini')
    .map(({ text }) => text)
  if (!block) throw new Error('docs/scaling.md has no settings of PgBouncer')
  const server = new URL(url)
  const identity = postgresIdentity()
  const home = temporaryHome(identity)
  const port = await freePort()
  // As root it refuses to run: its user reads the files.
  const write = (name: string, text: string) => {
    const file = join(home, name)
    writeFileSync(file, text, { mode: 0o600 })
    if (identity.uid) chownSync(file, identity.uid, identity.gid)
    return file
  }
  const users = write('users.txt', `"${server.username}" "${server.password}"\n`)
  const settings = write(
    'pgbouncer.ini',
    `[databases]
* = host=${server.hostname} port=${server.port}
[pgbouncer]
${block}
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
default_pool_size = ${serverConnections}
`,
  )
  const options: SpawnOptions = { env, cwd: home, stdio: ['ignore', 'ignore', 'pipe'], ...identity }
  const child = spawn('pgbouncer', [settings], options)
  let log = ''
  child.stderr?.on('data', (chunk) => {
    log += chunk
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    rmSync(home, { recursive: true })
  }
  const pooled = new URL(url)
  pooled.port = String(port)
  while (!(await answers(pooled.href))) {
    if (child.exitCode !== null) throw new Error(`PgBouncer did not start: ${log}`)
    await setTimeout(20)
  }
  return { url: pooled.href, stop }
}

async function answers(url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, prepare: false, fetch_types: false, connect_timeout: 5 })
  try {
    await sql`select`
    return true
  } catch (error) {
    if ((error as { code?: string }).code === 'ECONNREFUSED') return false
    throw error
  } finally {
    await sql.end()
  }
}
