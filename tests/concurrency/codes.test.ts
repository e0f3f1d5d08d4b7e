import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { restate } from '../support/code-states.ts'
import { testDatabase } from '../support/database.ts'
import { rewriteTerms } from '../support/histories.ts'
import { ingest, settleAccount } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'
import { sessions } from '../support/sessions.ts'

const sql = await testDatabase()
const times = (count: number) => Array.from({ length: count }, (_, i) => i)

describe('at once', () => {
  test('32 rotations of one mentor’s code: 32 answers, no error, one active code', async () => {
    const { org, admin, mentor } = await scene(sql)
    await admin.rpc('update_organisation', { org_id: org, changes: { rotations_per_day: 32 } })
    await codeOf(mentor, org)
    const answers = await Promise.all(
      times(32).map(() => mentor.rpc('rotate_code', { org_id: org })),
    )
    expect(new Set(answers.map(([code]) => code?.code)).size).toBe(32)
    expect(
      await sql`select status, count(*)::int from referral.codes where org_id = ${org} group by 1 order by 1`,
    ).toEqual([
      { status: 'active', count: 1 },
      { status: 'rotated', count: 32 },
    ])
    const [last] =
      await sql`select rotation from referral.codes where org_id = ${org} and status = 'active'`
    expect(last?.rotation).toBe(32)
  })

  test('32 first codes of one mentor: one is created, 31 are refused with active_code_exists', async () => {
    const { org, mentor } = await scene(sql)
    const outcomes = await Promise.all(
      times(32).map(() =>
        mentor.rpc('create_code', { org_id: org }).then(
          () => 'created',
          (error) => refusal(Promise.reject(error)),
        ),
      ),
    )
    expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1)
    expect(outcomes.filter((outcome) => outcome === 'active_code_exists')).toHaveLength(31)
  })

  test('30 people on the last 10 uses: exactly 10 redeem', async () => {
    const { org, coordinator, mentor } = await scene(sql)
    const [row] = await coordinator.rpc('create_code', {
      org_id: org,
      referrer_id: mentor.id,
      max_uses: 10,
    })
    const outcomes = await Promise.all(
      times(30).map(() =>
        person(sql)
          .rpc('redeem_code', { code: row?.code })
          .then(
            () => 'redeemed',
            (error) => refusal(Promise.reject(error)),
          ),
      ),
    )
    expect(outcomes.filter((outcome) => outcome === 'redeemed')).toHaveLength(10)
    expect(outcomes.filter((outcome) => outcome === 'code_limit_reached')).toHaveLength(20)
    const [quota] =
      await sql`select used, (select count(*)::int from referral.redemptions where org_id = ${org}) as rows from referral.code_quotas where org_id = ${org}`
    expect(quota).toEqual({ used: 10, rows: 10 })
  })

  test('one person, one code, 32 times: one redemption, the same answer for all', async () => {
    const { org, coordinator, mentor, friend } = await scene(sql)
    const [row] = await coordinator.rpc('create_code', {
      org_id: org,
      referrer_id: mentor.id,
      max_uses: 5,
    })
    const answers = await Promise.all(
      times(32).map(() => friend.rpc('redeem_code', { code: row?.code })),
    )
    expect(new Set(answers.map(([answer]) => answer?.redemption_id)).size).toBe(1)
    expect(await sql`select used from referral.code_quotas where org_id = ${org}`).toEqual([
      { used: 1 },
    ])
  })

  test('a person tapping eight times, two hundred times over: never an error', async () => {
    const { org, mentor } = await scene(sql)
    const { code } = await codeOf(mentor, org)
    for (const _ of times(200)) {
      const friend = person(sql)
      const answers = await Promise.all(times(8).map(() => friend.rpc('redeem_code', { code })))
      expect(new Set(answers.map(([answer]) => answer?.redemption_id)).size).toBe(1)
    }
  })

  test('one person with two codes: one is redeemed, the other refused with already_redeemed', async () => {
    const { org, coordinator, mentor, friend } = await scene(sql)
    const codes = [await codeOf(mentor, org), await codeOf(coordinator, org)]
    const outcomes = await Promise.all(
      codes.map(({ code }) =>
        friend.rpc('redeem_code', { code }).then(
          () => 'redeemed',
          (error) => refusal(Promise.reject(error)),
        ),
      ),
    )
    expect(outcomes.sort()).toEqual(['already_redeemed', 'redeemed'])
  })

  test('two people redeeming each other’s codes: one succeeds, the other is refused with mutual_referral', async () => {
    for (const _ of times(20)) {
      const { org, coordinator, mentor } = await scene(sql)
      const [one, two] = [await codeOf(mentor, org), await codeOf(coordinator, org)]
      const outcomes = await Promise.all(
        [
          mentor.rpc('redeem_code', { code: two.code }),
          coordinator.rpc('redeem_code', { code: one.code }),
        ].map((call) =>
          call.then(
            () => 'redeemed',
            (error) => refusal(Promise.reject(error)),
          ),
        ),
      )
      expect(outcomes.sort()).toEqual(['mutual_referral', 'redeemed'])
    }
  })

  test('rotations against redemptions: nobody sees an error but code_inactive, and nothing deadlocks', async () => {
    const { org, admin, mentor } = await scene(sql)
    await admin.rpc('update_organisation', { org_id: org, changes: { rotations_per_day: 20 } })
    const { code } = await codeOf(mentor, org)
    const rotations = times(20).map(() =>
      mentor.rpc('rotate_code', { org_id: org }).then(() => 'rotated'),
    )
    const redemptions = times(20).map(() =>
      person(sql)
        .rpc('redeem_code', { code })
        .then(
          () => 'redeemed',
          (error) => refusal(Promise.reject(error)),
        ),
    )
    const outcomes = await Promise.all([...rotations, ...redemptions])
    expect(outcomes.filter((outcome) => outcome === 'rotated')).toHaveLength(20)
    expect(
      outcomes.filter((outcome) => !['rotated', 'redeemed', 'code_inactive'].includes(outcome)),
    ).toEqual([])
  })
})

