/** No id of a customer's purchase reaches who is no admin: neither Stripe's, nor the references that the operator records. */
import { expect, test } from 'vitest'
import { refund } from '../fixtures/stripe/refund.ts'
import { type Actor, operator } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { shown, textOf } from '../support/shown.ts'
import { actors, type Caller, paymentOf, stage } from '../support/stage.ts'
import { rpcsOfPeople, variantsOf } from '../support/variants.ts'

const sql = await testDatabase()
const staged = await stage(sql)
const { org } = staged
await operator(sql).rpc('record_payment', paymentOf(staged, 'PLANTED-1'))
const refunded = { org_id: org, provider: 'play', payment_ref: 'PLANTED-1', amount: 500 }
await operator(sql).rpc('record_refund', { ...refunded, refund_ref: 'PLANTED-2' })
await ingest(sql, refund({ charge: 'ch_PLANTED3', amount: 1 }))

/** The prefixes of Stripe's ids, and what was planted. */
const ids =
  /PLANTED|play:|\b(in(?!_transit)|pi|ch|cus|sub|evt|re|du|cs|txn|promo|cn|issfr|acct)_[0-9A-Za-z]{6,}/

const rpcs = await rpcsOfPeople(sql)
const tables = (
  await sql`
    select relname as name from pg_class
    where relnamespace = 'referral'::regnamespace and relkind in ('r', 'p', 'v', 'm') order by relname`
).map(({ name }) => String(name))

/** All that somebody is shown: every table, and every RPC with every shape of its arguments, also where it is refused. */
async function everything(
  actorOf: (tx: Parameters<typeof actors>[0]) => Actor,
): Promise<Map<string, string>> {
  const seen = new Map<string, string>()
  await undone(sql, async (tx) => {
    for (const table of tables)
      seen.set(table, textOf(await actorOf(tx).run(`select * from referral.${table}`)))
  })
  for (const rpc of rpcs)
    for (const [n, args] of (await variantsOf(sql, staged, rpc)).entries())
      await undone(sql, async (tx) => {
        seen.set(`${rpc} ${n}`, await shown(actorOf(tx), rpc, args))
      })
  return seen
}

const found = (seen: Map<string, string>) =>
  [...seen].flatMap(([where, text]) => (ids.test(text) ? [`${where}: ${ids.exec(text)?.[0]}`] : []))

test.for(['referrer', 'referee', 'coordinator', 'elsewhere', 'stranger'] satisfies Caller[])(
  'the %s reads no id of a purchase, in any table and by any call',
  async (caller) => {
    const seen = await everything((tx) => actors(tx, staged)[caller])
    expect(found(seen)).toEqual([])
  },
)

test('the referrer and the referee read their statements and explanations meanwhile', async () => {
  for (const caller of ['referrer', 'referee'] as const)
    await undone(sql, async (tx) => {
      const actor = actors(tx, staged)[caller]
      const statement = await actor.rpc('my_statement', { org_id: org })
      const numbers = [...new Set(statement.map(({ sale_number }) => sale_number))]
      expect(numbers.length).toBeGreaterThan(1)
      for (const sale_number of numbers) {
        const call = { org_id: org, sale_number: String(sale_number) }
        const [row, ...more] = await actor.rpc('explain_commission', call)
        expect(more).toEqual([])
        expect(row).toMatchObject({ sale_number, sale_id: null, event_ids: null })
        expect(textOf([row ?? {}])).not.toMatch(ids)
      }
      expect(textOf(statement)).not.toMatch(ids)
    })
})

test.for(['admin', 'operator'] satisfies Caller[])('the %s reads them, and by them', (caller) =>
  undone(sql, async (tx) => {
    const actor = actors(tx, staged)[caller]
    const of = { org_id: org, earner_id: staged.mentor.id }
    const statement = await actor.rpc('my_statement', of)
    expect(textOf(statement)).toMatch(/PLANTED-1/)
    expect(textOf(statement)).toMatch(/evt_/)
    for (const { sale_id, sale_number } of statement) {
      const [byId] = await actor.rpc('explain_commission', { ...of, sale_id })
      const [byNumber] = await actor.rpc('explain_commission', {
        ...of,
        sale_number: String(sale_number),
      })
      expect(byId).toEqual(byNumber)
      expect(byId?.event_ids).not.toEqual([])
    }
  }),
)
