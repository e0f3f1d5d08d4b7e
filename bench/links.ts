import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { CliError } from '../cli/cli-error.ts'
import { type Deployed, onDeployedLink } from './deployed-link.ts'
import { type Comparison, median } from './measure.ts'

const rounds = { throughput: 15, latency: 7 }
const taps = 100
const browser =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1'

/** What a redirect costs beside a bare server, and what recording it and a database that does not answer add to it. */
export const links = () =>
  onDeployedLink<Comparison>(async function* (deployed) {
    yield throughput(deployed)
    yield* latency(deployed)
  })

/** Requests for a code that is remembered, over 16 connections, in turns with a constant answer. */
async function throughput({ link, bare }: Deployed): Promise<Comparison> {
  const rates = { link: [] as number[], bare: [] as number[] }
  for (const url of [bare, link]) await wrk(url, 2)
  for (let round = 0; round < rounds.throughput; round++) {
    rates.bare.push(await wrk(bare, 1))
    rates.link.push(await wrk(link, 1))
  }
  const what = 'a redirect from the cache beside a bare `Deno.serve` with a constant 302'
  return { what, rate: median(rates.link), beside: median(rates.bare), atLeast: 0.75 }
}

const execute = promisify(execFile)

async function wrk(url: string, seconds: number): Promise<number> {
  const headers = ['-H', `User-Agent: ${browser}`, '-H', 'CF-Connecting-IP: 198.51.100.7']
  const options = ['-t', '1', '-c', '16', '-d', `${seconds}s`, ...headers, url]
  const { stdout } = await execute('wrk', options).catch(() => {
    throw new CliError('This bench needs wrk, for example by: apt-get install wrk')
  })
  if (/Non-2xx|Socket errors/.test(stdout)) throw new CliError(`Requests failed:\n${stdout}`)
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])
}

/** One visitor after the other, so far apart that every click is recorded, and that before the next one comes. */
async function* latency({ link, environment }: Deployed): AsyncGenerator<Comparison> {
  const times = { off: [] as number[], on: [] as number[], paused: [] as number[] }
  await visits(link, {})
  for (let round = 0; round < rounds.latency; round++) {
    times.off.push(...(await visits(link, { 'sec-purpose': 'prefetch' })))
    times.on.push(...(await visits(link, {})))
    const resume = await pause(environment.DATABASE_ADMIN_URL)
    times.paused.push(...(await visits(link, {}).finally(resume)))
  }
  for (const [name, share, limits] of [
    ['median', 0.5, [0.6, 0.6]],
    ['99th percentile', 0.99, [1 / 1.5, 0.3]],
  ] as const) {
    const off = quantile(times.off, share)
    for (const [kind, list, atLeast] of [
      ['with recording', times.on, limits[0]],
      ['database paused', times.paused, limits[1]],
    ] as const) {
      const time = quantile(list, share)
      const inMs = `${time.toFixed(2)} ms : ${off.toFixed(2)} ms`
      const what = `a redirect, ${name}, ${kind}, beside one that records nothing (${inMs})`
      yield { what, rate: 1000 / time, beside: 1000 / off, atLeast }
    }
  }
}

const quantile = (values: number[], share: number) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? 0

/** How long each of a round’s redirects took, in milliseconds. */
async function visits(url: string, more: Record<string, string>): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const times = []
  for (let n = 0; n < taps; n++) {
    const address = `10.${n}.${Math.floor(Math.random() * 250)}.${Math.floor(Math.random() * 250)}`
    const headers = { 'user-agent': browser, 'cf-connecting-ip': address, ...more }
    const began = performance.now()
    await new Promise<void>((resolve, reject) => {
      request(url, { agent, headers }, (response) => response.resume().on('end', resolve))
        .on('error', reject)
        .end()
    })
    times.push(performance.now() - began)
    await setTimeout(40)
  }
  agent.destroy()
  return times
}

/** Stops every process of Postgres where it is; gives what lets them go on. */
async function pause(adminUrl: string): Promise<() => void> {
  const sql = postgres(adminUrl, { max: 1 })
  const [row] = await sql`select split_part(pg_read_file('postmaster.pid'), e'\n', 1)::int as pid`
  await sql.end()
  const postmaster = Number(row?.pid)
  const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8')
  const pids = [postmaster, ...children.trim().split(' ').map(Number)]
  const signal = (name: 'SIGSTOP' | 'SIGCONT') => {
    for (const pid of pids) {
      try {
        process.kill(pid, name)
      } catch {
        // It has ended by itself meanwhile.
      }
    }
  }
  signal('SIGSTOP')
  return () => signal('SIGCONT')
}