describe('a chosen text and an event that carries it', () => {
  const terms = { commission: { kind: 'percent', bps: 1000 }, enrolment: 'open', hold_days: 0 }
  const text = () => `T${crypto.randomUUID().slice(0, 13)}`
  const at = () => Math.floor(Date.now() / 1000) + 100
  const earned = async ({ org, mentor }: Awaited<ReturnType<typeof scene>>) => {
    const [row] = await mentor.rpc('my_earnings', { org_id: org })
    return Number(row?.pending ?? 0)
  }

  test.for([
    ['create_code', (code: string, referrer_id: string) => ({ code, referrer_id })],
    ['create_campaign_code', (code: string) => ({ code })],
    ['rotate_code', (code: string, referrer_id: string) => ({ code, referrer_id })],
    ['import_codes', (code: string) => ({ rows: [{ code }] })],
  ] as const)('%s waits for the event, and is refused', ([rpc, choice]) =>
    sessions(sql, async (stripe, staff) => {
      const { org, coordinator, mentor } = await scene(sql, terms)
      if (rpc === 'rotate_code') await codeOf(mentor, org)
      const code = text()
      await ingest(stripe.tx, completedSession({ customer: `cus_${code}`, code }))
      const args = { org_id: org, ...choice(code, mentor.id) }
      const call = refusal(person(staff.tx, coordinator.id).rpc(rpc, args))
      await staff.blocked()
      await stripe.commit()
      expect(await call).toBe(rpc === 'import_codes' ? 'busy' : 'code_taken')
    }),
  )

  test.for([
    ['create_code', (code: string, mentor: string) => ({ code, referrer_id: mentor })],
    ['create_campaign_code', (code: string, mentor: string) => ({ code, beneficiary_id: mentor })],
    ['rotate_code', (code: string, mentor: string) => ({ code, referrer_id: mentor })],
  ] as const)('an event waits for %s, and earns', ([rpc, choice]) =>
    sessions(sql, async (staff, stripe) => {
      const people = await scene(sql, terms)
      const { org, coordinator, mentor } = people
      if (rpc === 'rotate_code') await codeOf(mentor, org)
      const code = text()
      const customer = `cus_${code}`
      await ingest(sql, paidInvoice({ customer, at: at() }))
      const args = { org_id: org, ...choice(code, mentor.id) }
      await person(staff.tx, coordinator.id).rpc(rpc, args)
      const event = completedSession({ customer, code, at: at() - 50 })
      expect(await ingest(stripe.tx, event)).toBe('stored')
      await stripe.commit()
      await staff.commit()
      await settleAccount(sql, '')
      expect(await earned(people)).toBe(100)
    }),
  )

  test('the operator’s import waits for the event, and settles it', () =>
    sessions(sql, async (stripe, importer) => {
      const people = await scene(sql, terms)
      const reference = (await codeOf(people.mentor, people.org)).code
      const code = text()
      const customer = `cus_${code}`
      await ingest(stripe.tx, completedSession({ customer, code, reference, at: at() }))
      await ingest(stripe.tx, paidInvoice({ customer, at: at() + 50 }))
      const args = { org_id: people.org, rows: [{ code }] }
      const call = operator(importer.tx).rpc('import_codes', args)
      await importer.blocked()
      await stripe.commit()
      expect(await call).toMatchObject([{ made: 1 }])
      await importer.commit()
      // Before the imported code, which earns for nobody, counts none that is named less directly.
      expect(await earned(people)).toBe(0)
    }))

  test('people who choose at once do not wait for each other', () =>
    sessions(sql, async (one, other) => {
      const choose = async (tx: typeof one.tx) => {
        const { org, coordinator } = await scene(sql, terms)
        const rows = [{ code: text() }]
        return person(tx, coordinator.id).rpc('import_codes', { org_id: org, rows })
      }
      expect(await choose(one.tx)).toMatchObject([{ made: 1 }])
      expect(await choose(other.tx)).toMatchObject([{ made: 1 }])
    }))

  test('a coordinator who lost the role while they waited is refused', () =>
    sessions(sql, async (stripe, staff) => {
      const { org, admin, coordinator } = await scene(sql, terms)
      await ingest(stripe.tx, completedSession({ customer: 'cus_1' }))
      const args = { org_id: org, code: text() }
      const call = refusal(person(staff.tx, coordinator.id).rpc('create_code', args))
      await staff.blocked()
      await admin.rpc('set_member_role', { org_id: org, user_id: coordinator.id, role: 'member' })
      await stripe.commit()
      expect(await call).toBe('not_allowed')
    }))
})

