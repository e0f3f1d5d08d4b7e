/** docs/terms.md, "What each event does to money": every row happens, and the database says what the row says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../../scripts/stack/root.ts'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { creditNote } from '../fixtures/stripe/credit-note.ts'
import { dispute, fraudWarning } from '../fixtures/stripe/dispute.ts'
import { paidInvoice, voidedInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { paidInvoicePayment } from '../fixtures/stripe/invoice-payment-paid.ts'
import { succeededIntent } from '../fixtures/stripe/payment-intent-succeeded.ts'
import { refund } from '../fixtures/stripe/refund.ts'
import { dateCodes } from '../support/code-states.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { ingest } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { release } from '../support/money.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const paid = 10_000
const day = 86_400
const charge = 'ch_1'
const terms = {
  commission: { kind: 'percent', bps: 2000 },
  recurrence: 'forever',
  hold_days: 14,
  enrolment: 'open',
}

type Staged = Awaited<ReturnType<typeof stage>>
type Happening = (staged: Staged) => Promise<unknown>

/** The friend redeemed the code and paid so many days ago. */
async function stage(tx: Sql, daysAgo: number) {
  const people = await scene(tx, terms)
  const { org, mentor, friend } = people
  const { id: codeId, code } = await codeOf(mentor, org)
  const [redeemed] = await friend.rpc('redeem_code', { code })
  const redemption = String(redeemed?.redemption_id)
  const at = Math.floor(Date.now() / 1000) - daysAgo * day - 3600
  const before = new Date((at - day) * 1000).toISOString()
  await tx`update referral.redemptions set redeemed_at = ${before} where id = ${redemption}`
  await rewriteTerms(tx, `set valid_from = '${before}' where org_id = '${org}'`)
  await dateCodes(tx, org, before)
  await tx`set constraints all deferred`
  const send = async (...events: RawEvent[]) => {
    for (const event of events) await ingest(tx, event)
  }
  const customer = 'cus_1'
  const buys = (id: string, paidAt: number) =>
    send(
      paidInvoice({ id: `in_${id}`, customer, userId: friend.id, at: paidAt, paid }),
      paidInvoicePayment({ invoice: `in_${id}`, intent: `pi_${id}`, paid, at: paidAt }),
      succeededIntent({ id: `pi_${id}`, customer, charge, paid, at: paidAt }),
    )
  await buys('1', at)
  const renews = () => buys('2', Math.floor(Date.now() / 1000) + 10)
  return { ...people, codeId, redemption, at, send, renews }
}

const gives = (amount: number, about: Partial<Parameters<typeof refund>[0]> = {}) =>
  refund({ id: 're_1', intent: 'pi_1', amount, ...about })
const taken: [string, number][] = [['txn_1', -paid]]
const disputed = (about: Partial<Parameters<typeof dispute>[0]>) =>
  dispute({ id: 'du_1', charge, intent: 'pi_1', amount: paid, moved: taken, ...about })
const opened = () => disputed({ type: 'funds_withdrawn' })
const note = (about: Partial<Parameters<typeof creditNote>[0]>) =>
  creditNote({ id: 'cn_1', invoice: 'in_1', ...about })

