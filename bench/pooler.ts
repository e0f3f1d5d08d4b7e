import { startPgBouncer } from '../tests/support/pgbouncer.ts'
import { code } from './fill.ts'
import { type Comparison, compare } from './measure.ts'
import { as, filled, onServer } from './scene.ts'

const codes = 10_000
const [clients, serverConnections] = [16, 8]

const calls = {
  resolve_code: `select * from referral.resolve_code(${code(':n')})`,
  redeem_code: as('gen_random_uuid()', `referral.redeem_code(${code(':n')})`),
}

/**
 * Calls of many clients through PgBouncer in transaction mode, beside those of as many clients as it has connections to the
 * server, both without prepared statements: what the pooler itself costs, with the same number of transactions under way.
 */
export const pooler = () =>
  onServer<Comparison>(async function* (server) {
    const url = await filled(server, 'pooled', codes)
    const pooled = await startPgBouncer(url, serverConnections)
    try {
      for (const [name, statement] of Object.entries(calls)) {
        const base = { statement, upTo: codes, unprepared: true }
        yield compare(
          `${name}, ${clients} clients of PgBouncer with ${serverConnections} connections beside ${serverConnections} direct`,
          0.8,
          { ...base, url: pooled.url, connections: clients },
          { ...base, url, connections: serverConnections },
        )
      }
    } finally {
      await pooled.stop()
    }
  })
