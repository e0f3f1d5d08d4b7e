/** One test per lock, as named steps: what would go wrong without it is made to happen. */
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, patiently, person, refusal } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { ingest, settleAccount } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'
import { type Session, sessions } from '../support/sessions.ts'
import { often, proved } from '../support/soak.ts'

const sql = await testDatabase()
const now = () => Math.floor(Date.now() / 1000)
const statusesIn = (org: string) =>
  sql`select status from referral.redemptions where org_id = ${org}`

/** Settles what waits while the lock is held, which waits for it. */
async function settledAfter(holder: Session): Promise<void> {
  await sessions(sql, async (settler) => {
    const settled = operator(settler.tx).rpc('settle_stripe_events', { stripe_account: '' })
    await settler.blocked()
    await holder.commit()
    expect(await settled).toEqual([{ done: 1, more: false }])
    await settler.commit()
  })
}

describe('the code row', () => {
  test('holds a redemption back while a deactivation is under way, which then wins', () =>
    sessions(sql, async (staff, guest) => {
      const { org, mentor, friend } = await scene(sql)
      const { code } = await codeOf(mentor, org)
      await person(staff.tx, mentor.id).rpc('deactivate_code', { org_id: org })
      const redemption = refusal(person(guest.tx, friend.id).rpc('redeem_code', { code }))
      await guest.blocked()
      await staff.commit()
      expect(await redemption).toBe('code_inactive')
    }))

  test('is looked at again by a deactivation that waited for a job: a code that expired meanwhile stays so', () =>
    sessions(sql, async (job, member) => {
      const { org, mentor } = await scene(sql)
      const { id } = await codeOf(mentor, org)
      await job.tx`update referral.codes set expires_at = clock_timestamp() where id = ${id}`
      await operator(job.tx).rpc('expire_codes')
      const ended = person(member.tx, mentor.id).rpc('deactivate_code', { org_id: org })
      await member.blocked()
      await job.commit()
      expect(await ended).toEqual([])
    }))

  test('holds a deactivation back until the redemption under way is done', () =>
    sessions(sql, async (guest, staff) => {
      const { org, mentor, friend } = await scene(sql)
      const { code } = await codeOf(mentor, org)
      await person(guest.tx, friend.id).rpc('redeem_code', { code })
      const deactivation = person(staff.tx, mentor.id).rpc('deactivate_code', { org_id: org })
      await staff.blocked()
      await guest.commit()
      const [ended] = await deactivation
      const [used] = await sql`select redeemed_at from referral.redemptions where org_id = ${org}`
      expect(ended?.status).toBe('invalidated')
      expect(Number(ended?.ended_at)).toBeGreaterThanOrEqual(Number(used?.redeemed_at))
    }))
})

describe('the off switch', () => {
  test('is not answered while a redemption is under way', () =>
    sessions(sql, async (guest, staff) => {
      const { org, mentor, admin } = await scene(sql)
      const { code } = await codeOf(mentor, org)
      await person(guest.tx).rpc('redeem_code', { code })
      const changes = { active: false }
      const off = person(staff.tx, admin.id).rpc('update_organisation', { org_id: org, changes })
      await staff.blocked()
      await guest.commit()
      await off
      await staff.commit()
      expect(await refusal(person(sql).rpc('redeem_code', { code }))).toBe('program_inactive')
    }))
})

describe('a caller who lost their role while they waited', () => {
  test('does nothing more with it', () =>
    sessions(sql, async (other, staff) => {
      const { org, mentor, coordinator, admin } = await scene(sql)
      await codeOf(mentor, org)
      await person(other.tx, mentor.id).rpc('rotate_code', { org_id: org })
      const wanted = { org_id: org, referrer_id: mentor.id }
      const late = refusal(person(staff.tx, coordinator.id).rpc('deactivate_code', wanted))
      await staff.blocked()
      await admin.rpc('deactivate_member', { org_id: org, user_id: coordinator.id })
      await other.commit()
      expect(await late).toBe('not_a_member')
    }))
})

describe('the time at which a code ends', () => {
  test.for(['rotate_code', 'deactivate_code', 'end_code'])(
    '%s: is not before that of a redemption that came while it waited',
    (rpc) =>
      sessions(sql, async (guest, staff) => {
        const { org, coordinator, mentor, friend } = await scene(sql)
        const { id, code } = await codeOf(mentor, org)
        await person(guest.tx, friend.id).rpc('redeem_code', { code })
        const args = rpc === 'end_code' ? { code_id: id } : { org_id: org, referrer_id: mentor.id }
        const ending = person(staff.tx, coordinator.id).rpc(rpc, args)
        await staff.blocked()
        await person(sql).rpc('redeem_code', { code })
        await guest.commit()
        await ending
        await staff.commit()
        const [row] = await sql`
          select ended_at >= (select max(redeemed_at) from referral.redemptions where code_id = ${id}) as in_order
          from referral.codes where id = ${id}`
        expect(row?.in_order).toBe(true)
      }),
  )
})

