/**
 * Kills Postgres under load, several times. After each recovery every acknowledged event must be stored, every other event
 * stored as a whole or not at all, and, once what waits is settled, the ledger must equal the facts.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import postgres from 'postgres'
import { CliError } from '../../cli/cli-error.ts'
import { person } from '../../tests/support/actors.ts'
import { settleAccount } from '../../tests/support/ingest.ts'
import { checkLedger } from '../../tests/support/ledger.ts'
import { release } from '../../tests/support/money.ts'
import { codeOf, scene } from '../../tests/support/scene.ts'
import { root } from '../stack/root.ts'
import { killable } from './killable.ts'

const terms = {
  enrolment: 'open',
  commission: { kind: 'percent', bps: 1000 },
  recurrence: 'forever',
  hold_days: 0,
}

/** Returns how many deliveries were acknowledged before a crash, over all crashes. */
export async function crash(times: number): Promise<number> {
  const server = await killable()
  const open = () => postgres(server.url, { max: 4, onnotice: () => {} })

  const first = open()
  const { org, mentor } = await scene(first, terms)
  const { code } = await codeOf(mentor, org)
  await first.end()

  const acknowledged: string[] = []
  for (let time = 0; time < times; time++) {
    const sql = open()
    const friend = person(sql)
    await friend.rpc('redeem_code', { code })
    await sql.end()
    const at = Math.floor(Date.now() / 1000) + 1
    const writer = spawn(
      process.execPath,
      [join(root, 'scripts/soak/writer.ts'), server.url, friend.id, `cus_${time}`, String(at)],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    )
    let printed = ''
    writer.stdout.on('data', (chunk) => {
      printed += chunk
    })
    const ended = once(writer, 'close')
    while (printed === '') await setTimeout(10)
    await setTimeout(Math.random() * 300)
    server.kill()
    await ended
    acknowledged.push(...printed.split('\n').slice(0, -1))
    await server.recover()
    await check(open(), acknowledged)
  }
  await server.stop()
  return acknowledged.length
}

async function check(sql: postgres.Sql, acknowledged: string[]): Promise<void> {
  try {
    await settleAccount(sql)
    const kept = await sql<{ event_id: string; settled: boolean }[]>`
      select e.event_id, exists (
        select from referral_private.ledger_entries as l where l.caused_by = e.event_id
      ) as settled
      from referral_private.stripe_events as e`
    const found = new Map(kept.map(({ event_id, settled }) => [event_id, settled]))
    const lost = acknowledged.filter((id) => !found.has(id))
    const half = kept.filter(({ settled }) => !settled)
    if (lost.length) throw new CliError(`Acknowledged and lost: ${lost.join(', ')}`)
    if (half.length) throw new CliError(`Half applied: ${half.map(({ event_id }) => event_id)}`)
    await release(sql)
    await checkLedger(sql)
  } finally {
    await sql.end()
  }
}
