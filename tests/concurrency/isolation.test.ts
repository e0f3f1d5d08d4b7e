/**
 * Settlements are right at READ COMMITTED alone: at other isolation levels, the second of two deliveries would not see what
 * the first one stored, whose lock it waited for.
 */
import { describe, expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { type Actor, details, operator, person, refusal } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { ingest, reduced } from '../support/ingest.ts'
import { codeOf, type Scene, scene } from '../support/scene.ts'

const sql = await testDatabase()
const levels = ['repeatable read', 'serializable'] as const
const now = () => Math.floor(Date.now() / 1000)

/** An answer, or the error code of a refusal, from a transaction of this isolation level. */
const at = (level: string, who: (tx: typeof sql) => Actor, rpc: string, args: object) =>
  sql.begin(`isolation level ${level}`, (tx) =>
    who(tx as never).rpc(rpc, args as Record<string, unknown>),
  )

test.for(levels)(
  'two halves of a story that meet at %s are refused, and can be sent again',
  async (level) => {
    const { org, mentor, friend } = await scene(sql)
    await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
    const customer = `cus_${friend.id.replaceAll('-', '')}`
    const events = [
      completedSession({ customer, userId: friend.id, at: now() + 1 }),
      paidInvoice({ customer, at: now() + 1 }),
    ]
    const answers = await Promise.all(
      events.map(async (event) => {
        const args = { event: await reduced(event) }
        return refusal(at(level, operator, 'ingest_stripe_event', args))
      }),
    )
    expect(answers).toEqual(['busy', 'busy'])
    for (const event of events) expect(await ingest(sql, event)).toBe('applied')
    expect(await sql`select status from referral.redemptions where org_id = ${org}`).toEqual([
      { status: 'confirmed' },
    ])
  },
)

describe('everything that takes the account lock is refused', () => {
  type Made = Scene & { code: string; redemption: string }
  const calls: [rpc: string, who: 'admin' | 'friend' | 'operator', args: (made: Made) => object][] =
    [
      ['redeem_code', 'friend', ({ code }) => ({ code })],
      ['release_due_commissions', 'operator', () => ({})],
      ['run_maintenance', 'operator', () => ({})],
      [
        'update_program',
        'admin',
        ({ program }) => ({ program_id: program, changes: { name: 'X' } }),
      ],
      ['update_organisation', 'admin', ({ org }) => ({ org_id: org, changes: { active: false } })],
      ['create_campaign_code', 'admin', ({ org }) => ({ org_id: org, code: 'CHOSEN' })],
      ['rotate_code', 'admin', ({ org, mentor }) => ({ org_id: org, referrer_id: mentor.id })],
      ['deactivate_code', 'admin', ({ org, mentor }) => ({ org_id: org, referrer_id: mentor.id })],
      ['deactivate_member', 'admin', ({ org, mentor }) => ({ org_id: org, user_id: mentor.id })],
      ['add_member', 'admin', ({ org, friend }) => ({ org_id: org, user_id: friend.id })],
      ['recognise_users', 'operator', () => ({})],
      ['confirm_redemption', 'admin', ({ redemption }) => ({ redemption_id: redemption })],
      [
        'record_refund_reversed',
        'operator',
        ({ org }) => ({ org_id: org, provider: 'play', refund_ref: 'R1' }),
      ],
      [
        'record_refund',
        'operator',
        ({ org }) => ({
          org_id: org,
          provider: 'play',
          refund_ref: 'R1',
          payment_ref: 'P1',
          amount: 1,
        }),
      ],
      [
        'record_payment',
        'operator',
        ({ org, friend }) => ({
          org_id: org,
          provider: 'play',
          payment_ref: 'P1',
          referee_id: friend.id,
          amount: 1,
          currency: 'usd',
          paid_at: new Date().toISOString(),
        }),
      ],
    ]

  test.for(calls.flatMap((call) => levels.map((level) => [...call, level] as const)))(
    '%s by the %s',
    async ([rpc, who, args, level]) => {
      const people = await scene(sql)
      const { code } = await codeOf(people.mentor, people.org)
      const [redeemed] = await person(sql).rpc('redeem_code', { code })
      const made = { ...people, code, redemption: String(redeemed?.redemption_id) }
      const by = (tx: typeof sql) => (who === 'operator' ? operator(tx) : person(tx, made[who].id))
      expect(await details(at(level, by, rpc, args(made)))).toBe(
        `call again in a transaction of isolation level READ COMMITTED, not ${level.toUpperCase()}`,
      )
    },
  )
})
