/**
 * `writer.ts URL USER CUSTOMER SECONDS`: delivers paid invoices of a user over four connections until Postgres is killed, and
 * prints the id of each acknowledged event. It is a process of its own, because postgres.js ends the process with the
 * connections.
 */
import postgres from 'postgres'
import { paidInvoice } from '../../tests/fixtures/stripe/invoice-paid.ts'
import { operator } from '../../tests/support/actors.ts'
import { reduced, settleAccount } from '../../tests/support/ingest.ts'

const [url = '', userId = '', customer = '', at] = process.argv.slice(2)
const sql = postgres(url, { max: 4, onnotice: () => {} })

await Promise.all(
  Array.from({ length: 4 }, async () => {
    for (;;) {
      const event = await reduced(paidInvoice({ userId, customer, at: Number(at) }))
      const [row] = await operator(sql).rpc('ingest_stripe_event', { event })
      process.stdout.write(`${event.id}\n`)
      if (row?.unsettled) await settleAccount(sql, '')
    }
  }),
)
