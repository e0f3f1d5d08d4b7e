/** How many bytes a thing takes with its indexes, made by the calls that make it: what docs/scaling.md reckons with. */
import postgres from 'postgres'
import { reduced } from '../tests/support/ingest.ts'
import { clickOn } from './clicks.ts'
import { storiesOf } from './deliveries.ts'
import { code } from './fill.ts'
import { as, filled, onServer } from './scene.ts'

export type Size = { what: string; bytes: number }

const many = 10_000
const sales = 1000

/** In order of what a person does: a code, clicks, redemptions, and then sales that earn. */
export const sizes = () =>
  onServer<Size>(async function* (server) {
    const empty = await sized(await filled(server, 'empty', 0))
    const url = await filled(server, 'sizes', many)
    const sql = postgres(url, { max: 8, onnotice: () => {} })
    try {
      await sql`select referral.maintain_events(), referral.maintain_clicks()`
      let before = empty
      const grown = async (things: number, of = /./) => {
        const after = await sized(url)
        const bytes = [...after].map(([table, size]) =>
          of.test(table) ? size - (before.get(table) ?? 0) : 0,
        )
        return bytes.reduce((sum, size) => sum + size, 0) / things
      }
      yield { what: 'a member with a code', bytes: await grown(many) }

      before = await sized(url)
      await sql.unsafe(`select ${clickOn('n')} from generate_series(1, ${many}) as n`)
      yield { what: 'a click', bytes: await grown(many) }

      before = await sized(url)
      await Promise.all(
        Array.from({ length: many }, (_, n) =>
          sql.unsafe(as('gen_random_uuid()', `referral.redeem_code(${code(String(n + 1))})`)),
        ),
      )
      yield { what: 'a redemption', bytes: await grown(many) }

      const codes = await sql`select code from referral.codes limit ${sales}`
      const stories = storiesOf(
        'sizes',
        codes.map(({ code }) => String(code)),
      )
      const events = await Promise.all(stories.map(reduced))
      before = await sized(url)
      for (const event of events)
        await sql`select referral.ingest_stripe_event(${sql.json(event as never)})`
      const [row] = await sql`select count(*)::int as posted from referral_private.postings`
      if (row?.posted !== sales) throw new Error(`${row?.posted} of ${sales} sales earn`)
      yield { what: 'an event of Stripe’s in the inbox', bytes: await grown(events.length, inbox) }
      yield { what: 'a sale that earns: its facts', bytes: await grown(sales, facts) }
      yield { what: 'a sale that earns: its ledger', bytes: await grown(sales, ledger) }
    } finally {
      await sql.end()
    }
  })

const inbox = /^stripe_events/
const ledger = /^(ledger_|postings)/
const facts = /^(?!stripe_events|ledger_|postings)/

/** The bytes of each table with its indexes, after what is dead was removed. */
async function sized(url: string): Promise<Map<string, number>> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  await sql`vacuum`
  const rows = await sql`
    select relname as name, pg_total_relation_size(oid)::int as bytes from pg_class
    where relnamespace::regnamespace::text like 'referral%' and relkind = 'r'`
  await sql.end()
  return new Map(rows.map(({ name, bytes }) => [String(name), Number(bytes)]))
}
