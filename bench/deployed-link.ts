/** The deployed `referbase-link` in a Deno of its own on a fresh stack, and a bare server beside it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@supabase/supabase-js'
import type { Database } from '../client/database.types.ts'
import { startFunctions } from '../scripts/stack/functions.ts'
import { freePort } from '../scripts/stack/ports.ts'
import { root } from '../scripts/stack/root.ts'
import { type StackEnvironment, spawnStack } from '../scripts/stack/spawn.ts'

export type Deployed = {
  /** A link that leads to an organisation’s web destination. */
  link: string
  /** A server that answers a constant 302 and does nothing else. */
  bare: string
  environment: StackEnvironment
}

/** Runs the work beside both, and removes them. */
export async function* onDeployedLink<Row>(
  work: (deployed: Deployed) => AsyncGenerator<Row>,
): AsyncGenerator<Row> {
  const home = mkdtempSync(join(tmpdir(), 'referbase-bench-'))
  const { environment, stop } = await spawnStack()
  const functions = await startFunctions({
    home,
    names: ['referbase-link'],
    apiPort: Number(new URL(environment.SUPABASE_URL).port),
    environment: {
      SUPABASE_URL: environment.SUPABASE_URL,
      SUPABASE_PUBLISHABLE_KEY: environment.SUPABASE_PUBLISHABLE_KEY,
      SUPABASE_SECRET_KEY: environment.SUPABASE_SECRET_KEY,
      LINK_FALLBACK_URL: 'https://example.com/',
    },
  })
  const bare = await startBare(home)
  try {
    const base = `http://127.0.0.1:${functions.port('referbase-link')}/referbase-link`
    const link = `${base}/${await newCode(environment)}`
    yield* work({ link, bare: bare.url, environment })
  } finally {
    bare.child.kill()
    await functions.stop()
    await stop()
    rmSync(home, { recursive: true })
  }
}

async function startBare(home: string): Promise<{ url: string; child: ChildProcess }> {
  const file = join(home, 'bare.ts')
  const headers = { location: 'https://app.example.com/welcome' }
  const answer = `new Response(null, { status: 302, headers: ${JSON.stringify(headers)} })`
  writeFileSync(file, `Deno.serve(() => ${answer})`)
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const child = spawn(
    join(root, 'node_modules/deno/deno'),
    ['run', '--no-prompt', '--no-config', `--allow-net=${address}`, file],
    { env: { ...process.env, DENO_SERVE_ADDRESS: `tcp:${address}` }, stdio: 'pipe' },
  )
  await new Promise((resolve) => child.stderr.once('data', resolve))
  return { url: `http://${address}/`, child }
}

export async function newCode({
  SUPABASE_URL,
  SUPABASE_SECRET_KEY,
}: StackEnvironment): Promise<string> {
  const operator = createClient<Database>(SUPABASE_URL, SUPABASE_SECRET_KEY).schema('referral')
  const organisation = { name: 'Bench', slug: 'bench', admin_id: crypto.randomUUID() }
  const { data } = await operator.rpc('create_organisation', organisation).throwOnError()
  const org_id = data.id
  const changes = {
    web_destination: 'https://app.example.com/welcome',
    clicks_per_code: 10_000_000,
  }
  await operator.rpc('update_organisation', { org_id, changes }).throwOnError()
  await operator.rpc('create_program', { org_id, key: 'bench', name: 'Bench' }).throwOnError()
  const code = await operator.rpc('create_campaign_code', { org_id }).throwOnError()
  return code.data.code
}