/** A suspended code of a mentor's that was in use until some hours ago. */
async function suspended() {
  const terms = { enrolment: 'open', commission: { kind: 'percent', bps: 1000 } }
  const people = await scene(sql, terms)
  const dayAgo = "valid_from = now() - interval '1 day'"
  await rewriteTerms(sql, `set ${dayAgo} where program_id = '${people.program}'`)
  const made = await codeOf(people.mentor, people.org)
  await restate(sql, made.id, [
    { status: 'active', since: new Date(Date.now() - 9e6).toISOString() },
    { status: 'suspended', since: new Date(Date.now() - 8e6).toISOString() },
  ])
  await sql`alter table referral.codes disable trigger user`
  await sql`update referral.codes set status = 'suspended' where id = ${made.id}`
  await sql`alter table referral.codes enable trigger user, enable always trigger codes_keep_what_they_are`
  const pending = async () => {
    const [row] = await people.mentor.rpc('my_earnings', { org_id: people.org })
    return Number(row?.pending ?? 0)
  }
  return { ...people, ...made, pending }
}

test('a code that is made active again counts for a purchase of the last minute that is under way', () =>
  sessions(sql, async (event, staff) => {
    const { id, code, coordinator, pending } = await suspended()
    const at = Math.floor(Date.now() / 1000) - 20
    await ingest(event.tx, paidInvoice({ customer: `cus_${id}`, code, at }))
    const active = person(staff.tx, coordinator.id).rpc('reactivate_code', { code_id: id })
    await staff.blocked()
    await event.commit()
    await active
    await staff.commit()
    expect(await pending()).toBeGreaterThan(0)
  }))

test('and for one in the second that began a minute before', async () => {
  const { id, code, coordinator, pending } = await suspended()
  // In the middle of a second: the time of a purchase is a whole one.
  await setTimeout(1500 - (Date.now() % 1000))
  const at = Math.floor(Date.now() / 1000) - 60
  await ingest(sql, paidInvoice({ customer: `cus_${id}`, code, at }))
  expect(await pending()).toBe(0)
  await coordinator.rpc('reactivate_code', { code_id: id })
  expect(await pending()).toBe(100)
})

test.for(['rotate_code', 'deactivate_code', 'deactivate_member'])(
  '%s waits for a purchase under way that carries the code and is dated ahead',
  (rpc) =>
    sessions(sql, async (event, staff) => {
      const terms = { enrolment: 'open', commission: { kind: 'percent', bps: 1000 } }
      const { org, admin, mentor } = await scene(sql, terms)
      const { code } = await codeOf(mentor, org)
      const at = Math.floor(Date.now() / 1000) + 1000
      await ingest(event.tx, paidInvoice({ customer: `cus_${org}`, code, at }))
      const who = rpc === 'deactivate_member' ? 'user_id' : 'referrer_id'
      const call = person(staff.tx, admin.id).rpc(rpc, { org_id: org, [who]: mentor.id })
      await staff.blocked()
      await event.commit()
      await call
      await staff.commit()
      const [row] = await mentor.rpc('my_earnings', { org_id: org }).catch(() => [])
      expect(Number(row?.pending ?? 0)).toBe(0)
    }),
)
