/** Deliveries of Stripe's events, beside a mirror that stores Stripe's objects, and beside the schema of another commit. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { execute } from '../scripts/stack/database.ts'
import type { Postgres } from '../scripts/stack/postgres.ts'
import { root } from '../scripts/stack/root.ts'
import { paidInvoice } from '../tests/fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../tests/fixtures/stripe/invoice-payment-paid.ts'
import { succeededIntent } from '../tests/fixtures/stripe/payment-intent-succeeded.ts'
import { reduced } from '../tests/support/ingest.ts'
import { type Comparison, median } from './measure.ts'
import { filled } from './scene.ts'

// Its ESM build asks for __dirname when it migrates, and says nothing.
const { runMigrations, StripeSync } = createRequire(import.meta.url)(
  '@supabase/stripe-sync-engine',
) as typeof import('@supabase/stripe-sync-engine')

const rounds = 5
const stories = 1000

/** A target of events: delivers one over so many connections, and does what is left when all are delivered. */
type Target = {
  name: string
  connections: number
  events: () => Promise<object[]>
  deliver: (event: object) => Promise<unknown>
  finish: () => Promise<unknown>
}

/** The subscription story until nothing waits, over 8 and 32 connections, and over one without a crowd. */
export async function* deliveries(server: Postgres): AsyncGenerator<Comparison> {
  const url = await filled(server, 'deliveries', 1000)
  const codes = await codesIn(url)
  for (const [connections, atLeast] of [
    [8, 0.4],
    [32, 0.6],
  ] as const) {
    const mirror = await mirrored(server, `mirror${connections}`, connections)
    const own = ours('ours', url, connections, codes)
    const [rate = 0, beside = 0] = await inTurns([own, mirror.target])
    await Promise.all([own.end(), mirror.end()])
    yield {
      what: `a subscription's events until all are settled beside @supabase/stripe-sync-engine, ${connections} connections`,
      ...{ rate, beside, atLeast },
    }
  }
  yield* besideCommit(server, url, codes)
}

/** One connection, beside the schema of the commit that `BENCH_AGAINST` names. */
async function* besideCommit(
  server: Postgres,
  url: string,
  codes: string[],
): AsyncGenerator<Comparison> {
  const commit = process.env.BENCH_AGAINST
  if (!commit) return
  const folder = mkdtempSync(join(tmpdir(), 'referbase-commit-'))
  try {
    const archive = execFileSync('git', ['archive', commit, 'supabase'], { cwd: root })
    execFileSync('tar', ['-x', '-C', folder], { input: archive })
    const before = await filled(server, 'before', 1000, 0, folder)
    const [now, then] = [
      ours('ours', url, 1, codes),
      ours('before', before, 1, await codesIn(before)),
    ]
    const [rate = 0, beside = 0] = await inTurns([now, then])
    await Promise.all([now.end(), then.end()])
    yield {
      what: `a subscription's events beside the schema of ${commit}, 1 connection`,
      ...{ rate, beside, atLeast: 0.9 },
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function codesIn(url: string): Promise<string[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  const rows = await sql`select code from referral.codes limit ${stories}`
  await sql.end()
  return rows.map(({ code }) => String(code))
}

/**
 * Our database. What waits is settled as the webhook does it, by one call at a time, over the last of the connections if there
 * are several.
 */
function ours(name: string, url: string, max: number, codes: string[]) {
  const connections = Math.max(max - 1, 1)
  const sql = postgres(url, { max: connections, onnotice: () => {} })
  const settler = max > 1 ? postgres(url, { max: 1, onnotice: () => {} }) : sql
  let round = 0
  let settling: Promise<void> | null = null
  const settle = async (): Promise<void> => {
    for (let more = true; more; ) {
      const [row] = await settler`select more from referral.settle_stripe_events('')`
      more = row?.more === true
    }
  }
  return {
    name,
    connections,
    events: () => Promise.all(storiesOf(`${name}${max}x${round++}`, codes).map(reduced)),
    deliver: async (event: object) => {
      const [row] =
        await sql`select * from referral.ingest_stripe_event(${sql.json(event as never)})`
      if (row?.unsettled && !settling)
        settling = settle().finally(() => {
          settling = null
        })
    },
    finish: async () => {
      await settling
      if (max > 1) await settle()
    },
    end: () => Promise.all([sql.end(), settler.end()]),
  }
}

/** A mirror of Stripe's objects in a database of the same server. */
async function mirrored(server: Postgres, database: string, max: number) {
  await execute(server.url('postgres', 'supabase_admin'), `create database ${database}`)
  const connectionString = server.url(database, 'supabase_admin')
  await runMigrations({ databaseUrl: connectionString, schema: 'stripe' })
  const sync = new StripeSync({
    stripeSecretKey: 'sk_test_bench',
    stripeWebhookSecret: 'whsec_bench',
    backfillRelatedEntities: false,
    autoExpandLists: false,
    poolConfig: { connectionString, max },
  })
  let round = 0
  const target: Target = {
    name: database,
    connections: max,
    events: async () => storiesOf(`${database}x${round++}`, Array(stories).fill('CODE')),
    deliver: (event) => sync.processEvent(event as never),
    finish: async () => {},
  }
  return { target, end: () => sync.postgresClient.pool.end() }
}

/**
 * A month of a subscription that a code brought: its invoice, its intent, and which paid which. The mirror asks Stripe about a
 * checkout session's items, so there is none.
 */
export const storiesOf = (name: string, codes: string[]) =>
  codes.flatMap((code, n) => {
    const id = `${name}x${n}`
    const customer = `cus_${id}`
    return [
      paidInvoice({ id: `in_${id}`, customer, code }),
      succeededIntent({ id: `pi_${id}`, customer }),
      paidInvoicePayment({ id: `inpay_${id}`, invoice: `in_${id}`, intent: `pi_${id}` }),
    ]
  })

/** The median rates of these targets, events a second, measured in turns after a round to warm up. */
async function inTurns(targets: Target[]): Promise<number[]> {
  const rates = targets.map(() => [] as number[])
  for (let round = 0; round <= rounds; round++)
    for (const [n, target] of targets.entries()) {
      const measured = await rate(target)
      if (round > 0) rates[n]?.push(measured)
    }
  return rates.map(median)
}

/** Events per second over as many workers as connections. */
async function rate({ connections, events, deliver, finish }: Target): Promise<number> {
  const all = await events()
  const queue = [...all]
  const began = performance.now()
  await Promise.all(
    Array.from({ length: connections }, async () => {
      for (let event = queue.shift(); event; event = queue.shift()) await deliver(event)
    }),
  )
  await finish()
  return (all.length * 1000) / (performance.now() - began)
}
