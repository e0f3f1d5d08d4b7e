/** The memory of each edge function: idle after its first answer, and after many requests of visitors who differ. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import Stripe from 'stripe'
import { CliError } from '../cli/cli-error.ts'
import { paidInvoice } from '../tests/fixtures/stripe/invoice-paid.ts'
import { type Deployment, onDeployedFunctions } from './deployed-functions.ts'
import { newCode } from './deployed-link.ts'

/** In MiB. */
export type Memory = {
  what: string
  requests: number
  idle: number
  after: number
  atMost: number
}

/** Three quarters of what hosted Supabase gives a function. */
const atMost = 192

const execute = promisify(execFile)

export const memory = () =>
  onDeployedFunctions<Memory>(async function* (deployment) {
    const code = await newCode(deployment.environment)
    yield* measured(deployment, 'referbase-link', [
      ['taps, of which one in 50 is recorded, and one in 500 has no code', 1_000_000, taps(code)],
    ])
    const body = JSON.stringify(paidInvoice())
    yield* measured(deployment, 'referbase-stripe-webhook', [
      ['deliveries with a signature that is not valid', 1_000_000, deliveries(body, 't=1,v1=0')],
      ['signed deliveries of one event', 10_000, () => signed(deployment, body)],
    ])
  })

/** The script of wrk, which is made anew where a signature would expire. */
type Load = [what: string, requests: number, script: string | (() => Promise<string>)]

async function* measured(
  { start, file }: Deployment,
  name: 'referbase-link' | 'referbase-stripe-webhook',
  loads: Load[],
): AsyncGenerator<Memory> {
  const { port, pid, stop } = await start(file(name), name)
  try {
    const url = `http://127.0.0.1:${port}/${name}`
    await fetch(`${url}/.well-known/referbase`)
    await setTimeout(1000)
    const idle = residentOf(pid)
    for (const [what, requests, script] of loads) {
      for (let sent = 0; sent < requests; )
        sent += await wrk(url, typeof script === 'string' ? script : await script())
      await setTimeout(1000)
      yield { what: `${name}, ${what}`, requests, idle, after: residentOf(pid), atMost }
    }
  } finally {
    await stop()
  }
}

/** Visitors of ten thousands of networks, with ten thousands of user agents. */
const taps = (code: string) => `
request = function()
  local n = math.random(0, 65535)
  local path = n % 500 == 0 and string.format("/referbase-link/NONE%d", n) or "/referbase-link/${code}"
  return wrk.format("GET", path, {
    ["User-Agent"] = string.format("Mozilla/5.0 (Linux; Android 14; Pixel %d) Chrome/125", n),
    ["CF-Connecting-IP"] = string.format("10.%d.%d.1", math.floor(n / 256), n % 256),
    ["Sec-Purpose"] = n % 50 == 0 and "" or "prefetch"
  })
end`

const deliveries = (body: string, signature: string) => `
wrk.method = "POST"
wrk.path = "/referbase-stripe-webhook"
wrk.body = [==[${body}]==]
wrk.headers["Stripe-Signature"] = "${signature}"`

async function signed({ environment }: Deployment, payload: string): Promise<string> {
  const secret = environment.STRIPE_WEBHOOK_SECRET
  return deliveries(
    payload,
    await Stripe.webhooks.generateTestHeaderStringAsync({ payload, secret }),
  )
}

/** Sends requests for five seconds; how many were answered. */
async function wrk(url: string, script: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-bench-'))
  const file = join(folder, 'requests.lua')
  writeFileSync(file, script)
  const options = ['-t', '1', '-c', '16', '-d', '5s', '-s', file, url]
  try {
    const { stdout } = await execute('wrk', options)
    return Number(/(\d+) requests in/.exec(stdout)?.[1])
  } catch {
    throw new CliError('This bench needs wrk, for example by: apt-get install wrk')
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const residentOf = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
