import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RawEvent } from '../fixtures/stripe/about.ts'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest, ingestReduced, reduced } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const now = () => Math.floor(Date.now() / 1000)

/** A friend who has redeemed a mentor's code. */
async function redeemed(tx: Sql, terms: object = { enrolment: 'open' }) {
  const people = await scene(tx, terms)
  const { code } = await codeOf(people.mentor, people.org)
  const [redemption] = await people.friend.rpc('redeem_code', { code })
  const id = String(redemption?.redemption_id)
  const standing = async () => {
    const [row] = await tx`select status, confirmed_at from referral.redemptions where id = ${id}`
    return row?.status === 'confirmed' ? row.confirmed_at.getTime() / 1000 : row?.status
  }
  return { ...people, code, id, standing }
}

describe('ingest_stripe_event', () => {
  test('confirms the redemption of the user whom a paid invoice names', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      const at = now() + 5
      expect(await ingest(tx, paidInvoice({ userId: friend.id, at }))).toBe('applied')
      expect(await standing()).toBe(at)
    }))

  test('confirms the redemption that the metadata names', () =>
    undone(sql, async (tx) => {
      const { id, standing } = await redeemed(tx)
      const at = now() + 5
      await ingest(tx, paidInvoice({ redemptionId: id, at }))
      expect(await standing()).toBe(at)
    }))

  test('confirms by a paid one-off checkout', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      const at = now() + 5
      await ingest(tx, completedSession({ mode: 'payment', userId: friend.id, at }))
      expect(await standing()).toBe(at)
    }))

  test('answers duplicate to the same delivery, and changes nothing', () =>
    undone(sql, async (tx) => {
      const { friend } = await redeemed(tx)
      const event = paidInvoice({ userId: friend.id })
      const facts = () =>
        tx`select * from referral_private.payments, referral_private.payer_users, referral.redemptions`
      expect(await ingest(tx, event)).toBe('applied')
      const before = await facts()
      expect(await ingest(tx, event)).toBe('duplicate')
      expect(await ingest(tx, event)).toBe('duplicate')
      expect(await facts()).toEqual(before)
    }))

  test('records other types as ignored', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      expect(
        await ingest(tx, { ...paidInvoice({ userId: friend.id }), type: 'invoice.voided' }),
      ).toBe('ignored')
      expect(await standing()).toBe('pending')
      const [row] = await tx`select type, status from referral_private.stripe_events`
      expect(row).toEqual({ type: 'invoice.voided', status: 'ignored' })
    }))

  test.for([
    ['a subscription session: its money comes with the invoice', { mode: 'subscription' }],
    ['a session with an invoice', { mode: 'payment', invoice: 'in_1' }],
    ['an unpaid session', { mode: 'payment', status: 'unpaid' }],
    ['a session that set a card up', { mode: 'setup', status: 'no_payment_required' }],
  ] as const)('counts no sale for %s', ([, about]) =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      expect(await ingest(tx, completedSession({ ...about, userId: friend.id }))).toBe('applied')
      expect(await standing()).toBe('pending')
      expect(await tx`select from referral_private.sales`).toHaveLength(0)
    }),
  )

  test('counts no sale for an invoice of nothing, as a trial sends', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      await ingest(tx, paidInvoice({ userId: friend.id, paid: 0 }))
      expect(await standing()).toBe('pending')
    }))

  test('does not take a user from a payment link, where the buyer can edit the address', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      await ingest(
        tx,
        completedSession({ mode: 'payment', userId: friend.id, paymentLink: 'plink_1' }),
      )
      expect(await standing()).toBe('pending')
    }))

  test('gives a sale to the first redemption, in whole seconds, that is not later than it', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() - 60 }))
      expect(await standing()).toBe('pending')
    }))

  test('gives a sale to nobody where two organisations that share an account could have it', () =>
    undone(sql, async (tx) => {
      const first = await redeemed(tx)
      const second = await scene(tx)
      const [later] = await first.friend.rpc('redeem_code', {
        code: (await codeOf(second.mentor, second.org)).code,
      })
      await tx`update referral.redemptions set redeemed_at = redeemed_at + interval '2 seconds' where id = ${String(later?.redemption_id)}`
      await ingest(tx, paidInvoice({ userId: first.friend.id, at: now() + 60 }))
      expect(await tx`select org_id from referral.redemptions where status = 'confirmed'`).toEqual(
        [],
      )
      await ingest(tx, paidInvoice({ userId: first.friend.id, orgId: second.org, at: now() + 60 }))
      expect(await tx`select org_id from referral.redemptions where status = 'confirmed'`).toEqual([
        { org_id: second.org },
      ])
    }))

  test('restricts a sale to the organisation that the metadata names', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      await ingest(tx, paidInvoice({ userId: friend.id, orgId: crypto.randomUUID() }))
      expect(await standing()).toBe('pending')
    }))

  test('never confirms by another organisation’s Stripe account', () =>
    undone(sql, async (tx) => {
      const { friend, id, standing } = await redeemed(tx)
      await ingest(tx, paidInvoice({ userId: friend.id, redemptionId: id, account: 'acct_other' }))
      expect(await standing()).toBe('pending')
    }))

  test('confirms up to the end of the conversion window and not after it', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx, {
        conversion_window_days: 1,
        enrolment: 'open',
      })
      await ingest(tx, paidInvoice({ userId: friend.id, at: now() + 86_402 }))
      expect(await standing()).toBe('pending')
      const inside = now() + 86_000
      await ingest(tx, paidInvoice({ userId: friend.id, at: inside }))
      expect(await standing()).toBe(inside)
    }))

  test('lets a redemption by a known payer find the sale that was faster', () =>
    undone(sql, async (tx) => {
      const { org, mentor, friend } = await scene(tx)
      const at = now() + 5
      await ingest(tx, paidInvoice({ userId: friend.id, at }))
      const [answer] = await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
      expect(answer?.status).toBe('confirmed')
    }))

  test('leaves a staff rejection as it is', () =>
    undone(sql, async (tx) => {
      const { coordinator, friend, id, standing } = await redeemed(tx)
      await coordinator.rpc('reject_redemption', { redemption_id: id })
      await ingest(tx, paidInvoice({ userId: friend.id }))
      expect(await standing()).toBe('rejected')
    }))

  test('settles what an account’s events said before the organisation had the account', () =>
    undone(sql, async (tx) => {
      const { org, friend, standing } = await redeemed(tx)
      const at = now() + 5
      await ingest(tx, paidInvoice({ userId: friend.id, account: 'acct_1', at }))
      expect(await standing()).toBe('pending')
      const changes = { stripe_account_id: 'acct_1' }
      await operator(tx).rpc('update_organisation', { org_id: org, changes })
      expect(await standing()).toBe(at)
    }))

  test('makes one sale of a guest’s checkout with an invoice, whichever comes first', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      const at = now() + 5
      const session = completedSession({
        mode: 'payment',
        customer: null,
        invoice: 'in_1',
        userId: friend.id,
        at,
      })
      await ingest(
        tx,
        completedSession({
          mode: 'payment',
          customer: null,
          userId: friend.id,
          at: at - 1,
          intent: 'pi_1',
        }),
      )
      await ingest(tx, {
        ...session,
        data: { object: { ...session.data.object, payment_intent: 'pi_1' } },
      })
      expect(await standing()).toBe('pending')
      await ingest(tx, paidInvoice({ id: 'in_1', customer: null, at }))
      expect(await standing()).toBe(at)
    }))

  test('keeps test and live facts, and accounts, apart', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      const customer = 'cus_1'
      await ingest(tx, completedSession({ customer, userId: friend.id, livemode: true }))
      await ingest(tx, completedSession({ customer, userId: friend.id, account: 'acct_2' }))
      await ingest(tx, paidInvoice({ customer, at: now() + 5 }))
      expect(await standing()).toBe('pending')
    }))

  test('prefers, of two redemptions bound in one second, the linked user’s to the one that metadata names', () =>
    undone(sql, async (tx) => {
      const named = await redeemed(tx)
      const linked = person(tx)
      const [own] = await linked.rpc('redeem_code', { code: named.code })
      const at = now() + 5
      await tx`update referral.redemptions set redeemed_at = to_timestamp(${at})`
      await ingest(tx, completedSession({ customer: 'cus_1', userId: linked.id, at: at - 1 }))
      await ingest(tx, paidInvoice({ customer: 'cus_1', redemptionId: named.id, at }))
      const [row] =
        await tx`select status from referral.redemptions where id = ${String(own?.redemption_id)}`
      expect([await named.standing(), row?.status]).toEqual(['pending', 'confirmed'])
    }))

  test.for([
    ['earlier first', [5, 10]],
    ['later first', [10, 5]],
  ] as const)('takes the earliest of the times at which a payment is stated, %s', ([, times]) =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      const at = now()
      for (const seconds of times) {
        const about = {
          mode: 'payment',
          customer: 'cus_1',
          intent: 'pi_1',
          userId: friend.id,
        } as const
        await ingest(tx, completedSession({ ...about, at: at + seconds }))
      }
      expect(await standing()).toBe(at + 5)
    }),
  )

  test('stores of a payment what is needed to settle it', () =>
    undone(sql, async (tx) => {
      const orgId = crypto.randomUUID()
      const paid = completedSession({
        mode: 'payment',
        customer: 'cus_1',
        at: 1_800_000_000,
        paid: 1190,
        tax: 190,
        orgId,
        intent: 'pi_1',
      })
      await ingest(tx, paid)
      await ingest(
        tx,
        paidInvoice({ id: 'in_1', customer: 'cus_2', at: 1_800_000_001, paid: 500, orgId }),
      )
      const rows = await tx`
        select payment_id, customer_id as payer_id, coalesce(org_id, subscription_org_id) as org_id, currency, paid::int, total::int, total_excluding_tax::int as net, sale_at
        from referral_private.payments order by 1`
      expect(rows).toEqual([
        {
          payment_id: 'in_1',
          payer_id: 'cus_2',
          org_id: orgId,
          currency: 'usd',
          paid: 500,
          total: 500,
          net: 500,
          sale_at: new Date(1_800_000_001_000),
        },
        {
          payment_id: 'pi_1',
          payer_id: 'cus_1',
          org_id: orgId,
          currency: 'usd',
          paid: 1190,
          total: 1190,
          net: 1000,
          sale_at: new Date(1_800_000_000_000),
        },
      ])
    }))

  test('gives the same standing in every order of a story, with duplicates', () =>
    undone(sql, async (tx) => {
      const { friend, standing } = await redeemed(tx)
      const at = now() + 10
      const customer = 'cus_story'
      const story = [
        completedSession({ customer, userId: friend.id, at: at + 1 }),
        paidInvoice({ customer, id: 'in_first', at }),
        paidInvoice({ customer, id: 'in_second', at: at + 2_592_000 }),
        paidInvoice({ customer, id: 'in_trial', at: at - 5, paid: 0 }),
        completedSession({ customer, mode: 'payment', at: at + 3 }),
        // One invoice, stated three times: first by a guest, then restricted to another organisation, then paid in full.
        paidInvoice({ customer: null, id: 'in_first', at, paid: 1 }),
        paidInvoice({ customer, id: 'in_first', at, paid: 2, orgId: crypto.randomUUID() }),
      ]
      const order = fc.shuffledSubarray([...story, ...story], { minLength: 14 })
      for (const events of fc.sample(order, { numRuns: 60, seed: 20261121 })) {
        await tx
          .savepoint(async (inner) => {
            for (const event of events) await ingest(inner, event)
            expect(await standing()).toBe(at)
            throw new Error('again')
          })
          .catch((error: Error) => expect(error.message).toBe('again'))
      }
    }))
})

