import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Stripe from 'stripe'
import { afterEach, describe, expect, test } from 'vitest'
import { migrationsFolder } from '../../scripts/releases/releases.ts'
import { canReach } from '../../scripts/stack/home.ts'
import { root } from '../../scripts/stack/root.ts'
import { readEnvironmentFile } from '../../scripts/stack/spawn.ts'
import { processesWith, type Running, start, until } from '../support/processes.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-test-'))
  chmodSync(folder, 0o777)
  folders.push(folder)
  return folder
}

/** A fresh stack that has written its env file, and the ports by which its processes are known. */
async function freshStack(options: object = {}) {
  const file = join(newFolder(), 'env')
  const running = start('start.ts', ['--fresh', '--env-file', file], options)
  const failed = running.ended.then(({ stderr }) => {
    throw new Error(stderr)
  })
  await Promise.race([until(() => existsSync(file)), failed])
  failed.catch(() => {})
  const environment = readEnvironmentFile(file)
  const ports = [environment.SUPABASE_URL, environment.DATABASE_URL].map((url) =>
    String(new URL(url).port),
  )
  return {
    ...running,
    file,
    environment,
    processes: () =>
      ports.flatMap((port) => [
        ...processesWith(`-p ${port} `),
        ...processesWith(`127.0.0.1:${port},`),
      ]),
  }
}

/** A copy of the project with the installed packages, some left out. */
function copyOfProject({ without = '' } = {}): string {
  const copy = newFolder()
  for (const name of ['scripts', 'supabase', 'functions', 'client', 'cli', 'package.json', 'sql']) {
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  mkdirSync(join(copy, 'node_modules'))
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== without)
      symlinkSync(join(root, 'node_modules', name), join(copy, 'node_modules', name))
  }
  return copy
}

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

async function failure(running: Running): Promise<string> {
  const { code, stdout, stderr } = await running.ended
  expect(code).toBe(1)
  expect(stdout).toBe('')
  expect(stderr.trim().split('\n')).toHaveLength(1)
  return stderr.trim()
}

