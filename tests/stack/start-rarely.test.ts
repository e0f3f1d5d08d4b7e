/** What is rare of `npm start`: it is killed, or started by another user. `npm run soak -- --cli`. */
import { spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { canReach } from '../../scripts/stack/home.ts'
import { root } from '../../scripts/stack/root.ts'
import { copyOfProject, freshStack, newFolder } from '../support/fresh-stack.ts'
import { until } from '../support/processes.ts'

/** A user without rights, and the project; a copy of it where it lies in a folder that they cannot reach. */
function asNobody() {
  const user = { uid: 65534, gid: 65534, env: { PATH: process.env.PATH, HOME: newFolder() } }
  if (canReach(process.execPath, user)) return user
  const folder = join(newFolder(), 'copy')
  const hardLinked = spawnSync('cp', ['-al', root, folder]).status === 0
  if (!hardLinked) expect(spawnSync('cp', ['-a', root, folder]).status).toBe(0)
  chmodSync(folder, 0o755)
  return { ...user, folder, node: join(folder, 'node_modules/node/bin/node') }
}

describe('npm start -- --fresh', () => {
  test('that is killed leaves functions that end by themselves, and a server that the next start stops, which reads no .env files', async () => {
    const stack = await freshStack()
    stack.child.kill('SIGKILL')
    await stack.ended
    await until(() => stack.processes().every((line) => line.includes('postgres')))

    const copy = copyOfProject()
    for (const place of ['.env', 'supabase/.env', '.env.local'])
      writeFileSync(join(copy, place), 'NOT A LINE = "of any\nkind')
    const next = await freshStack({ folder: copy })
    expect(stack.processes()).toEqual([])
    next.child.kill('SIGTERM')
    await next.ended
  }, 120_000)

  test('works as an ordinary user', async () => {
    const stack = await freshStack(process.getuid?.() === 0 ? asNobody() : {})
    expect(stack.processes()).toHaveLength(3)
    stack.child.kill('SIGINT')
    expect((await stack.ended).code).toBe(0)
  }, 120_000)
})
