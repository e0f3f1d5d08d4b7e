/** An object of one payer says whose sale another payer's is, whenever that becomes known. */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../fixtures/stripe/invoice-payment-paid.ts'
import { succeededIntent } from '../fixtures/stripe/payment-intent-succeeded.ts'
import { promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { operator } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'
import { verified } from '../support/verified.ts'

const sql = await testDatabase()
const terms = {
  ...{ commission: { kind: 'percent', bps: 1000 }, recurrence: 'forever', hold_days: 7 },
  enrolment: 'open',
}
const at = Math.floor(Date.now() / 1000) + 100

/** Two organisations on the platform's account, each with a mentor who has a code. */
async function twoOrganisations(tx: Sql) {
  const [here, there] = [await scene(tx, terms), await scene(tx, terms)]
  const [x, z] = [await codeOf(here.mentor, here.org), await codeOf(there.mentor, there.org)]
  return { here, there, x, z }
}

const pendingOf = async ({ mentor, org }: Scene) =>
  (await mentor.rpc('my_earnings', { org_id: org })).map(({ pending }) => Number(pending))

/** Of one subscription: a session of one customer, an invoice of another. */
const ofSubscription = (session: object, invoice: object) => [
  completedSession({ id: 'cs_1', customer: 'cus_A', subscription: 'sub_1', at, ...session }),
  paidInvoice({ id: 'in_1', customer: 'cus_B', subscription: 'sub_1', at: at + 1, ...invoice }),
]

for (const who of [{ customer: 'cus_A' }, { customer: null, customerAccount: 'acct_c' }])
  test(`a promotion code of an intent’s session, stated first or last, with ${JSON.stringify(who)}`, async () => {
    const endings: unknown[] = []
    for (const isLate of [false, true])
      await undone(sql, async (tx) => {
        const { here, x, z } = await twoOrganisations(tx)
        await here.friend.rpc('redeem_code', { code: x.code })
        const statement = promotionCode({ id: 'promo_1', code: z.code, at: at - 50 })
        const purchase = [
          completedSession({
            ...{ id: 'cs_1', mode: 'payment', intent: 'pi_1', at, promotionCode: 'promo_1' },
            ...who,
          }),
          succeededIntent({ id: 'pi_1', at, ...who }),
          paidInvoice({ id: 'in_1', customer: 'cus_B', at: at + 1, userId: here.friend.id }),
          paidInvoicePayment({ id: 'inpay_1', invoice: 'in_1', intent: 'pi_1', at: at + 1 }),
        ]
        for (const event of isLate ? [...purchase, statement] : [statement, ...purchase])
          await ingest(tx, event)
        endings.push([(await pendingOf(here)).filter(Boolean), (await verified(tx)).faults])
      })
    expect(endings).toEqual([
      [[], []],
      [[], []],
    ])
  })

test('an imported code takes the sale of another payer, at once', () =>
  undone(sql, async (tx) => {
    const { here, there, x } = await twoOrganisations(tx)
    for (const event of ofSubscription({ code: 'IMPORTED-NOW' }, { code: x.code }))
      await ingest(tx, event)
    expect(await pendingOf(here)).toEqual([100])
    const rows = [{ code: 'IMPORTED-NOW', beneficiary_id: there.mentor.id }]
    await operator(tx).rpc('import_codes', { org_id: there.org, rows })
    expect(await pendingOf(here)).toEqual([0])
    expect((await verified(tx)).faults).toEqual([])
  }))

test('an organisation that leaves the account leaves the sale of another payer to who named it, at once', () =>
  undone(sql, async (tx) => {
    const { here, there, x, z } = await twoOrganisations(tx)
    const [redeemed] = await there.friend.rpc('redeem_code', { code: z.code })
    const redemptionId = String(redeemed?.redemption_id)
    for (const event of ofSubscription({ redemptionId }, { code: x.code })) await ingest(tx, event)
    expect((await pendingOf(here)).filter(Boolean)).toEqual([])
    const changes = { stripe_account_id: 'acct_left' }
    await operator(tx).rpc('update_organisation', { org_id: there.org, changes })
    expect(await pendingOf(here)).toEqual([100])
    expect((await verified(tx)).faults).toEqual([])
  }))
