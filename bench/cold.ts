/** Cold starts: from the start of a function's Deno to its first answer, beside a `Deno.serve` that does nothing else. */
import { request } from 'node:http'
import Stripe from 'stripe'
import { CliError } from '../cli/cli-error.ts'
import { paidInvoice } from '../tests/fixtures/stripe/invoice-paid.ts'
import { type Deployment, type FunctionName, onDeployedFunctions } from './deployed-functions.ts'
import { newCode } from './deployed-link.ts'
import { type Comparison, median } from './measure.ts'

const rounds = 15
/** 1.5 times the start of an empty `Deno.serve`. */
const atLeast = 1 / 1.5

type Ask = { path: string; status: number; method?: string; body?: string; headers?: object }

type Case = {
  what: string
  name: FunctionName
  form: 'bundle' | 'sources'
  ask: () => Ask | Promise<Ask>
  /** What a drawing has to load has no limit of its own. */
  atLeast?: number
}

export const cold = () =>
  onDeployedFunctions<Comparison>(async function* (deployment) {
    const cases = await casesOf(deployment)
    const times = cases.map(() => [] as { all: number; api: number }[])
    const bare: number[] = []
    for (let round = -1; round < rounds; round++) {
      const empty = await firstAnswer(deployment, deployment.file('bare'), 'referbase-link', {
        path: '/',
        status: 302,
      })
      if (round >= 0) bare.push(empty.all)
      for (const [n, { name, form, ask }] of cases.entries()) {
        const took = await firstAnswer(deployment, deployment.file(name, form), name, await ask())
        // The first round compiles.
        if (round >= 0) times[n]?.push(took)
      }
    }
    const empty = median(bare)
    for (const [n, { what, atLeast: limit = atLeast }] of cases.entries()) {
      const own = median((times[n] ?? []).map(({ all, api }) => all - api))
      const api = median((times[n] ?? []).map(({ api }) => api))
      const without = api ? `, without ${api.toFixed(1)} ms of the Data API` : ''
      yield {
        what: `cold start, ${what} (${own.toFixed(1)} ms : ${empty.toFixed(1)} ms${without})`,
        rate: 1000 / own,
        beside: 1000 / empty,
        atLeast: limit,
      }
    }
  })

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
    { what: `the same from its sources`, name, form: 'sources', ask },
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
      atLeast: 0.5,
    },
    {
      what: 'referbase-link, to a QR code in PNG',
      name: 'referbase-link',
      form: 'bundle',
      ask: link(`${code}/qr.png`, 200),
      atLeast: 0.25,
    },
  ]
}

/** Starts a file, asks it once and ends it. In milliseconds: all of it, and how long the Data API took of that. */
async function firstAnswer(
  { start, api }: Deployment,
  file: string,
  name: FunctionName,
  { path, status, method = 'GET', body, headers = {} }: Ask,
): Promise<{ all: number; api: number }> {
  api.forget()
  const began = performance.now()
  const { port, stop } = await start(file, name)
  const answered = await new Promise<number | undefined>((resolve, reject) => {
    request({ port, path, method, headers: { ...headers } }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode))
    })
      .on('error', reject)
      .end(body)
  })
  const all = performance.now() - began
  const took = { all, api: api.firstCall() }
  await stop()
  if (answered !== status) throw new CliError(`${path} of ${file} was answered with ${answered}.`)
  return took
}
