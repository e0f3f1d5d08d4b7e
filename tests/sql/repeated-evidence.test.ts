/** What can never win is compared with few sales, however often it is carried: a code that has ended, by 60 payers of one user. */
import { expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, person } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest, settleAccount } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const now = () => Math.floor(Date.now() / 1000)
const terms = { enrolment: 'open', commission: { kind: 'percent', bps: 1000 } }

/** How many statements are kept of what these payers carry, and how often they are bound to payers with sales. */
async function compared(tx: Sql, payer: string) {
  const [row] = await tx`
    with
      together as materialized (
        select referral_private.payers_together('', false, ${[payer]}::text[]) as payers
      ),
      bought as materialized (
        select t.payers, referral_private.sales_named('', false, (t.payers).payers) as sales from together as t
      ),
      carried as materialized (
        select b.sales, referral_private.distinct_evidence(b.sales, array(
          select e from referral_private.evidence_of('', false, b.payers) as e
        )) as evidence
        from bought as b
      )
    select cardinality(c.evidence) as evidence, (
      select count(*)::int from referral_private.bindings(c.sales, c.sales, c.evidence)
    ) as bindings
    from carried as c`
  return row
}

async function ended(tx: Sql) {
  const { org, mentor } = await scene(tx, terms)
  const { code } = await codeOf(mentor, org)
  const at = now()
  await mentor.rpc('deactivate_code', { org_id: org })
  return { code, at: at + 3600 }
}

test('an ended code that 60 payers of one user carry is compared 119 times, not 3,600', () =>
  undone(sql, async (tx) => {
    const { code, at } = await ended(tx)
    const { id: userId } = person(tx)
    await tx`insert into auth.users (id) values (${userId}) on conflict do nothing`
    for (let n = 0; n < 60; n++)
      await ingest(tx, paidInvoice({ customer: `cus_${n}`, userId, code, at: at + n }))
    await settleAccount(tx, '')
    expect(await compared(tx, 'cus_7')).toEqual({ evidence: 60, bindings: 60 + 59 })
    const reasons = await operator(tx).rpc('list_unattributed', { page_size: 100 })
    expect(reasons.map(({ reason }) => reason)).toEqual(Array(60).fill('code_unusable'))
  }))

test('an ended code that a subscriber carries every month counts once', () =>
  undone(sql, async (tx) => {
    const { code, at } = await ended(tx)
    for (let n = 0; n < 12; n++)
      await ingest(tx, paidInvoice({ customer: 'cus_1', code, at: at + 30 * 86_400 * n }))
    expect(await compared(tx, 'cus_1')).toEqual({ evidence: 1, bindings: 1 })
  }))
