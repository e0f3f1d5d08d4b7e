/** Whoever becomes known is settled under the Stripe account lock: with what was under way, and not beside it. */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator, person } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'
import { type Session, sessions } from '../support/sessions.ts'

const sql = await testDatabase()
const at = Math.floor(Date.now() / 1000) + 1000
const terms = { commission: { kind: 'percent', bps: 1000 }, enrolment: 'open', hold_days: 0 }

const earned = async ({ org, mentor }: Scene) => {
  const [row] = await mentor.rpc('my_earnings', { org_id: org })
  return Number(row?.available ?? 0) + Number(row?.pending ?? 0)
}

/** A purchase with a code names a user who signs up later, and an event of the same user is under way. */
const namedBeside = (
  work: (event: Session, other: Session, userId: string, people: Scene) => Promise<void>,
) =>
  sessions(sql, async (event, other) => {
    const people = await scene(sql, terms)
    const { code } = await codeOf(people.mentor, people.org)
    const userId = crypto.randomUUID()
    const of = (n: number) => ({ customer: `cus_${n}${userId.replaceAll('-', '')}`, userId })
    await ingest(sql, completedSession({ ...of(1), code, at: at - 9 }))
    await sql`insert into auth.users (id) values (${userId})`
    await sql`delete from referral_private.known_users where user_id = ${userId}`
    await ingest(event.tx, paidInvoice({ ...of(2), userId: undefined, at }))
    await work(event, other, userId, people)
    await ingest(sql, completedSession({ ...of(2), at: at - 8 }))
    expect(await earned(people)).toBe(100)
  })

test('a new member waits for an event of one of their payers', () =>
  namedBeside(async (event, other, user_id, { org, admin }) => {
    const call = person(other.tx, admin.id).rpc('add_member', { org_id: org, user_id })
    await other.blocked()
    await event.commit()
    await call
    await other.commit()
  }))

test('the job that finds users leaves an account that is busy for the next call', () =>
  namedBeside(async (event, other) => {
    const found = async () => (await operator(other.tx).rpc('recognise_users'))[0]?.recognise_users
    expect(await found()).toBe(0)
    await event.commit()
    expect(await found()).toBe(1)
    await other.commit()
  }))

test('a code that changes while its purchases are settled is busy', () =>
  sessions(sql, async (event) => {
    const { org, mentor } = await scene(sql, terms)
    const { id, code } = await codeOf(mentor, org)
    await ingest(sql, completedSession({ customer: `cus_${code}`, code, at }))
    await ingest(event.tx, paidInvoice({ customer: `cus_${code}`, at: at + 9 }))
    // Commands wait for the Stripe account before they lock the code; the job that expires codes does not.
    const changed = sql`update referral.codes set status = 'suspended' where id = ${id}`
    await expect(changed).rejects.toThrow('"busy"')
  }))
