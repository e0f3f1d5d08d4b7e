/** Forfeits: of members and of codes, stated by staff and by blocking. */
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { createdDiscount, promotionCode } from '../fixtures/stripe/promotion-code.ts'
import { type Actor, operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'

const sql = await testDatabase()
const forfeits = (tx: Sql) => tx`select * from referral.decisions order by decided_at, id`
const thisSecond = () => Math.floor(Date.now() / 1000) * 1000
/** Another coordinator of the organisation. */
async function coordinatorOf(tx: Sql, org: string, admin: Actor) {
  const another = person(tx)
  await admin.rpc('add_member', { org_id: org, user_id: another.id, role: 'coordinator' })
  return another
}
const memberOf = ({ org, mentor }: Scene) => ({ org_id: org, member_id: mentor.id })

describe('forfeit_from', () => {
  test('holds from now on, in whole seconds, with actor, time and reason', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const before = thisSecond()
      const of = { ...memberOf(people), reason: 'spam' }
      const [row] = await people.coordinator.rpc('forfeit_from', of)
      expect(row).toMatchObject({
        kind: 'forfeit',
        member_id: people.mentor.id,
        chain_id: null,
        until: null,
        by_block: false,
        reason: 'spam',
        decided_by: people.coordinator.id,
      })
      const since = Number(row?.since)
      expect(since % 1000).toBe(0)
      expect(since).toBeGreaterThanOrEqual(before)
      expect(since).toBeLessThanOrEqual(thisSecond())
    }))

  test('takes times of the past and of the future, rounded down', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const times = { since: '2020-02-03T04:05:06.9Z', until: '2099-01-01T00:00:00.999+01:00' }
      expect(
        await people.coordinator.rpc('forfeit_from', { ...memberOf(people), ...times }),
      ).toMatchObject([
        { since: new Date('2020-02-03T04:05:06Z'), until: new Date('2098-12-31T23:00:00Z') },
      ])
    }))

  test('of a code holds for the chain that it was rotated in, from any of its codes', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      await mentor.rpc('rotate_code', { org_id: org })
      const [last] = await mentor.rpc('rotate_code', { org_id: org })
      for (const code_id of [id, last?.id])
        expect(await coordinator.rpc('forfeit_from', { org_id: org, code_id })).toMatchObject([
          { chain_id: id, member_id: null },
        ])
      const [row] = await tx`
        select cardinality(referral_private.codes_of_chain(${org}, ${id})) as codes`
      expect(row?.codes).toBe(3)
    }))

  test.for([
    [{}, 'invalid_argument'],
    [{ member_id: 'mentor', code_id: 'code' }, 'invalid_argument'],
    [{ member_id: 'mentor', since: '2026-01-02', until: '2026-01-02' }, 'invalid_argument'],
    [{ member_id: 'mentor', until: '2020-01-01' }, 'invalid_argument'],
    [{ member_id: 'mentor', reason: 'x'.repeat(501) }, 'invalid_argument'],
    [{ member_id: 'friend' }, 'member_not_found'],
    [{ code_id: 'elsewhere' }, 'code_not_found'],
  ] as const)('refuses %o with %s', ([given, expected]) =>
    undone(sql, async (tx) => {
      const [people, there] = [await scene(tx), await scene(tx)]
      const ids: Record<string, string> = {
        mentor: people.mentor.id,
        friend: people.friend.id,
        code: (await codeOf(people.mentor, people.org)).id,
        elsewhere: (await codeOf(there.mentor, there.org)).id,
      }
      const args = Object.entries(given).map(([name, value]) => [name, ids[value] ?? value])
      const call = { org_id: people.org, ...Object.fromEntries(args) }
      expect(await refusal(people.coordinator.rpc('forfeit_from', call))).toBe(expected)
      expect(await forfeits(tx)).toEqual([])
    }),
  )

  test.for(['since', 'until'])('refuses an endless %s', (time) =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      for (const endless of ['infinity', '-infinity']) {
        const call = coordinator.run(
          `select referral.forfeit_from('${org}', '${mentor.id}', ${time} => '${endless}')`,
        )
        expect(await refusal(call)).toBe('invalid_argument')
      }
    }),
  )

  test('is for staff of the organisation, and for nobody themself', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const elsewhere = await scene(tx)
      const of = memberOf(people)
      expect(await refusal(people.mentor.rpc('forfeit_from', of))).toBe('not_allowed')
      expect(await refusal(elsewhere.admin.rpc('forfeit_from', of))).toBe('not_a_member')
      const own = { org_id: people.org, member_id: people.coordinator.id }
      expect(await refusal(people.coordinator.rpc('forfeit_from', own))).toBe('not_allowed')
      expect(await people.admin.rpc('forfeit_from', own)).toHaveLength(1)
      expect(await operator(tx).rpc('forfeit_from', of)).toMatchObject([{ decided_by: null }])
    }))

  test.for(['referrer_id', 'beneficiary_id', 'created_by'])(
    'of a code, or of the member who has it, is not for its %s',
    (column) =>
      undone(sql, async (tx) => {
        const { org, coordinator, mentor, admin } = await scene(tx)
        const { id } = await codeOf(mentor, org)
        await mentor.rpc('rotate_code', { org_id: org })
        await tx.unsafe(`
          set constraints all immediate;
          alter table referral.codes disable trigger user;
          update referral.codes set beneficiary_id = '${mentor.id}';
          update referral.codes set ${column} = '${coordinator.id}' where id = '${id}';
          alter table referral.codes enable trigger user, enable always trigger codes_keep_what_they_are`)
        const [next] = await tx`select id from referral.codes where id <> ${id}`
        for (const of of [{ member_id: mentor.id }, { code_id: id }, { code_id: next?.id }]) {
          const call = { org_id: org, ...of }
          expect(await refusal(coordinator.rpc('forfeit_from', call))).toBe('not_allowed')
          const [decision] = await operator(tx).rpc('forfeit_from', call)
          await admin.rpc('withdraw_decision', { decision_id: decision?.id })
        }
      }),
  )

  test('is not withdrawn by an admin whom it is about', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const own = { org_id: people.org, member_id: people.admin.id }
      const [decision] = await operator(tx).rpc('forfeit_from', own)
      const call = { decision_id: decision?.id }
      expect(await refusal(people.admin.rpc('withdraw_decision', call))).toBe('not_allowed')
    }))

  test('of staff, or of a code that is theirs or benefits them, is for admins', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor } = await scene(tx)
      const { id: own } = await codeOf(admin, org)
      const benefits = { org_id: org, beneficiary_id: coordinator.id }
      const [campaign] = await admin.rpc('create_campaign_code', benefits)
      const about = [{ member_id: admin.id }, { code_id: own }, { code_id: campaign?.id }]
      const second = await coordinatorOf(tx, org, admin)
      for (const of of about)
        expect(await refusal(second.rpc('forfeit_from', { org_id: org, ...of }))).toBe(
          'not_allowed',
        )
      expect(await refusal(second.rpc('end_code', { code_id: own, block: true }))).toBe(
        'not_allowed',
      )
      expect(await forfeits(tx)).toEqual([])
      await second.rpc('end_code', { code_id: own })
      await second.rpc('forfeit_from', { org_id: org, member_id: mentor.id })
    }))
})

