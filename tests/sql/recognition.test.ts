/** Users whom purchases named before they were known: as members, and by the job. Every sale is 1,000 at 10 percent. */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, person } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { ingest, queued, reduced, settleAccount } from '../support/ingest.ts'
import { checkLedger } from '../support/ledger.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const now = Math.floor(Date.now() / 1000)
const day = 86_400
const terms = { commission: { kind: 'percent', bps: 1000 }, enrolment: 'open', hold_days: 0 }

/** A mentor's code, and a user whom nobody knows: customer 1 carries the code for them, customer 2 buys. */
async function named(tx: Sql, { account = '', at = now + 10, more = {} } = {}) {
  const people = await scene(tx, { ...terms, ...more })
  const { org, mentor } = people
  if (account) {
    const changes = { stripe_account_id: account }
    await operator(tx).rpc('update_organisation', { org_id: org, changes })
  }
  const { code } = await codeOf(mentor, org)
  const userId = crypto.randomUUID()
  await ingest(tx, completedSession({ customer: 'cus_1', userId, code, account, at }))
  await ingest(tx, paidInvoice({ customer: 'cus_2', userId, account, at: at + 9 }))
  const earned = async () => {
    await checkLedger(tx)
    const [row] = await mentor.rpc('my_earnings', { org_id: org })
    return Number(row?.available ?? 0) + Number(row?.pending ?? 0)
  }
  const signUp = (daysAgo = 0) => tx`
    insert into auth.users (id, created_at) values (${userId}, to_timestamp(${now - daysAgo * day}))`
  return { ...people, code, userId, earned, signUp }
}

const recognised = async (tx: Sql, args = {}) => {
  const [row] = await operator(tx).rpc('recognise_users', args)
  return row?.recognise_users
}

/** The accounts on which a user is known. */
const recognisedOn = async (tx: Sql, userId: string) => {
  const rows = await tx`
    select stripe_account from referral_private.known_users where user_id = ${userId} order by 1`
  return rows.map((row) => row.stripe_account)
}

test('a user who redeems on one account becomes known on the other', () =>
  undone(sql, async (tx) => {
    const { userId, earned } = await named(tx, { account: 'acct_1' })
    const here = await scene(tx, terms)
    const { code } = await codeOf(here.mentor, here.org)
    await ingest(tx, completedSession({ customer: 'cus_1', userId }))
    await person(tx, userId).rpc('redeem_code', { code })
    expect(await recognisedOn(tx, userId)).toEqual(['', 'acct_1'])
    expect(await earned()).toBe(100)
  }))

test('a user who becomes known by an event among others earns in the other mode by that event', () =>
  undone(sql, async (tx) => {
    const { org, code, userId, signUp } = await named(tx)
    await signUp()
    const events = [
      paidInvoice({ livemode: true, customer: 'cus_3', userId, at: now + 30 }),
      paidInvoice({ livemode: true, customer: 'cus_4', code, at: now + 31 }),
    ]
    await queued(tx, await Promise.all(events.map(reduced)))
    await settleAccount(tx, '')
    const causes = await tx`
      select caused_by from referral_private.ledger_entries where org_id = ${org} and not livemode`
    expect(causes.map(({ caused_by }) => caused_by)).toEqual([events[0]?.id])
  }))

test('a user who is known on one account becomes known on the other as a member', () =>
  undone(sql, async (tx) => {
    const { userId, earned, signUp } = await named(tx, { account: 'acct_1' })
    const here = await scene(tx, terms)
    await signUp()
    await ingest(tx, completedSession({ customer: 'cus_1', userId }))
    expect(await recognisedOn(tx, userId)).toEqual([''])
    await here.admin.rpc('add_member', { org_id: here.org, user_id: userId })
    expect(await recognisedOn(tx, userId)).toEqual(['', 'acct_1'])
    expect(await earned()).toBe(100)
  }))

test.for([
  [29, 100],
  [31, 0],
])(
  'a new member who signed up %d days ago, where the program is for new users: %d',
  ([daysAgo, ends]) =>
    undone(sql, async (tx) => {
      const more = { new_users_only_days: 30 }
      const { org, admin, userId, earned, signUp } = await named(tx, { more })
      await signUp(daysAgo)
      await admin.rpc('add_member', { org_id: org, user_id: userId })
      expect(await earned()).toBe(ends)
    }),
)

test('a user whom an event of one mode makes known is known in the other one', () =>
  undone(sql, async (tx) => {
    const { userId, earned, signUp } = await named(tx)
    await signUp()
    await ingest(tx, completedSession({ customer: 'cus_3', userId, livemode: true }))
    expect(await recognisedOn(tx, userId)).toEqual([''])
    expect(await earned()).toBe(100)
  }))

test('the job finds who signed up, redeemed or became a member, and each once', () =>
  undone(sql, async (tx) => {
    const [one, two, three] = [
      await named(tx),
      await named(tx, { account: 'acct_2' }),
      await named(tx, { account: 'acct_3' }),
    ]
    expect(await recognised(tx)).toBe(0)
    await one.signUp()
    const here = await scene(tx, terms)
    const { code } = await codeOf(here.mentor, here.org)
    await person(tx, two.userId).rpc('redeem_code', { code })
    await tx`delete from referral_private.known_users where user_id = ${two.userId}`
    await tx`insert into referral.members (org_id, user_id) values (${here.org}, ${three.userId})`
    expect(await recognised(tx)).toBe(3)
    expect(await recognised(tx)).toBe(0)
    for (const { earned } of [one, two, three]) expect(await earned()).toBe(100)
  }))

test('the job looks at what came in the last 30 days, whatever its date is', () =>
  undone(sql, async (tx) => {
    const late = await named(tx, { account: 'acct_1' })
    const early = await named(tx, { account: 'acct_2', at: now - 90 * day })
    for (const { userId, hours } of [
      { ...late, hours: 30 * 24 + 1 },
      { ...early, hours: 30 * 24 - 1 },
    ])
      await tx`
        update referral_private.payer_users set stored_at = now() - ${hours} * interval '1 hour'
        where user_id = ${userId}`
    for (const { signUp } of [late, early]) await signUp()
    expect(await recognised(tx)).toBe(1)
    const known =
      await tx`select user_id from referral_private.known_users where signed_up_at is not null`
    expect(known).toEqual([{ user_id: early.userId }])
  }))

test('the job takes so many users in a call', () =>
  undone(sql, async (tx) => {
    for (const account of ['acct_1', 'acct_2', 'acct_3']) {
      const { signUp } = await named(tx, { account })
      await signUp()
    }
    expect(await recognised(tx, { max_rows: 2 })).toBe(2)
    expect(await recognised(tx, { max_rows: 2 })).toBe(1)
    expect(await recognised(tx, { max_rows: 0 })).toBe(0)
  }))

test('the job takes so many users in a call, also of one account', () =>
  undone(sql, async (tx) => {
    for (const customer of ['cus_1', 'cus_2', 'cus_3']) {
      const userId = crypto.randomUUID()
      await ingest(tx, completedSession({ customer, userId }))
      await tx`insert into auth.users (id) values (${userId})`
      await tx`delete from referral_private.known_users where user_id = ${userId}`
    }
    expect(await recognised(tx, { max_rows: 2 })).toBe(2)
    expect(await recognised(tx, { max_rows: 2 })).toBe(1)
  }))