describe('what is not an event', () => {
  const good = () => reduced(paidInvoice({ paid: 100 }))
  const changed = async (change: object, ofObject: object) => {
    const event = await good()
    return {
      ...event,
      data: { object: { ...(event.data as RawEvent['data']).object, ...ofObject } },
      ...change,
    }
  }
  test.for<[event: object, object: object]>([
    [{ id: 'no event' }, {}],
    [{ id: null }, {}],
    [{ type: null }, {}],
    [{ livemode: 'yes' }, {}],
    [{ created: 'today' }, {}],
    [{ created: 1e300 }, {}],
    [{ account: 'somebody' }, {}],
    [{ data: null }, {}],
    [{ data: { object: 5 } }, {}],
  ])('is refused with invalid_event and stores nothing: %o', ([change]) =>
    undone(sql, async (tx) => {
      expect(await refusal(ingestReduced(tx, await changed(change, {})))).toBe('invalid_event')
      expect(await tx`select from referral_private.stripe_events`).toHaveLength(0)
      expect(await tx`select from referral_private.payments`).toHaveLength(0)
    }),
  )

  test.for([
    { amount_paid: 2 ** 53 },
    { amount_paid: 'all' },
    { amount_paid: null },
    { currency: 'dollars' },
    { id: null },
    { created: null },
  ])('is parked where the database refuses its facts: %o', (ofObject) =>
    undone(sql, async (tx) => {
      const event: Record<string, unknown> = await changed({}, ofObject)
      expect(await ingestReduced(tx, event)).toBe('parked')
      expect(await ingestReduced(tx, event)).toBe('duplicate')
      expect(await tx`select event_id, reason from referral_private.parked_events`).toEqual([
        { event_id: event.id, reason: 'refused by the database' },
      ])
      expect(await tx`select from referral_private.stripe_events`).toHaveLength(1)
      expect(await tx`select from referral_private.payments`).toHaveLength(0)
      expect(await tx`select from referral_private.unapplied_events`).toHaveLength(0)
    }),
  )

  test('is refused also where it is no object at all', () =>
    undone(sql, async (tx) => {
      expect(await refusal(ingestReduced(tx, []))).toBe('invalid_event')
    }))

  test('cannot be sent by anybody but the operator', () =>
    undone(sql, async (tx) => {
      expect(await refusal(ingestReduced(tx, await good(), person(tx)))).toBe('42501')
    }))
})