describe('a forfeit settles', () => {
  const terms = { commission: { kind: 'percent', bps: 1000 }, enrolment: 'open' }

  /** Seven customers of the mentor's code, each by another way; a settlement of their sales would post 900 each. */
  async function reached(tx: Sql) {
    const people = await scene(tx, { ...terms, recurrence: 'forever' })
    const { id, code } = await codeOf(people.mentor, people.org)
    const [redeemed] = await people.friend.rpc('redeem_code', { code })
    const redemptionId = String(redeemed?.redemption_id)
    // After the code was made and redeemed, however long that took.
    const at = Math.floor(Date.now() / 1000) + 1
    for (const event of [
      paidInvoice({ customer: 'cus_1', userId: people.friend.id, at }),
      paidInvoice({ customer: 'cus_2', userId: people.friend.id, at, livemode: true }),
      paidInvoice({ customer: 'cus_3', redemptionId, at }),
      paidInvoice({ customer: 'cus_4', code, at }),
      completedSession({ customer: 'cus_5', reference: code, at }),
      paidInvoice({ customer: 'cus_5', at }),
      promotionCode({ id: 'promo_1', code, at }),
      createdDiscount({ customer: 'cus_6', promotionCode: 'promo_1', at }),
      paidInvoice({ customer: 'cus_6', at }),
      completedSession({ mode: 'payment', customer: null, reference: code, at }),
    ])
      await ingest(tx, event)
    await tx`update referral_private.sales set paid = 9000`
    const posted = async () => {
      const [row] = await tx`select sum(amount)::int as posted from referral_private.postings`
      return row?.posted
    }
    expect(await posted()).toBe(700)
    return { ...people, codeId: id, posted }
  }

  const longAgo = { since: '2001-01-01T00:00:00Z', until: '2001-01-02T00:00:00Z' }

  test.for(['member', 'code', 'earner'])('every payer that it may concern, of a %s', (of) =>
    undone(sql, async (tx) => {
      const { org, admin, mentor, coordinator, codeId, posted } = await reached(tx)
      const subjects = {
        member: { member_id: mentor.id },
        code: { code_id: codeId },
        earner: { member_id: coordinator.id },
      }
      if (of === 'earner')
        await tx`update referral.codes set beneficiary_id = ${coordinator.id} where id = ${codeId}`
      const subject = subjects[of as keyof typeof subjects]
      await operator(tx).rpc('forfeit_from', { org_id: org, ...subject, ...longAgo })
      expect(await posted()).toBe(6300)
      const [cause] = await admin.run('select id from referral.decisions')
      const rows = await tx`
        select distinct caused_by from referral_private.ledger_entries where amount > 100`
      expect(rows).toEqual([{ caused_by: `decision ${cause?.id}` }])
    }),
  )
})

