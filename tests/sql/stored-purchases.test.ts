/** Commands see a purchase that is acknowledged and not applied yet, as one that is applied. */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, refusal } from '../support/actors.ts'
import { dateCodes } from '../support/code-states.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { queued, reduced, settleAccount } from '../support/ingest.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'
import { sessions } from '../support/sessions.ts'

const sql = await testDatabase()
const terms = {
  ...{ commission: { kind: 'percent', bps: 1000 }, recurrence: 'forever', hold_days: 7 },
  enrolment: 'open',
}
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds

/** An organisation whose codes and terms are a month old. */
async function monthOld(tx: Sql) {
  const staged = await scene(tx, terms)
  const [x, y] = [
    await codeOf(staged.mentor, staged.org),
    await codeOf(staged.coordinator, staged.org),
  ]
  const before = new Date(Date.now() - 30 * 86_400_000).toISOString()
  await rewriteTerms(tx, `set valid_from = '${before}' where org_id = '${staged.org}'`)
  await dateCodes(tx, staged.org, before)
  return { ...staged, x, y }
}

const pendingOf = async ({ mentor, org }: Scene) =>
  (await mentor.rpc('my_earnings', { org_id: org })).map(({ pending }) => pending)

test('the Stripe account stays where a stored payment is of it', () =>
  undone(sql, async (tx) => {
    const staged = await scene(tx, terms)
    const { code } = await codeOf(staged.mentor, staged.org)
    await staged.friend.rpc('redeem_code', { code })
    await queued(tx, [await reduced(paidInvoice({ at: inSeconds(10), userId: staged.friend.id }))])
    const changes = { stripe_account_id: 'acct_stored' }
    const call = operator(tx).rpc('update_organisation', { org_id: staged.org, changes })
    expect(await refusal(call)).toBe('stripe_account_fixed')
    await settleAccount(tx)
    expect(await pendingOf(staged)).toEqual([100n])
  }))

test('nobody decides where they would earn by a stored purchase', () =>
  undone(sql, async (tx) => {
    const { org, mentor, coordinator, program, x, y } = await monthOld(tx)
    const both = completedSession({
      ...{ customer: 'cus_stored', mode: 'payment', intent: 'pi_stored', at: inSeconds(-3600) },
      ...{ code: x.code, reference: y.code },
    })
    await queued(tx, [await reduced(both)])
    const since = new Date(Date.now() - 86_400_000).toISOString()
    const forfeit = coordinator.rpc('forfeit_from', { org_id: org, member_id: mentor.id, since })
    expect(await refusal(forfeit)).toBe('not_allowed')
    const of = { org_id: org, program_id: program, payer_id: 'cus_stored' }
    expect(await refusal(coordinator.rpc('reject_referral', of))).toBe('not_allowed')
  }))

test.for(['create_code', 'create_campaign_code', 'rotate_code', 'import_codes'])(
  '%s does not take a text that a stored purchase carries, and says so when it is applied',
  (rpc) =>
    undone(sql, async (tx) => {
      const { org, mentor, coordinator } = await scene(tx, terms)
      if (rpc === 'rotate_code') await codeOf(mentor, org)
      const purchase = paidInvoice({ at: inSeconds(-600), code: 'Launch-Day20' })
      await queued(tx, [await reduced(purchase)])
      const chosen = { org_id: org, code: 'LAUNCHDAY20' }
      const args = {
        create_code: { ...chosen, referrer_id: mentor.id },
        create_campaign_code: chosen,
        rotate_code: { ...chosen, referrer_id: mentor.id },
        import_codes: { org_id: org, rows: [{ code: chosen.code }] },
      }[rpc]
      await tx`set constraints all deferred`
      expect(await refusal(coordinator.rpc(rpc, args))).toBe('busy')
      await settleAccount(tx)
      if (rpc === 'import_codes') {
        const [refused] = await coordinator.rpc(rpc, args)
        expect(JSON.stringify(refused, (_, value) => String(value) && value)).toContain('taken')
      } else expect(await refusal(coordinator.rpc(rpc, args))).toBe('code_taken')
    }),
)

test('a text that no stored purchase carries is taken meanwhile', () =>
  undone(sql, async (tx) => {
    const { org, coordinator } = await scene(tx, terms)
    await queued(tx, [await reduced(paidInvoice({ at: inSeconds(-600), code: 'SOMETHING' }))])
    const [made] = await coordinator.rpc('create_campaign_code', { org_id: org, code: 'ANOTHER' })
    expect(made).toMatchObject({ code: 'ANOTHER' })
  }))

test('a payment that is stored while a change of the Stripe account waits is found', () =>
  sessions(sql, async (stripe, staff) => {
    const staged = await scene(sql, terms)
    const { code } = await codeOf(staged.mentor, staged.org)
    await staged.friend.rpc('redeem_code', { code })
    await operator(stripe.tx).rpc('ingest_stripe_event', {
      event: await reduced(completedSession({ customer: 'cus_other' })),
    })
    const paid = await reduced(paidInvoice({ at: inSeconds(1), userId: staged.friend.id }))
    const [stored] = await operator(sql).rpc('ingest_stripe_event', { event: paid })
    expect(stored).toMatchObject({ status: 'stored' })
    const changes = { stripe_account_id: `acct_${staged.org.slice(0, 8)}` }
    const call = refusal(
      operator(staff.tx).rpc('update_organisation', { org_id: staged.org, changes }),
    )
    await staff.blocked()
    await stripe.commit()
    expect(await call).toBe('stripe_account_fixed')
    await settleAccount(sql, '')
    expect(await pendingOf(staged)).toEqual([100n])
  }))
