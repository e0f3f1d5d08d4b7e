/** Cold starts: from the start of a function's Deno to its first answer, beside a `Deno.serve` that does nothing else. */
import { readdirSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import Stripe from 'stripe'
import { CliError } from '../cli/cli-error.ts'
import { paidInvoice } from '../tests/fixtures/stripe/invoice-paid.ts'
import { type Deployment, type FunctionName, onDeployedFunctions } from './deployed-functions.ts'
import { newCode } from './deployed-link.ts'
import type { Comparison } from './measure.ts'

const rounds = 25
/** 1.5 times the start of an empty `Deno.serve`. */
const atLeast = 1 / 1.5

type Ask = { path: string; status: number; method?: string; body?: string; headers?: object }

type Case = {
  what: string
  name: FunctionName
  form: 'bundle' | 'sources'
  ask: () => Ask | Promise<Ask>
  /** Another limit, for what is not deployed, and for drawings, which load what draws them. */
  atLeast?: number
}

/** One start, in milliseconds: all of it, what the Data API took of that, and what the function's processor took. */
type Start = { all: number; api: number; processor: number }

/** The fastest of all rounds, because whatever else the machine does makes a start slower. */
export const cold = () =>
  onDeployedFunctions<Comparison>(async function* (deployment) {
    const cases = await casesOf(deployment)
    const empty = { path: '/', status: 302 }
    const bare: Start[] = []
    const starts = cases.map((): Start[] => [])
    for (let round = 0; round <= rounds; round++) {
      bare.push(await firstAnswer(deployment, deployment.file('bare'), 'referbase-link', empty))
      for (const [n, { name, form, ask }] of cases.entries())
        starts[n]?.push(
          await firstAnswer(deployment, deployment.file(name, form), name, await ask()),
        )
    }
    const beside = fastest(bare)
    for (const [n, { what, atLeast: limit = atLeast }] of cases.entries()) {
      const own = fastest(starts[n] ?? [])
      const api = own.api ? `, without ${own.api.toFixed(1)} ms of the Data API` : ''
      const processor = `processor ${own.processor.toFixed(1)} ms : ${beside.processor.toFixed(1)} ms`
      yield {
        what: `cold start, ${what} (${own.all.toFixed(1)} ms : ${beside.all.toFixed(1)} ms${api}; ${processor})`,
        rate: 1000 / own.all,
        beside: 1000 / beside.all,
        atLeast: limit,
      }
    }
  })

/** The least time without the Data API, with what it took in that start; and the least time of the processor. */
function fastest(starts: Start[]): Start {
  // The first one compiles.
  const own = starts.slice(1).map(({ all, api, processor }) => ({ all: all - api, api, processor }))
  const [first] = own.toSorted((a, b) => a.all - b.all)
  if (!first) throw new CliError('Nothing was started.')
  return { ...first, processor: Math.min(...own.map(({ processor }) => processor)) }
}

async function casesOf({ environment }: Deployment): Promise<Case[]> {
  const code = await newCode(environment)
  const link = (path: string, status: number) => () => ({
    path: `/referbase-link/${path}`,
    status,
    headers: {
      'user-agent':
        'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148',
      'cf-connecting-ip': '2001:db8::1',
    },
  })
  const path = '/referbase-stripe-webhook'
  const delivery = async (): Promise<Ask> => {
    const body = JSON.stringify(paidInvoice())
    const secret = environment.STRIPE_WEBHOOK_SECRET
    const signature = await Stripe.webhooks.generateTestHeaderStringAsync({ payload: body, secret })
    return { path, status: 200, method: 'POST', body, headers: { 'stripe-signature': signature } }
  }
  const about = () => ({ path: `${path}/.well-known/referbase`, status: 200 })
  const both = (what: string, name: FunctionName, ask: Case['ask']): Case[] => [
    { what: `${name}, ${what}`, name, form: 'bundle', ask },
    { what: 'the same from its sources', name, form: 'sources', ask, atLeast: 0.6 },
  ]
  return [
    ...both('to the redirect of a live code', 'referbase-link', link(code, 302)),
    ...both('to a signed delivery that is stored', 'referbase-stripe-webhook', delivery),
    {
      what: 'referbase-link, to its version',
      name: 'referbase-link',
      form: 'bundle',
      ask: link('.well-known/referbase', 200),
    },
    {
      what: 'referbase-stripe-webhook, to its version',
      name: 'referbase-stripe-webhook',
      form: 'bundle',
      ask: about,
    },
    {
      what: 'referbase-link, to a QR code in SVG',
      name: 'referbase-link',
      form: 'bundle',
      ask: link(`${code}/qr.svg`, 200),
      atLeast: 0.4,
    },
    {
      what: 'referbase-link, to a QR code in PNG',
      name: 'referbase-link',
      form: 'bundle',
      ask: link(`${code}/qr.png`, 200),
      atLeast: 0.2,
    },
  ]
}

/** Starts a file, asks it once and ends it. */
async function firstAnswer(
  { start, api }: Deployment,
  file: string,
  name: FunctionName,
  { path, status, method = 'GET', body, headers = {} }: Ask,
): Promise<Start> {
  api.forget()
  const began = performance.now()
  const { port, pid, stop } = await start(file, name)
  const answered = await new Promise<number | undefined>((resolve, reject) => {
    request({ port, path, method, headers: { ...headers } }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode))
    })
      .on('error', reject)
      .end(body)
  })
  const all = performance.now() - began
  const took = { all, api: api.firstCall(), processor: processorTime(pid) }
  await stop()
  if (answered !== status) throw new CliError(`${path} of ${file} was answered with ${answered}.`)
  return took
}

/** What all threads of a process have had of the processors, in milliseconds. */
function processorTime(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const [nanoseconds] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')
    return Number(nanoseconds) / 1e6
  })
  return threads.reduce((sum, time) => sum + time, 0)
}
