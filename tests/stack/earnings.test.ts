/** docs/earnings.md: its examples print what their comments say, and its tables are complete. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createStaffClient } from '../../client/index.ts'
import { printedBy, programOf, promisedBy } from '../support/examples.ts'
import { operatorOverHttp, personOverHttp, sceneOverHttp, stackDatabase } from '../support/http.ts'

const sql = stackDatabase()
const file = 'docs/earnings.md'
const document = readFileSync(file, 'utf8')

/** The names in the first column of the table with this heading. */
function firstColumn(heading: string): string[] {
  const [, rows = ''] = new RegExp(`\\| ${heading} \\|.*\\n\\|[-| ]*\\n((?:\\|.*\\n)*)`).exec(
    document,
  ) ?? ['', '']
  const cells = rows.split('\n').map((row) => row.split('|')[1] ?? '')
  return cells.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => String(name)))
}

/** Records that this user has paid 5,000 just now; the sale's id. */
async function paid(org: string, user: string): Promise<string> {
  const payment = { org_id: org, provider: 'play', payment_ref: crypto.randomUUID() }
  const what = { amount: 5000, currency: 'usd', paid_at: new Date().toISOString() }
  await operatorOverHttp()
    .rpc('record_payment', { ...payment, ...what, referee_id: user })
    .throwOnError()
  return `play:${org}:${payment.payment_ref}`
}

/** A mentor with an available commission of 500 by a friend's purchase. */
async function earned() {
  const people = await sceneOverHttp()
  const { org, admin, friend, code } = people
  const { data: programs } = await admin.supabase.from('programs').select().throwOnError()
  const terms = { commission: { kind: 'percent', bps: 1000 }, hold_days: 0 }
  await admin.supabase
    .rpc('update_program', { program_id: String(programs[0]?.id), changes: { terms } })
    .throwOnError()
  await friend.supabase.rpc('redeem_code', { code }).throwOnError()
  await paid(org, friend.id)
  return people
}

test('the examples print what their comments say, and a customer from before earns nothing', async () => {
  const { org, admin, mentor, code } = await earned()
  const old = await personOverHttp()
  const program = programOf(file)
  const values = {
    staff: createStaffClient(admin.supabase, { orgId: org }),
    operator: operatorOverHttp(),
    ...{ orgId: org, mentorId: mentor.id, oldCustomerId: old.id },
  }
  expect(promisedBy(program)).toHaveLength(4)
  expect(await printedBy(program, values)).toEqual(promisedBy(program))

  await old.supabase.rpc('redeem_code', { code }).throwOnError()
  const sale = { org_id: org, sale_id: await paid(org, old.id) }
  const explained = await admin.supabase.rpc('explain_commission', sale).throwOnError()
  expect(explained.data).toMatchObject([{ refusal: 'existing_customer', amount: 0 }])
})

test('the reasons are those that the database gives', async () => {
  const rows = await sql<{ text: string }[]>`
    select pg_get_functiondef(p.oid) as text from pg_proc as p
    where p.pronamespace = 'referral_private'::regnamespace and p.proname in (
      'evidence_by_redemption', 'evidence_refusal', 'fits', 'winners_of', 'without_rejected', 'offers_of', 'sales_judged'
    )`
  const refusals = rows.flatMap(({ text }) =>
    [...text.matchAll(/then\s+'([a-z_]+)'/g)].map(([, name]) => String(name)),
  )
  expect(rows).toHaveLength(7)
  expect(firstColumn('reason').sort()).toEqual(
    [...new Set([...refusals, 'no_evidence', 'zero_amount', 'settlement_pending'])].sort(),
  )
})

test('the statuses of a redemption are those of the enum', async () => {
  const rows = await sql`select unnest(enum_range(null::referral.redemption_status))::text as name`
  expect(firstColumn('status').sort()).toEqual(rows.map(({ name }) => name).sort())
})
