/** Starts a fresh local stack in a process of its own, as a user does. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { CliError } from '../../cli/cli-error.ts'
import { temporaryHome } from './home.ts'
import { root } from './root.ts'

const environmentShape = z.object({
  SUPABASE_URL: z.string(),
  SUPABASE_PUBLISHABLE_KEY: z.string(),
  SUPABASE_SECRET_KEY: z.string(),
  DATABASE_URL: z.string(),
  DATABASE_ADMIN_URL: z.string(),
  FUNCTIONS_URL: z.string(),
  STRIPE_WEBHOOK_SECRET: z.string(),
  LINK_PROXY_SECRET: z.string(),
  JWT_SECRET: z.string(),
})

/** The variables that `npm start -- --env-file FILE` writes. */
export type StackEnvironment = z.infer<typeof environmentShape>

/** Reads an env file of `npm start`. */
export function readEnvironmentFile(file: string): StackEnvironment {
  if (!existsSync(file)) throw new CliError(`There is no env file ${file}.`)
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => /^[A-Z]/.test(line))
  const entries = lines.map((line) => [
    line.slice(0, line.indexOf('=')),
    line.slice(line.indexOf('=') + 1),
  ])
  return environmentShape.parse(Object.fromEntries(entries))
}

/** Runs `npm start -- --fresh` and waits until every service responds. It ends when this process ends, even by kill -9. */
export async function spawnStack(): Promise<{
  environment: StackEnvironment
  stop: () => Promise<void>
}> {
  const folder = temporaryHome()
  const file = join(folder, 'env')
  const script = join(root, 'scripts/start.ts')
  const child = spawn(
    process.execPath,
    ['--', script, '--fresh', '--until-stdin-ends', '--env-file', file],
    {
      stdio: ['pipe', 'ignore', 'pipe'],
    },
  )
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const stop = async () => {
    child.stdin.end()
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  while (!existsSync(file)) {
    if (child.exitCode !== null) {
      await stop()
      throw new CliError(`The local stack did not start: ${errors.trim()}`)
    }
    await setTimeout(50)
  }
  return { environment: readEnvironmentFile(file), stop }
}
