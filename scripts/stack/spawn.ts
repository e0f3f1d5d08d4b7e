/** A fresh local stack in a process of its own, started as a user starts it. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { root } from './root.ts'
import { Sentence } from './sentence.ts'

const environmentShape = z.object({
  SUPABASE_URL: z.string(),
  SUPABASE_PUBLISHABLE_KEY: z.string(),
  SUPABASE_SECRET_KEY: z.string(),
  DATABASE_URL: z.string(),
  DATABASE_ADMIN_URL: z.string(),
  FUNCTIONS_URL: z.string(),
  STRIPE_WEBHOOK_SECRET: z.string(),
  JWT_SECRET: z.string(),
})

/** What `npm start -- --env-file FILE` writes. */
export type StackEnvironment = z.infer<typeof environmentShape>

/** Reads an env file of `npm start`. */
export function readEnvironmentFile(file: string): StackEnvironment {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  const entries = lines.map((line) => [
    line.slice(0, line.indexOf('=')),
    line.slice(line.indexOf('=') + 1),
  ])
  return environmentShape.parse(Object.fromEntries(entries))
}

/** Starts `npm start -- --fresh` and waits until everything answers. */
export async function spawnStack(): Promise<{
  environment: StackEnvironment
  stop: () => Promise<void>
}> {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-env-'))
  const file = join(folder, 'env')
  const script = join(root, 'scripts/start.ts')
  const child = spawn(process.execPath, ['--', script, '--fresh', '--env-file', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  while (!existsSync(file)) {
    if (child.exitCode !== null)
      throw new Sentence(`The local stack did not start: ${errors.trim()}`)
    await setTimeout(50)
  }
  return { environment: readEnvironmentFile(file), stop }
}