describe('blocking', () => {
  test('a member states a forfeit from now on, once; unblocking ends it', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor, admin } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      const who = { org_id: org, user_id: mentor.id }
      await coordinator.rpc('deactivate_member', { ...who, block: true, reason: 'abuse' })
      await coordinator.rpc('end_code', { code_id: id, block: true })
      await coordinator.rpc('deactivate_member', { ...who, block: true })
      const open = {
        kind: 'forfeit',
        member_id: mentor.id,
        by_block: true,
        until: null,
        reason: 'abuse',
        decided_by: coordinator.id,
      }
      expect(await forfeits(tx)).toMatchObject([open])
      await coordinator.rpc('reactivate_member', who)
      expect(await forfeits(tx)).toMatchObject([open])
      await admin.rpc('reactivate_member', { ...who, unblock: true })
      const [ended] = await forfeits(tx)
      expect(Number(ended?.until) - Number(ended?.since)).toBeGreaterThanOrEqual(1000)
      await admin.rpc('deactivate_member', { ...who, block: true })
      expect(await forfeits(tx)).toMatchObject([{ id: ended?.id }, { until: null }])
    }))

  test('and unblocking leave forfeits that staff stated as they are', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const { org, coordinator, mentor, admin } = people
      const [stated] = await coordinator.rpc('forfeit_from', memberOf(people))
      const who = { org_id: org, user_id: mentor.id }
      await coordinator.rpc('deactivate_member', { ...who, block: true })
      await admin.rpc('reactivate_member', { ...who, unblock: true })
      expect(await forfeits(tx)).toMatchObject([{ id: stated?.id, until: null }, {}])
    }))

  test('is all that can end a forfeit, and once', () =>
    undone(sql, async (tx) => {
      const people = await scene(tx)
      const { org, coordinator, mentor, admin } = people
      const end = async (id: unknown) =>
        tx.savepoint(
          (point) =>
            point`update referral.decisions set until = '2099-01-01' where id = ${String(id)}`,
        )
      const [stated] = await coordinator.rpc('forfeit_from', memberOf(people))
      expect(await refusal(end(stated?.id))).toBe('23001')
      const who = { org_id: org, user_id: mentor.id }
      await coordinator.rpc('deactivate_member', { ...who, block: true })
      await admin.rpc('reactivate_member', { ...who, unblock: true })
      const [, ended] = await forfeits(tx)
      expect(await refusal(end(ended?.id))).toBe('23001')
    }))

  test('without it, nothing is forfeited', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      await coordinator.rpc('end_code', { code_id: id })
      await coordinator.rpc('deactivate_member', { org_id: org, user_id: mentor.id })
      expect(await forfeits(tx)).toEqual([])
    }))

  test('by end_code states a forfeit of the referrer, and of a campaign code’s chain', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor, admin } = await scene(tx)
      const { id } = await codeOf(mentor, org)
      const [campaign] = await coordinator.rpc('create_campaign_code', { org_id: org })
      for (const code_id of [id, campaign?.id, campaign?.id])
        await admin.rpc('end_code', { code_id, block: true })
      expect(await forfeits(tx)).toMatchObject([
        { member_id: mentor.id, chain_id: null, by_block: true },
        { member_id: null, chain_id: campaign?.id, by_block: true },
      ])
    }))

  test('is not undone by an admin whom the member’s codes benefit', () =>
    undone(sql, async (tx) => {
      const { org, admin, coordinator, mentor } = await scene(tx)
      const who = { org_id: org, user_id: mentor.id }
      const { id } = await codeOf(mentor, org)
      await tx`update referral.codes set beneficiary_id = ${admin.id} where id = ${id}`
      await coordinator.rpc('deactivate_member', { ...who, block: true })
      const undo = { ...who, unblock: true }
      expect(await refusal(admin.rpc('reactivate_member', undo))).toBe('not_allowed')
      expect(await forfeits(tx)).toMatchObject([{ until: null }])
      await operator(tx).rpc('reactivate_member', undo)
      expect(await forfeits(tx)).toMatchObject([{ until: expect.any(Date) }])
    }))

  test('and unblocking are for nobody themself', () =>
    undone(sql, async (tx) => {
      const { org, coordinator, admin } = await scene(tx)
      const { id } = await codeOf(coordinator, org)
      const own = { code_id: id, block: true }
      expect(await refusal(coordinator.rpc('end_code', own))).toBe('not_allowed')
      const who = { org_id: org, user_id: admin.id }
      const [block, unblock] = [
        { ...who, block: true },
        { ...who, unblock: true },
      ]
      expect(await refusal(admin.rpc('deactivate_member', block))).toBe('not_allowed')
      expect(await refusal(admin.rpc('reactivate_member', unblock))).toBe('not_allowed')
    }))
})