describe('npm start -- --fresh', () => {
  test('writes the env file once everything answers, and leaves nothing behind on Ctrl-C', async () => {
    const stack = await freshStack()
    const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY: apikey, FUNCTIONS_URL } = stack.environment
    expect((await fetch(`${SUPABASE_URL}/auth/v1/settings`, { headers: { apikey } })).status).toBe(
      200,
    )
    expect(
      (await fetch(`${FUNCTIONS_URL}/referbase-stripe-webhook`, { method: 'POST' })).status,
    ).toBe(400)
    expect(stack.processes()).toHaveLength(3)
    const home = /-D (\S+)\/data/.exec(stack.processes().join())?.[1]
    stack.child.kill('SIGINT')
    const { code, stdout } = await stack.ended
    expect(code).toBe(0)
    expect(stdout).toContain('stopped')
    expect(stack.processes()).toEqual([])
    expect(existsSync(stack.file)).toBe(false)
    expect(existsSync(String(home))).toBe(false)
  })

  test('that is killed leaves functions that end by themselves, and a server that the next start stops', async () => {
    const stack = await freshStack()
    stack.child.kill('SIGKILL')
    await stack.ended
    await until(() => stack.processes().every((line) => line.includes('postgres')))
    const next = await freshStack()
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

  test('does not leave an old env file where somebody waits for the new one', async () => {
    const file = join(newFolder(), 'env')
    writeFileSync(file, 'SUPABASE_URL=old')
    const running = start('start.ts', ['--fresh', '--env-file', file])
    await until(() => !existsSync(file))
    running.child.kill('SIGINT')
    expect(await running.ended).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('npm start', () => {
  test('takes the secret that stripe listen signs with from the environment', async () => {
    const secret = `whsec_${'0123456789abcdef'.repeat(4)}`
    const env = { ...process.env, STRIPE_WEBHOOK_SECRET: secret }
    const stack = await freshStack({ env })
    expect(stack.environment.STRIPE_WEBHOOK_SECRET).toBe(secret)
    const body = '{"id": "evt_1", "object": "event", "type": "customer.created", "livemode": false}'
    const answer = (signature: string) =>
      fetch(`${stack.environment.FUNCTIONS_URL}/referbase-stripe-webhook`, {
        method: 'POST',
        headers: { 'stripe-signature': signature },
        body,
      })
    const signature = Stripe.webhooks.generateTestHeaderString({ payload: body, secret })
    expect((await answer(signature)).status).not.toBe(400)
    stack.child.kill('SIGINT')
    await stack.ended
  })

  test.for([
    ['with --host', ['--host'], true],
    ['without it', [], false],
  ] as const)('is reached from other addresses: %s', async ([, option, reached]) => {
    const file = join(newFolder(), 'env')
    const running = start('start.ts', ['--fresh', '--env-file', file, ...option])
    await until(() => existsSync(file))
    const { port } = new URL(readEnvironmentFile(file).SUPABASE_URL)
    const elsewhere = fetch(`http://127.0.0.2:${port}/auth/v1/settings`)
    expect(await elsewhere.then(() => true).catch(() => false)).toBe(reached)
    running.child.kill('SIGINT')
    expect((await running.ended).stdout.includes('Warning: everybody on your network')).toBe(
      reached,
    )
  })

  test('ends when npm is killed', async () => {
    const file = join(newFolder(), 'env')
    const npm = spawn('npm', ['start', '--', '--fresh', '--env-file', file], {
      cwd: root,
      detached: true,
    })
    await until(() => existsSync(file))
    const { port } = new URL(readEnvironmentFile(file).DATABASE_URL)
    const shell = npm.pid ?? 0
    process.kill(shell, 'SIGKILL')
    await until(() => processesWith(`-p ${port} `).length === 0)
  }, 120_000)

  test('does not read what .env files hold', async () => {
    const copy = copyOfProject()
    for (const place of ['.env', 'supabase/.env', '.env.local'])
      writeFileSync(join(copy, place), 'NOT A LINE = "of any\nkind')
    const file = join(newFolder(), 'env')
    const running = start('start.ts', ['--fresh', '--env-file', file], { folder: copy })
    const failed = running.ended.then(({ stderr }) => Promise.reject(new Error(stderr)))
    await Promise.race([until(() => existsSync(file)), failed])
    failed.catch(() => {})
    running.child.kill('SIGINT')
    await running.ended
  })
})

describe('npm start ends with one sentence and exit code 1', () => {
  test('when its port is in use', async () => {
    const server = createServer().listen(54321, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve).once('error', resolve))
    expect(await failure(start('start.ts'))).toMatch(/^Port 54321 is in use: .*--fresh/)
    server.close()
  })

  test('when a migration fails', async () => {
    const copy = copyOfProject()
    const folder = join(copy, migrationsFolder)
    const file = join(folder, String(readdirSync(folder).sort().at(-1)))
    writeFileSync(file, `${readFileSync(file, 'utf8')}\nselect 1 / 0;\n`)
    expect(await failure(start('start.ts', ['--fresh'], { folder: copy }))).toMatch(
      /^A migration failed.*division by zero/,
    )
  })

  test('when a program is missing', async () => {
    const copy = copyOfProject({ without: 'deno' })
    expect(await failure(start('start.ts', ['--fresh'], { folder: copy }))).toBe(
      'Deno is missing in node_modules: run "npm ci".',
    )
  })

  test('when a function does not start', async () => {
    const copy = copyOfProject()
    const file = join(copy, 'functions/link/index.ts')
    writeFileSync(file, `throw new Error('no reason')\n${readFileSync(file, 'utf8')}`)
    expect(await failure(start('start.ts', ['--fresh'], { folder: copy }))).toMatch(
      /^The function "referbase-link" did not start: .*no reason/,
    )
  })

  test('when its env file cannot be written', async () => {
    const args = ['--fresh', '--env-file', join(newFolder(), 'missing', 'env')]
    expect(await failure(start('start.ts', args))).toMatch(/^The env file .* cannot be written\.$/)
  })

  test('when an option is unknown', async () => {
    expect(await failure(start('start.ts', ['--frsh']))).toMatch(/--frsh.*Usage: npm start/)
  })
})
