/** Other users of the machine reach the port of the local database: its password is drawn once, and kept from them. */
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import { expect, inject, test } from 'vitest'
import { postgresIdentity, temporaryHome } from '../../scripts/stack/home.ts'
import { freePort } from '../../scripts/stack/ports.ts'
import { startPostgres } from '../../scripts/stack/postgres.ts'

const modeOf = (path: string) => statSync(path).mode & 0o777

test.for(['postgres', 'supabase_admin'])('nobody signs in as %s by a guess', async (user) => {
  const url = new URL(inject('servers').admin.replace('DATABASE', 'postgres'))
  expect(url.password).toMatch(/^[0-9a-f]{48}$/)
  url.username = user
  for (const guess of ['postgres', 'password', user]) {
    url.password = guess
    const sql = postgres(url.href, { max: 1 })
    await expect(sql`select 1`).rejects.toMatchObject({ code: '28P01' })
    await sql.end()
  }
})

test('the password lasts, for the owner’s eyes; a folder without one is refused', async () => {
  const identity = postgresIdentity()
  const home = temporaryHome(identity)
  const start = async () =>
    startPostgres({ home, port: await freePort(), identity, durable: false })
  const file = join(home, 'database-password')
  try {
    const first = await start()
    await first.stop()
    expect([modeOf(file), modeOf(join(home, 'data'))]).toEqual([0o600, 0o700])
    expect(existsSync(join(home, 'password'))).toBe(false)
    const password = readFileSync(file, 'utf8')
    const again = await start()
    const sql = postgres(again.url('postgres', 'supabase_admin'), { max: 1 })
    expect(await sql`select 1 as one`).toEqual([{ one: 1 }])
    await sql.end()
    await again.stop()
    expect(readFileSync(file, 'utf8')).toBe(password)
    rmSync(file)
    await expect(start()).rejects.toThrow(`${home} was made by an earlier version: remove it`)
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
})