describe('the account lock', () => {
  test('lets two halves of a story that share neither payment nor sale meet', () =>
    sessions(sql, async (one, other) => {
      const { org, mentor, friend } = await scene(sql)
      await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
      const customer = `cus_${friend.id.replaceAll('-', '')}`
      await ingest(one.tx, completedSession({ customer, userId: friend.id, at: now() + 1 }))
      expect(await ingest(other.tx, paidInvoice({ customer, at: now() + 1 }))).toBe('stored')
      await other.commit()
      await settledAfter(one)
      expect(await statusesIn(org)).toEqual([{ status: 'confirmed' }])
    }))

  test('lets a payer’s redemption and their sale meet', () =>
    sessions(sql, async (guest, stripe) => {
      const { org, mentor, friend } = await scene(sql)
      const { code } = await codeOf(mentor, org)
      const customer = `cus_${friend.id.replaceAll('-', '')}`
      await ingest(sql, completedSession({ customer, userId: friend.id }))
      await person(guest.tx, friend.id).rpc('redeem_code', { code })
      expect(await ingest(stripe.tx, paidInvoice({ customer, at: now() + 1 }))).toBe('stored')
      await stripe.commit()
      await settledAfter(guest)
      expect(await statusesIn(org)).toEqual([{ status: 'confirmed' }])
    }))

  test('holds a first payment back until the redemption of the person who is becoming a payer is done', () =>
    sessions(sql, async (guest, stripe) => {
      const { org, mentor, friend } = await scene(sql)
      const { code } = await codeOf(mentor, org)
      await person(guest.tx, friend.id).rpc('redeem_code', { code })
      const event = paidInvoice({ userId: friend.id, at: now() + 1 })
      expect(await ingest(stripe.tx, event)).toBe('stored')
      await stripe.commit()
      await settledAfter(guest)
      expect(await statusesIn(org)).toEqual([{ status: 'confirmed' }])
    }))

  test('is shared by people who are no payers: they do not wait for each other', () =>
    sessions(sql, async (one, other) => {
      const { org, mentor } = await scene(sql)
      const { code } = await codeOf(mentor, org)
      await person(one.tx).rpc('redeem_code', { code })
      expect(await person(other.tx).rpc('redeem_code', { code })).toHaveLength(1)
    }))

  test('is given back before it is taken exclusively, so that payers never deadlock', async () => {
    const { org, mentor } = await scene(sql)
    const { code } = await codeOf(mentor, org)
    const payers = Array.from({ length: 32 }, () => person(sql))
    await sql`insert into auth.users ${sql(payers.map(({ id }) => ({ id })))}`
    await Promise.all(
      payers.map(({ id }) => patiently(() => ingest(sql, completedSession({ userId: id })))),
    )
    const answers = await Promise.all(
      payers.map((payer) => patiently(() => payer.rpc('redeem_code', { code }))),
    )
    expect(answers.every(([answer]) => answer?.status === 'pending')).toBe(true)
  })
})

describe('an organisation whose Stripe account changed while its lock was waited for', () => {
  type Made = Awaited<ReturnType<typeof scene>> & { id: string }
  test.for([
    ['update_program', ({ program }: Made) => ({ program_id: program, changes: { terms: {} } })],
    ['forfeit_from', ({ org, mentor }: Made) => ({ org_id: org, member_id: mentor.id })],
    ['create_campaign_code', ({ org }: Made) => ({ org_id: org, code: 'CHOSEN' })],
    ['suspend_code', ({ id }: Made) => ({ code_id: id })],
  ] as const)('%s is busy', ([rpc, args]) =>
    sessions(sql, async (other, staff) => {
      const people = await scene(sql)
      const made = { ...people, id: (await codeOf(people.mentor, people.org)).id }
      const changes = { stripe_account_id: `acct_${people.org.replaceAll('-', '')}` }
      await operator(other.tx).rpc('update_organisation', { org_id: made.org, changes })
      const call = refusal(person(staff.tx, made.admin.id).rpc(rpc, args(made)))
      await staff.blocked()
      await other.commit()
      expect(await call).toBe('busy')
    }),
  )
})

describe('one event', () => {
  test('by 32 deliveries at once is applied once', { timeout: 600_000 }, async () => {
    const rounds = often('DELIVERIES', 2)
    for (let round = 0; round < rounds; round++) {
      const event = paidInvoice()
      const answers = await Promise.all(
        Array.from({ length: 32 }, () => patiently(() => ingest(sql, event))),
      )
      // Who stores it need not be who has the account.
      expect(answers.filter((status) => status === 'applied').length).toBeLessThanOrEqual(1)
      await settleAccount(sql, '')
      const sales =
        await sql`select from referral_private.sales where sale_id = ${String(event.data.object.id)}`
      expect(sales).toHaveLength(1)
      expect(await ingest(sql, event)).toBe('duplicate')
    }
    proved('events by 32 deliveries at once, applied once each', rounds)
  })

  test('whose first delivery is rolled back is stored by the one that waited', {
    timeout: 600_000,
  }, async () => {
    const rounds = often('ROLLBACKS', 2)
    for (let round = 0; round < rounds; round++)
      await sessions(sql, async (first, second) => {
        const event = paidInvoice()
        await ingest(first.tx, event)
        const waiting = ingest(second.tx, event)
        await second.blocked()
        await first.rollback()
        expect(await waiting).toBe('stored')
        await second.commit()
        await settleAccount(sql, '')
        expect(await ingest(sql, event)).toBe('duplicate')
      })
    proved('first deliveries that were rolled back, stored by the second', rounds)
  })
})

describe('a caller who waits too long', () => {
  test('is answered busy', () =>
    sessions(sql, async (holder) => {
      const { org, mentor } = await scene(sql)
      await codeOf(mentor, org)
      await holder.tx`select from referral.members where user_id = ${mentor.id} for update`
      expect(await refusal(mentor.rpc('rotate_code', { org_id: org }))).toBe('busy')
      expect(await operator(sql).rpc('find_code', { code: 'ABC' })).toEqual([])
    }))
})