/** What happens in each row, and how many days after the payment. */
const happenings: Record<string, [happens: Happening, daysAgo?: number]> = {
  'the friend pays 100.00': [async () => {}],
  'a renewal of 100.00 is paid': [({ renews }) => renews()],
  '14 days pass, and `release_due_commissions` runs': [async () => {}, 14],
  '40.00 are refunded within 14 days': [({ send }) => send(gives(4000))],
  '40.00 are refunded after 14 days': [({ send }) => send(gives(4000)), 14],
  'all is refunded': [({ send }) => send(gives(paid))],
  'all is refunded, and the refund fails': [
    ({ send }) => send(gives(paid), gives(paid, { type: 'failed', status: 'failed' })),
  ],
  'a dispute is opened: Stripe takes the money': [({ send }) => send(opened())],
  'a dispute is opened and won': [
    ({ send }) =>
      send(
        opened(),
        disputed({ type: 'funds_reinstated', status: 'won', moved: [...taken, ['txn_2', paid]] }),
      ),
  ],
  'a dispute is opened and lost': [
    ({ send }) => send(opened(), disputed({ type: 'closed', status: 'lost' })),
  ],
  'a fraud warning after 14 days': [
    ({ send }) => send(fraudWarning({ charge, intent: 'pi_1' })),
    14,
  ],
  'a credit note: 30.00 are paid back outside of Stripe': [
    ({ send }) => send(note({ outOfBand: 3000 })),
  ],
  'that credit note is voided': [
    ({ send }) => send(note({ outOfBand: 3000 }), note({ type: 'voided', outOfBand: 3000 })),
  ],
  'a credit note: 30.00 to the customer’s balance': [({ send }) => send(note({}))],
  'another invoice is voided before it is paid': [
    ({ send, friend }) => send(voidedInvoice({ customer: 'cus_1', userId: friend.id })),
  ],
  'the code is ended, and a renewal is paid': [
    async ({ admin, codeId, renews }) => {
      await admin.rpc('end_code', { code_id: codeId })
      await renews()
    },
  ],
  'the referrer rotates the code, and a renewal is paid': [
    async ({ mentor, org, renews }) => {
      await mentor.rpc('rotate_code', { org_id: org })
      await renews()
    },
  ],
  'the member is deactivated with `block`, and a renewal is paid': [
    async ({ admin, mentor, org, renews }) => {
      await admin.rpc('deactivate_member', { org_id: org, user_id: mentor.id, block: true })
      await renews()
    },
  ],
  'the redemption is rejected': [
    ({ admin, redemption }) => admin.rpc('reject_redemption', { redemption_id: redemption }),
  ],
  'the redemption is rejected, and that decision withdrawn': [
    async ({ admin, redemption }) => {
      await admin.rpc('reject_redemption', { redemption_id: redemption })
      const [decision] = await admin.run('select id from referral.decisions')
      await admin.rpc('withdraw_decision', { decision_id: decision?.id })
    },
  ],
  'staff forfeit what the referrer earns from now on, and a renewal is paid': [
    async ({ admin, mentor, org, renews }) => {
      await admin.rpc('forfeit_from', { org_id: org, member_id: mentor.id })
      await renews()
    },
  ],
}

const document = readFileSync(join(root, 'docs/terms.md'), 'utf8').replaceAll("'", '’')
const [, table = ''] = /\| event \|.*\n\|[-| ]*\n((?:\|.*\n)*)/.exec(document) ?? []
const rows = table
  .trim()
  .split('\n')
  .map((row) => row.split('|').map((cell) => cell.trim()))
  .map(([, event = '', pending, available, status = '']) => ({
    event,
    told: {
      pending: Number(pending),
      available: Number(available),
      status: status.replaceAll('`', ''),
    },
  }))

test('each row of the table happens here', () => {
  expect(rows.map(({ event }) => event)).toEqual(Object.keys(happenings))
})

test.for(rows)('$event', ({ event, told }) =>
  undone(sql, async (tx) => {
    const [happens, daysAgo = 0] = happenings[event] ?? [() => Promise.reject(new Error('no row'))]
    const staged = await stage(tx, daysAgo)
    await release(tx)
    await happens(staged)
    await release(tx)
    const { mentor, org, redemption } = staged
    const [row] = await mentor.rpc('my_earnings', { org_id: org })
    const [{ status } = {}] =
      await tx`select status from referral.redemptions where id = ${redemption}`
    const { pending = 0, available = 0 } = row ?? {}
    const is = { pending: Number(pending), available: Number(available), status }
    expect(is).toEqual(told)
    await checkLedger(tx)
  }),
)
