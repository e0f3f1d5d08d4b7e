import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename, join } from 'node:path'
import Stripe from 'stripe'
import { describe, expect, test } from 'vitest'
import { migrationsFolder } from '../../scripts/releases/releases.ts'
import { mark } from '../../scripts/stack/environment-file.ts'
import { root } from '../../scripts/stack/root.ts'
import { readEnvironmentFile, type StackEnvironment } from '../../scripts/stack/spawn.ts'
import { copyOfProject, newFolder, started } from '../support/fresh-stack.ts'
import { processesWith, type Running, start, until } from '../support/processes.ts'

const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Whether the stack is reached at an address that is not 127.0.0.1. */
const isReachedFromElsewhere = ({ SUPABASE_URL }: { SUPABASE_URL: string }) =>
  fetch(SUPABASE_URL.replace('127.0.0.1', '127.0.0.2')).then(
    () => true,
    () => false,
  )

async function failure(running: Running): Promise<string> {
  const { code, stdout, stderr } = await running.ended
  expect(code).toBe(1)
  expect(stdout).toBe('')
  expect(stderr.trim().split('\n')).toHaveLength(1)
  return stderr.trim()
}

test('an env file that no stack has written is refused, and stays', async () => {
  const file = join(newFolder(), 'env')
  writeFileSync(file, 'SECRET=1')
  const { code, stderr } = await start('start.ts', ['--fresh', '--env-file', file]).ended
  expect([code, stderr]).toEqual([1, expect.stringContaining('Choose another name.')])
  expect(readFileSync(file, 'utf8')).toBe('SECRET=1')
})

describe('npm start -- --fresh', () => {
  test('replaces an old env file once everything answers, takes the secret of stripe listen, is open with --host, and leaves nothing behind on Ctrl-C', async () => {
    const secret = `whsec_${'0123456789abcdef'.repeat(4)}`
    const file = join(newFolder(), 'env')
    writeFileSync(file, `${mark}SUPABASE_URL=old`)
    const env = { ...process.env, STRIPE_WEBHOOK_SECRET: secret }
    const args = ['--fresh', '--host', '--env-file', file]
    const stack = await started(start('start.ts', args, { env }), file)

    const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY: apikey } = stack.environment
    const settings = await fetch(`${SUPABASE_URL}/auth/v1/settings`, { headers: { apikey } })
    expect(settings.status).toBe(200)
    expect(stack.environment.STRIPE_WEBHOOK_SECRET).toBe(secret)
    expect(await signedDelivery(stack.environment, secret)).not.toBe(400)
    expect(await signedDelivery(stack.environment, `${secret}0`)).toBe(400)
    expect(await isReachedFromElsewhere(stack.environment)).toBe(true)

    expect(stack.processes()).toHaveLength(3)
    const home = /-D (\S+)\/data/.exec(stack.processes().join())?.[1]
    stack.child.kill('SIGINT')
    const { code, stdout } = await stack.ended
    expect(code).toBe(0)
    expect(stdout).toContain('Warning: everybody on your network')
    expect(stdout).toContain('stopped')
    expect(stack.processes()).toEqual([])
    expect(existsSync(file)).toBe(false)
    expect(existsSync(String(home))).toBe(false)
  })

  test('removes an old env file at once, and stops when it is interrupted while it starts', async () => {
    const file = join(newFolder(), 'env')
    writeFileSync(file, `${mark}SUPABASE_URL=old`)
    const running = start('start.ts', ['--fresh', '--env-file', file])
    await until(() => !existsSync(file))
    running.child.kill('SIGINT')
    expect(await running.ended).toMatchObject({ code: 0, stderr: '' })
  })

  test('is closed to others without --host, and ends when npm is killed', async () => {
    const file = join(newFolder(), 'env')
    const args = ['start', '--', '--fresh', '--env-file', file]
    const npm = spawn('npm', args, { cwd: root, detached: true })
    await until(() => existsSync(file), 100)
    const environment = readEnvironmentFile(file)
    expect(await isReachedFromElsewhere(environment)).toBe(false)
    process.kill(npm.pid ?? 0, 'SIGKILL')
    const { port } = new URL(environment.DATABASE_URL)
    await until(() => processesWith(`-p ${port} `).length === 0)
  }, 120_000)
})

/** The status of an answer to an event that is signed by a secret. */
async function signedDelivery({ FUNCTIONS_URL }: StackEnvironment, secret: string) {
  const body = '{"id": "evt_1", "object": "event", "type": "customer.created", "livemode": false}'
  const signature = Stripe.webhooks.generateTestHeaderString({ payload: body, secret })
  const headers = { 'stripe-signature': signature }
  return (
    await fetch(`${FUNCTIONS_URL}/referbase-stripe-webhook`, { method: 'POST', headers, body })
  ).status
}

describe('npm start ends with what is wrong, and exit code 1', () => {
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
    const { code, stdout, stderr } = await start('start.ts', ['--fresh'], { folder: copy }).ended
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr.split('\n')).toEqual([
      'A migration failed, and nothing of it was applied. The Supabase CLI says:',
      `Applying migration ${basename(file)}...`,
      'ERROR: division by zero (SQLSTATE 22012)',
      expect.stringMatching(/^At statement: \d+$/),
      'select 1 / 0',
      '',
    ])
  })

  test('when a program is missing', async () => {
    const copy = copyOfProject({ without: 'deno' })
    expect(await failure(start('start.ts', ['--fresh'], { folder: copy }))).toBe(
      `Programs of the local stack are missing here. Install them: npm install --save-dev --save-exact deno@${devDependencies.deno}`,
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
